import ArgumentParser
import MeshControl

struct Edges: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say who called whom, how often, how well and how fast.",
        discussion: """
            Both sides of a call report it; here it is counted once. A call fails by a status from 500, a gRPC status \
            that blames the server, or no answer at all.

            Examples:
              martlet edges
              martlet edges --seconds 60 --watch
              martlet edges --output json
            """)

    @OptionGroup var period: PeriodOptions
    @OptionGroup var watch: WatchOptions
    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let client = try control.client()
        try watch.show {
            let traffic = try period.traffic(client)
            switch output.output {
            case .json: return try ControlText.json(traffic)
            case .text: return table(Hops(traffic))
            }
        }
    }

    private func table(_ hops: Hops) -> String {
        let rows = hops.sums { [$0.source.isEmpty ? "(outside)" : $0.source, $0.destination, $0.version] }
            .map { $0.key + hops.cells($0.sum) + [Hops.encrypted($0.sum)] }
        return ControlText.table(
            ["SOURCE", "DESTINATION", "VERSION"] + Hops.heading + ["MTLS"], rows, empty: PeriodOptions.nothing)
    }
}

struct Stat: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say how often, how well and how fast services answer.",
        discussion: """
            Examples:
              martlet stat
              martlet stat shop/cart --seconds 60
              martlet stat cart --watch
            """)

    @Argument(help: ArgumentHelp("One service: NAME or NAMESPACE/NAME.", valueName: "service"))
    var service: String?

    @OptionGroup var period: PeriodOptions
    @OptionGroup var watch: WatchOptions
    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let client = try control.client()
        try watch.show {
            var traffic = try period.traffic(client)
            if let service { traffic.hops.removeAll { !Self.is($0.destination, service) } }
            switch output.output {
            case .json: return try ControlText.json(traffic)
            case .text: return table(Hops(traffic))
            }
        }
    }

    private static func `is`(_ destination: String, _ name: String) -> Bool {
        destination == name || destination.hasSuffix("/" + name)
    }

    private func table(_ hops: Hops) -> String {
        let rows = hops.sums { [$0.destination, $0.version] }
            .map { $0.key + hops.cells($0.sum) + [Hops.encrypted($0.sum)] }
        return ControlText.table(
            ["SERVICE", "VERSION"] + Hops.heading + ["MTLS"], rows, empty: PeriodOptions.nothing)
    }
}

/// Of which time the traffic is shown.
struct PeriodOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Only the last so many seconds, at most 600; otherwise all that the control plane has heard of.",
            valueName: "n"))
    var seconds: Int?

    static let nothing = "no traffic has been reported yet: proxies report every 5 seconds"

    func validate() throws {
        if let seconds, !(1...600).contains(seconds) {
            throw ValidationError("--seconds wants a number from 1 to 600, not \(seconds).")
        }
    }

    func traffic(_ client: ControlClient) throws -> API.Traffic {
        try client.get("/v1/traffic", [("seconds", seconds.map { "\($0)" })])
    }
}
