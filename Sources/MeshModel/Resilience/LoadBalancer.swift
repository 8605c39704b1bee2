/// How the endpoints of a backend share its requests.
public struct LoadBalancer: Sendable, Equatable {
    /// How an endpoint is chosen.
    public enum Algorithm: Sendable, Equatable {
        /// In turn, by weight, and smoothly.
        case roundRobin
        /// Of two at random, the one with fewer requests in flight for its weight.
        case leastRequest
        /// Of two at random, the one with the smaller product of its recent response time and its requests in flight.
        case peakEWMA(PeakEWMASettings)
        /// At random, by weight.
        case random
        /// By hash of the request, on a ring; few keys move when an endpoint comes or goes. Eight equal endpoints have this
        /// many points together, more of them have more.
        case ringHash(size: Int)
        /// By hash of the request, in a table of this prime size; faster than a ring, moves slightly more keys.
        case maglev(tableSize: Int)

        /// True if requests are placed by their hash.
        public var hashes: Bool {
            switch self {
            case .ringHash, .maglev: true
            case .roundRobin, .leastRequest, .peakEWMA, .random: false
            }
        }
    }

    /// How an endpoint is chosen.
    public var algorithm: Algorithm
    /// What requests are hashed by: the first of these that the request has. For ``Algorithm/ringHash(size:)`` and
    /// ``Algorithm/maglev(tableSize:)``; a request that has none of them goes anywhere.
    public var hash: [HashSource]
    /// An endpoint that is chosen by hash is passed over while it has more than this percentage of the mean load.
    /// Nil: never.
    public var boundedLoad: Int?
    /// Whether endpoints of the proxy's own zone are preferred; nil: zones do not count.
    public var zonePreference: ZonePreference?
    /// How an endpoint that is new or healthy again grows into its share; nil: at once.
    public var slowStart: SlowStart?
    /// If fewer than this percentage of the endpoints are available, all of them get requests, as the faults are likely
    /// elsewhere. 0: never.
    public var panicThreshold: Int

    /// A balancer; the defaults where nothing is said.
    public init(
        algorithm: Algorithm = .leastRequest, hash: [HashSource] = [], boundedLoad: Int? = nil,
        zonePreference: ZonePreference? = nil, slowStart: SlowStart? = nil,
        panicThreshold: Int = Self.defaultPanicThreshold
    ) {
        self.algorithm = algorithm
        self.hash = hash
        self.boundedLoad = boundedLoad
        self.zonePreference = zonePreference
        self.slowStart = slowStart
        self.panicThreshold = panicThreshold
    }

    /// 50 %.
    public static let defaultPanicThreshold = 50
    /// 1024.
    public static let defaultRingSize = 1024
    /// 65,537.
    public static let defaultTableSize = 65_537
    /// 125 %.
    public static let defaultBoundedLoad = 125
}

/// How quickly ``LoadBalancer/Algorithm/peakEWMA(_:)`` forgets, and what it assumes.
public struct PeakEWMASettings: Sendable, Equatable {
    /// After this time a measurement counts 1/e of what it did.
    public var decay: Duration
    /// The response time of an endpoint of which nothing is known.
    public var initial: Duration
    /// What a failed response counts as, so that an endpoint that fails fast does not look fast.
    public var penalty: Duration

    /// The given settings.
    public init(
        decay: Duration = .seconds(10), initial: Duration = .milliseconds(30), penalty: Duration = .seconds(5)
    ) {
        self.decay = decay
        self.initial = initial
        self.penalty = penalty
    }
}

/// A part of the request that says where it goes.
public enum HashSource: Sendable, Equatable {
    /// The value of a header field.
    case header(name: String)
    /// The value of a cookie. With `timeToLive` the proxy sets one where the client has none; 0: until the browser ends.
    case cookie(name: String, path: String, timeToLive: Duration?)
    /// The client's address.
    case sourceIP
    /// The value of a query parameter.
    case queryParam(name: String)
}

/// Endpoints of the proxy's own zone first.
public struct ZonePreference: Sendable, Equatable {
    /// Requests stay in the zone while at least this percentage of its endpoints is available; below, they spill over
    /// in proportion.
    public var minimumAvailable: Int

    /// Preference for the own zone down to `minimumAvailable` percent.
    public init(minimumAvailable: Int = Self.defaultMinimumAvailable) { self.minimumAvailable = minimumAvailable }

    /// 70 %.
    public static let defaultMinimumAvailable = 70
}

/// How an endpoint grows into its share of requests.
public struct SlowStart: Sendable, Equatable {
    /// How long it takes.
    public var window: Duration
    /// The percentage of its weight that it begins with.
    public var minimumPercent: Int

    /// Growth over `window`, from `minimumPercent` of the weight.
    public init(window: Duration, minimumPercent: Int = Self.defaultMinimumPercent) {
        self.window = window
        self.minimumPercent = minimumPercent
    }

    /// 10 %.
    public static let defaultMinimumPercent = 10
}
