/// Why the proxy answered a request itself, or ended a connection: one closed set for everything that people see.
///
/// The raw value stands in the `x-martlet-reason` header, the problem+json body or gRPC status message, the access
/// log, the metrics and `docs/reasons.md`, which names the setting behind each.
public enum Reason: String, CaseIterable, Sendable {
    /// The request line is not valid HTTP/1.1 (RFC 9112 §3).
    case malformedRequestLine = "malformed_request_line"
    /// A header field is not valid (RFC 9112 §5): bad name, control character, folding or bare CR or LF.
    case malformedHeader = "malformed_header"
    /// Content-Length is repeated or not a plain number (RFC 9112 §6.3).
    case invalidContentLength = "invalid_content_length"
    /// Content-Length and Transfer-Encoding came together (RFC 9112 §6.1).
    case conflictingFraming = "conflicting_framing"
    /// Transfer-Encoding is something other than exactly "chunked" (RFC 9112 §6.1).
    case unsupportedTransferCoding = "unsupported_transfer_coding"
    /// The chunked body is not valid (RFC 9112 §7.1).
    case malformedChunk = "malformed_chunk"
    /// Host or :authority is missing, repeated or not valid (RFC 9110 §7.2).
    case invalidHost = "invalid_host"
    /// Host and the authority of the request target differ.
    case hostMismatch = "host_mismatch"
    /// The path has an encoding that this listener refuses, or leaves the root.
    case invalidPath = "invalid_path"
    /// The request target is longer than the limit.
    case uriTooLong = "uri_too_long"
    /// The header fields are larger than the limit.
    case headersTooLarge = "headers_too_large"
    /// There are more header fields than the limit.
    case tooManyHeaders = "too_many_headers"
    /// The body is larger than the limit.
    case bodyTooLarge = "body_too_large"
    /// The HTTP version is not 1.0, 1.1 or 2.
    case unsupportedHTTPVersion = "unsupported_http_version"
    /// Expect asks for something other than 100-continue.
    case expectationFailed = "expectation_failed"
    /// CONNECT is not served.
    case connectRefused = "connect_refused"
    /// The request head did not arrive in time.
    case headerTimeout = "header_timeout"
    /// The request body arrives slower than the minimum rate.
    case bodyTooSlow = "body_too_slow"
    /// Nothing moved on the exchange for too long.
    case idleTimeout = "idle_timeout"
    /// The whole request took longer than timeouts.request.
    case requestTimeout = "request_timeout"
    /// The time that the caller gave is over.
    case deadlineExceeded = "deadline_exceeded"
    /// There were more requests than a rate limit allows.
    case rateLimited = "rate_limited"
    /// The request failed on purpose.
    case faultInjected = "fault_injected"
    /// An access policy denies the request to its caller, or none allows it.
    case accessDenied = "access_denied"
    /// This connection's certificate or listener does not serve the host.
    case misdirectedRequest = "misdirected_request"
    /// No route matches the request.
    case routeNotFound = "route_not_found"
    /// No route matches the request, and the control plane, which may know the service, has not said so in time.
    case serviceNotDiscovered = "service_not_discovered"
    /// A RequestRedirect filter answered.
    case redirected
    /// A CORS filter answered a preflight request.
    case corsPreflight = "cors_preflight"
    /// The route's backend does not exist, is of the wrong kind, or may not be referenced.
    case backendNotValid = "backend_not_valid"
    /// The route has no backend.
    case backendNotConfigured = "backend_not_configured"
    /// The backend has no endpoint.
    case noEndpoint = "no_endpoint"
    /// The endpoint's name did not resolve.
    case endpointNameNotResolved = "endpoint_name_not_resolved"
    /// The connection to the endpoint was refused or failed.
    case upstreamConnectFailed = "upstream_connect_failed"
    /// The connection to the endpoint took longer than timeouts.connect.
    case upstreamConnectTimeout = "upstream_connect_timeout"
    /// The TLS handshake with the endpoint failed.
    case upstreamTlsFailed = "upstream_tls_failed"
    /// The endpoint's identity is none of those that its service has in the mesh.
    case upstreamIdentityMismatch = "upstream_identity_mismatch"
    /// The proxy has no identity in the mesh yet.
    case meshIdentityMissing = "mesh_identity_missing"
    /// The endpoint closed the connection before the response was complete.
    case upstreamClosed = "upstream_closed"
    /// The endpoint reset the stream.
    case upstreamReset = "upstream_reset"
    /// The endpoint refused the stream without processing it.
    case upstreamRefusedStream = "upstream_refused_stream"
    /// The endpoint's response is not valid HTTP.
    case upstreamMalformedResponse = "upstream_malformed_response"
    /// The endpoint's response head is larger than the limit.
    case upstreamHeadersTooLarge = "upstream_headers_too_large"
    /// The endpoint took longer than timeouts.backendRequest or retry.perTryTimeout.
    case upstreamTimeout = "upstream_timeout"
    /// The backend has as many connections as it may.
    case upstreamConnectionLimit = "upstream_connection_limit"
    /// The backend has as many requests in flight as it may.
    case upstreamRequestLimit = "upstream_request_limit"
    /// As many requests wait for the backend as may.
    case upstreamPendingLimit = "upstream_pending_limit"
    /// The request waited for the backend for as long as it may.
    case upstreamPendingTimeout = "upstream_pending_timeout"
    /// The backend has as many requests in flight as it was found to take without getting slower.
    case concurrencyLimit = "concurrency_limit"
    /// The endpoint did not accept the protocol upgrade.
    case upgradeRefused = "upgrade_refused"
    /// The proxy, or this listener, is shutting down.
    case draining
    /// The proxy is at a limit of its own.
    case overloaded
    /// The proxy has no configuration yet.
    case notConfigured = "not_configured"
    /// The proxy failed; this is a bug.
    case internalError = "internal_error"
    /// The client went away before the response was complete.
    case downstreamClosed = "downstream_closed"
    /// The client reset the stream.
    case downstreamReset = "downstream_reset"
    /// The listener wants a client certificate.
    case clientCertificateRequired = "client_certificate_required"
    /// The section takes mutual TLS only, and the client spoke in clear text.
    case clearTextRefused = "clear_text_refused"
    /// The TLS handshake with the client failed.
    case tlsHandshakeFailed = "tls_handshake_failed"
    /// The connection does not start with a TLS ClientHello.
    case tlsClientHelloMalformed = "tls_client_hello_malformed"
    /// The TLS handshake with the client took too long.
    case tlsHandshakeTimeout = "tls_handshake_timeout"
    /// No listener or route serves the server name.
    case sniNotFound = "sni_not_found"
    /// The connection does not start with a valid PROXY protocol header.
    case proxyProtocolMalformed = "proxy_protocol_malformed"
    /// The listener is for redirected connections, and this one was made to it directly.
    case notRedirected = "not_redirected"
    /// The connection was redirected from an address that nobody here knows.
    case destinationUnknown = "destination_unknown"
    /// The connection was idle for longer than the limit.
    case connectionIdle = "connection_idle"
    /// The listener has as many connections as it may.
    case connectionLimit = "connection_limit"
    /// The peer broke HTTP/2 (RFC 9113).
    case http2ProtocolError = "http2_protocol_error"
    /// The peer reset streams faster than the limit.
    case http2ResetFlood = "http2_reset_flood"
    /// The peer sent more faulty or pointless frames than the limit.
    case http2GlitchFlood = "http2_glitch_flood"
    /// The peer sent control frames faster than the limit.
    case http2ControlFlood = "http2_control_flood"
    /// The peer let more answers queue up than the limit.
    case http2OutputOverflow = "http2_output_overflow"

    /// HTTP status of the answer; 0 where the connection just closes.
    public var status: Int {
        switch self {
        case .malformedRequestLine, .malformedHeader, .invalidContentLength, .conflictingFraming, .malformedChunk,
            .invalidHost, .hostMismatch, .invalidPath, .clientCertificateRequired:
            400
        case .unsupportedTransferCoding: 501
        case .uriTooLong: 414
        case .headersTooLarge, .tooManyHeaders: 431
        case .bodyTooLarge: 413
        case .unsupportedHTTPVersion: 505
        case .expectationFailed: 417
        case .connectRefused: 405
        case .headerTimeout, .bodyTooSlow, .idleTimeout: 408
        case .requestTimeout, .deadlineExceeded, .upstreamTimeout: 504
        case .rateLimited: 429
        case .accessDenied: 403
        case .misdirectedRequest: 421
        case .routeNotFound: 404
        case .redirected: 302
        case .corsPreflight: 200
        case .backendNotValid, .backendNotConfigured, .internalError: 500
        case .noEndpoint, .endpointNameNotResolved, .upstreamConnectFailed, .upstreamConnectTimeout,
            .upstreamTlsFailed, .upstreamIdentityMismatch, .meshIdentityMissing, .upstreamRefusedStream,
            .upstreamConnectionLimit, .upstreamRequestLimit, .upstreamPendingLimit, .upstreamPendingTimeout,
            .concurrencyLimit, .draining, .overloaded, .notConfigured, .serviceNotDiscovered,
            .faultInjected:
            503
        case .upstreamClosed, .upstreamReset, .upstreamMalformedResponse, .upstreamHeadersTooLarge, .upgradeRefused: 502
        case .downstreamClosed, .downstreamReset: 499
        case .clearTextRefused, .tlsHandshakeFailed, .tlsClientHelloMalformed, .tlsHandshakeTimeout, .sniNotFound,
            .proxyProtocolMalformed, .notRedirected, .destinationUnknown, .connectionIdle, .connectionLimit,
            .http2ProtocolError, .http2ResetFlood, .http2GlitchFlood, .http2ControlFlood, .http2OutputOverflow:
            0
        }
    }

    /// gRPC status code of the answer (grpc/doc/statuscodes.md).
    public var grpcStatus: Int {
        switch self {
        case .malformedRequestLine, .malformedHeader, .invalidContentLength, .conflictingFraming, .malformedChunk,
            .invalidHost, .hostMismatch, .invalidPath, .uriTooLong, .expectationFailed:
            3
        case .unsupportedTransferCoding, .unsupportedHTTPVersion, .connectRefused, .routeNotFound: 12
        case .headersTooLarge, .tooManyHeaders, .bodyTooLarge, .rateLimited: 8
        case .headerTimeout, .bodyTooSlow, .idleTimeout, .requestTimeout, .deadlineExceeded, .upstreamTimeout: 4
        case .misdirectedRequest: 5
        case .accessDenied: 7
        case .redirected, .corsPreflight, .clearTextRefused, .tlsHandshakeFailed, .tlsClientHelloMalformed,
            .tlsHandshakeTimeout,
            .sniNotFound, .proxyProtocolMalformed, .notRedirected, .destinationUnknown, .connectionIdle,
            .connectionLimit, .http2ProtocolError, .http2ResetFlood, .http2GlitchFlood, .http2ControlFlood,
            .http2OutputOverflow:
            0
        case .backendNotConfigured, .upstreamMalformedResponse, .upstreamHeadersTooLarge, .internalError: 13
        // GRPCRoute: a reference that is not valid is UNAVAILABLE.
        case .backendNotValid, .noEndpoint, .endpointNameNotResolved, .upstreamConnectFailed, .upstreamConnectTimeout,
            .upstreamTlsFailed, .upstreamIdentityMismatch, .meshIdentityMissing, .upstreamClosed, .upstreamReset,
            .upstreamRefusedStream, .upstreamConnectionLimit,
            .upstreamRequestLimit, .upstreamPendingLimit, .upstreamPendingTimeout, .concurrencyLimit, .upgradeRefused,
            .draining, .overloaded, .notConfigured, .serviceNotDiscovered, .faultInjected:
            14
        case .downstreamClosed, .downstreamReset: 1
        case .clientCertificateRequired: 16
        }
    }

    /// One sentence for people.
    public var sentence: String {
        switch self {
        case .malformedRequestLine:
            "The request line is not valid HTTP/1.1 (RFC 9112 §3)."
        case .malformedHeader:
            "A header field is not valid (RFC 9112 §5): bad name, control character, folding or bare CR or LF."
        case .invalidContentLength:
            "Content-Length is repeated or not a plain number (RFC 9112 §6.3)."
        case .conflictingFraming:
            "Content-Length and Transfer-Encoding came together (RFC 9112 §6.1)."
        case .unsupportedTransferCoding:
            "Transfer-Encoding is something other than exactly \"chunked\" (RFC 9112 §6.1)."
        case .malformedChunk:
            "The chunked body is not valid (RFC 9112 §7.1)."
        case .invalidHost:
            "Host or :authority is missing, repeated or not valid (RFC 9110 §7.2)."
        case .hostMismatch:
            "Host and the authority of the request target differ."
        case .invalidPath:
            "The path has an encoding that this listener refuses, or leaves the root."
        case .uriTooLong:
            "The request target is longer than the limit."
        case .headersTooLarge:
            "The header fields are larger than the limit."
        case .tooManyHeaders:
            "There are more header fields than the limit."
        case .bodyTooLarge:
            "The body is larger than the limit."
        case .unsupportedHTTPVersion:
            "The HTTP version is not 1.0, 1.1 or 2."
        case .expectationFailed:
            "Expect asks for something other than 100-continue."
        case .connectRefused:
            "CONNECT is not served."
        case .headerTimeout:
            "The request head did not arrive in time."
        case .bodyTooSlow:
            "The request body arrives slower than the minimum rate."
        case .idleTimeout:
            "Nothing moved on the exchange for too long."
        case .requestTimeout:
            "The whole request took longer than timeouts.request."
        case .deadlineExceeded:
            "The time that the caller gave is over."
        case .rateLimited:
            "There were more requests than a rate limit allows."
        case .faultInjected:
            "The request failed on purpose."
        case .accessDenied:
            "An access policy denies the request to its caller, or none allows it."
        case .misdirectedRequest:
            "This connection's certificate or listener does not serve the host."
        case .routeNotFound:
            "No route matches the request."
        case .serviceNotDiscovered:
            "No route matches the request, and the control plane, which may know the service, has not said so in time."
        case .redirected:
            "A RequestRedirect filter answered."
        case .corsPreflight:
            "A CORS filter answered a preflight request."
        case .backendNotValid:
            "The route's backend does not exist, is of the wrong kind, or may not be referenced."
        case .backendNotConfigured:
            "The route has no backend."
        case .noEndpoint:
            "The backend has no endpoint."
        case .endpointNameNotResolved:
            "The endpoint's name did not resolve."
        case .upstreamConnectFailed:
            "The connection to the endpoint was refused or failed."
        case .upstreamConnectTimeout:
            "The connection to the endpoint took longer than timeouts.connect."
        case .upstreamTlsFailed:
            "The TLS handshake with the endpoint failed."
        case .upstreamIdentityMismatch:
            "The endpoint's identity is none of those that its service has in the mesh."
        case .meshIdentityMissing:
            "The proxy has no identity in the mesh yet."
        case .upstreamClosed:
            "The endpoint closed the connection before the response was complete."
        case .upstreamReset:
            "The endpoint reset the stream."
        case .upstreamRefusedStream:
            "The endpoint refused the stream without processing it."
        case .upstreamMalformedResponse:
            "The endpoint's response is not valid HTTP."
        case .upstreamHeadersTooLarge:
            "The endpoint's response head is larger than the limit."
        case .upstreamTimeout:
            "The endpoint took longer than timeouts.backendRequest or retry.perTryTimeout."
        case .upstreamConnectionLimit:
            "The backend has as many connections as it may."
        case .upstreamRequestLimit:
            "The backend has as many requests in flight as it may."
        case .upstreamPendingLimit:
            "As many requests wait for the backend as may."
        case .upstreamPendingTimeout:
            "The request waited for the backend for as long as it may."
        case .concurrencyLimit:
            "The backend has as many requests in flight as it was found to take without getting slower."
        case .upgradeRefused:
            "The endpoint did not accept the protocol upgrade."
        case .draining:
            "The proxy, or this listener, is shutting down."
        case .overloaded:
            "The proxy is at a limit of its own."
        case .notConfigured:
            "The proxy has no configuration yet."
        case .internalError:
            "The proxy failed; this is a bug."
        case .downstreamClosed:
            "The client went away before the response was complete."
        case .downstreamReset:
            "The client reset the stream."
        case .clientCertificateRequired:
            "The listener wants a client certificate."
        case .clearTextRefused:
            "The section takes mutual TLS only, and the client spoke in clear text."
        case .tlsHandshakeFailed:
            "The TLS handshake with the client failed."
        case .tlsClientHelloMalformed:
            "The connection does not start with a TLS ClientHello."
        case .tlsHandshakeTimeout:
            "The TLS handshake with the client took too long."
        case .sniNotFound:
            "No listener or route serves the server name."
        case .proxyProtocolMalformed:
            "The connection does not start with a valid PROXY protocol header."
        case .notRedirected:
            "The listener is for redirected connections, and this one was made to it directly."
        case .destinationUnknown:
            "The connection was redirected from an address that nobody here knows."
        case .connectionIdle:
            "The connection was idle for longer than the limit."
        case .connectionLimit:
            "The listener has as many connections as it may."
        case .http2ProtocolError:
            "The peer broke HTTP/2 (RFC 9113)."
        case .http2ResetFlood:
            "The peer reset streams faster than the limit."
        case .http2GlitchFlood:
            "The peer sent more faulty or pointless frames than the limit."
        case .http2ControlFlood:
            "The peer sent control frames faster than the limit."
        case .http2OutputOverflow:
            "The peer let more answers queue up than the limit."
        }
    }
}
