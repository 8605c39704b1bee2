/// Asks endpoints whether they are well, apart from requests.
public struct HealthCheck: Sendable, Equatable {
    /// What is asked.
    public enum Probe: Sendable, Equatable {
        /// `GET path`; well is an answer with one of these statuses.
        case http(path: String, host: String?, statuses: [ClosedRange<Int>])
        /// `grpc.health.v1.Health/Check` of this service; well is SERVING. Empty: the server as a whole.
        case grpc(service: String)
        /// That a connection can be made.
        case tcp
    }

    /// What is asked.
    public var probe: Probe
    /// From one probe to the next, with a jitter of a tenth either way.
    public var interval: Duration
    /// How long one probe may take.
    public var timeout: Duration
    /// So many probes in a row must succeed before an endpoint counts as well again.
    public var healthyThreshold: Int
    /// So many probes in a row must fail before an endpoint counts as unwell.
    public var unhealthyThreshold: Int
    /// Probes go to this port of the endpoint's address; nil: the endpoint's own.
    public var port: UInt16?

    /// Checks by `probe`; the defaults where nothing is said.
    public init(
        _ probe: Probe, interval: Duration = .seconds(3), timeout: Duration = .seconds(1), healthyThreshold: Int = 2,
        unhealthyThreshold: Int = 3, port: UInt16? = nil
    ) {
        self.probe = probe
        self.interval = interval
        self.timeout = timeout
        self.healthyThreshold = healthyThreshold
        self.unhealthyThreshold = unhealthyThreshold
        self.port = port
    }
}

/// Takes endpoints out for a while that fail real requests.
public struct OutlierDetection: Sendable, Equatable {
    /// 5xx responses in a row that eject, connect failures and resets included; nil: not looked at.
    public var consecutive5xx: Int?
    /// 502, 503 and 504 responses in a row that eject, connect failures and timeouts included; nil: not looked at.
    public var consecutiveGatewayErrors: Int?
    /// Failed connects in a row that eject; nil: not looked at.
    public var consecutiveConnectFailures: Int?
    /// Ejects endpoints whose success rate is far below the mean; nil: not looked at.
    public var successRate: SuccessRateDetection?
    /// Ejects endpoints of which too many requests fail; nil: not looked at.
    public var failurePercentage: FailurePercentageDetection?
    /// How often rates are looked at, and ejections ended.
    public var interval: Duration
    /// The first ejection takes so long, each further one in a row twice as long as the one before.
    public var baseEjectionTime: Duration
    /// No ejection takes longer.
    public var maxEjectionTime: Duration
    /// No more of the endpoints are ejected at a time, but always one may be, if there are two.
    public var maxEjectionPercent: Int

    /// A detection; the defaults where nothing is said.
    public init(
        consecutive5xx: Int? = 5, consecutiveGatewayErrors: Int? = nil, consecutiveConnectFailures: Int? = 5,
        successRate: SuccessRateDetection? = nil, failurePercentage: FailurePercentageDetection? = nil,
        interval: Duration = .seconds(10), baseEjectionTime: Duration = .seconds(30),
        maxEjectionTime: Duration = .seconds(300), maxEjectionPercent: Int = 50
    ) {
        self.consecutive5xx = consecutive5xx
        self.consecutiveGatewayErrors = consecutiveGatewayErrors
        self.consecutiveConnectFailures = consecutiveConnectFailures
        self.successRate = successRate
        self.failurePercentage = failurePercentage
        self.interval = interval
        self.baseEjectionTime = baseEjectionTime
        self.maxEjectionTime = maxEjectionTime
        self.maxEjectionPercent = maxEjectionPercent
    }
}

/// Outliers by deviation from the mean.
public struct SuccessRateDetection: Sendable, Equatable {
    /// Not looked at with fewer endpoints that have `requestVolume`.
    public var minimumEndpoints: Int
    /// Requests in one interval before an endpoint's rate counts.
    public var requestVolume: Int
    /// Ejected below mean − `deviations` × standard deviation, in thousandths: 1900 is 1.9.
    public var deviationThousandths: Int

    /// The defaults where nothing is said.
    public init(minimumEndpoints: Int = 5, requestVolume: Int = 100, deviationThousandths: Int = 1900) {
        self.minimumEndpoints = minimumEndpoints
        self.requestVolume = requestVolume
        self.deviationThousandths = deviationThousandths
    }
}

/// Outliers by a fixed bound.
public struct FailurePercentageDetection: Sendable, Equatable {
    /// Ejected at this percentage of failures, or more.
    public var threshold: Int
    /// Not looked at with fewer endpoints that have `requestVolume`.
    public var minimumEndpoints: Int
    /// Requests in one interval before an endpoint's percentage counts.
    public var requestVolume: Int

    /// The defaults where nothing is said.
    public init(threshold: Int = 85, minimumEndpoints: Int = 1, requestVolume: Int = 50) {
        self.threshold = threshold
        self.minimumEndpoints = minimumEndpoints
        self.requestVolume = requestVolume
    }
}
