import CLinux
import Glibc
import MeshCore

/// Waits, in the main thread, for signals (SIGTERM, SIGINT, SIGHUP, SIGCHLD and others) and for calls of other threads.
public final class ProcessEvents: Sendable {
    /// Why ``next(milliseconds:)`` returned.
    public enum Event: Sendable, Equatable {
        /// This signal came.
        case signal(Int32)
        /// ``wake()`` was called.
        case woken
        /// Neither in time.
        case nothing
    }

    private let signals: Int32
    private let calls: Int32

    /// Keeps the signals, and `others`, for ``next(milliseconds:)``, in this thread and those started later; ignores
    /// SIGPIPE.
    public init(others: [Int32] = []) throws(ProxyError) {
        Signals.hold()
        var set = Signals.mask()
        for number in [SIGCHLD] + others { _ = unsafe sigaddset(&set, number) }
        _ = unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        // SAFETY: the set is read during the call only. SFD_NONBLOCK and SFD_CLOEXEC are these two (signalfd(2)).
        signals = unsafe signalfd(-1, &set, O_NONBLOCK | O_CLOEXEC)
        calls = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        guard signals >= 0, calls >= 0 else {
            throw ProxyError("cannot wait for signals: \(Socket.text(linux_errno()))")
        }
    }

    deinit {
        Socket.close(signals)
        Socket.close(calls)
    }

    /// Lets ``next(milliseconds:)`` return, now or when it is called. From any thread.
    public func wake() {
        var one: UInt64 = 1
        _ = unsafe Glibc.write(calls, &one, 8)
    }

    /// The next event; waits `milliseconds` at most, or for ever if that is negative.
    public func next(milliseconds: Int = -1) -> Event {
        let deadline =
            milliseconds < 0
            ? Instant.never : Clock.now().advanced(byNanoseconds: UInt64(milliseconds) * 1_000_000)
        while true {
            if let number = takeSignal() { return .signal(number) }
            var ignored: UInt64 = 0
            if unsafe Glibc.read(calls, &ignored, 8) == 8 { return .woken }
            let left = deadline.nanoseconds(since: Clock.now())
            if deadline != .never, left == 0 { return .nothing }
            let wait = deadline == .never ? -1 : Int32(clamping: left / 1_000_000 + 1)
            var watched = [
                pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
                pollfd(fd: calls, events: Int16(POLLIN), revents: 0),
            ]
            _ = unsafe poll(&watched, 2, wait)
        }
    }

    private func takeSignal() -> Int32? {
        // struct signalfd_siginfo has 128 bytes and begins with the signal's number.
        var words = [UInt32](repeating: 0, count: 32)
        // SAFETY: reads at most the array's size into it.
        guard unsafe Glibc.read(signals, &words, 128) == 128 else { return nil }
        return Int32(truncatingIfNeeded: words[0])
    }
}
