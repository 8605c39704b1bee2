import Glibc
import MeshCore

/// What happened to a file descriptor, or what its source wants to hear of (epoll(7)).
public struct Events: OptionSet, Sendable {
    /// The bits of `epoll_event.events`.
    public let rawValue: UInt32

    /// The events of these bits.
    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// There is something to read or to accept.
    @inlinable public static var readable: Events { Events(rawValue: 0x1) }
    /// There is room to write, or a connection attempt has ended.
    @inlinable public static var writable: Events { Events(rawValue: 0x4) }
    /// The descriptor has met an error; always reported.
    @inlinable public static var error: Events { Events(rawValue: 0x8) }
    /// Both directions are closed; always reported.
    @inlinable public static var hangup: Events { Events(rawValue: 0x10) }
    /// The peer will write no more.
    @inlinable public static var peerClosed: Events { Events(rawValue: 0x2000) }
    /// In an interest only: report as long as it is so, instead of when it becomes so. For listeners and for
    /// descriptors that a C library reads.
    @inlinable public static var level: Events { Events(rawValue: 1 << 24) }

    /// The interest as epoll wants it: edge-triggered unless ``level`` is in it.
    var epollBits: UInt32 { contains(.level) ? subtracting(.level).rawValue : rawValue | 1 << 31 }
}

/// A file descriptor that a loop watches, and a timer of its own. It owns the descriptor.
open class EventSource: TimerNode {
    /// The descriptor; closed by ``EventLoop/close(_:)``.
    public final let fd: Int32

    /// No event comes any more.
    @inlinable
    public final var isClosed: Bool { isRetired }

    /// A source that takes `fd` over.
    public init(fd: Int32) { self.fd = fd }

    /// Called on the loop's thread with what happened.
    open func handle(_ events: Events) {}

    /// True the first time; the loop's to call.
    final func markClosed() -> Bool {
        if isRetired { return false }
        isRetired = true
        return true
    }
}

/// What a loop's owner does between events.
open class LoopHooks {
    /// Hooks that do nothing.
    public init() {}
    /// After each event and each timer: output that should leave at once.
    open func afterEvent() {}
    /// After all events and timers of a turn: output that gains from being gathered.
    open func afterTurn() {}
}
