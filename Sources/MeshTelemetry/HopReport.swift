import MeshCore

/// What passed between two services since the process started, as a proxy reports it to its control plane.
public struct HopReport: Sendable, Equatable {
    /// Requests that came to one outcome.
    public struct Count: Sendable, Equatable {
        /// The HTTP status sent; 0 if none was, as on a TCP connection; 65535: what was not told apart.
        public var status: Int
        /// The gRPC status; -1 if there was none.
        public var grpcStatus: Int
        /// Why the proxy answered itself or cut the request off; nil if the answer was the endpoint's.
        public var reason: Reason?
        /// So many requests.
        public var count: UInt64

        /// `count` requests that came to this.
        public init(status: Int, grpcStatus: Int = -1, reason: Reason? = nil, count: UInt64) {
            self.status = status
            self.grpcStatus = grpcStatus
            self.reason = reason
            self.count = count
        }
    }

    /// Which way.
    public var direction: HopDirection
    /// `namespace/service`; empty: unknown.
    public var source: String
    /// `namespace/service`, or the name of a backend that is no service.
    public var destination: String
    /// The label `version` of the endpoint that answered; empty: unknown.
    public var destinationVersion: String
    /// `namespace/name` of the route; empty: none.
    public var route: String
    /// The two proxies spoke mutual TLS.
    public var isMTLS: Bool
    /// Requests by outcome.
    public var counts: [Count]
    /// Requests by duration: one number for each of ``HopDurations/bounds``, and one for the rest.
    public var durationBuckets: [UInt64]
    /// The sum of the durations.
    public var durationSumMicroseconds: UInt64

    init(_ series: HopSeries, _ counters: HopCounters) {
        direction = series.direction
        source = series.source
        destination = series.destination
        destinationVersion = series.version
        route = series.route
        isMTLS = series.isMTLS
        counts = counters.outcomes.entries.map { entry in
            Count(
                status: Int(entry.key.status), grpcStatus: Int(entry.key.grpcStatus) - 1, reason: entry.key.reason,
                count: entry.count)
        }
        durationBuckets = counters.buckets.indices.map { counters.buckets[$0] }
        durationSumMicroseconds = counters.sum / 1000
    }
}

extension MetricsSnapshot {
    /// Every hop that counted, in the order of the labels.
    public var hopReports: [HopReport] { hops.sorted.map { HopReport($0.series, $0.counters) } }
}

// MARK: - Prometheus

extension MetricsSnapshot {
    /// The families of hops.
    func appendHops(to text: inout PrometheusText) {
        let all = hops.sorted.map { (Labels($0.series), $0.counters) }
        text.family(
            "martlet_hop_requests_total", .counter,
            "Requests between services that ended, seen from one of the two proxies.")
        for (labels, counters) in all {
            for (outcome, count) in Self.byClass(counters.outcomes) {
                var labels = labels
                labels.add("status_class", outcome.statusClass)
                labels.add("reason", outcome.reason.map { Array($0.rawValue.utf8) } ?? [])
                labels.add("grpc_status", outcome.grpcText)
                text.sample(labels, count)
            }
        }
        text.family(
            "martlet_hop_duration_seconds", .histogram,
            "Time from a request's first byte to the last byte of its response, between services.")
        for (labels, counters) in all {
            text.samples(
                labels, limits: Self.hopLimits, counters.buckets.indices.map { counters.buckets[$0] }, counters.sum)
        }
    }

    /// Outcomes that differ in the exact status only are one series.
    private static func byClass(_ outcomes: Tally<Outcome>) -> [(Outcome, UInt64)] {
        var sum = Tally<Outcome>()
        for entry in outcomes.entries {
            var key = entry.key
            if key != .other { key.status = key.status / 100 * 100 }
            sum.add(key, entry.count)
        }
        return sum.entries.map { ($0.key, $0.count) }
    }

    private static let hopLimits: [StaticString] = [
        "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1",
        "2.5", "5", "10",
    ]
}

extension Outcome {
    fileprivate var statusClass: StaticString {
        switch status {
        case 0: "none"
        case 100..<200: "1xx"
        case 200..<300: "2xx"
        case 300..<400: "3xx"
        case 400..<500: "4xx"
        case 500..<600: "5xx"
        default: "other"
        }
    }

    /// `0` to `16`, `other`, or empty.
    var grpcText: [UInt8] {
        var text: [UInt8] = []
        if grpcStatus > 17 { text.put("other") } else if grpcStatus > 0 { text.put(decimal: UInt64(grpcStatus - 1)) }
        return text
    }
}

extension Labels {
    fileprivate init(_ hop: HopSeries) {
        self.init("direction", hop.direction.text)
        add("source", Array(hop.source.utf8))
        add("destination", Array(hop.destination.utf8))
        add("destination_version", Array(hop.version.utf8))
        add("route", Array(hop.route.utf8))
        add("mtls", hop.isMTLS ? "true" : "false")
    }
}
