import MeshCore
import MeshHTTP

/// The TLS version of a client's connection.
public enum TLSVersion: UInt8, Sendable, CaseIterable {
    case tls12, tls13

    /// `1.2` or `1.3`.
    public var text: StaticString {
        switch self {
        case .tls12: "1.2"
        case .tls13: "1.3"
        }
    }
}

/// What the access log says of a client's TLS: one object per TLS connection, made when its handshake is done.
public final class TLSFacts {
    /// The version agreed on.
    public let version: TLSVersion
    /// The server name that the client asked for (SNI); empty if none.
    public let serverName: [UInt8]
    /// Who the client's verified certificate says it is: its URI (SPIFFE) or DNS name; empty if it showed none.
    public let peer: [UInt8]

    /// Facts of one connection.
    public init(version: TLSVersion, serverName: [UInt8] = [], peer: [UInt8] = []) {
        self.version = version
        self.serverName = serverName
        self.peer = peer
    }
}

/// Everything that is known of one exchange, or of one TCP connection, at its end.
///
/// Plain values: filling it allocates nothing, and it is never copied. The links are used during the call that the record is passed to, and
/// the heads must be as they were until then. What is marked "log" may be left out while no access log is written.
@frozen
public struct ExchangeRecord: ~Copyable {
    // MARK: What is counted

    /// The counters of its listener, route and backend (``LoopMetrics/slot(listener:route:backend:)``); negative: none.
    public var slot: Int
    /// The counters of its listener (``LoopMetrics/listenerSlot(_:)``), as in ``LoopMetrics/exchangeStarted(listener:)``;
    /// negative: none, and then no `exchangeStarted` either.
    public var listener: Int
    /// When the first byte of the head, or the TCP connection, arrived.
    public var started: Instant
    /// When the last byte was queued for the client, or the exchange was given up.
    public var ended: Instant
    /// The client's HTTP version; nil for a TCP connection.
    public var version: Version?
    /// The status that the client was sent; 0 if none.
    public var status = 0
    /// Why the proxy answered itself or cut the exchange off; nil if all came from the endpoint.
    public var reason: Reason?
    /// The gRPC status of the trailers or of the proxy's own answer; -1 if there was none.
    public var grpcStatus = -1
    /// Body bytes from the client, without framing; of a TCP connection or upgrade all bytes.
    public var requestBytes: UInt64 = 0
    /// Body bytes to the client, without framing; of a TCP connection or upgrade all bytes.
    public var responseBytes: UInt64 = 0

    /// The hop that it was (``LoopMetrics/hopSlot(_:)``); negative: none, or nobody asks.
    public var hopSlot = -1
    /// Its other side (``LoopMetrics/hopSide(_:isMTLS:)``).
    public var hopSide = 0

    // MARK: What is logged only

    /// Log: nanoseconds since 1970-01-01 UTC at ``started``.
    public var wallTime: UInt64 = 0
    /// Log: attempts made to have it answered by an endpoint; 0 for local answers.
    public var attempts = 0
    /// Log: nanoseconds that the last attempt's connection took to become usable, TLS included; 0 if it was reused.
    public var upstreamConnect: UInt64 = 0
    /// Log: nanoseconds from the last attempt's start to the first byte of its response; 0 if none came.
    public var upstreamFirstByte: UInt64 = 0
    /// Log: the access policy that refused the exchange, or would have; empty: none.
    public var policy: [UInt8] = []
    /// Log: the client or the proxy ended it before the response was complete.
    public var wasCutOff = false
    /// Log: the request's head; nil for a TCP connection or if there was no valid head.
    public var request: Link<MessageHead>?
    /// Log: the path with query as it was routed, in ``request``; empty: as it stands there now.
    public var routedPath = ByteRange.empty
    /// Log: the host as it was routed, in ``request``; empty: as it stands there now.
    public var routedAuthority = ByteRange.empty
    /// Log: the final response's head as it went to the client.
    public var response: Link<MessageHead>?
    /// Log: facts of the client's TLS; nil in clear text.
    public var tls: Link<TLSFacts>?
    /// Log: the client's address as text, with or without port. Keep one array per connection.
    public var client: [UInt8] = []
    /// Log: the address of the last attempt's endpoint as text; empty if there was none. Keep one array per loop:
    /// counting the references to an array that loops share costs more than all else here.
    public var endpoint: [UInt8] = []

    /// A record with what every exchange has.
    @inlinable
    public init(slot: Int, listener: Int, started: Instant, ended: Instant, version: Version?) {
        self.slot = slot
        self.listener = listener
        self.started = started
        self.ended = ended
        self.version = version
    }
}
