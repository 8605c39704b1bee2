/// A point on the monotonic clock, in nanoseconds. Sans-I/O parts take it as an argument.
@frozen
public struct Instant: Comparable, Sendable {
    /// Nanoseconds since an arbitrary start, the same for the whole process.
    public var nanoseconds: UInt64

    /// The instant `nanoseconds` after the clock's start.
    @inlinable
    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Later than every other instant: "no deadline".
    public static let never = Instant(nanoseconds: .max)

    /// True if `left` is before `right`.
    @inlinable
    public static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

    /// The instant `nanoseconds` later; `never` stays `never`.
    @inlinable
    public func advanced(byNanoseconds nanoseconds: UInt64) -> Instant {
        let (sum, overflow) = self.nanoseconds.addingReportingOverflow(nanoseconds)
        return overflow ? .never : Instant(nanoseconds: sum)
    }

    /// Nanoseconds from `earlier` to this instant; 0 if it is not earlier.
    @inlinable
    public func nanoseconds(since earlier: Instant) -> UInt64 {
        nanoseconds > earlier.nanoseconds ? nanoseconds &- earlier.nanoseconds : 0
    }
}
