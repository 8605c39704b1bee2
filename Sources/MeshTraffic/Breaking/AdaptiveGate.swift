import MeshCore
import MeshModel
import Synchronization

/// An ``AdaptiveLimit`` that all loops share: counting is atomic, and whoever finds a window over moves the limit.
public final class AdaptiveGate: Sendable {
    private let interval: Atomic<UInt64>
    private let limits: Mutex<AdaptiveLimit>
    private let allowed: Atomic<Int>
    private let active = Atomic<Int>(0)
    private let peak = Atomic<Int>(0)
    private let sum = Atomic<UInt64>(0)
    private let samples = Atomic<Int>(0)
    private let countsFrom = Atomic<UInt64>(0)
    /// When the window is over; `max` while somebody is at it.
    private let windowEnd = Atomic<UInt64>(0)

    /// A gate at the beginning of `settings`.
    public init(_ settings: AdaptiveConcurrency) {
        interval = Atomic(settings.interval.nanoseconds)
        let limit = AdaptiveLimit(settings)
        allowed = Atomic(limit.limit)
        limits = Mutex(limit)
    }

    /// Goes on with `settings`. What was found out is forgotten if they are others; what is in flight stays counted.
    public func adopt(_ settings: AdaptiveConcurrency) {
        limits.withLock { limit in
            if limit.settings == settings { return }
            limit = AdaptiveLimit(settings)
            interval.store(settings.interval.nanoseconds, ordering: .relaxed)
            allowed.store(limit.limit, ordering: .relaxed)
            countsFrom.store(0, ordering: .relaxed)
        }
    }

    /// So many requests may be in flight.
    public var limit: Int { allowed.load(ordering: .relaxed) }
    /// So many are.
    public var current: Int { active.load(ordering: .relaxed) }

    /// Lets one more request in; false if there are as many as may be.
    public func enter() -> Bool {
        let before = active.add(1, ordering: .relaxed).oldValue
        guard before < allowed.load(ordering: .relaxed) else {
            active.subtract(1, ordering: .relaxed)
            return false
        }
        if before >= peak.load(ordering: .relaxed) { peak.store(before &+ 1, ordering: .relaxed) }
        return true
    }

    /// One that was let in is over, and says nothing: it failed at once, or the client went away.
    public func leave() { active.subtract(1, ordering: .relaxed) }

    /// One that was let in is over: at `started` it began, and its answer took `nanoseconds`.
    ///
    /// - Parameter random: 64 random bits.
    public func leave(started: Instant, nanoseconds: UInt64, now: Instant, random: UInt64) {
        active.subtract(1, ordering: .relaxed)
        guard started.nanoseconds >= countsFrom.load(ordering: .relaxed) else { return }
        sum.add(nanoseconds, ordering: .relaxed)
        let count = samples.add(1, ordering: .relaxed).newValue
        let end = windowEnd.load(ordering: .relaxed)
        guard count >= AdaptiveLimit.windowSize, now.nanoseconds >= end, end != .max else { return }
        let won = windowEnd.compareExchange(expected: end, desired: .max, ordering: .acquiringAndReleasing).exchanged
        if won { endWindow(now, random) }
    }

    private func endWindow(_ now: Instant, _ random: UInt64) {
        let count = samples.exchange(0, ordering: .relaxed)
        let total = sum.exchange(0, ordering: .relaxed)
        let most = peak.exchange(active.load(ordering: .relaxed), ordering: .relaxed)
        limits.withLock { limit in
            limit.windowEnded(
                mean: Double(total) / Double(max(count, 1)), peak: most, now: now, random: random)
            allowed.store(limit.limit, ordering: .relaxed)
            countsFrom.store(limit.measuresFrom.nanoseconds, ordering: .relaxed)
        }
        windowEnd.store(
            now.advanced(byNanoseconds: interval.load(ordering: .relaxed)).nanoseconds &- 1, ordering: .releasing)
    }
}
