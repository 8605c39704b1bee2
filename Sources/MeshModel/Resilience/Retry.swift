/// When to try again. Beside these, a request of which nothing can have been processed is replayed once on another
/// connection whatever is set here.
public struct Retry: Sendable, Equatable {
    /// Attempts after the first; hedges included.
    public var attempts: Int
    /// Response codes that are worth another attempt.
    public var codes: [Int]
    /// gRPC statuses that are worth another attempt, in the head or in trailers before any message.
    public var grpcStatuses: [Int]
    /// Failures that are worth another attempt.
    public var triggers: RetryTriggers
    /// How long one attempt may take; nil: as long as the request may.
    public var perTryTimeout: Duration?
    /// How long to wait before another attempt.
    public var backoff: Backoff
    /// True if requests whose method is not idempotent (RFC 9110 §9.2.2) are tried again too after something may have
    /// been processed. gRPC requests are not tried again either without it, except on ``grpcStatuses``.
    public var nonIdempotent: Bool
    /// The largest request body that is kept to be sent again, bytes; a request with a larger one is not tried again.
    public var bufferBytes: Int
    /// `Retry-After` and `grpc-retry-pushback-ms` are followed up to this long; if more is asked for, there is no other
    /// attempt.
    public var maxRetryAfter: Duration
    /// A second attempt is started beside the first if nothing came back after this time; nil: never.
    public var hedgeDelay: Duration?

    /// Up to `attempts` more; the defaults where nothing is said.
    public init(
        attempts: Int = Self.defaultAttempts, codes: [Int] = [], grpcStatuses: [Int] = [],
        triggers: RetryTriggers = .unprocessed, perTryTimeout: Duration? = nil, backoff: Backoff = Backoff(),
        nonIdempotent: Bool = false, bufferBytes: Int = Self.defaultBufferBytes,
        maxRetryAfter: Duration = Self.defaultMaxRetryAfter, hedgeDelay: Duration? = nil
    ) {
        self.attempts = attempts
        self.codes = codes
        self.grpcStatuses = grpcStatuses
        self.triggers = triggers
        self.perTryTimeout = perTryTimeout
        self.backoff = backoff
        self.nonIdempotent = nonIdempotent
        self.bufferBytes = bufferBytes
        self.maxRetryAfter = maxRetryAfter
        self.hedgeDelay = hedgeDelay
    }

    /// 1.
    public static let defaultAttempts = 1
    /// 64 KiB.
    public static let defaultBufferBytes = 64 * 1024
    /// 1 s.
    public static let defaultMaxRetryAfter = Duration.seconds(1)
}

/// Failures that are worth another attempt.
public struct RetryTriggers: OptionSet, Sendable, Equatable {
    /// The bits.
    public let rawValue: UInt8

    /// The set of these bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// No connection could be made: `connect-failure`.
    public static let connectFailure = RetryTriggers(rawValue: 1)
    /// The endpoint refused the stream, or its GOAWAY says that it was not processed: `refused-stream`.
    public static let refusedStream = RetryTriggers(rawValue: 2)
    /// The connection or stream ended before a response head: `reset`.
    public static let reset = RetryTriggers(rawValue: 4)
    /// The attempt took longer than it may: `timeout`.
    public static let timeout = RetryTriggers(rawValue: 8)

    /// What cannot have been processed.
    public static let unprocessed: RetryTriggers = [.connectFailure, .refusedStream]
}

/// Exponential backoff with full jitter: before retry n, a random time up to min(`max`, `base` × 2ⁿ⁻¹).
public struct Backoff: Sendable, Equatable {
    /// The bound before the first retry.
    public var base: Duration
    /// The bound that no retry exceeds.
    public var max: Duration

    /// Up to `base`, doubled until `max`.
    public init(base: Duration = .milliseconds(25), max: Duration = .milliseconds(250)) {
        self.base = base
        self.max = max
    }
}

/// Bounds the load that retries add: always on, for every backend.
public struct RetryBudget: Sendable, Equatable {
    /// Retries in flight may be this percentage of the requests in flight.
    public var percent: Int
    /// So many retries in flight are always allowed.
    public var minConcurrency: Int

    /// The given budget.
    public init(percent: Int = 20, minConcurrency: Int = 3) {
        self.percent = percent
        self.minConcurrency = minConcurrency
    }
}
