import Glibc
import MeshCore
import MeshModel
import MeshNet
import MeshProxy

/// What `martlet run` asks of the data plane.
struct ServingOptions {
    var loops: Int
    var admin: SocketAddress?
}

/// The data plane as `martlet run` uses it: started once, given new models, stopped by a signal.
final class Serving {
    /// Why something is read again.
    enum Occasion {
        /// A file changed.
        case change
        /// Somebody asked for it with SIGHUP.
        case request
    }

    private let proxy: Proxy
    private(set) var model: Model

    /// Where it listens.
    var addresses: [String] { proxy.addresses.map(\.description) }

    /// Opens every listener of `model` and serves it; an error leaves nothing open. Signals must have been held.
    init(_ options: ServingOptions, _ model: Model) throws(ProxyError) {
        // Per loop two sockets for each listener (IPv6 and IPv4), and a handful of its own.
        try ProcessLimits.requireDescriptors(options.loops * (2 * model.listeners.count + 8))
        proxy = try Proxy(model, ProxyOptions(loops: options.loops, admin: options.admin))
        self.model = model
    }

    /// Counts a configuration that was refused before it became a model.
    func noteRejection() { proxy.noteRejection() }

    /// Hands a new model to every loop.
    func publish(_ model: Model) throws(ProxyError) {
        try proxy.publish(model)
        self.model = model
    }

    /// Serves until SIGTERM or SIGINT; calls `again` when a file of `watch` changed, and at SIGHUP.
    func runUntilStopped(following watch: DirectoryWatch, again: (Occasion) -> Void) {
        while true {
            switch watch.next() {
            case .signal(SIGHUP): again(.request)
            case .signal: return
            case .changed: again(.change)
            case .timeUp: continue
            }
        }
    }

    /// Ends every connection when its requests are done; false if some were cut off. A second signal ends at once.
    func drain() -> Bool {
        Signals.letGo()
        let seconds = model.settings.drainSeconds
        printError("martlet: draining for at most \(seconds) s; once more to end at once")
        if proxy.drain(within: seconds) { return true }
        printError("martlet: requests were cut off after \(seconds) s")
        return false
    }
}
