import ArgumentParser
import Foundation
import MeshCore

/// The command for people and for CI. Exit codes: 0 done, 1 the configuration is not valid or not accepted, 2 wrong usage
/// or something cannot be read, started or reached.
struct Martlet: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "An API gateway and service mesh that runs from a directory of Kubernetes Gateway API YAML.",
        discussion: """
            Exit codes: 0 done, 1 the configuration is not valid or not accepted, 2 wrong usage, or something cannot be \
            read, started or reached.

            Examples:
              martlet run mesh-config
              martlet validate mesh-config
              martlet explain mesh-config GET http://shop.example/
              martlet compile mesh-config -o edge.snapshot
              martlet demo
              martlet apply -f mesh-config/shop --message 'the shop'
              martlet token create --workload shop/cart
              martlet proxies
              martlet edges --watch
              martlet check
            """,
        version: "martlet \(Release.version)",
        subcommands: [
            Run.self, Validate.self, Explain.self, Compile.self, Demo.self, Apply.self, Get.self, Delete.self,
            DiffCommand.self, Revisions.self, Rollback.self, Status.self, Proxies.self, Tokens.self, Stat.self,
            Edges.self, Certificates.self, Revoke.self, CheckCommand.self, CA.self, Version.self,
        ])
}

/// How results are printed.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text, json
}

/// Something that ends the command with one line on standard error.
struct Failure: Error {
    var message: String
    var code: Int32 = 2
}

@main
enum Entry {
    static func main() {
        do {
            var command = try Martlet.parseAsRoot()
            try command.run()
        } catch let failure as Failure {
            printError("martlet: \(failure.message)")
            exit(failure.code)
        } catch let code as ExitCode {
            exit(code.rawValue)
        } catch {
            guard Martlet.exitCode(for: error) == .success else {
                printError("martlet: \(usageLine(error))")
                exit(2)
            }
            print(Martlet.fullMessage(for: error))
        }
    }

    /// What is wrong with the arguments, in one line.
    private static func usageLine(_ error: Error) -> String {
        let names = Martlet.configuration.subcommands.map { $0.configuration.commandName ?? "\($0)".lowercased() }
        let first = CommandLine.arguments.dropFirst().first ?? ""
        guard names.contains(first) || first.hasPrefix("-") else {
            return "unknown command \"\(first)\": one of \(names.joined(separator: ", ")); see martlet --help"
        }
        var text = Martlet.message(for: error).split(separator: "\n").joined(separator: " ")
        while text.last == "." { text.removeLast() }
        let isName = text.hasPrefix("-")
        let line = isName ? text : text.prefix(1).lowercased() + text.dropFirst()
        return "\(line); see martlet \(names.contains(first) ? first + " " : "")--help"
    }
}

/// Writes one line to standard error at once.
func printError(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }

/// Writes one line to standard output at once, also into a pipe.
func printLine(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }
