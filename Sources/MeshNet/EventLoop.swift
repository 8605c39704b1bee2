import CLinux
import Glibc
import MeshCore

/// What a loop has done so far.
public struct LoopStatistics: Sendable {
    /// Times that the loop woke up.
    public var turns: UInt64 = 0
    /// Events handled, timers aside.
    public var events: UInt64 = 0
    /// Time spent awake, in nanoseconds.
    public var busy: UInt64 = 0
    /// The longest turn since it was last asked for, in nanoseconds: how late an event or a timer can have been.
    public var longestTurn: UInt64 = 0
}

/// One thread's event loop: epoll, edge-triggered, every descriptor registered once.
///
/// An event's user data is the source itself with one reference, given back at the end of the turn in which it was
/// closed: a stale event of the same turn finds a closed source, never a freed one. Sources that are still open when
/// the loop goes are leaked with their descriptors: loops live as long as the process.
@safe
public final class EventLoop {
    /// Monotonic time, read once per turn, after waiting.
    public private(set) var now: Instant
    /// Jobs from other threads.
    public let mailbox: Mailbox

    private static let batch = 512
    private let epoll: Int32
    private let events: UnsafeMutablePointer<epoll_event>
    private let mailboxSource: MailboxSource
    private var wheel: TimerWheel
    private var graveyard: [Unmanaged<EventSource>] = unsafe []
    private var isRunning = false
    private var hasWork = false
    private var counts = LoopStatistics()
    /// When the last turn ended: what the next wait is counted from.
    private var turnEnd: Instant
    /// Keeps the hooks alive; `hookLink` is what a turn uses.
    private var hookOwner: LoopHooks
    private var hookLink: Link<LoopHooks>

    /// A loop with nothing to watch.
    public init() throws(ProxyError) {
        let mailbox = try Mailbox()
        let hooks = LoopHooks()
        let descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        if descriptor < 0 { throw ProxyError("cannot create an epoll instance: \(Socket.text(linux_errno()))") }
        self.mailbox = mailbox
        epoll = descriptor
        unsafe events = .allocate(capacity: Self.batch)
        mailboxSource = MailboxSource(mailbox)
        now = Clock.now()
        turnEnd = now
        wheel = TimerWheel(now: now)
        hookOwner = hooks
        hookLink = Link(hooks)
        add(mailboxSource, [.readable])
    }

    deinit {
        _ = detach(mailboxSource)
        bury()
        unsafe events.deallocate()
        Socket.close(epoll)
    }

    /// Called between events. Set before ``run()``, not from a handler.
    public var hooks: LoopHooks {
        get { hookOwner }
        set {
            hookOwner = newValue
            hookLink = Link(newValue)
        }
    }

    /// What the loop has done.
    public var statistics: LoopStatistics { counts }

    /// The longest turn since this was last called, in nanoseconds.
    public func takeLongestTurn() -> UInt64 {
        defer { counts.longestTurn = 0 }
        return counts.longestTurn
    }

    // MARK: Sources

    /// Watches `source`, edge-triggered unless `interest` has ``Events/level``. The loop keeps it alive until it is
    /// closed. False if the system refuses (no memory, or the limit on watches): the source is closed then.
    @discardableResult
    public func add(_ source: EventSource, _ interest: Events) -> Bool {
        // SAFETY: this reference is released by `bury`, after the last event that can name the source.
        let user = unsafe Unmanaged.passRetained(source).toOpaque()
        if unsafe linux_epoll_control(epoll, EPOLL_CTL_ADD, source.fd, interest.epollBits, user) == 0 { return true }
        close(source)
        return false
    }

    /// Changes what a source that was added wants to hear of. Edges that are pending are reported again.
    public func update(_ source: EventSource, _ interest: Events) {
        guard !source.isClosed else { return }
        // SAFETY: the source is still registered, with the reference that `add` took.
        let user = unsafe Unmanaged.passUnretained(source).toOpaque()
        _ = unsafe linux_epoll_control(epoll, EPOLL_CTL_MOD, source.fd, interest.epollBits, user)
    }

    /// Cancels the source's timer, closes its descriptor and forgets it at the end of the turn. Again: nothing.
    /// Only for sources that were added.
    public func close(_ source: EventSource) {
        guard source.markClosed() else { return }
        wheel.cancel(source)
        Socket.close(source.fd)
        unsafe graveyard.append(Unmanaged.passUnretained(source))
    }

    /// The same, but gives the descriptor away instead of closing it; -1 if the source was closed before.
    public func detach(_ source: EventSource) -> Int32 {
        guard source.markClosed() else { return -1 }
        wheel.cancel(source)
        _ = linux_epoll_control(epoll, EPOLL_CTL_DEL, source.fd, 0, nil)
        unsafe graveyard.append(Unmanaged.passUnretained(source))
        return source.fd
    }

    // MARK: Timers

    /// Calls `node.timerFired()` at `deadline` or up to ``TimerWheel/tick`` later. Moving a deadline further away costs
    /// one store. The node must live until it fires or is cancelled.
    public func schedule(_ node: TimerNode, at deadline: Instant) { wheel.schedule(node, at: deadline) }

    /// Takes `node`'s deadline away.
    public func cancel(_ node: TimerNode) { wheel.cancel(node) }

    // MARK: Turning

    /// Handles events until ``stop()``.
    public func run() {
        isRunning = true
        while isRunning { turn(waiting: timeout()) }
    }

    /// Ends ``run()`` after the current turn. On the loop's thread only; from others through the mailbox.
    public func stop() { isRunning = false }

    /// The next turn does not wait: its owner has work left over.
    public func turnAgain() { hasWork = true }

    /// Waits at most `milliseconds` for events or a timer and handles what there is: for tests, and for owners with a
    /// loop of their own.
    public func turn(atMost milliseconds: Int32) {
        let wanted = timeout()
        turn(waiting: wanted < 0 ? milliseconds : min(wanted, milliseconds))
    }

    private func turn(waiting milliseconds: Int32) {
        let count = unsafe epoll_wait(epoll, events, Int32(Self.batch), milliseconds)
        now = Clock.now()
        let start = now
        var index: Int32 = 0
        while index < count {
            dispatch(index)
            hookLink { $0.afterEvent() }
            index &+= 1
        }
        while let node = wheel.takeDue(at: start) {
            node.timerFired()
            hookLink { $0.afterEvent() }
        }
        hookLink { $0.afterTurn() }
        bury()
        turnEnd = Clock.now()
        record(count, turnEnd.nanoseconds(since: start))
    }

    private func dispatch(_ index: Int32) {
        let flags = Events(rawValue: unsafe linux_event_flags(events, index))
        guard let user = unsafe linux_event_user(events, index) else { return }
        // SAFETY: the user data is a source that `add` retained and `bury` has not released yet.
        unsafe Unmanaged<EventSource>.fromOpaque(user)._withUnsafeGuaranteedRef {
            if !$0.isClosed { $0.handle(flags) }
        }
    }

    /// Gives the loop's references back. What goes with them may close more sources.
    private func bury() {
        guard unsafe !graveyard.isEmpty else { return }
        var index = 0
        // SAFETY: each entry stands for the reference that `add` took, and is released once.
        while unsafe index < graveyard.count {
            unsafe graveyard[index].release()
            index &+= 1
        }
        unsafe graveyard.removeAll(keepingCapacity: true)
    }

    private func record(_ events: Int32, _ nanoseconds: UInt64) {
        counts.turns &+= 1
        if events > 0 { counts.events &+= UInt64(events) }
        counts.busy &+= nanoseconds
        if nanoseconds > counts.longestTurn { counts.longestTurn = nanoseconds }
    }

    /// Milliseconds that epoll may wait, rounded up; -1 without a timer.
    private func timeout() -> Int32 {
        if hasWork {
            hasWork = false
            return 0
        }
        guard let delay = wheel.delay(from: turnEnd) else { return -1 }
        return Int32(clamping: delay / 1_000_000 &+ (delay % 1_000_000 == 0 ? 0 : 1))
    }
}
