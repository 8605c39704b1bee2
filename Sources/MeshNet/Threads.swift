import CLinux
import Glibc
import MeshCore

/// Threads for loops.
public enum LoopThread {}

/// Signals, waited for by the main thread instead of handled.
public enum Signals {
    /// Keeps SIGTERM, SIGINT and SIGHUP for ``wait()``, in this thread and those started later; ignores SIGPIPE.
    public static func hold() {
        signal(SIGPIPE, SIG_IGN)
        var set = mask()
        _ = unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// The next of them.
    public static func wait() -> Int32 {
        var set = mask()
        var number: Int32 = 0
        while unsafe sigwait(&set, &number) != 0 {}
        return number
    }

    /// Keeps SIGPIPE from the calling thread: writing to a pipe without a reader fails with EPIPE, and that is all.
    static func blockBrokenPipe() {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        _ = unsafe sigaddset(&set, SIGPIPE)
        _ = unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Lets SIGTERM and SIGINT end the process at once again, for those who do not want to wait for a slow end.
    public static func letGo() {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for number in [SIGTERM, SIGINT] { _ = unsafe sigaddset(&set, number) }
        _ = unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil)
    }

    static func mask() -> sigset_t {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for number in [SIGTERM, SIGINT, SIGHUP] { _ = unsafe sigaddset(&set, number) }
        return set
    }
}

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
