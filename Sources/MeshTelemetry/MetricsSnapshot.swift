import MeshCore
import MeshModel

/// What one loop, or all of them together, counted up to some moment.
public struct MetricsSnapshot: Sendable {
    // Labels by slot, and counters in pages of slots.
    private(set) var routeLabels: [RouteLabels]
    private(set) var routes: [[RouteCounters]]
    private(set) var listenerNames: [[UInt8]]
    private(set) var listeners: [[ListenerCounters]]
    private(set) var backendNames: [[UInt8]]
    private(set) var backends: [[BackendCounters]]
    private(set) var hops: HopSnapshot
    private(set) var policyNames: [[UInt8]]
    private(set) var policies: [[AccessCounters]]
    private(set) var answers: Tally<Reason>
    private(set) var downstream: HTTP2Counters
    private(set) var upstream: HTTP2Counters
    private(set) var droppedLines: UInt64

    /// The sum of `parts`, in the order of the labels, whatever slots they have in each.
    public static func merged(_ parts: [MetricsSnapshot]) -> MetricsSnapshot {
        var routes: [RouteLabels: RouteCounters] = [:]
        var listeners: [[UInt8]: ListenerCounters] = [:]
        var backends: [[UInt8]: BackendCounters] = [:]
        var policies: [[UInt8]: AccessCounters] = [:]
        var answers = Tally<Reason>()
        var (downstream, upstream) = (HTTP2Counters(), HTTP2Counters())
        var droppedLines: UInt64 = 0
        var hops = HopSnapshot()
        for part in parts {
            for (labels, counters) in zip(part.routeLabels, part.routes.joined()) {
                routes[labels, default: RouteCounters()].merge(counters)
            }
            for (name, counters) in zip(part.listenerNames, part.listeners.joined()) {
                listeners[name, default: ListenerCounters()].merge(counters)
            }
            for (name, counters) in zip(part.backendNames, part.backends.joined()) {
                backends[name, default: BackendCounters()].merge(counters)
            }
            hops.merge(part.hops)
            for (name, counters) in zip(part.policyNames, part.policies.joined()) {
                policies[name, default: AccessCounters()].merge(counters)
            }
            answers.merge(part.answers)
            downstream.merge(part.downstream)
            upstream.merge(part.upstream)
            droppedLines &+= part.droppedLines
        }
        let routeLabels = routes.keys.sorted(by: Self.precedes)
        let listenerNames = listeners.keys.sorted { $0.lexicographicallyPrecedes($1) }
        let backendNames = backends.keys.sorted { $0.lexicographicallyPrecedes($1) }
        let policyNames = policies.keys.sorted { $0.lexicographicallyPrecedes($1) }
        return MetricsSnapshot(
            routeLabels: routeLabels, routes: [routeLabels.map { routes[$0]! }], listenerNames: listenerNames,
            listeners: [listenerNames.map { listeners[$0]! }], backendNames: backendNames,
            backends: [backendNames.map { backends[$0]! }], hops: hops, policyNames: policyNames,
            policies: [policyNames.map { policies[$0]! }], answers: answers, downstream: downstream, upstream: upstream,
            droppedLines: droppedLines)
    }

    private static func precedes(_ left: RouteLabels, _ right: RouteLabels) -> Bool {
        if left.listener != right.listener { return left.listener.lexicographicallyPrecedes(right.listener) }
        if left.route != right.route { return left.route.lexicographicallyPrecedes(right.route) }
        return left.backend.lexicographicallyPrecedes(right.backend)
    }
}

extension MetricsSnapshot {
    /// Exchanges that ended, over all slots.
    public var requestCount: UInt64 { routes.joined().reduce(0) { $0 &+ $1.durations.count } }

    /// Exchanges in progress, over all listeners.
    public var requestsInFlight: Int { listeners.joined().reduce(0) { $0 &+ $1.inFlight } }

    /// Connections of clients that are open, over all listeners.
    public var downstreamConnections: Int { listeners.joined().reduce(0) { $0 &+ $1.active } }

    /// The times of all attempts on the backend called `name`, for people who ask for quantiles.
    public func upstreamDurations(of name: String) -> Histogram {
        guard let index = backendNames.firstIndex(of: Array(name.utf8)) else { return Histogram() }
        return Array(backends.joined())[index].durations
    }

    /// The times of all exchanges.
    public var durations: Histogram {
        var sum = Histogram()
        for counters in routes.joined() { sum.merge(counters.durations) }
        return sum
    }
}

/// What is said of the process and its configuration beside what the loops count. The caller asks the system.
public struct ProcessFacts: Sendable {
    /// When a certificate ends.
    public struct Certificate: Sendable {
        /// How the configuration calls it.
        public var name: String
        /// Seconds since 1970-01-01 UTC.
        public var expiry: Int

        /// A certificate's end.
        public init(name: String, expiry: Int) {
            self.name = name
            self.expiry = expiry
        }
    }

    /// How the endpoints of a backend stand, which no loop knows alone.
    public struct Backend: Sendable {
        /// How the configuration calls it.
        public var name: String
        /// Endpoints that get requests.
        public var available = 0
        /// Endpoints that are ejected for failing requests; nil if none is looked at.
        public var ejected: Int?
        /// Endpoints whose probes fail; nil if none is probed.
        public var unhealthy: Int?
        /// Ejections so far.
        public var ejections: [EjectionCause: UInt64] = [:]
        /// Probes so far that succeeded, and that failed.
        public var probes = (succeeded: UInt64(0), failed: UInt64(0))
        /// So many requests may be in flight; nil if that is not measured.
        public var concurrencyLimit: Int?

        /// A backend without endpoints.
        public init(name: String) { self.name = name }
    }

    /// The version of the proxy.
    public var version: String
    /// When the process started, in nanoseconds since 1970-01-01 UTC.
    public var startTime: UInt64
    /// Processor time used, user and system, in nanoseconds.
    public var processorTime: UInt64 = 0
    /// Memory in RAM, in bytes.
    public var residentBytes = 0
    /// Open descriptors.
    public var openDescriptors = 0
    /// The most descriptors that the process may have open; 0 if unlimited.
    public var maximumDescriptors = 0
    /// Loops that serve.
    public var loops = 1
    /// The revision of the configuration that is served.
    public var revision = ""
    /// When that configuration was adopted, in nanoseconds since 1970-01-01 UTC; 0 if there is none.
    public var adopted: UInt64 = 0
    /// Changed configurations that were adopted since the start, the first one included.
    public var acceptedConfigurations: UInt64 = 0
    /// Changed configurations that were refused since the start.
    public var rejectedConfigurations: UInt64 = 0
    /// The latest change of the configuration was adopted.
    public var lastConfigurationAccepted = true
    /// The certificates that are served.
    public var certificates: [Certificate] = []
    /// The backends that are served.
    public var backends: [Backend] = []
    /// How many priorities are refused on the loop that refuses most.
    public var overloadLevel = 0
    /// Loops that accept no connections, because descriptors run out.
    public var loopsNotAccepting = 0
    /// New requests are welcome: what `/ready` says.
    public var isReady = true
    /// The proxy is ending its connections.
    public var isDraining = false
    /// How the proxy stands with its control plane; nil outside of a mesh.
    public var control: ControlFacts?

    /// Facts with what every process has.
    public init(version: String, startTime: UInt64) {
        self.version = version
        self.startTime = startTime
    }
}
