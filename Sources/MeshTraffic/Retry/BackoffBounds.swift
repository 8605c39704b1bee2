import MeshModel

/// Exponential backoff with full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015): clients that
/// failed together do not come back together.
struct BackoffBounds: Sendable {
    private let base: UInt64
    private let max: UInt64

    init(_ backoff: Backoff) {
        base = backoff.base.nanoseconds
        max = backoff.max.nanoseconds
    }

    /// Nanoseconds to wait before retry `number`, the first being 1: evenly from 0 up to the bound, which doubles.
    func delay(beforeRetry number: Int, random: UInt64) -> UInt64 {
        let bound = self.bound(beforeRetry: number)
        return bound == .max ? random : random.multipliedFullWidth(by: bound &+ 1).high
    }

    private func bound(beforeRetry number: Int) -> UInt64 {
        let doublings = Swift.max(number, 1) &- 1
        // More doublings than the base has leading zeros would shift its bits out.
        guard doublings < base.leadingZeroBitCount else { return base == 0 ? 0 : max }
        return min(base << UInt64(doublings), max)
    }
}
