import CLinux
import Glibc
import MeshCore
import Synchronization

/// What a log writer and its thread share.
final class LogQueue: Sendable {
    private struct State {
        var batches: [[UInt8]] = []
        /// Bytes in `batches` and those that the thread is writing.
        var queued = 0
        var counts = LogCounts()
        /// The thread waits to be woken.
        var isAsleep = false
        /// Until when what is queued may still be written; set once the writer is closed.
        var deadline: Instant?
        /// What was queued has been counted as dropped: nobody waits for the thread any more.
        var isAbandoned = false
    }

    /// What the thread does next.
    enum Next {
        /// Write these.
        case write([[UInt8]])
        /// Nothing is queued: sleep until woken.
        case sleep
        /// Closed, and everything is written or out of time.
        case end
    }

    let descriptor: Int32
    private let limit: Int
    private let wakeup: Int32
    private let ended: Int32
    private let state = Mutex(State())

    init(descriptor: Int32, limit: Int) throws(ProxyError) {
        self.descriptor = descriptor
        self.limit = limit
        wakeup = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        ended = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        if wakeup < 0 || ended < 0 { throw ProxyError("cannot create an eventfd: \(Socket.text(linux_errno()))") }
    }

    deinit {
        Socket.close(wakeup)
        Socket.close(ended)
    }

    var counts: LogCounts { state.withLock { $0.counts } }

    // MARK: The loops' side

    func append(_ batch: consuming [UInt8]) {
        let batch = batch
        if batch.isEmpty { return }
        let mustWake = state.withLock { state in
            guard state.deadline == nil, state.queued + batch.count <= limit else {
                state.counts.dropped &+= UInt64(batch.count)
                return false
            }
            state.queued += batch.count
            state.batches.append(batch)
            defer { state.isAsleep = false }
            return state.isAsleep
        }
        if mustWake { Self.signal(wakeup) }
    }

    func close(deadline: Instant) {
        state.withLock { state in
            state.deadline = min(deadline, state.deadline ?? .never)
            state.isAsleep = false
        }
        Self.signal(wakeup)
    }

    /// Waits until the thread has ended, or until `deadline`: true if everything was written.
    func waitForEnd(until deadline: Instant) -> Bool {
        var wanted = pollfd(fd: ended, events: Int16(POLLIN), revents: 0)
        var time: Int32
        repeat {
            time = Int32(clamping: (deadline.nanoseconds(since: Clock.now()) &+ 999_999) / 1_000_000)
        } while unsafe poll(&wanted, 1, time) < 0 && linux_errno() == EINTR
        return state.withLock { state in
            if state.queued > 0 {
                state.counts.dropped &+= UInt64(state.queued)
                state.queued = 0
                state.batches = []
                state.isAbandoned = true
            }
            return !state.isAbandoned
        }
    }

    // MARK: The thread's side

    func next() -> Next {
        state.withLock { state in
            if isOver(state) { return .end }
            if !state.batches.isEmpty {
                let taken = state.batches
                state.batches = []
                return .write(taken)
            }
            if state.deadline != nil { return .end }
            state.isAsleep = true
            return .sleep
        }
    }

    /// Closed, and out of time.
    var isOver: Bool { state.withLock { isOver($0) } }

    private func isOver(_ state: borrowing State) -> Bool {
        if state.isAbandoned { return true }
        guard let deadline = state.deadline else { return false }
        return Clock.now() >= deadline
    }

    /// Counts bytes that have left the queue.
    func settle(written: Int = 0, dropped: Int = 0) {
        state.withLock { state in
            if state.isAbandoned { return }
            state.counts.written &+= UInt64(written)
            state.counts.dropped &+= UInt64(dropped)
            state.queued -= written + dropped
        }
    }

    /// Waits to be woken, with `room` also for the descriptor to take bytes; -1 waits for as long as it takes, but
    /// never longer than until the deadline.
    func wait(room: Bool = false, milliseconds: Int32 = -1) {
        let rest = state.withLock { $0.deadline.map { $0.nanoseconds(since: Clock.now()) / 1_000_000 &+ 1 } }
        // As an unsigned number, -1 is the longest time.
        let time = UInt32(clamping: min(rest ?? .max, UInt64(UInt32(bitPattern: milliseconds))))
        // poll(2) leaves negative descriptors out.
        let none = pollfd(fd: -1, events: 0, revents: 0)
        var wanted = [
            pollfd(fd: wakeup, events: Int16(POLLIN), revents: 0),
            room ? pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0) : none,
        ]
        _ = unsafe poll(&wanted, 2, Int32(bitPattern: time))
        var ignored: UInt64 = 0
        _ = unsafe Glibc.read(wakeup, &ignored, 8)
    }

    /// Says that the thread has ended.
    func end() { Self.signal(ended) }

    private static func signal(_ eventfd: Int32) {
        var one: UInt64 = 1
        _ = unsafe Glibc.write(eventfd, &one, 8)
    }
}

/// Bytes that a log writer has dealt with.
struct LogCounts {
    var written: UInt64 = 0
    var dropped: UInt64 = 0
}
