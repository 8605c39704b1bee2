internal import MeshDiscovery
import MeshModel

/// What distinguishes counters of requests between two services.
struct HopKey: Hashable {
    var isInbound: Bool
    var source: String
    var destination: String
    var version: String
    var route: String
    var mtls: Bool

    /// Nil: the direction is not known to this program.
    init?(_ hop: ControlHop) {
        switch hop.direction {
        case .inbound: isInbound = true
        case .outbound: isInbound = false
        case .unspecified, .UNRECOGNIZED: return nil
        }
        source = hop.source
        destination = hop.destination
        version = hop.destinationVersion
        route = hop.route
        mtls = hop.mtls
    }
}

/// Counted requests.
struct HopSum: Equatable {
    /// A way to end.
    struct Ending: Hashable, Comparable {
        var status: Int32
        var grpcStatus: Int32
        var reason: String

        static func < (left: Ending, right: Ending) -> Bool {
            (left.status, left.grpcStatus, left.reason) < (right.status, right.grpcStatus, right.reason)
        }
    }

    var counts: [Ending: UInt64] = [:]
    /// By ``HopBuckets/bounds``, with one more for the rest.
    var buckets = [UInt64](repeating: 0, count: HopBuckets.bounds.count + 1)

    init() {}

    init(_ hop: ControlHop) {
        for count in hop.counts {
            counts[Ending(status: count.status, grpcStatus: count.grpcStatus, reason: count.reason), default: 0] &+=
                count.count
        }
        for (index, count) in hop.durationBuckets.prefix(buckets.count).enumerated() { buckets[index] = count }
    }

    mutating func add(_ other: HopSum) {
        for (ending, count) in other.counts { counts[ending, default: 0] &+= count }
        for index in buckets.indices { buckets[index] &+= other.buckets[index] }
    }

    /// What has been counted since `before`; all of it where a counter has gone back.
    func since(_ before: HopSum?) -> HopSum {
        guard let before else { return self }
        var result = HopSum()
        for (ending, count) in counts {
            let old = before.counts[ending] ?? 0
            if count != old { result.counts[ending] = count >= old ? count - old : count }
        }
        for index in buckets.indices {
            let (new, old) = (buckets[index], before.buckets[index])
            result.buckets[index] = new >= old ? new - old : new
        }
        return result
    }

    var isEmpty: Bool { counts.isEmpty && buckets.allSatisfy { $0 == 0 } }
}
