import ArgumentParser
import Foundation

/// The command for people and for CI. Exit codes: 0 done, 1 the configuration is not valid, 2 wrong usage or something
/// cannot be read or started.
struct Martlet: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "An API gateway and service mesh that runs from a directory of Kubernetes Gateway API YAML.",
        discussion: """
            Examples:
              martlet run mesh-config                                serve it, and follow changes
              martlet validate mesh-config                           everything that is wrong with it, and what to write
              martlet explain mesh-config GET http://shop.example/   which rule wins, which lose and why
              martlet compile mesh-config -o edge.snapshot           what martlet-proxy --snapshot reads
            """,
        subcommands: [Run.self, Validate.self, Compile.self, Version.self])
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
            let text = Martlet.fullMessage(for: error)
            guard Martlet.exitCode(for: error) == .success else {
                printError(text)
                exit(2)
            }
            print(text)
        }
    }
}

/// Writes one line to standard error at once.
func printError(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }

/// Writes one line to standard output at once, also into a pipe.
func printLine(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }
