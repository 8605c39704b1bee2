import ArgumentParser
import MeshCore
import MeshGatewayAPI
import MeshModel

struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say which rule and backend a request gets, which others lose and why, and which settings apply.",
        discussion: """
            Nothing is sent. The request is parsed, and its rule found, by the code that the proxy runs.
            For TLS and TCP listeners the method is CONNECT: martlet explain DIR CONNECT tls://db.example:8445
            Exit code: 0 explained, 1 the configuration is not valid, 2 it cannot be read or the request is none.

            Examples:
              martlet explain mesh-config GET http://shop.example/
              martlet explain mesh-config GET https://shop.example/cart -H 'x-beta: 1'
              martlet explain mesh-config POST http://shop.example:8080/shop.v1.Cart/Add \\
                  -H 'content-type: application/grpc'
              martlet explain mesh-config GET http://shop.example/ --output json | jq .backends
            """)

    @Argument(help: ArgumentHelp("A directory of YAML files, or one file.", valueName: "dir"))
    var directory: String

    @Argument(help: ArgumentHelp("GET, POST, …", valueName: "method"))
    var method: String

    @Argument(help: ArgumentHelp("http://HOST[:PORT]/PATH, or https://…", valueName: "url"))
    var url: String

    @Option(name: [.customShort("H"), .long], parsing: .singleValue, help: "A header field, as in 'x-beta: 1'.")
    var header: [String] = []

    @Option(name: .shortAndLong, help: "text or json.")
    var output: OutputFormat = .text

    @Flag(help: "Leave settings out that stand at their defaults.")
    var brief = false

    func run() throws {
        let request: RequestLine
        do throws(ProxyError) {
            request = try RequestLine(method: method, url: url, headers: header)
        } catch {
            throw Failure(message: error.description)
        }
        let translation = try translation(of: directory)
        guard let model = translation.model else {
            printDiagnostics(translation, directory: directory, to: printError)
            throw ExitCode(1)
        }
        let report: ExplainReport
        do throws(ProxyError) {
            report = try Explainer(model, origins: translation.origins).report(request)
        } catch {
            throw Failure(message: error.description)
        }
        switch output {
        case .json: printLine(report.json)
        case .text: printLine(report.text(brief: brief))
        }
    }
}
