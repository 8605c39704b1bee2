import Glibc

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
