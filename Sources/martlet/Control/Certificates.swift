import ArgumentParser
import MeshControl

struct Certificates: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Replace the root certificate of the mesh.",
        discussion: """
            Examples:
              martlet certificates rotate-root status
              martlet certificates rotate-root begin
            """,
        subcommands: [RotateRoot.self])

    struct RotateRoot: ParsableCommand {
        /// What is asked for.
        enum Action: String, ExpressibleByArgument, CaseIterable {
            case begin, activate, finish, status
        }

        static let configuration = CommandConfiguration(
            commandName: "rotate-root",
            abstract: "Take a step of the replacement, or say how far it is.",
            discussion: """
                begin makes a new root that everybody believes beside the old one; activate signs under the new one, \
                once everybody believes it; finish drops the old one, once nobody has a certificate of it. A step that \
                is too early is refused with what is missing. No request is lost meanwhile.
                Exit code: 0 done, 1 it is not the time for this step, 2 the control plane cannot be reached.

                Examples:
                  martlet certificates rotate-root begin
                  martlet certificates rotate-root activate
                  martlet certificates rotate-root finish
                """)

        @Argument(help: ArgumentHelp("begin, activate, finish or status.", valueName: "step"))
        var action: Action

        @OptionGroup var control: ControlOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let client = try control.client()
            let rotation: API.RootRotation =
                switch action {
                case .status: try client.get("/v1/identity/rotation")
                case .begin, .activate, .finish: try client.post("/v1/identity/rotation", ["step": action.rawValue])
                }
            switch output.output {
            case .json: printLine(try ControlText.json(rotation))
            case .text: printLine(text(rotation))
            }
        }

        private func text(_ rotation: API.RootRotation) -> String {
            let rows = rotation.roots.map { root in
                [
                    root.isSigning ? "signs" : "believed", String(root.fingerprint.prefix(16)),
                    ControlText.date(root.notAfter), root.subject,
                ]
            }
            var lines = [ControlText.table(["ROOT", "SHA-256", "UNTIL", "SUBJECT"], rows, empty: "there is no root")]
            switch rotation.phase {
            case .none: lines.append("no replacement is under way")
            case .begun: lines.append("begun: both roots are believed, the old one signs")
            case .activated: lines.append("activated: both roots are believed, the new one signs")
            }
            if !rotation.waitingFor.isEmpty {
                lines.append("waiting for \(rotation.waitingFor.map(\.text).joined(separator: ", "))")
            }
            if let next = rotation.next {
                let safe = rotation.safeAfter.map { ", safe at \(ControlText.date($0)) at the latest" } ?? ""
                lines.append("next: martlet certificates rotate-root \(next.rawValue)\(safe)")
            }
            return lines.joined(separator: "\n")
        }
    }
}

struct Revoke: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make the certificates of an instance useless, at once and everywhere.",
        discussion: """
            The instance can join again only with a new token.
            Exit code: 0 revoked, 1 there is no such instance, 2 the control plane cannot be reached.

            Examples:
              martlet revoke --workload shop/cart cart-1
              martlet revoke --gateway shop/edge edge-2 --reason 'the machine was stolen'
            """)

    @Option(help: ArgumentHelp("The instance's workload.", valueName: "ns/name"))
    var workload: String?

    @Option(help: ArgumentHelp("The instance's gateway.", valueName: "ns/name"))
    var gateway: String?

    @Argument(help: ArgumentHelp("As martlet proxies shows it.", valueName: "instance"))
    var instance: String

    @Option(help: ArgumentHelp("Why, for people.", valueName: "text"))
    var reason = ""

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        var id = try RoleText.role(workload: workload, gateway: gateway)
        id.instance = instance
        let request = API.Revocation(proxy: id, reason: reason)
        let result: API.RevocationResult = try control.client().post("/v1/identity/revocations", request)
        switch output.output {
        case .json: printLine(try ControlText.json(result))
        case .text:
            let count = ControlText.count(result.serials.count, "certificate")
            let serials = result.serials.isEmpty ? "" : ": \(result.serials.joined(separator: ", "))"
            printLine("\(id.text): \(count) revoked\(serials)")
        }
    }
}
