import MeshHTTP

/// When an endpoint that failed wants to be asked again: `Retry-After` (RFC 9110 §10.2.3) and, for gRPC,
/// `grpc-retry-pushback-ms` (gRFC A6).
public enum Pushback: Sendable, Equatable {
    /// It does not say.
    case none
    /// After so many nanoseconds.
    case after(UInt64)
    /// Not at all.
    case never

    /// What `head`, a response head or trailers, says. `wallTime`: nanoseconds since 1970-01-01 UTC, for dates.
    public init(_ head: MessageHead, wallTime: UInt64) {
        if let index = head.firstIndex(of: .grpcRetryPushbackMs) {
            self = Self.grpc(head.span(head[index].valueRange))
        } else if let index = head.firstIndex(of: .retryAfter) {
            self = Self.retryAfter(head.span(head[index].valueRange), wallTime: wallTime)
        } else {
            self = .none
        }
    }

    /// Milliseconds; what is negative or no number forbids another attempt.
    static func grpc(_ value: Span<UInt8>) -> Pushback {
        guard let milliseconds = Grammar.decimal(value) else { return .never }
        return .after(nanoseconds(milliseconds, each: 1_000_000))
    }

    /// Seconds, or a date; what is neither says nothing.
    static func retryAfter(_ value: Span<UInt8>, wallTime: UInt64) -> Pushback {
        if let seconds = Grammar.decimal(value) { return .after(nanoseconds(seconds, each: 1_000_000_000)) }
        guard let date = HTTPDate.seconds(value) else { return .none }
        let then = nanoseconds(date, each: 1_000_000_000)
        return .after(then > wallTime ? then &- wallTime : 0)
    }

    private static func nanoseconds(_ count: Int, each: UInt64) -> UInt64 {
        let (product, overflow) = UInt64(max(count, 0)).multipliedReportingOverflow(by: each)
        return overflow ? .max : product
    }
}
