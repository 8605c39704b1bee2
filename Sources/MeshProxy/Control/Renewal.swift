import MeshCore

/// When a certificate is renewed: at half of its life, a tenth earlier or later by chance, so that proxies which
/// started together do not come together. Times are nanoseconds since 1970, as certificates count. Sans I/O.
struct RenewalSchedule: Equatable {
    /// When the certificate ends.
    let end: UInt64
    /// When to ask for the next one.
    private(set) var due: UInt64
    private(set) var failures = 0

    private static let second: UInt64 = 1_000_000_000
    private static let backdating: UInt64 = 60 * second
    private static let longestPause: UInt64 = 60 * second

    /// The schedule of a certificate that is valid from `notBefore` to `notAfter` (seconds since 1970).
    init(notBefore: Int64, notAfter: Int64, random: inout Random) {
        let first = UInt64(max(0, notBefore)) &* Self.second
        end = max(UInt64(max(0, notAfter)) &* Self.second, first)
        // Certificates begin a minute before they are made, for clocks that go wrong: that is no part of their life.
        let start = min(first &+ Self.backdating, end)
        let half = (end - start) / 2
        due = start + half - half / 10 + UInt64.random(in: 0...half / 5, using: &random)
    }

    /// True once it is over: it proves nothing any more.
    func isExpired(now: UInt64) -> Bool { now >= end }

    /// Renews as soon as possible, because its root goes.
    mutating func hurry(now: UInt64) { due = min(due, now) }

    /// An attempt failed: the next one comes after 1 s, 2 s, 4 s … 60 s, half of that by chance, but before a quarter
    /// of what is left of the certificate's life has passed.
    mutating func failed(now: UInt64, random: inout Random) {
        let ceiling = min(Self.longestPause, Self.second << UInt64(min(failures, 10)))
        failures += 1
        var pause = UInt64.random(in: ceiling / 2...ceiling, using: &random)
        if now < end { pause = min(pause, max((end - now) / 4, Self.second / 2)) }
        due = now &+ pause
    }
}
