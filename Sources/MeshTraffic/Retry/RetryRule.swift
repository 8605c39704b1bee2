import MeshCore
import MeshModel

/// What made another attempt worth a thought.
public enum RetryCause: Sendable, Equatable {
    /// No connection could be made.
    case connectFailure
    /// The endpoint said that it has not processed the request.
    case refusedStream
    /// The attempt ended before a response head.
    case reset
    /// The attempt took longer than it may.
    case timeout
    /// The response has this status.
    case status(Int)
    /// The call ended with this gRPC status before any message.
    case grpcStatus(Int)

    /// True if the endpoint cannot have processed anything: any method may be repeated then.
    public var isUnprocessed: Bool {
        switch self {
        case .connectFailure, .refusedStream: true
        case .reset, .timeout, .status, .grpcStatus: false
        }
    }
}

/// What is known when an attempt has failed.
public struct RetryQuestion: Sendable {
    /// How it failed.
    public var cause: RetryCause
    /// The method may be repeated without asking for more (RFC 9110 §9.2.2).
    public var isIdempotent: Bool
    /// All that was sent of the request can be sent again.
    public var isReplayable: Bool
    /// Retries made so far, hedges included.
    public var retries: Int
    /// When the endpoint wants to be asked again.
    public var pushback: Pushback
    /// Nanoseconds left of the whole request's time; `.max`: no end.
    public var remaining: UInt64

    /// A question about `cause`.
    public init(
        _ cause: RetryCause, isIdempotent: Bool, isReplayable: Bool = true, retries: Int = 0,
        pushback: Pushback = .none, remaining: UInt64 = .max
    ) {
        self.cause = cause
        self.isIdempotent = isIdempotent
        self.isReplayable = isReplayable
        self.retries = retries
        self.pushback = pushback
        self.remaining = remaining
    }
}

/// Whether there is another attempt.
public enum RetryVerdict: Sendable, Equatable {
    /// Yes, after so many nanoseconds.
    case retry(after: UInt64)
    /// No, and why.
    case giveUp(Refusal)

    /// Why there is no other attempt.
    public enum Refusal: Sendable, Equatable {
        /// Nothing was said about failures of this kind.
        case notListed
        /// As many as allowed were made.
        case attemptsSpent
        /// The request may have been processed, and its method is not idempotent.
        case notIdempotent
        /// The body is too large to be kept, or was not kept.
        case notReplayable
        /// The endpoint asked not to be asked again, or not so soon.
        case pushedBack
        /// The time of the whole request would be over.
        case deadline
        /// The retries in flight are as many as the budget allows.
        case budget
        /// The retries in flight are as many as `maxRetries` allows.
        case limit
    }
}

/// `Retry` as the proxy carries it out: the one retry decision. Sets of bits instead of lists, nanoseconds instead of
/// durations; time and chance are passed in.
public final class RetryRule: Sendable {
    /// Attempts after the first.
    public let attempts: Int
    /// Nanoseconds that one attempt may take until its response is forwarded; `.max`: no limit.
    public let perTryTimeout: UInt64
    /// Nanoseconds until a second attempt is started beside the first; `.max`: never.
    public let hedgeDelay: UInt64
    /// The largest request body that is kept, bytes.
    public let bufferBytes: Int
    /// The head of a gRPC response waits for the first message or the trailers.
    public let holdsGRPCHeads: Bool
    private let nonIdempotent: Bool
    private let triggers: RetryTriggers
    private let statuses: StatusSet
    private let grpcStatuses: UInt32
    private let backoff: BackoffBounds
    private let maxPushback: UInt64

    /// Compiles `retry`.
    public init(_ retry: Retry) {
        attempts = max(retry.attempts, 0)
        perTryTimeout = retry.perTryTimeout?.nanoseconds ?? .max
        hedgeDelay = retry.hedgeDelay?.nanoseconds ?? .max
        bufferBytes = max(retry.bufferBytes, 0)
        nonIdempotent = retry.nonIdempotent
        triggers = retry.triggers
        statuses = StatusSet(retry.codes)
        grpcStatuses = retry.grpcStatuses.reduce(0) { (0..<32).contains($1) ? $0 | 1 << UInt32($1) : $0 }
        holdsGRPCHeads = grpcStatuses != 0
        backoff = BackoffBounds(retry.backoff)
        maxPushback = retry.maxRetryAfter.nanoseconds
    }

    /// True if a failure of this kind is worth another attempt.
    public func lists(_ cause: RetryCause) -> Bool {
        switch cause {
        case .connectFailure: triggers.contains(.connectFailure)
        case .refusedStream: triggers.contains(.refusedStream)
        case .reset: triggers.contains(.reset)
        case .timeout: triggers.contains(.timeout)
        case .status(let status): statuses.contains(status)
        case .grpcStatus(let status): (0..<32).contains(status) && grpcStatuses >> UInt32(status) & 1 == 1
        }
    }

    /// The decision. `permit` is asked last, and only if nothing else speaks against another attempt: it takes a place
    /// in the budget, or says why there is none.
    public func decide(
        _ question: RetryQuestion, random: UInt64, permit: () -> RetryVerdict.Refusal?
    ) -> RetryVerdict {
        guard lists(question.cause) else { return .giveUp(.notListed) }
        guard question.retries < attempts else { return .giveUp(.attemptsSpent) }
        guard mayRepeat(question) else { return .giveUp(.notIdempotent) }
        guard question.isReplayable else { return .giveUp(.notReplayable) }
        let delay: UInt64
        switch question.pushback {
        case .none: delay = backoff.delay(beforeRetry: question.retries &+ 1, random: random)
        case .after(let asked):
            guard asked <= maxPushback else { return .giveUp(.pushedBack) }
            delay = asked
        case .never: return .giveUp(.pushedBack)
        }
        guard delay < question.remaining else { return .giveUp(.deadline) }
        if let refusal = permit() { return .giveUp(refusal) }
        return .retry(after: delay)
    }

    /// True if a request may be sent twice though nothing is known of the first: by its method, or by the policy.
    public func mayRepeat(isIdempotent: Bool) -> Bool { isIdempotent || nonIdempotent }

    /// A gRPC status that is listed says that the call may be repeated, whatever its method: the service's own word.
    private func mayRepeat(_ question: RetryQuestion) -> Bool {
        if question.isIdempotent || nonIdempotent || question.cause.isUnprocessed { return true }
        if case .grpcStatus = question.cause { return true }
        return false
    }
}

/// Response codes from 100 to 611, one bit each.
struct StatusSet: Sendable {
    private var bits = InlineArray<8, UInt64>(repeating: 0)

    init(_ statuses: [Int]) {
        for status in statuses where (100..<612).contains(status) {
            bits[(status - 100) / 64] |= 1 << UInt64((status - 100) % 64)
        }
    }

    func contains(_ status: Int) -> Bool {
        let index = status &- 100
        guard index >= 0, index < 512 else { return false }
        return bits[index / 64] >> UInt64(index % 64) & 1 == 1
    }
}
