import MeshCore

/// Something that wants to be called at a time: a connection, an exchange, a sweep. One deadline each.
@safe
open class TimerNode {
    /// When `timerFired()` is due; `never` if the node is not armed.
    public final fileprivate(set) var deadline = Instant.never
    fileprivate final var slot = -1
    fileprivate final var next: Unmanaged<TimerNode>?
    fileprivate final var previous: Unmanaged<TimerNode>?

    /// A node that is not armed.
    public init() {
        unsafe next = nil
        unsafe previous = nil
    }

    /// Called on the loop's thread at or soon after the deadline.
    open func timerFired() {}
}

/// A hashed timer wheel (Varghese and Lauck): 512 slots of 8 ms, nodes linked through themselves, no allocation.
///
/// Moving a deadline further away, which is what each request does to its connection's idle timer, is one store: the
/// node stays in its slot and is put right when the slot comes round.
@safe
public struct TimerWheel: ~Copyable {
    /// Length of a slot in nanoseconds; nodes fire at most this much late.
    public static let tick: UInt64 = 8_000_000
    private static let slotCount = 512

    private let slots: UnsafeMutablePointer<Unmanaged<TimerNode>?>
    private var position: UInt64
    /// Armed nodes.
    public private(set) var count = 0

    /// An empty wheel whose time is `now`.
    public init(now: Instant) {
        unsafe slots = .allocate(capacity: Self.slotCount)
        unsafe slots.initialize(repeating: nil, count: Self.slotCount)
        position = now.nanoseconds / Self.tick
    }

    deinit { unsafe slots.deallocate() }

    /// Arms `node`, or moves its deadline. The node must live until it fires or is cancelled.
    public mutating func schedule(_ node: TimerNode, at deadline: Instant) {
        guard node.slot < 0 || deadline < node.deadline else {
            node.deadline = deadline
            return
        }
        if node.slot >= 0 { unlink(node) }
        node.deadline = deadline
        link(node)
    }

    /// Disarms `node`; nothing happens if it is not armed.
    public mutating func cancel(_ node: TimerNode) {
        if node.slot >= 0 { unlink(node) }
        node.deadline = .never
    }

    /// Fires every node that is due at `now`. Nodes may schedule and cancel any node while they fire.
    public mutating func takeDue(at now: Instant) -> TimerNode? {
        let target = now.nanoseconds / Self.tick
        // After a long pause one round visits every slot.
        if target > position &+ UInt64(Self.slotCount) { position = target &- UInt64(Self.slotCount) }
        while position < target {
            let index = Int(position % UInt64(Self.slotCount))
            if let node = dueNode(in: index, now: now) { return node }
            position &+= 1
        }
        return nil
    }

    /// Nanoseconds until the wheel wants to turn, or nil if no node is armed.
    public func delay(from now: Instant) -> UInt64? {
        guard count > 0 else { return nil }
        var step = 0
        while step < Self.slotCount {
            let tick = position &+ UInt64(step)
            if unsafe slots[Int(tick % UInt64(Self.slotCount))] != nil {
                let end = (tick &+ 1) &* Self.tick
                return end > now.nanoseconds ? end &- now.nanoseconds : 0
            }
            step &+= 1
        }
        return Self.tick
    }

    /// The first node of a slot that is due, taken out; others are moved to where their deadline belongs.
    private mutating func dueNode(in index: Int, now: Instant) -> TimerNode? {
        var cursor = unsafe slots[index]
        while let entry = unsafe cursor {
            // SAFETY: linked nodes are alive, by the contract of `schedule`.
            let node = unsafe entry.takeUnretainedValue()
            unsafe cursor = node.next
            if node.deadline <= now {
                unlink(node)
                node.deadline = .never
                return node
            }
            if slot(for: node.deadline) != index {
                unlink(node)
                link(node)
            }
        }
        return nil
    }

    private func slot(for deadline: Instant) -> Int {
        let tick = max(deadline.nanoseconds / Self.tick, position)
        // Beyond a whole round the node waits in the last slot and is looked at again there.
        return Int(min(tick, position &+ UInt64(Self.slotCount &- 1)) % UInt64(Self.slotCount))
    }

    private mutating func link(_ node: TimerNode) {
        let index = slot(for: node.deadline)
        node.slot = index
        unsafe node.previous = nil
        unsafe node.next = slots[index]
        if let first = unsafe slots[index] {
            unsafe first._withUnsafeGuaranteedRef { unsafe $0.previous = Unmanaged.passUnretained(node) }
        }
        unsafe slots[index] = Unmanaged.passUnretained(node)
        count &+= 1
    }

    private mutating func unlink(_ node: TimerNode) {
        if let previous = unsafe node.previous {
            unsafe previous._withUnsafeGuaranteedRef { unsafe $0.next = node.next }
        } else {
            unsafe slots[node.slot] = node.next
        }
        if let next = unsafe node.next { unsafe next._withUnsafeGuaranteedRef { unsafe $0.previous = node.previous } }
        unsafe node.next = nil
        unsafe node.previous = nil
        node.slot = -1
        count &-= 1
    }
}
