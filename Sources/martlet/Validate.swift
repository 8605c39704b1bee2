import ArgumentParser
import MeshCore
import MeshGatewayAPI
import MeshModel
import MeshTelemetry

struct Validate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say everything that is wrong with a configuration, and what to write instead.",
        discussion: """
            Prints each problem with file, line, field and remedy, then the conditions of every object. \
            Exit code: 0 valid (there may be warnings), 1 not valid, 2 it cannot be read.

            Examples:
              martlet validate mesh-config
              martlet validate mesh-config/shop.yaml
              martlet validate mesh-config --output json | jq '.diagnostics[] | select(.severity == "error")'
            """)

    @Argument(help: ArgumentHelp("A directory of YAML files, or one file.", valueName: "dir"))
    var directory: String

    @Option(name: .shortAndLong, help: "text or json.")
    var output: OutputFormat = .text

    func run() throws {
        let translation = try translation(of: directory)
        switch output {
        case .json: printLine(translation.json())
        case .text:
            printDiagnostics(translation, directory: directory, to: printLine)
            let table = DiagnosticText.table(translation.conditions)
            if !table.isEmpty { printLine(table + "\n") }
            printLine(summary(translation))
        }
        if translation.hasErrors { throw ExitCode(1) }
    }

    private func summary(_ translation: Translation) -> String {
        let errors = translation.diagnostics.count { $0.severity == .error }
        let warnings = translation.diagnostics.count - errors
        func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
        return "\(directory): \(errors == 0 ? "valid" : "not valid"), "
            + "\(count(errors, "error")), \(count(warnings, "warning"))"
    }
}

/// Translates a directory or file; what cannot be read ends the command.
func translation(of directory: String) throws -> Translation {
    do throws(ProxyError) {
        return try checkedTranslation(of: directory)
    } catch {
        throw Failure(message: error.description)
    }
}

/// Translates a directory or file, and looks into its certificates and its access log's format.
func checkedTranslation(of directory: String) throws(ProxyError) -> Translation {
    var translation = try Translator.load(directory: directory)
    if let model = translation.model {
        translation.add(CertificateCheck.diagnostics(model, origins: translation.origins))
        translation.add(accessLogDiagnostics(model, origins: translation.origins))
    }
    return translation
}

/// What is wrong with the access log's format, which only the log itself can read.
private func accessLogDiagnostics(_ model: Model, origins: [String: Place]) -> [Diagnostic] {
    do throws(ProxyError) {
        _ = try AccessLogFormat(model.settings.accessLog)
        return []
    } catch {
        let place = origins["settings/accessLog"] ?? Place(file: "", line: 1, column: 1)
        return [Diagnostic(severity: .error, place: place, message: error.description)]
    }
}

/// Prints every diagnostic with its source line, each followed by an empty line.
func printDiagnostics(_ translation: Translation, directory: String, to print: (String) -> Void) {
    let isFile = directory.hasSuffix(".yaml") || directory.hasSuffix(".yml")
    let base = isFile ? parent(of: directory) : directory
    for diagnostic in translation.diagnostics {
        let source = translation.sources[diagnostic.place.file]
        print(DiagnosticText.block(diagnostic, directory: base, source: source) + "\n")
    }
}

/// The directory part of a path; empty if it has none.
private func parent(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
}
