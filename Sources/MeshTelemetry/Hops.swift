import MeshCore
import MeshModel

/// The buckets of a hop's durations.
public enum HopDurations {
    /// In microseconds, ascending; a duration counts for the first bound that it does not exceed. What is longer than
    /// the last one has a bucket of its own.
    public static var bounds: [UInt64] { HopBuckets.bounds }

    /// The bucket of a duration; copied bounds (a test compares them) spare each request the access to a lazy global.
    @inline(__always)
    static func bucket(_ microseconds: UInt64) -> Int {
        let bounds: InlineArray<16, UInt64> = [
            100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
            5_000_000, 10_000_000,
        ]
        var index = 0
        while index < bounds.count, microseconds > bounds[index] { index &+= 1 }
        return index
    }
}

/// Which way a request between two services goes, seen from the proxy that counts it.
public enum HopDirection: Sendable, Hashable, CaseIterable {
    /// To the application beside the proxy.
    case inbound
    /// From it, or from a gateway.
    case outbound

    /// As labels say it.
    public var text: StaticString {
        switch self {
        case .inbound: "inbound"
        case .outbound: "outbound"
        }
    }
}

/// What is known of a hop when a configuration is adopted.
public struct HopLabels: Hashable, Sendable {
    /// Which way.
    public var direction: HopDirection
    /// Whose requests: `namespace/service`. Inbound: empty, the peer says it.
    public var source: String
    /// Who is asked: `namespace/service`, or the name of a backend that is no service.
    public var destination: String
    /// Inbound: the version of the application. Outbound: empty, the endpoint says it.
    public var version: String
    /// `namespace/name` of the route.
    public var route: String

    /// A hop from `source` to `destination`.
    public init(
        direction: HopDirection, source: String = "", destination: String, version: String = "", route: String = ""
    ) {
        self.direction = direction
        self.source = source
        self.destination = destination
        self.version = version
        self.route = route
    }
}

/// What is known of a hop when it is made: inbound the peer's service, outbound the endpoint's version.
struct HopSide: Hashable, Sendable {
    var text: String
    var isMTLS: Bool

    /// What stands for those that came after as many as are told apart.
    static let other = "other"
}

/// Counts of one hop.
struct HopCounters: Sendable {
    var outcomes = Tally<Outcome>()
    var buckets = InlineArray<17, UInt64>(repeating: 0)
    var sum: UInt64 = 0

    @inline(__always)
    mutating func add(_ record: borrowing ExchangeRecord) {
        outcomes.add(Outcome(record), limit: Outcome.limit, rest: .other)
        let nanoseconds = record.ended.nanoseconds(since: record.started)
        // Rounded up: a duration between two microseconds is not within the bound of the first one.
        buckets[HopDurations.bucket((nanoseconds &+ 999) / 1000)] &+= 1
        sum &+= nanoseconds
    }

    mutating func merge(_ other: HopCounters) {
        outcomes.merge(other.outcomes)
        for index in buckets.indices { buckets[index] &+= other.buckets[index] }
        sum &+= other.sum
    }
}

/// Hops that differ in their side only, found by the number of the side.
struct HopRow: ForgettableCounters, Sendable {
    private var places: [Int32] = []
    private(set) var sides: [Int32] = []
    private(set) var counters: [HopCounters] = []

    /// Sides that a row tells apart; the rest is counted as the last one, which ``HopSides`` calls "other".
    static let limit = 512

    var isIdle: Bool { true }

    /// Allocates when the side is new only.
    @inline(__always)
    mutating func add(_ record: borrowing ExchangeRecord) {
        let side = record.hopSide
        if side >= places.count || places[side] < 0 { makePlace(side) }
        counters[Int(places[side])].add(record)
    }

    private mutating func makePlace(_ side: Int) {
        while places.count <= side { places.append(-1) }
        let isFull = counters.count >= Self.limit && side != HopSides.other
        if isFull && (places[HopSides.other] < 0) { makePlace(HopSides.other) }
        if isFull {
            places[side] = places[HopSides.other]
        } else {
            places[side] = Int32(counters.count)
            sides.append(Int32(side))
            counters.append(HopCounters())
        }
    }
}

/// Numbers for the sides of hops, dense from 0. Neither peers nor versions are forgotten, but only so many are told
/// apart.
struct HopSides: Sendable {
    private var numbers: [HopSide: Int] = [:]
    private(set) var sides: [HopSide]

    /// The number of an unknown side in clear text.
    static let unknown = 0
    /// The number of what is not told apart.
    static let other = 1
    /// Sides that are told apart.
    static let limit = 4096

    init() {
        sides = [HopSide(text: "", isMTLS: false), HopSide(text: HopSide.other, isMTLS: false)]
        numbers[sides[0]] = Self.unknown
    }

    mutating func number(_ text: String, isMTLS: Bool) -> Int {
        let side = HopSide(text: text, isMTLS: isMTLS)
        if let known = numbers[side] { return known }
        guard sides.count < Self.limit else { return Self.other }
        numbers[side] = sides.count
        sides.append(side)
        return sides.count - 1
    }
}

/// The hops that one loop, or all of them together, counted. Shares the loops' arrays: adding up is left to who reads.
struct HopSnapshot: Sendable {
    private struct Part: Sendable {
        let rows: [HopLabels]
        let pages: [[HopRow]]
        let sides: [HopSide]
    }

    private var parts: [Part] = []

    init() {}

    init(rows: [HopLabels], pages: [[HopRow]], sides: [HopSide]) {
        if !rows.isEmpty { parts = [Part(rows: rows, pages: pages, sides: sides)] }
    }

    mutating func merge(_ other: HopSnapshot) { parts += other.parts }

    /// All hops, in the order of their labels.
    var sorted: [(series: HopSeries, counters: HopCounters)] {
        var hops: [HopSeries: HopCounters] = [:]
        for part in parts {
            for (labels, row) in zip(part.rows, part.pages.joined()) {
                for (side, counters) in zip(row.sides, row.counters) {
                    hops[HopSeries(labels, part.sides[Int(side)]), default: HopCounters()].merge(counters)
                }
            }
        }
        return hops.sorted { $0.key.precedes($1.key) }.map { (series: $0.key, counters: $0.value) }
    }
}

/// All that tells one hop from another.
struct HopSeries: Hashable, Sendable {
    let direction: HopDirection
    let source: String
    let destination: String
    let version: String
    let route: String
    let isMTLS: Bool

    init(_ labels: HopLabels, _ side: HopSide) {
        direction = labels.direction
        source = labels.direction == .inbound ? side.text : labels.source
        destination = labels.destination
        version = labels.direction == .inbound ? labels.version : side.text
        route = labels.route
        isMTLS = side.isMTLS
    }

    fileprivate func precedes(_ other: HopSeries) -> Bool { order.lexicographicallyPrecedes(other.order) }

    private var order: [String] {
        [direction == .inbound ? "0" : "1", source, destination, version, route, isMTLS ? "1" : "0"]
    }
}
