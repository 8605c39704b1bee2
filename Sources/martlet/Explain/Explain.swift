import ArgumentParser
import Foundation
import MeshControl
import MeshCore
import MeshGatewayAPI
import MeshModel

struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say which rule and backend a request gets, which others lose and why, and which settings apply.",
        usage: """
            martlet explain DIR METHOD URL [OPTIONS]
            martlet explain --proxy PROXY METHOD URL [OPTIONS]
            """,
        discussion: """
            Nothing is sent. The request is parsed, and its rule found, by the code that the proxy runs. \
            With --proxy, it is explained by what the control plane wants that proxy to run.
            For TLS and TCP listeners the method is CONNECT: martlet explain DIR CONNECT tls://db.example:8445 \
            Exit code: 0 explained, 1 the configuration is not valid, 2 it cannot be read or the request is none.

            Examples:
              martlet explain mesh-config GET http://shop.example/
              martlet explain mesh-config GET https://shop.example/cart -H 'x-beta: 1'
              martlet explain mesh-config POST http://shop.example:8080/shop.v1.Cart/Add \\
                  -H 'content-type: application/grpc'
              martlet explain mesh-config GET http://shop.example/ --output json | jq .backends
              martlet explain --proxy web-1 GET http://cart/items
            """)

    @Argument(
        help: ArgumentHelp(
            "A directory of YAML files or one file (not with --proxy), GET, POST, …, and http://HOST[:PORT]/PATH.",
            valueName: "dir> <method> <url"))
    var arguments: [String]

    @Option(
        help: ArgumentHelp("What this proxy of the mesh should run: INSTANCE or ROLE/INSTANCE.", valueName: "proxy"))
    var proxy: String?

    @Option(name: [.customShort("H"), .long], parsing: .singleValue, help: "A header field, as in 'x-beta: 1'.")
    var header: [String] = []

    @Option(name: .shortAndLong, help: "text or json.")
    var output: OutputFormat = .text

    @Flag(help: "Leave settings out that stand at their defaults.")
    var brief = false

    @OptionGroup var control: ControlOptions

    private var hasDirectory: Bool { proxy == nil }
    private var directory: String { hasDirectory ? arguments.first ?? "" : "" }

    func validate() throws {
        let names = hasDirectory ? ["dir", "method", "url"] : ["method", "url"]
        guard arguments.count >= names.count else {
            throw ValidationError("Missing expected argument '<\(names[arguments.count])>'")
        }
        guard arguments.count == names.count else {
            throw ValidationError(
                hasDirectory
                    ? "Unexpected argument '\(arguments[3])'"
                    : "Give a directory or --proxy, not both: METHOD URL is left")
        }
    }

    func run() throws {
        let request: RequestLine
        do throws(ProxyError) {
            request = try RequestLine(
                method: arguments[arguments.count - 2], url: arguments.last ?? "", headers: header)
        } catch {
            throw Failure(message: error.description)
        }
        let (model, origins) = try model()
        let report: ExplainReport
        do throws(ProxyError) {
            report = try Explainer(model, origins: origins).report(request)
        } catch {
            throw Failure(message: error.description)
        }
        switch output {
        case .json: printLine(report.json)
        case .text: printLine(report.text(brief: brief))
        }
    }

    /// What is explained, and where its settings are written.
    private func model() throws -> (Model, [String: Place]) {
        guard let proxy else {
            let translation = try translation(of: directory)
            guard let model = translation.model else {
                printDiagnostics(translation, directory: directory, to: printError)
                throw ExitCode(1)
            }
            return (model, translation.origins)
        }
        let client = try control.client()
        let id = try ProxyName.find(proxy, client)
        let compiled: API.CompiledModel = try client.get(ProxyName.path(id) + "/model")
        do throws(ProxyError) {
            let origins = compiled.origins.mapValues { Place(file: $0.file, line: $0.line, column: 1) }
            return (try Model.decode(Array(compiled.model)), origins)
        } catch {
            throw Failure(message: "the model of \(id.text): \(error.description)")
        }
    }
}
