import ArgumentParser
import Foundation
import MeshCore
import MeshGatewayAPI
import MeshModel

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve a configuration, and follow its changes.",
        discussion: """
            Every change of a file is validated as a whole and then adopted at once; a broken edit is reported and
            changes nothing. SIGHUP reads everything again. SIGTERM and SIGINT drain and end.
            Exit code: 0 ended, 1 the configuration is not valid or requests were cut off at the end, 2 it cannot be
            read or a listener cannot be opened.

            Examples:
              martlet run mesh-config
              martlet run mesh-config --loops 4 --admin 127.0.0.1:9901
              martlet run mesh-config --access-log off
            """)

    @Argument(help: ArgumentHelp("A directory of YAML files, or one file.", valueName: "dir"))
    var directory: String

    @Option(help: "Event loops; one for each core if not given.")
    var loops: Int?

    @Option(help: ArgumentHelp("Where the admin endpoint listens: IP:PORT or unix:PATH.", valueName: "addr"))
    var admin: String?

    @Option(help: ArgumentHelp("off, json, or a format; instead of what ProxySettings says.", valueName: "form"))
    var accessLog: String?

    func validate() throws {
        if let loops, !(1...256).contains(loops) { throw ValidationError("--loops wants a number from 1 to 256.") }
    }

    func run() throws {
        var source = ConfigurationSource(directory: directory, accessLog: accessLog)
        let first = try source.load()
        printDiagnostics(first, directory: directory, to: printError)
        guard let model = first.model else { throw ExitCode(1) }
        source.adopt(model)
        let code: Int32
        do throws(ProxyError) {
            let options = ServingOptions(loops: loops ?? ProcessInfo.processInfo.activeProcessorCount, admin: admin)
            let serving = try Serving(options, model)
            printError("martlet: serving \(directory) at \(serving.addresses.joined(separator: ", "))")
            code = serving.runUntilStopped(watching: directory) { reload(&source, serving) }
        } catch {
            throw Failure(message: error.description)
        }
        if code != 0 { throw ExitCode(code) }
    }

    /// Reads everything again and publishes it, if it is valid and different.
    private func reload(_ source: inout ConfigurationSource, _ serving: Serving) {
        let translation: Translation
        do {
            translation = try source.load()
        } catch {
            printError("martlet: \((error as? Failure)?.message ?? "\(error)"); nothing is changed")
            return
        }
        guard let model = translation.model else {
            printDiagnostics(translation, directory: directory, to: printError)
            printError("martlet: the configuration is not valid; nothing is changed")
            return
        }
        guard source.differs(model) else {
            printError("martlet: configuration unchanged")
            return
        }
        printDiagnostics(translation, directory: directory, to: printError)
        do throws(ProxyError) {
            try serving.publish(model)
            source.adopt(model)
            printError("martlet: configuration \(model.revision) adopted")
        } catch {
            printError("martlet: \(error.description); nothing is changed")
        }
    }
}

/// The directory that is served, and what of it is in use.
struct ConfigurationSource {
    let directory: String
    let accessLog: String?
    private var current: Model?

    init(directory: String, accessLog: String?) {
        self.directory = directory
        self.accessLog = accessLog
    }

    /// Reads and translates everything; the access log of the command line wins.
    func load() throws -> Translation {
        var translation = try translation(of: directory)
        switch accessLog {
        case nil: break
        case "off": translation.model?.settings.accessLog = .off
        case "json": translation.model?.settings.accessLog = .json
        case let format?: translation.model?.settings.accessLog = .text(format: format)
        }
        return translation
    }

    /// True if `model` says something else than what is in use.
    func differs(_ model: Model) -> Bool {
        var new = model
        new.revision = current?.revision ?? ""
        return new != current
    }

    /// Remembers what is in use.
    mutating func adopt(_ model: Model) { current = model }
}
