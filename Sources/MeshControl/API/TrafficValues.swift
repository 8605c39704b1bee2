extension API {
    /// What passed between services.
    public struct Traffic: Codable, Sendable, Equatable {
        /// The time that the counts are of, in seconds; not less than 1.
        public var seconds: Double
        /// The upper bounds of the buckets of durations, in microseconds; one more bucket holds the rest.
        public var durationBounds: [Int]
        /// By direction, source, destination and version.
        public var hops: [Hop]

        /// What passed in `seconds`.
        public init(seconds: Double, durationBounds: [Int], hops: [Hop]) {
            self.seconds = seconds
            self.durationBounds = durationBounds
            self.hops = hops
        }
    }

    /// Requests from one service to another, as one side counted them over all of its instances.
    public struct Hop: Codable, Sendable, Equatable {
        /// The side that counted.
        public enum Direction: String, Codable, Sendable, CaseIterable {
            /// The destination's.
            case inbound
            /// The source's.
            case outbound
        }

        /// The side that counted.
        public var direction: Direction
        /// `namespace/service`; empty: unknown.
        public var source: String
        /// `namespace/service`; empty: unknown.
        public var destination: String
        /// The destination's version label; empty: none.
        public var version: String
        /// The route that chose the destination; empty: none.
        public var route: String
        /// Whether it was mutual TLS.
        public var mtls: Bool
        /// How many.
        public var requests: UInt64
        /// Those of `requests` that failed, as ``HopCount/isFailure`` has it.
        public var failures: UInt64
        /// How they ended.
        public var counts: [HopCount]
        /// How many took how long, by ``Traffic/durationBounds``.
        public var durationBuckets: [UInt64]

        /// A hop; totals are taken from `counts`.
        public init(
            direction: Direction, source: String, destination: String, version: String = "", route: String = "",
            mtls: Bool, counts: [HopCount], durationBuckets: [UInt64]
        ) {
            self.direction = direction
            self.source = source
            self.destination = destination
            self.version = version
            self.route = route
            self.mtls = mtls
            self.counts = counts
            self.durationBuckets = durationBuckets
            requests = counts.reduce(0) { $0 &+ $1.count }
            failures = counts.reduce(0) { $0 &+ ($1.isFailure ? $1.count : 0) }
        }
    }

    /// Requests that ended in one way.
    public struct HopCount: Codable, Sendable, Equatable {
        /// HTTP; 0: there was no response, or it is not HTTP.
        public var status: Int
        /// gRPC; -1: it is not gRPC.
        public var grpcStatus: Int
        /// The proxy's, for what it answered itself; empty: the upstream's own answer.
        public var reason: String
        /// How many.
        public var count: UInt64

        /// A count of these parts.
        public init(status: Int, grpcStatus: Int = -1, reason: String = "", count: UInt64) {
            self.status = status
            self.grpcStatus = grpcStatus
            self.reason = reason
            self.count = count
        }

        /// Whether the server's side is to blame: a status from 500, a gRPC status that says so, or a reason without
        /// any status.
        public var isFailure: Bool {
            if grpcStatus >= 0 { return [2, 4, 12, 13, 14, 15].contains(grpcStatus) }
            return status >= 500 || (status == 0 && !reason.isEmpty)
        }
    }
}
