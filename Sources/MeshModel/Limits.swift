/// What the clients of a listener may not exceed. Every limit answers with its own `Reason`.
public struct ListenerLimits: Sendable, Equatable {
    /// Header fields in one head; more: 431.
    public var maxHeaders = Self.defaultMaxHeaders
    /// Bytes of header fields in one head, names and values, decoded; more: 431.
    public var maxHeaderBytes = Self.defaultMaxHeaderBytes
    /// Bytes of a request target; more: 414.
    public var maxTargetBytes = Self.defaultMaxTargetBytes
    /// Bytes of a request body; more: 413. Nil: no limit.
    public var maxBodyBytes = Self.defaultMaxBodyBytes
    /// From a request's first byte to the end of its head; longer: 408.
    public var headerTimeout = Self.defaultHeaderTimeout
    /// The slowest mean rate of a request body that is being read, bytes per second; slower: 408. 0: any.
    public var bodyMinimumRate = Self.defaultBodyMinimumRate
    /// The time a body has before its rate is looked at.
    public var bodyGrace = Self.defaultBodyGrace
    /// How long a connection may stay without a request in flight.
    public var idleTimeout = Self.defaultIdleTimeout
    /// How long an exchange or tunnel may stay without a byte in either direction.
    public var streamIdleTimeout = Self.defaultStreamIdleTimeout
    /// From accept to the end of the TLS handshake, and to the end of a PROXY protocol header or ClientHello.
    public var handshakeTimeout = Self.defaultHandshakeTimeout
    /// Connections at a time, over all loops; further ones are closed at once. Nil: as many as the process can.
    public var maxConnections = Self.defaultMaxConnections
    /// Requests on one connection before it is closed gracefully. Nil: no limit.
    public var maxRequestsPerConnection = Self.defaultMaxRequestsPerConnection
    /// What concerns HTTP/2 only.
    public var http2 = HTTP2Limits()

    /// The defaults.
    public init() {}

    /// 100.
    public static let defaultMaxHeaders = 100
    /// 60 KiB.
    public static let defaultMaxHeaderBytes = 60 * 1024
    /// 16 KiB.
    public static let defaultMaxTargetBytes = 16 * 1024
    /// No limit.
    public static let defaultMaxBodyBytes: Int? = nil
    /// 10 s.
    public static let defaultHeaderTimeout = Duration.seconds(10)
    /// 240 bytes per second.
    public static let defaultBodyMinimumRate = 240
    /// 5 s.
    public static let defaultBodyGrace = Duration.seconds(5)
    /// 60 s.
    public static let defaultIdleTimeout = Duration.seconds(60)
    /// 5 min.
    public static let defaultStreamIdleTimeout = Duration.seconds(300)
    /// 10 s.
    public static let defaultHandshakeTimeout = Duration.seconds(10)
    /// No limit of its own.
    public static let defaultMaxConnections: Int? = nil
    /// No limit.
    public static let defaultMaxRequestsPerConnection: Int? = nil
}

/// What an HTTP/2 client may not exceed. A rate is a token bucket: a burst, refilled every second. Beyond it the
/// connection ends with ENHANCE_YOUR_CALM.
public struct HTTP2Limits: Sendable, Equatable {
    /// Concurrent streams on one connection (SETTINGS_MAX_CONCURRENT_STREAMS).
    public var maxConcurrentStreams = Self.defaultMaxConcurrentStreams
    /// The receive window of a stream, bytes: what one slow upstream makes us hold per stream.
    public var streamWindow = Self.defaultStreamWindow
    /// The receive window of a connection, bytes.
    public var connectionWindow = Self.defaultConnectionWindow
    /// Stream resets by the client, and ours that the client provoked.
    public var resets = Self.defaultResets
    /// Faulty or pointless frames: empty DATA, WINDOW_UPDATE without use, PRIORITY, unknown frames, header errors.
    public var glitches = Self.defaultGlitches
    /// PING, SETTINGS and their like, which we must answer.
    public var controlFrames = Self.defaultControlFrames
    /// Frames that wait to be sent because the client does not read.
    public var maxQueuedFrames = Self.defaultMaxQueuedFrames
    /// CONTINUATION frames behind one HEADERS frame.
    public var maxContinuations = Self.defaultMaxContinuations

    /// The defaults.
    public init() {}

    /// 100.
    public static let defaultMaxConcurrentStreams = 100
    /// 64 KiB.
    public static let defaultStreamWindow = 64 * 1024
    /// 1 MiB.
    public static let defaultConnectionWindow = 1024 * 1024
    /// 200, then 20 per second.
    public static let defaultResets = RateLimit(burst: 200, perSecond: 20)
    /// 500, then 50 per second.
    public static let defaultGlitches = RateLimit(burst: 500, perSecond: 50)
    /// 500, then 100 per second.
    public static let defaultControlFrames = RateLimit(burst: 500, perSecond: 100)
    /// 1000.
    public static let defaultMaxQueuedFrames = 1000
    /// 8.
    public static let defaultMaxContinuations = 8
}

/// A token bucket.
public struct RateLimit: Sendable, Equatable {
    /// How many at once.
    public var burst: Int
    /// How many more every second.
    public var perSecond: Int

    /// `burst` at once, then `perSecond`.
    public init(burst: Int, perSecond: Int) {
        self.burst = burst
        self.perSecond = perSecond
    }
}
