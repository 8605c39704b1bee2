import ArgumentParser
import Foundation
import Logging
import MeshControl
import MeshCore
import MeshModel
import MeshNet
import Synchronization

struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve proxies, and people.",
        discussion: """
            Documents come from a directory (--config), which is followed, or are applied over the API (martlet apply), \
            or both. Every accepted state is kept in the data directory. SIGHUP reads the directory again; SIGTERM and \
            SIGINT end within two seconds. Proxies go on with what they have while the control plane is away.

            Examples:
              martlet-control serve --data /var/lib/martlet-control
              martlet-control serve --data ./control --config mesh-config --listen 127.0.0.1:15010 \
              martlet-control serve --data ./control --ca-dir /etc/martlet/ca --trust-domain example.org \
              martlet-control serve --data ./control --api 10.0.0.1:15020 --api-tls --name control.example
            """)

    @Option(help: ArgumentHelp("Its own directory: database, keys, the administrator's token.", valueName: "dir"))
    var data: String

    @Option(help: ArgumentHelp("Where proxies call, IP:PORT.", valueName: "addr"))
    var listen = "0.0.0.0:15010"

    @Option(help: ArgumentHelp("Where people and martlet ask, IP:PORT.", valueName: "addr"))
    var api = "127.0.0.1:15020"

    @Option(help: ArgumentHelp("A directory of documents that is followed.", valueName: "dir"))
    var config: String?

    @Flag(
        help: """
            Serve the API over TLS, with the control plane's own certificate; without it, the API is for this machine \
            alone.
            """)
    var apiTls = false

    @Option(
        name: .customLong("name"),
        help: ArgumentHelp(
            "A host name or IPv4 address for its certificate, beside those it listens at; may be repeated.",
            valueName: "host"))
    var names: [String] = []

    @Option(
        help: ArgumentHelp(
            "The domain of all identities, \(MeshSettings.defaultTrustDomain) if none is said at the first start; kept.",
            valueName: "name"))
    var trustDomain: String?

    @Option(
        help: ArgumentHelp(
            "An authority from elsewhere: root.pem, intermediate.pem, intermediate.key.", valueName: "dir"))
    var caDir: String?

    @Option(
        help: ArgumentHelp(
            "Where Envoy and gRPC clients (xds:///) may ask in clear text beside --listen, IP:PORT, for loopback.",
            valueName: "addr"))
    var xds: String?

    func validate() throws {
        var addresses = [("--listen", listen), ("--api", api)]
        if let xds { addresses.append(("--xds", xds)) }
        for (flag, text) in addresses where Self.address(text) == nil {
            throw ValidationError("\(flag) wants IP:PORT, such as 127.0.0.1:15010, not \"\(text)\".")
        }
    }

    private static func address(_ text: String) -> (host: String, port: Int)? {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        let host = text[..<colon].filter { $0 != "[" && $0 != "]" }
        return host.isEmpty ? nil : (host, Int(port))
    }

    func run() throws {
        guard let listen = Self.address(listen), let api = Self.address(api) else { return }
        let log = Logger(label: "martlet-control") { _ in LineLog() }
        let options = options(listen, api)
        let program: ControlProgram
        let watch: DirectoryWatch
        do throws(ProxyError) {
            // Watched before it is read: what changes meanwhile is noticed.
            watch = try DirectoryWatch(config ?? data + "/none")
            program = try Self.wait { () async -> Result<ControlProgram, ProxyError> in
                do throws(ProxyError) {
                    return .success(try await ControlProgram(options, log: log) { ServiceNotice.ready.send() })
                } catch {
                    return .failure(error)
                }
            }.get()
        } catch {
            log.error("\(error)")
            throw ExitCode(2)
        }
        let scheme = apiTls ? "https" : "http"
        log.info("serving proxies at \(self.listen), \(scheme)://\(self.api), trust domain \(program.trustDomain)")
        if config != nil, let problem = watch.problem { log.warning("\(problem)") }
        Task {
            do {
                try await program.run()
                log.info("ended")
                Foundation.exit(0)
            } catch {
                log.error("\(error)")
                Foundation.exit(1)
            }
        }
        follow(watch, program)
    }

    private func options(_ listen: (host: String, port: Int), _ api: (host: String, port: Int))
        -> ControlProgram.Options
    {
        var options = ControlProgram.Options(
            data: data, listen: listen, api: api, config: config, trustDomain: trustDomain, authority: caDir,
            xds: xds.flatMap(Self.address))
        options.isAPISecure = apiTls
        options.names = names
        return options
    }

    /// Waits for signals and for changes of the directory, in this thread, for ever: the program ends elsewhere.
    private func follow(_ watch: DirectoryWatch, _ program: ControlProgram) {
        var isEnding = false
        if config != nil { watch.follow(Self.wait { await program.plane.readDirectory() }) }
        while true {
            switch watch.next() {
            case .signal(SIGHUP), .changed:
                if config != nil, !isEnding { watch.follow(Self.wait { await program.plane.readDirectory() }) }
            case .signal:
                if isEnding { Foundation.exit(1) }
                isEnding = true
                ServiceNotice.stopping.send()
                Task { await program.stop() }
            case .timeUp: continue
            }
        }
    }

    /// Runs `body` and blocks this thread until it is done.
    private static func wait<T: Sendable>(_ body: @escaping @Sendable () async -> T) -> T {
        let done = DispatchSemaphore(value: 0)
        let result = Outcome<T>()
        Task {
            let value = await body()
            result.value.withLock { $0 = value }
            done.signal()
        }
        done.wait()
        guard let value = result.value.withLock({ $0 }) else {
            preconditionFailure("the semaphore comes after the value")
        }
        return value
    }
}

/// What a task leaves for the thread that waits for it.
private final class Outcome<T: Sendable>: Sendable {
    let value = Mutex<T?>(nil)
}
