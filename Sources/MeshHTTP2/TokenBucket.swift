import MeshCore

/// So many events at once, so many per second in the long run.
struct TokenBucket {
    private let burst: UInt64
    private let perSecond: UInt64
    /// Nano-tokens: a token per second is one nano-token per nanosecond.
    private var level: UInt64
    private var filledAt: Instant?

    private static let token: UInt64 = 1_000_000_000

    init(_ rate: HTTP2Configuration.Rate) {
        // A billion tokens are as good as no limit, and nothing below can overflow.
        burst = UInt64(min(max(rate.burst, 0), 1_000_000_000)) &* Self.token
        perSecond = UInt64(min(max(rate.perSecond, 0), 1_000_000))
        level = burst
    }

    /// Takes a token; false if there is none.
    mutating func take(now: Instant) -> Bool {
        let elapsed = min(now.nanoseconds(since: filledAt ?? now), 3_600_000_000_000)
        filledAt = now
        level = min(level &+ elapsed &* perSecond, burst)
        if level < Self.token { return false }
        level &-= Self.token
        return true
    }
}
