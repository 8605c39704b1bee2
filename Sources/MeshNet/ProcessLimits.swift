import Glibc
import MeshCore

/// What the system lets this process have.
public enum ProcessLimits {
    /// Raises the limit on open descriptors as far as it goes without privileges; every connection is one.
    public static func raiseDescriptors() {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// Raises the limit on open descriptors, and refuses to start with less than `count` and some to serve with: a
    /// proxy that runs out of them at the first clients is worse than one that says so.
    public static func requireDescriptors(_ count: Int) throws(ProxyError) {
        raiseDescriptors()
        let allowed = descriptors()
        let needed = count + spareDescriptors
        guard allowed > 0, allowed < needed else { return }
        throw ProxyError(
            "only \(allowed) files may be open, and \(needed) are needed at least: raise the limit (ulimit -n)")
    }

    /// Connections, the log, what libraries open.
    private static let spareDescriptors = 64

    /// Descriptors that the process may have open; 0 if there is no limit.
    public static func descriptors() -> Int {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
        return Int(exactly: limit.rlim_cur) ?? 0
    }
}
