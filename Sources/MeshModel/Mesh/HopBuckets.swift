/// How proxies and the control plane count durations of hops: the same list in both, so that counts can be added.
public enum HopBuckets {
    /// Upper bounds in microseconds, inclusive, ascending; what is longer is in one more bucket behind the last.
    public static let bounds: [UInt64] = [
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
        5_000_000, 10_000_000,
    ]
}
