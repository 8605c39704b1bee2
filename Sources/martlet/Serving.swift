import Foundation
import MeshCore
import MeshModel
import MeshProxy

/// What `martlet run` asks of the data plane.
struct ServingOptions {
    var loops: Int
    var admin: String?
}

/// The data plane as `martlet run` uses it: started once, given new models, stopped by a signal.
final class Serving {
    private let proxy: Proxy
    private var drainSeconds: Int

    /// Where it listens.
    var addresses: [String] { proxy.addresses.map(\.description) }

    /// Opens every listener of `model` and serves it; an error leaves nothing open.
    init(_ options: ServingOptions, _ model: Model) throws(ProxyError) {
        Self.holdSignals()
        proxy = try Proxy(model, loops: options.loops)
        drainSeconds = Self.seconds(model)
    }

    /// Hands a new model to every loop.
    func publish(_ model: Model) throws(ProxyError) {
        try proxy.publish(model)
        drainSeconds = Self.seconds(model)
    }

    /// Serves until SIGTERM or SIGINT, then drains; calls `onChange` when a file changed, and at SIGHUP. Returns the
    /// exit code: 0 if nothing was cut off.
    func runUntilStopped(watching directory: String, onChange: () -> Void) -> Int32 {
        var fingerprint = Fingerprint(directory)
        while true {
            switch Self.nextSignal(milliseconds: 250) {
            case SIGTERM, SIGINT: return proxy.drain(within: drainSeconds) ? 0 : 1
            case SIGHUP:
                fingerprint = Fingerprint(directory)
                onChange()
            default:
                let now = Fingerprint(directory)
                guard now != fingerprint else { continue }
                fingerprint = now
                onChange()
            }
        }
    }

    private static func seconds(_ model: Model) -> Int {
        Int(clamping: (model.settings.drainTimeout.nanoseconds / 1_000_000_000) + 1)
    }

    // MARK: Signals

    private static func signals() -> sigset_t {
        var set = sigset_t()
        // SAFETY: sigset_t is a plain value; the calls write it and return.
        unsafe sigemptyset(&set)
        for number in [SIGTERM, SIGINT, SIGHUP] { _ = unsafe sigaddset(&set, number) }
        return set
    }

    private static func holdSignals() {
        signal(SIGPIPE, SIG_IGN)
        var set = signals()
        // SAFETY: the set is read during the call only.
        _ = unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// The next signal, or a negative number when the time is up.
    private static func nextSignal(milliseconds: Int) -> Int32 {
        var set = signals()
        var time = timespec(tv_sec: 0, tv_nsec: milliseconds * 1_000_000)
        // SAFETY: both are read during the call only.
        return unsafe sigtimedwait(&set, nil, &time)
    }
}

/// What can be seen of a directory's files without reading them.
private struct Fingerprint: Equatable {
    private var files: [String: [Int]] = [:]

    init(_ directory: String) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        let paths = names.isEmpty ? [directory] : names.filter { !$0.hasPrefix(".") }.map { directory + "/" + $0 }
        for path in paths {
            var status = stat()
            // SAFETY: the path is copied for the call; the structure is written during it.
            guard unsafe stat(path, &status) == 0 else { continue }
            files[path] = [
                Int(status.st_ino), status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
            ]
        }
    }
}
