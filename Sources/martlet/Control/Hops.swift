import MeshControl

/// Requests between services, each counted once although both sides report it.
struct Hops {
    /// What was added up.
    struct Sum {
        var requests: UInt64 = 0
        var failures: UInt64 = 0
        var encrypted: UInt64 = 0
        var buckets: [UInt64] = []

        mutating func add(_ hop: API.Hop) {
            requests &+= hop.requests
            failures &+= hop.failures
            if hop.mtls { encrypted &+= hop.requests }
            if buckets.count < hop.durationBuckets.count {
                buckets += Array(repeating: 0, count: hop.durationBuckets.count - buckets.count)
            }
            for (index, count) in hop.durationBuckets.enumerated() { buckets[index] &+= count }
        }
    }

    private struct Pair: Hashable { var source: String, destination: String }

    private let traffic: API.Traffic
    /// The hops of the side that counts: the source's where it has reported the pair, otherwise the destination's.
    private let counted: [API.Hop]

    init(_ traffic: API.Traffic) {
        self.traffic = traffic
        let known = Set(
            traffic.hops.lazy.filter { $0.direction == .outbound }
                .map { Pair(source: $0.source, destination: $0.destination) })
        counted = traffic.hops.filter { hop in
            hop.direction == .outbound || !known.contains(Pair(source: hop.source, destination: hop.destination))
        }
    }

    /// Sums by what `key` makes of a hop, in the order of keys.
    func sums(_ key: (API.Hop) -> [String]) -> [(key: [String], sum: Sum)] {
        var sums: [[String]: Sum] = [:]
        for hop in counted { sums[key(hop), default: Sum()].add(hop) }
        return sums.map { (key: $0.key, sum: $0.value) }.sorted { $0.key.lexicographicallyPrecedes($1.key) }
    }

    // MARK: Cells

    /// REQUESTS, SUCCESS, RPS, P50 and P99 of a row.
    func cells(_ sum: Sum) -> [String] {
        let good = sum.requests == 0 ? 100 : Double(sum.requests - sum.failures) / Double(sum.requests) * 100
        // 99.96 % is not 100 %.
        let tenths = (good * 10).rounded(.down) / 10
        return [
            "\(sum.requests)", "\(Self.decimal(tenths)) %",
            Self.decimal(Double(sum.requests) / max(traffic.seconds, 1)), quantile(0.5, sum.buckets),
            quantile(0.99, sum.buckets),
        ]
    }

    /// The names of ``cells(_:)``.
    static let heading = ["REQUESTS", "SUCCESS", "RPS", "P50", "P99"]

    /// `yes`, `no`, or the share.
    static func encrypted(_ sum: Sum) -> String {
        if sum.encrypted == 0 { return "no" }
        return sum.encrypted == sum.requests ? "yes" : "\(sum.encrypted * 100 / sum.requests) %"
    }

    private static func decimal(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }

    /// The duration that a share of requests did not exceed, as nearly as buckets tell.
    func quantile(_ share: Double, _ buckets: [UInt64]) -> String {
        let bounds = traffic.durationBounds
        let total = buckets.reduce(0, &+)
        guard total > 0 else { return "" }
        let wanted = share * Double(total)
        var below = 0.0
        for (index, count) in buckets.enumerated() where count > 0 {
            guard below + Double(count) >= wanted else {
                below += Double(count)
                continue
            }
            guard index < bounds.count else { break }
            let low = index == 0 ? 0 : Double(bounds[index - 1])
            return Self.duration(low + (Double(bounds[index]) - low) * (wanted - below) / Double(count))
        }
        return "over \(Self.duration(Double(bounds.last ?? 0)))"
    }

    /// `120 µs`, `1.3 ms`, `2.5 s`.
    private static func duration(_ microseconds: Double) -> String {
        if microseconds < 1000 { return "\(Int(microseconds.rounded())) µs" }
        if microseconds < 1_000_000 { return "\(decimal(microseconds / 1000)) ms" }
        return "\(decimal(microseconds / 1_000_000)) s"
    }
}
