import MeshCore
import MeshHTTP
import MeshTelemetry
import MeshTraffic

/// How far an exchange is with its attempts, if a policy allows more than one.
struct RetryProgress {
    /// Retries begun, hedges included.
    var retries = 0
    /// Body bytes of the request are kept to be sent again.
    var isKeeping = false
    /// Body bytes that the attempt has taken.
    private(set) var taken = 0
    /// Body bytes that any attempt has taken: the client was told of these.
    private var takenBefore = 0
    /// The attempt's response is put aside: it is counted already.
    var isPutAside = false
    /// A place in the retry budget is taken.
    var hasPermit = false

    /// The attempt took `count` bytes; how many of them no attempt has taken before.
    mutating func take(_ count: Int) -> Int {
        taken &+= count
        guard taken > takenBefore else { return 0 }
        let fresh = taken &- takenBefore
        takenBefore = taken
        return fresh
    }

    /// The body is sent again from its first byte.
    mutating func rewind() { taken = 0 }
}

/// The last response that was a reason to try again: what the client gets if nothing better comes.
final class KeptResponse {
    let head = MessageHead()
    let trailers = MessageHead()
    let body: BodyPipe
    /// All of it is here.
    private(set) var isComplete = false
    private var isDropped = false

    /// The largest body that is kept, and the most that is read of a response that nobody gets, bytes.
    static let limit = 16 * 1024

    init(pools: BufferPools) { body = BodyPipe(pools: pools) }

    /// Takes a copy of the head.
    func begin(_ response: MessageHead) {
        head.copy(from: response)
        trailers.reset()
        body.reset()
        isDropped = false
        isComplete = response.bodyLength == .none
    }

    /// Takes over what is in `pipe`; false if that is more than is kept.
    func take(_ pipe: BodyPipe) -> Bool {
        while !pipe.isEmpty { body.append(pipe.takeFirst(upTo: .max)) }
        return body.byteCount <= Self.limit
    }

    /// The last byte is here.
    func end(_ trailers: MessageHead?) {
        if let trailers { self.trailers.copy(from: trailers) }
        isComplete = !isDropped
    }

    /// It is not to be used, whatever still comes of it.
    func drop() {
        isDropped = true
        isComplete = false
        body.reset()
    }
}

extension RetryCause {
    /// What a failed attempt is called in the settings; nil: it is none of what they name.
    init?(_ failure: ExchangeState.Failure) {
        switch failure.reason {
        case .upstreamConnectFailed, .upstreamConnectTimeout, .upstreamTlsFailed, .upstreamIdentityMismatch,
            .meshIdentityMissing:
            self = .connectFailure
        case .upstreamRefusedStream: self = .refusedStream
        case .upstreamTimeout: self = .timeout
        case .upstreamClosed, .upstreamReset:
            // GOAWAY says of streams above its number what REFUSED_STREAM says of one (RFC 9113 §8.7).
            if case .unprocessed = failure { self = .refusedStream } else { self = .reset }
        default: return nil
        }
    }

    /// What it is counted as.
    var event: RetryEvent {
        switch self {
        case .connectFailure: .connectFailure
        case .refusedStream: .refusedStream
        case .reset: .reset
        case .timeout: .timeout
        case .status: .status
        case .grpcStatus: .grpcStatus
        }
    }
}
