import CLinux
import Glibc
import MeshCore
import Synchronization

/// What happened to a file descriptor (epoll(7)).
public struct Events: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let readable = Events(rawValue: 0x1)
    public static let writable = Events(rawValue: 0x4)
    public static let error = Events(rawValue: 0x8)
    public static let hangup = Events(rawValue: 0x10)
    public static let peerClosed = Events(rawValue: 0x2000)
    static let edgeTriggered = Events(rawValue: 1 << 31)
}

/// A file descriptor that a loop watches. It owns the descriptor.
open class EventSource: TimerNode {
    /// The descriptor; closed by ``EventLoop/close(_:)``.
    public final let fd: Int32
    /// No event comes any more.
    public final fileprivate(set) var isClosed = false

    /// A source that takes `fd` over.
    public init(fd: Int32) { self.fd = fd }

    /// Called on the loop's thread with what happened.
    open func handle(_ events: Events) {}
}

/// What a loop's owner does between events.
open class LoopHooks {
    /// Hooks that do nothing.
    public init() {}
    /// After each event: output that should leave at once.
    open func afterEvent() {}
    /// After all events of a turn: output that gains from being gathered.
    open func afterTurn() {}
}

/// Jobs for a loop from other threads.
public final class Mailbox: Sendable {
    private let jobs = Mutex<[@Sendable () -> Void]>([])
    let wakeup: Int32

    init() throws(ProxyError) {
        wakeup = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        if wakeup < 0 { throw ProxyError("cannot create an eventfd: \(Socket.text(linux_errno()))") }
    }

    /// Runs `job` on the loop's thread, soon, after the jobs posted before it.
    public func post(_ job: @escaping @Sendable () -> Void) {
        jobs.withLock { $0.append(job) }
        var one: UInt64 = 1
        _ = unsafe Glibc.write(wakeup, &one, 8)
    }

    func take() -> [@Sendable () -> Void] {
        jobs.withLock { jobs in
            let taken = jobs
            jobs = []
            return taken
        }
    }
}

/// One thread's event loop: epoll, edge-triggered, every descriptor registered once.
///
/// The event's user data is the source itself with one reference, given back at the end of the turn in which it was
/// closed: a stale event of the same turn finds a closed source, never a freed one.
@safe
public final class EventLoop {
    /// Monotonic time, read once per turn.
    public private(set) var now: Instant
    /// Jobs from other threads.
    public let mailbox: Mailbox
    /// Called between events; set before ``run()``.
    public var hooks = LoopHooks()
    /// The longest turn so far without waiting, in nanoseconds.
    public private(set) var longestTurn: UInt64 = 0

    private static let batch = 512
    private let epoll: Int32
    private let events: UnsafeMutablePointer<epoll_event>
    private var wheel: TimerWheel
    private var graveyard: [Unmanaged<EventSource>] = unsafe []
    private var isRunning = false

    /// A loop with nothing to watch.
    public init() throws(ProxyError) {
        now = Clock.now()
        wheel = TimerWheel(now: now)
        mailbox = try Mailbox()
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        unsafe events = .allocate(capacity: Self.batch)
        if epoll < 0 { throw ProxyError("cannot create an epoll instance: \(Socket.text(linux_errno()))") }
        add(MailboxSource(mailbox), [.readable])
    }

    deinit {
        unsafe events.deallocate()
        Socket.close(epoll)
    }

    /// Watches `source`, edge-triggered. The loop keeps it alive until it is closed.
    public func add(_ source: EventSource, _ interest: Events) {
        // SAFETY: this reference is released by `bury`, after the last event that can name the source.
        let user = unsafe Unmanaged.passRetained(source).toOpaque()
        _ = unsafe linux_epoll_add(epoll, source.fd, interest.union(.edgeTriggered).rawValue, user)
    }

    /// Closes the source's descriptor and forgets the source at the end of the turn. Again: nothing.
    public func close(_ source: EventSource) {
        guard !source.isClosed else { return }
        source.isClosed = true
        wheel.cancel(source)
        Socket.close(source.fd)
        unsafe graveyard.append(Unmanaged.passUnretained(source))
    }

    /// Calls `node.timerFired()` at `deadline`. Moving a deadline further away costs one store.
    public func schedule(_ node: TimerNode, at deadline: Instant) { wheel.schedule(node, at: deadline) }

    /// Takes `node`'s deadline away.
    public func cancel(_ node: TimerNode) { wheel.cancel(node) }

    /// Handles events until ``stop()``.
    public func run() {
        isRunning = true
        while isRunning { turn() }
    }

    /// Ends ``run()`` after the current turn. On the loop's thread only; from others through the mailbox.
    public func stop() { isRunning = false }

    private func turn() {
        let count = unsafe epoll_wait(epoll, events, Int32(Self.batch), timeout())
        now = Clock.now()
        let start = now
        var index: Int32 = 0
        while index < count {
            dispatch(index)
            hooks.afterEvent()
            index += 1
        }
        while let node = wheel.takeDue(at: now) {
            node.timerFired()
            hooks.afterEvent()
        }
        hooks.afterTurn()
        bury()
        longestTurn = max(longestTurn, Clock.now().nanoseconds(since: start))
    }

    private func dispatch(_ index: Int32) {
        let flags = Events(rawValue: unsafe linux_event_flags(events, index))
        guard let user = unsafe linux_event_user(events, index) else { return }
        // SAFETY: the user data is a source that `add` retained and `bury` has not released yet.
        unsafe Unmanaged<EventSource>.fromOpaque(user)._withUnsafeGuaranteedRef {
            if !$0.isClosed { $0.handle(flags) }
        }
    }

    private func bury() {
        guard unsafe !graveyard.isEmpty else { return }
        for index in unsafe graveyard.indices { unsafe graveyard[index].release() }
        unsafe graveyard.removeAll(keepingCapacity: true)
    }

    /// Milliseconds that epoll may wait, rounded up.
    private func timeout() -> Int32 {
        guard let delay = wheel.delay(from: now) else { return -1 }
        return Int32(clamping: (delay &+ 999_999) / 1_000_000)
    }
}

/// The eventfd behind a loop's mailbox.
private final class MailboxSource: EventSource {
    let mailbox: Mailbox

    init(_ mailbox: Mailbox) {
        self.mailbox = mailbox
        super.init(fd: mailbox.wakeup)
    }

    override func handle(_ events: Events) {
        var count: UInt64 = 0
        _ = unsafe read(fd, &count, 8)
        for job in mailbox.take() { job() }
    }
}

/// The process's clocks.
public enum Clock {
    /// Monotonic time.
    public static func now() -> Instant {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec))
    }
}
