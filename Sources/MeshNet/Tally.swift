import Glibc
import Synchronization

/// How many threads have ended.
public final class Tally: Sendable {
    private let count = Mutex(0)

    /// None has.
    public init() {}

    /// One more has.
    public func add() { count.withLock { $0 += 1 } }

    /// Waits until `wanted` have ended: true, or false after `seconds`.
    public func wait(for wanted: Int, seconds: Int) -> Bool {
        // Polled: it happens once per process, at its end.
        for _ in 0..<max(seconds, 0) * 50 {
            if count.withLock({ $0 >= wanted }) { return true }
            usleep(20_000)
        }
        return count.withLock { $0 >= wanted }
    }
}
