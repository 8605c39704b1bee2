/// What the proxy may not exceed toward one backend. Nil: no limit.
public struct ConnectionLimits: Sendable, Equatable {
    /// Connections at a time, over all loops; beyond: requests wait, see ``maxPendingRequests``.
    public var maxConnections = Self.defaultMaxConnections
    /// Idle connections kept per loop.
    public var maxIdleConnections = Self.defaultMaxIdleConnections
    /// Requests over one connection before it is replaced.
    public var maxRequestsPerConnection = Self.defaultMaxRequestsPerConnection
    /// HTTP/2: streams of ours on one connection, if its peer allows as many.
    public var maxConcurrentStreams = Self.defaultMaxConcurrentStreams
    /// Requests in flight at a time, over all loops; beyond: requests wait, see ``maxPendingRequests``.
    public var maxRequests: Int?
    /// Requests that wait at a time for one of the limits, over all loops; beyond: 503 at once.
    public var maxPendingRequests = Self.defaultMaxPendingRequests
    /// How long a request waits at most; then 503.
    public var pendingTimeout = Self.defaultPendingTimeout
    /// Retries in flight at a time, over all loops, beside the ``RetryBudget``.
    public var maxRetries: Int?
    /// The same for each of the endpoints; another endpoint is chosen where one has reached its own.
    public var endpoint = EndpointLimits()

    /// The defaults.
    public init() {}

    /// No limit.
    public static let defaultMaxConnections: Int? = nil
    /// 128.
    public static let defaultMaxIdleConnections = 128
    /// No limit.
    public static let defaultMaxRequestsPerConnection: Int? = nil
    /// 100.
    public static let defaultMaxConcurrentStreams = 100
    /// None: at a limit, requests are refused at once.
    public static let defaultMaxPendingRequests = 0
    /// 1 s.
    public static let defaultPendingTimeout = Duration.seconds(1)
}

/// What the proxy may not exceed toward one endpoint. Nil: no limit.
public struct EndpointLimits: Sendable, Equatable {
    /// Connections at a time, over all loops.
    public var maxConnections: Int?
    /// Requests in flight at a time, over all loops.
    public var maxRequests: Int?

    /// The given limits.
    public init(maxConnections: Int? = nil, maxRequests: Int? = nil) {
        self.maxConnections = maxConnections
        self.maxRequests = maxRequests
    }
}

/// Finds the number of requests in flight that a backend takes without getting slower, and refuses more.
public struct AdaptiveConcurrency: Sendable, Equatable {
    /// The limit never falls below this.
    public var minLimit: Int
    /// The limit never rises above this.
    public var maxLimit: Int
    /// The limit that it begins with.
    public var initialLimit: Int
    /// Measurements are gathered for this long before the limit changes.
    public var interval: Duration
    /// The response time may be this percentage of the best one before the limit falls.
    public var tolerance: Int

    /// The given bounds; the defaults where nothing is said.
    public init(
        minLimit: Int = 4, maxLimit: Int = 1000, initialLimit: Int = 20, interval: Duration = .milliseconds(100),
        tolerance: Int = 150
    ) {
        self.minLimit = minLimit
        self.maxLimit = maxLimit
        self.initialLimit = initialLimit
        self.interval = interval
        self.tolerance = tolerance
    }
}

/// So many requests in a time, by what they have in common: 429 beyond.
public struct RequestRateLimit: Sendable, Equatable {
    /// What the requests of one bucket have in common.
    public enum Key: Sendable, Equatable {
        /// The rule: one bucket for all.
        case rule
        /// The client's verified identity; clients without one share a bucket.
        case identity
        /// The value of a header field; requests without it share a bucket.
        case header(name: String)
        /// The client's address.
        case address
    }

    /// What the requests of one bucket have in common.
    public var key: Key
    /// Requests in one ``unit``, over all loops.
    public var requests: Int
    /// The time in which they are allowed.
    public var unit: Duration
    /// Requests at once, if none came for long.
    public var burst: Int

    /// `requests` per `unit`, `burst` at once; nil: as many as `requests`.
    public init(key: Key = .rule, requests: Int, unit: Duration = .seconds(1), burst: Int? = nil) {
        self.key = key
        self.requests = requests
        self.unit = unit
        self.burst = burst ?? requests
    }
}

/// Makes requests fail on purpose, to see how callers take it.
public struct Fault: Sendable, Equatable {
    /// Instead of an answer of the backend.
    public enum Abort: Sendable, Equatable {
        /// This HTTP status.
        case status(Int)
        /// This gRPC status.
        case grpcStatus(Int)
    }

    /// The share of requests that it is for is `numerator` of `denominator`.
    public var numerator: Int
    /// See ``numerator``.
    public var denominator: Int
    /// Only for requests with these header fields; empty: for all.
    public var headers: [NamedMatch]
    /// Wait so long first; nil: do not.
    public var delay: Duration?
    /// Then answer with this; nil: go on.
    public var abort: Abort?

    /// A fault for `numerator` of `denominator` requests.
    public init(
        numerator: Int = 100, denominator: Int = 100, headers: [NamedMatch] = [], delay: Duration? = nil,
        abort: Abort? = nil
    ) {
        self.numerator = numerator
        self.denominator = denominator
        self.headers = headers
        self.delay = delay
        self.abort = abort
    }
}

/// Who is refused first while the proxy is overloaded.
public enum RequestPriority: Int, Sendable, Equatable, CaseIterable {
    /// Refused first.
    case low
    /// Refused when `low` was not enough.
    case normal
    /// Refused last.
    case high
}

/// When the proxy itself has too much to do. Nil: not looked at.
public struct OverloadProtection: Sendable, Equatable {
    /// Resident memory of the process, bytes.
    public var maxMemoryBytes: Int?
    /// Open descriptors, in percent of the process's limit.
    public var maxDescriptorPercent: Int?
    /// How late a loop may be with its timers.
    public var maxLoopLag: Duration?

    /// The given bounds; the defaults where nothing is said.
    public init(maxMemoryBytes: Int? = nil, maxDescriptorPercent: Int? = 90, maxLoopLag: Duration? = nil) {
        self.maxMemoryBytes = maxMemoryBytes
        self.maxDescriptorPercent = maxDescriptorPercent
        self.maxLoopLag = maxLoopLag
    }
}
