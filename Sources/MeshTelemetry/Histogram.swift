/// Times counted in buckets of which each is an eighth of a power of two wide ("log-linear").
///
/// A time is known to within 6 % wherever it is between 8 µs and 73 min, whatever the traffic looks like, so that
/// histograms can be added up and quantiles taken afterwards. Buckets for Prometheus are computed from it. One that
/// never counted takes no memory, one that did takes 2 KB.
public struct Histogram: Sendable, Equatable {
    /// Times counted.
    public private(set) var count: UInt64 = 0
    /// The sum of all times, in nanoseconds.
    public private(set) var sum: UInt64 = 0
    private var buckets: [UInt64] = []

    /// Times are counted in units of 2¹⁰ ns: 8 buckets of one unit, then 8 for each power of two up to 2⁴² ns.
    private static let unitShift: UInt64 = 10
    private static let bucketCount = 240

    /// An empty histogram.
    public init() {}

    /// Counts one time of `nanoseconds`. Allocates at the first one only.
    public mutating func record(nanoseconds: UInt64) {
        if buckets.isEmpty { buckets = [UInt64](repeating: 0, count: Self.bucketCount) }
        buckets[Self.index(of: nanoseconds)] &+= 1
        count &+= 1
        sum &+= nanoseconds
    }

    /// Adds what `other` counted.
    public mutating func merge(_ other: Histogram) {
        count &+= other.count
        sum &+= other.sum
        if buckets.isEmpty {
            buckets = other.buckets
        } else if !other.buckets.isEmpty {
            for index in buckets.indices { buckets[index] &+= other.buckets[index] }
        }
    }

    /// The time in nanoseconds that a share of `quantile` (0 to 1) of all times does not exceed, to within 6 % from
    /// 8 µs to 73 min; nil if nothing was counted, or if `quantile` is no number.
    public func quantile(_ quantile: Double) -> UInt64? {
        guard count > 0, !quantile.isNaN else { return nil }
        let share = min(max(quantile, 0), 1) * Double(count)
        var rest = max(1, UInt64(share.rounded(.up)))
        for (index, bucket) in buckets.enumerated() {
            if bucket >= rest { return UInt64(Self.middle(of: index)) }
            rest -= bucket
        }
        return UInt64(Self.middle(of: Self.bucketCount - 1))
    }

    /// How many times are at most each of `limits`, which ascend, in nanoseconds. A bucket that a limit cuts through
    /// counts if its middle is within, so that a limit is off by 6 % at most.
    public func counts(upTo limits: [UInt64]) -> [UInt64] {
        var result: [UInt64] = []
        result.reserveCapacity(limits.count)
        var index = 0
        var total: UInt64 = 0
        for limit in limits {
            while index < buckets.count, Self.middle(of: index) <= Double(limit) {
                total &+= buckets[index]
                index += 1
            }
            result.append(total)
        }
        return result
    }

    @inline(__always)
    private static func index(of nanoseconds: UInt64) -> Int {
        let units = nanoseconds >> unitShift
        if units < 8 { return Int(truncatingIfNeeded: units) }
        let exponent = 63 &- units.leadingZeroBitCount
        let eighth = Int(truncatingIfNeeded: units >> UInt64(truncatingIfNeeded: exponent &- 3)) & 7
        return min((exponent &- 2) &* 8 &+ eighth, bucketCount &- 1)
    }

    /// The time that stands for bucket `index`: the harmonic mean of its edges is off by the same share at both.
    private static func middle(of index: Int) -> Double {
        let unit = Double(1 << unitShift)
        if index < 8 { return (Double(index) + 0.5) * unit }
        let width = unit * Double(1 << (index / 8 - 1))
        let low = width * Double(8 + index % 8)
        let high = low + width
        return 2 * low * high / (low + high)
    }
}
