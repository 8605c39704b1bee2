import Glibc
import MeshCore
import MeshModel
import MeshTraffic
import Testing

/// What each balancer makes of endpoints that are not alike. The table of `docs/resilience.md` is printed by
/// `MARTLET_PRINT=1 swift test --filter BalancingSimulationTests`.
@Suite struct BalancingSimulationTests {
    static let algorithms: [(name: String, settings: LoadBalancer)] = [
        ("`ROUND_ROBIN`", LoadBalancer(algorithm: .roundRobin)),
        ("`RANDOM`", LoadBalancer(algorithm: .random)),
        ("`LEAST_REQUEST`", LoadBalancer(algorithm: .leastRequest)),
        ("`PEAK_EWMA`", LoadBalancer(algorithm: .peakEWMA(PeakEWMASettings()))),
        ("`RING_HASH`", LoadBalancer(algorithm: .ringHash(size: 1024))),
        ("`RING_HASH`, bounded 125 %", LoadBalancer(algorithm: .ringHash(size: 1024), boundedLoad: 125)),
        ("`MAGLEV`", LoadBalancer(algorithm: .maglev(tableSize: 65_537))),
        ("`MAGLEV`, bounded 125 %", LoadBalancer(algorithm: .maglev(tableSize: 65_537), boundedLoad: 125)),
    ]

    /// Ten endpoints of 10 ms and 16 places each, one of which is ten times slower: an even share of 1,000 requests a
    /// second is what it can do, of 2,500 is not.
    private func oneSlow(_ settings: LoadBalancer, perSecond rate: Double) -> SimulationReport {
        var endpoints = Array(repeating: SimulatedEndpoint(milliseconds: 10, capacity: 16), count: 10)
        endpoints[0].service = 100_000_000
        let simulation = Simulation(
            endpoints: endpoints, balancer: settings, arrivals: .open(perSecond: rate), seed: 7)
        simulation.key = { Hashing.mix(UInt64($0)) }
        simulation.warmUp = 10
        return simulation.run(seconds: 30)
    }

    @Test func oneEndpointTenTimesSlower() {
        var reports: [String: SimulationReport] = [:]
        var table = """
            | balancer | 1,000/s: p50 ms | p99 ms | share of the slow one | 2,500/s: p50 ms | p99 ms | share of it |
            |---|---|---|---|---|---|---|

            """
        for (name, settings) in Self.algorithms {
            table += "| \(name) |"
            for rate in [1000.0, 2500] {
                let report = oneSlow(settings, perSecond: rate)
                let (half, most) = (report.percentile(50), report.percentile(99))
                table += " \(rounded(half)) | \(rounded(most)) | \(rounded(report.share(0))) % |"
                #expect(report.failed == 0)
                reports[name] = report
            }
            table += "\n"
        }
        printed(table)
        // Without an eye on load or time the slow endpoint gets its even share, and a queue without end.
        #expect(abs(reports["`ROUND_ROBIN`"]!.share(0) - 10) < 0.5)
        #expect(reports["`ROUND_ROBIN`"]!.percentile(99) > 1000)
        #expect(reports["`RANDOM`"]!.percentile(99) > 1000)
        #expect(reports["`LEAST_REQUEST`"]!.share(0) < 3)
        #expect(reports["`LEAST_REQUEST`"]!.percentile(99) < 300)
        #expect(reports["`PEAK_EWMA`"]!.share(0) < 1)
        #expect(reports["`PEAK_EWMA`"]!.percentile(99) < 100)
        #expect(reports["`PEAK_EWMA`"]!.percentile(99) < reports["`LEAST_REQUEST`"]!.percentile(99))
        #expect(reports["`RING_HASH`, bounded 125 %"]!.percentile(99) < reports["`RING_HASH`"]!.percentile(99) / 5)
        #expect(reports["`MAGLEV`, bounded 125 %"]!.percentile(99) < reports["`MAGLEV`"]!.percentile(99) / 5)
    }

    /// One endpoint answers every request with an error, at once: the least loaded by far.
    @Test func whoFailsFastIsNotTakenForFast() {
        func share(_ algorithm: LoadBalancer.Algorithm) -> Double {
            var endpoints = Array(repeating: SimulatedEndpoint(milliseconds: 10, capacity: 16), count: 10)
            endpoints[0].failure = .errors(percent: 100, nanoseconds: 100_000)
            let simulation = Simulation(
                endpoints: endpoints, balancer: LoadBalancer(algorithm: algorithm), arrivals: .open(perSecond: 2500),
                seed: 3)
            simulation.warmUp = 2
            return simulation.run(seconds: 12).share(0)
        }
        let (least, peak) = (share(.leastRequest), share(.peakEWMA(PeakEWMASettings())))
        printed("Failing at once: \(rounded(least)) % with LEAST_REQUEST, \(rounded(peak)) % with PEAK_EWMA\n")
        #expect(least > 15)
        #expect(peak < 1)
    }

    /// An endpoint that takes requests and answers none is left alone, and is taken back when it is over.
    @Test func whoHangsIsLeftAlone() {
        for algorithm in [LoadBalancer.Algorithm.leastRequest, .peakEWMA(PeakEWMASettings())] {
            let endpoints = Array(repeating: SimulatedEndpoint(milliseconds: 10, capacity: 16), count: 10)
            let simulation = Simulation(
                endpoints: endpoints, balancer: LoadBalancer(algorithm: algorithm), arrivals: .open(perSecond: 2000),
                seed: 5)
            simulation.at(5) { $0.endpoints[3].failure = .hangs }
            let report = simulation.run(seconds: 15)
            // What it holds is never given back: a few more than the others have in flight.
            #expect(simulation.load(of: 3) < 40)
            #expect(report.answered > 29_000)
        }
    }

    /// A zone is lost: all of its requests go on in the others, and come back with it.
    @Test func aLostZone() {
        let zones = ["a", "b", "c"]
        let endpoints = zones.flatMap { zone in
            Array(repeating: SimulatedEndpoint(milliseconds: 10, capacity: 32, zone: zone), count: 4)
        }
        let settings = LoadBalancer(algorithm: .leastRequest, zonePreference: ZonePreference())
        let simulation = Simulation(
            endpoints: endpoints, balancer: settings, zone: "a", arrivals: .open(perSecond: 700), seed: 9)
        simulation.retry = { _, request, _ in request.attempts < 2 ? 0 : nil }
        var counts: [[Int]] = []
        for (second, isLost) in [(10.0, true), (20.0, false)] {
            simulation.at(second) { simulation in
                counts.append(simulation.report.attempts)
                for index in 0..<4 { simulation.endpoints[index].failure = isLost ? .refuses : .none }
            }
            // Noticed after a second.
            simulation.at(second + 1) { simulation in
                for index in 0..<4 {
                    simulation.balancer.setAvailable(!isLost, of: index, .health, now: simulation.now)
                }
            }
        }
        let report = simulation.run(seconds: 30)
        counts.append(report.attempts)
        #expect(counts[0][4...].allSatisfy { $0 == 0 }, "all at home")
        let away = (4..<12).map { counts[1][$0] - counts[0][$0] }
        #expect(away.reduce(0, +) > 6000)
        #expect(chiSquare(away, Array(repeating: 1, count: 8)) < 24.3)
        // From 21 s on at home again.
        let late = (0..<12).map { counts[2][$0] - counts[1][$0] }
        #expect(late[..<4].reduce(0, +) > 6000)
        // Before the loss is noticed, the second attempt may find the same zone.
        #expect(report.success > 95)
        printed(
            """
            A zone lost for 10 s, noticed after 1 s, one retry: \(rounded(report.success)) % answered, p99 \
            \(rounded(report.percentile(99))) ms; \(away.reduce(0, +)) attempts elsewhere meanwhile
            """)
    }

    private func rounded(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return value < 100 ? "\(tenths / 10).\(tenths % 10)" : "\(Int(value.rounded()))"
    }

    private func printed(_ text: String) {
        if unsafe getenv("MARTLET_PRINT") != nil { print(text) }
    }
}
