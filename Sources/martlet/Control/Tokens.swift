import ArgumentParser
import Foundation
import MeshControl

struct Tokens: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract: "Make, list and revoke the tokens with which proxies join the mesh.",
        discussion: """
            Examples:
              martlet token create --workload shop/cart
              martlet token list
              martlet token revoke 7f3a09c1
            """,
        subcommands: [Create.self, List.self, Revoke.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a token; it is printed this once.",
            discussion: """
                Examples:
                  martlet token create --workload shop/cart
                  martlet token create --gateway shop/edge --expires 15m
                  martlet token create --workload shop/cart --uses 10 --output json | jq -r .secret
                """)

        @Option(help: ArgumentHelp("For instances of this workload.", valueName: "ns/name"))
        var workload: String?

        @Option(help: ArgumentHelp("For instances of this gateway.", valueName: "ns/name"))
        var gateway: String?

        @Option(help: ArgumentHelp("How long it can be used: 30s, 15m, 1h, 7d.", valueName: "time"))
        var expires = "1h"

        @Option(help: ArgumentHelp("How many instances may join with it.", valueName: "n"))
        var uses = 1

        @OptionGroup var control: ControlOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let role = try RoleText.role(workload: workload, gateway: gateway).role
            guard let seconds = ControlText.seconds(expires), seconds <= 31_536_000 else {
                throw Failure(message: "--expires wants a time such as 30s, 15m, 1h or 7d, not \"\(expires)\"")
            }
            guard (1...100_000).contains(uses) else {
                throw Failure(message: "--uses wants a number from 1 to 100000, not \(uses)")
            }
            let request = API.TokenRequest(role: role, lifetimeSeconds: seconds, uses: uses)
            let made: API.NewToken = try control.client().post("/v1/tokens", request)
            switch output.output {
            case .json: printLine(try ControlText.json(made))
            case .text:
                printLine(made.secret)
                printError(
                    "token \(made.token.id) for \(role): \(ControlText.count(uses, "use")), expires "
                        + "\(ControlText.date(made.token.expires)); give it to martlet-proxy run in MARTLET_TOKEN")
            }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the tokens, without their secrets.",
            discussion: """
                Examples:
                  martlet token list
                """)

        @OptionGroup var control: ControlOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let tokens: [API.Token] = try control.client().get("/v1/tokens")
            switch output.output {
            case .json: printLine(try ControlText.json(tokens))
            case .text:
                let rows = tokens.map { token in
                    [
                        token.id, token.role, "\(token.usesLeft)/\(token.uses)", ControlText.date(token.expires),
                        token.isRevoked ? "revoked" : token.expires.timeIntervalSinceNow < 0 ? "expired" : "valid",
                        token.author,
                    ]
                }
                printLine(
                    ControlText.table(
                        ["ID", "ROLE", "LEFT", "EXPIRES", "STATE", "AUTHOR"], rows,
                        empty: "there are no tokens: martlet token create makes one"))
            }
        }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a token useless.",
            discussion: """
                Proxies that have joined with it stay; martlet revoke is for those.

                Examples:
                  martlet token revoke 7f3a09c1
                """)

        @Argument(help: ArgumentHelp("As martlet token list shows it.", valueName: "id"))
        var id: String

        @OptionGroup var control: ControlOptions

        func run() throws {
            try control.client().delete("/v1/tokens" + ControlClient.path(id))
            printLine("token \(id) is revoked")
        }
    }
}
