import ArgumentParser
import MeshCore
import MeshGatewayAPI
import MeshModel
import MeshNet

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve a configuration, and follow its changes.",
        discussion: """
            Every change of a file, also of a certificate that a Secret points at, is validated as a whole and then \
            adopted at once; a broken edit is reported and changes nothing. SIGHUP reads everything again. SIGTERM and \
            SIGINT drain and end; a second one ends at once.
            Exit code: 0 ended, 1 requests were cut off at the end, 2 nothing could be started.

            Examples:
              martlet run mesh-config
              martlet run mesh-config --loops 4 --admin 127.0.0.1:9901
              martlet run mesh-config --admin unix:/run/martlet.sock --access-log off
            """)

    @Argument(help: ArgumentHelp("A directory of YAML files, or one file.", valueName: "dir"))
    var directory: String

    @Option(help: ArgumentHelp("Event loops, 1 to 256; one for each processor if not given.", valueName: "n"))
    var loops: Int?

    @Option(
        help: ArgumentHelp(
            "Where /live /ready /metrics /config /upstreams /certs and POST /drain are served: IP:PORT or unix:PATH; "
                + "nowhere if not given.", valueName: "addr"))
    var admin: String?

    @Option(help: ArgumentHelp("off, json, or a format; instead of what ProxySettings says.", valueName: "form"))
    var accessLog: String?

    func validate() throws {
        if let loops, !(1...256).contains(loops) {
            throw ValidationError("--loops wants a number from 1 to 256, not \(loops).")
        }
        if let admin, SocketAddress(admin) == nil {
            throw ValidationError("--admin wants IP:PORT or unix:PATH, not \"\(admin)\".")
        }
        if accessLog == "" { throw ValidationError("--access-log wants off, json, or a format.") }
    }

    func run() throws {
        Signals.hold()
        let serving: Serving
        let watch: DirectoryWatch
        do throws(ProxyError) {
            // Watched before it is read: what changes meanwhile is noticed.
            watch = try DirectoryWatch(directory)
            let first = try load()
            printDiagnostics(first, directory: directory, to: printError)
            guard let model = first.model else {
                throw ProxyError("\(directory) is not valid: \(errorCount(first)); nothing is started")
            }
            let options = ServingOptions(
                loops: loops ?? ThisProcess.processorCount(), admin: admin.flatMap { SocketAddress($0) })
            serving = try Serving(options, model)
            watch.follow(first.referencedFiles)
        } catch {
            throw Failure(message: error.description)
        }
        printError(
            "martlet: serving \(directory) at \(serving.addresses.joined(separator: ", ")), "
                + "configuration \(serving.model.revision)")
        if let problem = watch.problem { printError("martlet: \(problem)") }
        ThisProcess.releaseStartupPages()
        serving.runUntilStopped(following: watch) { reload(serving, watch, $0) }
        if !serving.drain() { throw ExitCode(1) }
    }

    /// Reads and translates everything; the access log of the command line wins.
    private func load() throws(ProxyError) -> Translation {
        var translation = try checkedTranslation(of: directory)
        if translation.model?.listeners.isEmpty == true {
            throw ProxyError("\(directory) has no Gateway: martlet-control serves a mesh, martlet run only Gateways")
        }
        switch accessLog {
        case nil: break
        case "off": translation.model?.settings.accessLog = .off
        case "json": translation.model?.settings.accessLog = .json
        case let format?: translation.model?.settings.accessLog = .text(format: format)
        }
        return translation
    }

    /// Reads everything again and publishes it, if it is valid and different. A change of a file that changes nothing
    /// is not worth a line; who asks gets an answer.
    private func reload(_ serving: Serving, _ watch: DirectoryWatch, _ occasion: Serving.Occasion) {
        do throws(ProxyError) {
            let translation = try load()
            watch.follow(translation.referencedFiles)
            guard let model = translation.model else {
                printDiagnostics(translation, directory: directory, to: printError)
                throw ProxyError("\(directory) is not valid: \(errorCount(translation))")
            }
            let changes = Changes(from: serving.model, to: model)
            guard !changes.isEmpty else {
                if occasion == .request { printError("martlet: configuration unchanged") }
                return
            }
            printDiagnostics(translation, directory: directory, to: printError)
            try serving.publish(model)
            printError("martlet: configuration \(model.revision) adopted: \(changes.text)")
        } catch {
            serving.noteRejection()
            printError("martlet: \(error); nothing is changed")
        }
    }

    private func errorCount(_ translation: Translation) -> String {
        let errors = translation.diagnostics.count { $0.severity == .error }
        return errors == 1 ? "1 error" : "\(errors) errors"
    }
}
