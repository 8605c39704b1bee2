import MeshCore

/// Something that wants to be called at a time: a connection, an exchange, a sweep. One deadline each.
///
/// The node is linked into the wheel through itself: its owner keeps it alive while it is armed, and cancels it before
/// it goes.
@safe
open class TimerNode {
    /// When `timerFired()` is due; `never` if the node is not armed.
    public final fileprivate(set) var deadline = Instant.never
    /// True once the node's source is closed: it can be armed no more.
    @usableFromInline final var isRetired = false
    /// The tick under which the wheel has filed the node, at or before the deadline's.
    fileprivate final var filed: UInt64 = 0
    /// Index of the slot that holds the node, -1 if none does.
    fileprivate final var slot = -1
    fileprivate final var next: Unmanaged<TimerNode>?
    fileprivate final var previous: Unmanaged<TimerNode>?

    /// A node that is not armed.
    public init() {
        unsafe next = nil
        unsafe previous = nil
    }

    deinit { precondition(slot < 0, "a timer node went while it was armed") }

    /// Called on the loop's thread at or soon after the deadline, never before it.
    open func timerFired() {}
}

/// A hierarchical timer wheel (Varghese and Lauck): seven levels of 64 slots, nodes linked through themselves, no
/// allocation, the next due slot found from two bit masks.
///
/// Level 0 holds the nodes of the next 64 ticks, each level above 64 times as many. A node is filed on the level of the
/// highest digit (base 64) in which its tick differs from the current one; that slot is always ahead of the current
/// digit, so the first occupied slot of the lowest occupied level is the earliest. When a slot of a higher level comes
/// round, its nodes are filed anew, further down.
///
/// Moving a deadline further away, which is what each request does to its connection's timer, is one store: the node
/// stays where it is and is filed anew when its slot comes round. Moving it to `never` is the same.
@safe
public struct TimerWheel: ~Copyable {
    /// Nanoseconds per tick (4.2 ms); nodes fire at most this much late.
    public static let tick: UInt64 = 1 << shift
    private static let shift: UInt64 = 22
    private static let levelCount = 7

    private let slots: UnsafeMutablePointer<Unmanaged<TimerNode>?>
    private let occupied: UnsafeMutablePointer<UInt64>
    private var occupiedLevels: UInt64 = 0
    private var current: UInt64
    /// The slot that is being emptied, -1 if none is.
    private var draining = -1
    /// Nodes in the wheel.
    public private(set) var count = 0

    /// An empty wheel whose time is `now`.
    public init(now: Instant) {
        unsafe slots = .allocate(capacity: Self.levelCount * 64)
        unsafe slots.initialize(repeating: nil, count: Self.levelCount * 64)
        unsafe occupied = .allocate(capacity: Self.levelCount)
        unsafe occupied.initialize(repeating: 0, count: Self.levelCount)
        current = now.nanoseconds >> Self.shift
    }

    deinit {
        // SAFETY: linked nodes are alive, by the contract of `schedule`; they learn that no wheel holds them any more.
        for index in 0..<Self.levelCount * 64 {
            var cursor = unsafe slots[index]
            while let entry = unsafe cursor {
                let node = unsafe entry.takeUnretainedValue()
                unsafe cursor = node.next
                unsafe node.next = nil
                unsafe node.previous = nil
                node.slot = -1
                node.deadline = .never
            }
        }
        unsafe slots.deallocate()
        unsafe occupied.deallocate()
    }

    /// Arms `node`, or moves its deadline. The node must live until it fires or is cancelled. A closed source is left
    /// alone: nobody would cancel it before it goes.
    public mutating func schedule(_ node: TimerNode, at deadline: Instant) {
        if node.isRetired { return }
        node.deadline = deadline
        let tick = Self.tick(of: deadline)
        if node.slot >= 0 {
            if tick >= node.filed { return }
            unlink(node)
        } else if deadline == .never {
            return
        }
        link(node, at: max(tick, current &+ 1))
    }

    /// Disarms `node`; nothing happens if it is not armed.
    public mutating func cancel(_ node: TimerNode) {
        if node.slot >= 0 { unlink(node) }
        node.deadline = .never
    }

    /// The next node that is due at `now`, disarmed, or nil if there is no more. Any node may be scheduled and cancelled
    /// between two calls; one that is scheduled for a time already past is due a tick later.
    public mutating func takeDue(at now: Instant) -> TimerNode? {
        let target = now.nanoseconds >> Self.shift
        while true {
            if draining >= 0, let node = drain() { return node }
            guard let next = nextSlot(), next.tick <= target else { break }
            current = next.tick
            draining = next.index
        }
        if target > current { current = target }
        return nil
    }

    /// Nanoseconds until the wheel wants to turn, or nil if it holds no node.
    public func delay(from now: Instant) -> UInt64? {
        guard let next = nextSlot() else { return nil }
        return Instant(nanoseconds: next.tick << Self.shift).nanoseconds(since: now)
    }

    /// The tick at which `deadline` has passed.
    private static func tick(of deadline: Instant) -> UInt64 {
        (deadline.nanoseconds >> shift) &+ (deadline.nanoseconds & (tick - 1) == 0 ? 0 : 1)
    }

    /// The slot that comes next, and the tick at which it does.
    private func nextSlot() -> (index: Int, tick: UInt64)? {
        guard occupiedLevels != 0 else { return nil }
        let level = occupiedLevels.trailingZeroBitCount
        let slot = unsafe occupied[level].trailingZeroBitCount
        let low = UInt64(level &* 6)
        let tick = ((current >> (low &+ 6)) << (low &+ 6)) | (UInt64(slot) << low)
        return (level &* 64 &+ slot, tick)
    }

    /// Takes nodes out of the slot that has come round until one is due; files the others anew.
    private mutating func drain() -> TimerNode? {
        while let first = unsafe slots[draining] {
            // SAFETY: linked nodes are alive, by the contract of `schedule`.
            let node = unsafe first.takeUnretainedValue()
            unlink(node)
            if node.deadline == .never { continue }
            let tick = Self.tick(of: node.deadline)
            if tick <= current {
                node.deadline = .never
                return node
            }
            link(node, at: tick)
        }
        draining = -1
        return nil
    }

    /// Files `node` under `tick`, which must be after the current one.
    private mutating func link(_ node: TimerNode, at tick: UInt64) {
        // The last tick of the clock's 584 years: what lies beyond fires there.
        let tick = min(tick, (1 << 42) &- 1)
        let level = max(0, (63 &- (tick ^ current).leadingZeroBitCount)) / 6
        let slot = Int((tick >> UInt64(level &* 6)) & 63)
        let index = level &* 64 &+ slot
        node.slot = index
        node.filed = tick
        // SAFETY: linked nodes are alive, by the contract of `schedule`; indices are below the allocated count.
        unsafe node.previous = nil
        unsafe node.next = slots[index]
        if let first = unsafe slots[index] {
            unsafe first._withUnsafeGuaranteedRef { unsafe $0.previous = Unmanaged.passUnretained(node) }
        }
        unsafe slots[index] = Unmanaged.passUnretained(node)
        unsafe occupied[level] |= 1 << UInt64(slot)
        occupiedLevels |= 1 << UInt64(level)
        count &+= 1
    }

    private mutating func unlink(_ node: TimerNode) {
        // SAFETY: as in `link`.
        if let next = unsafe node.next { unsafe next._withUnsafeGuaranteedRef { unsafe $0.previous = node.previous } }
        if let previous = unsafe node.previous {
            unsafe previous._withUnsafeGuaranteedRef { unsafe $0.next = node.next }
        } else {
            unsafe slots[node.slot] = node.next
            if unsafe node.next == nil { vacate(node.slot) }
        }
        unsafe node.next = nil
        unsafe node.previous = nil
        node.slot = -1
        count &-= 1
    }

    private mutating func vacate(_ index: Int) {
        let level = index / 64
        unsafe occupied[level] &= ~(1 << UInt64(index % 64))
        if unsafe occupied[level] == 0 { occupiedLevels &= ~(1 << UInt64(level)) }
    }
}
