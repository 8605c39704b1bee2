import MeshCore
import Synchronization

/// The pace of a token bucket, and what one number says of its contents: the generic cell rate algorithm (ITU-T I.371).
///
/// A bucket is the instant at which it will be full again. A token moves that instant on by one interval; a token may
/// be taken while the instant is no further ahead than the burst. One number means one compare-and-swap, exact over
/// all loops, and nothing that has to tick.
public struct TokenPace: Sendable, Equatable {
    /// Time between tokens, in ticks.
    let interval: UInt64
    /// How far ahead of now the instant may be, in ticks.
    let depth: UInt64
    /// Tokens at once.
    public let burst: Int

    /// Ticks per nanosecond. Finer than the clock, so that high rates are exact to a fraction of a percent; coarse
    /// enough for nine years of uptime.
    static let ticks: UInt64 = 64

    /// `requests` per `nanoseconds`, `burst` at once; all at least 1. Rounded so that it never allows more.
    public init(requests: Int, nanoseconds: UInt64, burst: Int) {
        let count = UInt64(max(requests, 1))
        let unit = max(nanoseconds, 1).multipliedReportingOverflow(by: Self.ticks)
        let period = unit.overflow ? UInt64.max / 2 : unit.partialValue
        interval = max(period / count &+ (period % count == 0 ? 0 : 1), 1)
        self.burst = max(burst, 1)
        let product = interval.multipliedReportingOverflow(by: UInt64(self.burst))
        depth = product.overflow ? .max / 2 : product.partialValue
    }

    /// The instant after one more token, nil if there is none.
    func take(_ full: UInt64, at now: UInt64) -> UInt64? {
        let next = max(full, now) &+ interval
        return next &- now <= depth ? next : nil
    }

    /// What is left, for the client.
    func level(_ full: UInt64, at now: UInt64) -> TokenLevel {
        let ahead = full > now ? full &- now : 0
        let free = depth > ahead ? depth &- ahead : 0
        return TokenLevel(
            remaining: Int(clamping: free / interval), untilFull: ahead / Self.ticks,
            untilNext: free >= interval ? 0 : (interval &- free &+ Self.ticks &- 1) / Self.ticks)
    }
}

/// What a bucket holds.
public struct TokenLevel: Sendable, Equatable {
    /// Tokens.
    public var remaining: Int
    /// Nanoseconds until it is full.
    public var untilFull: UInt64
    /// Nanoseconds until there is a token.
    public var untilNext: UInt64
}

/// One token bucket for all loops.
public final class TokenBucket: Sendable {
    private let pace: TokenPace
    private let start: Instant
    private let full = Atomic<UInt64>(0)

    /// A full bucket; `start` is when its time begins.
    public init(_ pace: TokenPace, start: Instant) {
        self.pace = pace
        self.start = start
    }

    /// Takes a token; nil if one was there, else what the bucket holds.
    public func take(at now: Instant) -> TokenLevel? {
        let tick = now.nanoseconds(since: start) &* TokenPace.ticks
        var seen = full.load(ordering: .relaxed)
        while let next = pace.take(seen, at: tick) {
            let (exchanged, original) = full.weakCompareExchange(expected: seen, desired: next, ordering: .relaxed)
            if exchanged { return nil }
            seen = original
        }
        return pace.level(seen, at: tick)
    }

    /// Gives a token back that turned out not to be used.
    public func giveBack() {
        var seen = full.load(ordering: .relaxed)
        while seen >= pace.interval {
            let (exchanged, original) = full.weakCompareExchange(
                expected: seen, desired: seen &- pace.interval, ordering: .relaxed)
            if exchanged { return }
            seen = original
        }
    }
}
