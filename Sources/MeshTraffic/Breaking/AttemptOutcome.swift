/// How an attempt ended, as far as the fitness of its endpoint goes.
public enum AttemptOutcome: Sendable, Equatable {
    /// The endpoint answered, and not with a failure of its own; what the client did wrong is not the endpoint's fault.
    case success
    /// 5xx, gateway errors aside; gRPC: UNKNOWN, INTERNAL, DATA_LOSS.
    case serverError
    /// 502, 503 or 504; gRPC: UNAVAILABLE, DEADLINE_EXCEEDED.
    case gatewayError
    /// No connection could be made.
    case connectFailure
    /// The connection or stream ended early, or what came was not valid.
    case reset
    /// The endpoint took too long.
    case timeout
    /// Nothing can be said: the client went away, or the proxy had a reason of its own.
    case none

    /// What an HTTP status says, and in gRPC the status in head or trailers; negative: there is none.
    @inlinable
    public init(status: Int, grpcStatus: Int = -1) {
        switch status {
        case 502, 503, 504: self = .gatewayError
        case 500...599: self = .serverError
        case 0: self = .none
        default:
            switch grpcStatus {
            case 4, 14: self = .gatewayError
            case 2, 13, 15: self = .serverError
            default: self = .success
            }
        }
    }

    /// True if the endpoint failed.
    @inlinable public var isFailure: Bool {
        switch self {
        case .serverError, .gatewayError, .connectFailure, .reset, .timeout: true
        case .success, .none: false
        }
    }
}
