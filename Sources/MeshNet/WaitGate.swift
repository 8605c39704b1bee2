import Glibc

/// A thread waits here until another one opens it, once.
@safe
public final class WaitGate: @unchecked Sendable {
    // SAFETY of the Sendable claim: a semaphore is for several threads; it is made and destroyed by one (`deinit` runs when
    // nobody holds the gate any more).
    private let semaphore: UnsafeMutablePointer<sem_t>

    /// A closed one.
    public init() {
        // SAFETY: owned by this object from here to `deinit`; sem_init needs an address that stays.
        unsafe semaphore = .allocate(capacity: 1)
        unsafe sem_init(semaphore, 0, 0)
    }

    deinit {
        // SAFETY: nobody waits, as who waits holds the gate.
        unsafe sem_destroy(semaphore)
        unsafe semaphore.deallocate()
    }

    /// Lets one thread through.
    public func open() {
        // SAFETY: the semaphore lives as long as the gate.
        _ = unsafe sem_post(semaphore)
    }

    /// Waits until it is open: true, or false after so long.
    @discardableResult
    public func wait(milliseconds: Int) -> Bool {
        var end = timespec()
        _ = unsafe clock_gettime(CLOCK_REALTIME, &end)
        let nanoseconds = end.tv_nsec + milliseconds % 1000 * 1_000_000
        end.tv_sec += milliseconds / 1000 + nanoseconds / 1_000_000_000
        end.tv_nsec = nanoseconds % 1_000_000_000
        while true {
            // SAFETY: as above; `end` lives across the call.
            if unsafe sem_timedwait(semaphore, &end) == 0 { return true }
            if errno != EINTR { return false }
        }
    }
}
