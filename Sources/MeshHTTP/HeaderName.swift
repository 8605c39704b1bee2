import MeshCore

/// Header names that the proxy itself looks at, interned to one byte; every other name is ``other``.
public enum HeaderName: UInt8, CaseIterable, Sendable {
    /// A name that the proxy only carries.
    case other
    /// A field that was deleted; encoders skip it.
    case removed
    case connection
    case keepAlive
    case proxyConnection
    case te
    case trailer
    case transferEncoding
    case upgrade
    case http2Settings
    case host
    case contentLength
    case contentType
    case contentEncoding
    case expect
    case date
    case server
    case via
    case location
    case retryAfter
    case userAgent
    case referer
    case accept
    case cookie
    case setCookie
    case authorization
    case proxyAuthorization
    case proxyAuthenticate
    case origin
    case xForwardedFor
    case xForwardedProto
    case xForwardedHost
    case xForwardedPort
    case xForwardedClientCert
    case forwarded
    case xRealIp
    case xRequestID
    case xMartletReason
    case xMartletAttempt
    case xMartletTimeoutMs
    case traceparent
    case tracestate
    case grpcStatus
    case grpcMessage
    case grpcTimeout
    case grpcRetryPushbackMs
    case secWebsocketKey
    case secWebsocketAccept
    case secWebsocketVersion
    case vary
    case allow
    case altSvc
    case accessControlRequestMethod
    case accessControlRequestHeaders
    case accessControlAllowOrigin
    case accessControlAllowCredentials
    case accessControlAllowMethods
    case accessControlAllowHeaders
    case accessControlExposeHeaders
    case accessControlMaxAge

    /// The name in lower case; empty for `other` and `removed`.
    public var text: StaticString {
        switch self {
        case .other, .removed: ""
        case .connection: "connection"
        case .keepAlive: "keep-alive"
        case .proxyConnection: "proxy-connection"
        case .te: "te"
        case .trailer: "trailer"
        case .transferEncoding: "transfer-encoding"
        case .upgrade: "upgrade"
        case .http2Settings: "http2-settings"
        case .host: "host"
        case .contentLength: "content-length"
        case .contentType: "content-type"
        case .contentEncoding: "content-encoding"
        case .expect: "expect"
        case .date: "date"
        case .server: "server"
        case .via: "via"
        case .location: "location"
        case .retryAfter: "retry-after"
        case .userAgent: "user-agent"
        case .referer: "referer"
        case .accept: "accept"
        case .cookie: "cookie"
        case .setCookie: "set-cookie"
        case .authorization: "authorization"
        case .proxyAuthorization: "proxy-authorization"
        case .proxyAuthenticate: "proxy-authenticate"
        case .origin: "origin"
        case .xForwardedFor: "x-forwarded-for"
        case .xForwardedProto: "x-forwarded-proto"
        case .xForwardedHost: "x-forwarded-host"
        case .xForwardedPort: "x-forwarded-port"
        case .xForwardedClientCert: "x-forwarded-client-cert"
        case .forwarded: "forwarded"
        case .xRealIp: "x-real-ip"
        case .xRequestID: "x-request-id"
        case .xMartletReason: "x-martlet-reason"
        case .xMartletAttempt: "x-martlet-attempt"
        case .xMartletTimeoutMs: "x-martlet-timeout-ms"
        case .traceparent: "traceparent"
        case .tracestate: "tracestate"
        case .grpcStatus: "grpc-status"
        case .grpcMessage: "grpc-message"
        case .grpcTimeout: "grpc-timeout"
        case .grpcRetryPushbackMs: "grpc-retry-pushback-ms"
        case .secWebsocketKey: "sec-websocket-key"
        case .secWebsocketAccept: "sec-websocket-accept"
        case .secWebsocketVersion: "sec-websocket-version"
        case .vary: "vary"
        case .allow: "allow"
        case .altSvc: "alt-svc"
        case .accessControlRequestMethod: "access-control-request-method"
        case .accessControlRequestHeaders: "access-control-request-headers"
        case .accessControlAllowOrigin: "access-control-allow-origin"
        case .accessControlAllowCredentials: "access-control-allow-credentials"
        case .accessControlAllowMethods: "access-control-allow-methods"
        case .accessControlAllowHeaders: "access-control-allow-headers"
        case .accessControlExposeHeaders: "access-control-expose-headers"
        case .accessControlMaxAge: "access-control-max-age"
        }
    }

    /// The interned form of `name`, in whatever case it is written. Compares with the names of that length only.
    public static func intern(_ name: Span<UInt8>) -> HeaderName {
        switch name.count {
        case 2:
            if `is`(name, .te) { return .te }
        case 3:
            if `is`(name, .via) { return .via }
        case 4:
            if `is`(name, .host) { return .host }
            if `is`(name, .date) { return .date }
            if `is`(name, .vary) { return .vary }
        case 5:
            if `is`(name, .allow) { return .allow }
        case 6:
            if `is`(name, .expect) { return .expect }
            if `is`(name, .server) { return .server }
            if `is`(name, .accept) { return .accept }
            if `is`(name, .cookie) { return .cookie }
            if `is`(name, .origin) { return .origin }
        case 7:
            if `is`(name, .trailer) { return .trailer }
            if `is`(name, .upgrade) { return .upgrade }
            if `is`(name, .referer) { return .referer }
            if `is`(name, .altSvc) { return .altSvc }
        case 8:
            if `is`(name, .location) { return .location }
        case 9:
            if `is`(name, .forwarded) { return .forwarded }
            if `is`(name, .xRealIp) { return .xRealIp }
        case 10:
            if `is`(name, .connection) { return .connection }
            if `is`(name, .keepAlive) { return .keepAlive }
            if `is`(name, .userAgent) { return .userAgent }
            if `is`(name, .setCookie) { return .setCookie }
            if `is`(name, .tracestate) { return .tracestate }
        case 11:
            if `is`(name, .retryAfter) { return .retryAfter }
            if `is`(name, .traceparent) { return .traceparent }
            if `is`(name, .grpcStatus) { return .grpcStatus }
        case 12:
            if `is`(name, .contentType) { return .contentType }
            if `is`(name, .xRequestID) { return .xRequestID }
            if `is`(name, .grpcMessage) { return .grpcMessage }
            if `is`(name, .grpcTimeout) { return .grpcTimeout }
        case 13:
            if `is`(name, .authorization) { return .authorization }
        case 14:
            if `is`(name, .http2Settings) { return .http2Settings }
            if `is`(name, .contentLength) { return .contentLength }
        case 15:
            if `is`(name, .xForwardedFor) { return .xForwardedFor }
        case 16:
            if `is`(name, .proxyConnection) { return .proxyConnection }
            if `is`(name, .contentEncoding) { return .contentEncoding }
            if `is`(name, .xForwardedHost) { return .xForwardedHost }
            if `is`(name, .xForwardedPort) { return .xForwardedPort }
            if `is`(name, .xMartletReason) { return .xMartletReason }
        case 17:
            if `is`(name, .transferEncoding) { return .transferEncoding }
            if `is`(name, .xForwardedProto) { return .xForwardedProto }
            if `is`(name, .secWebsocketKey) { return .secWebsocketKey }
            if `is`(name, .xMartletAttempt) { return .xMartletAttempt }
        case 18:
            if `is`(name, .proxyAuthenticate) { return .proxyAuthenticate }
        case 19:
            if `is`(name, .proxyAuthorization) { return .proxyAuthorization }
        case 20:
            if `is`(name, .secWebsocketAccept) { return .secWebsocketAccept }
            if `is`(name, .xMartletTimeoutMs) { return .xMartletTimeoutMs }
        case 21:
            if `is`(name, .secWebsocketVersion) { return .secWebsocketVersion }
        case 22:
            if `is`(name, .accessControlMaxAge) { return .accessControlMaxAge }
            if `is`(name, .grpcRetryPushbackMs) { return .grpcRetryPushbackMs }
        case 23:
            if `is`(name, .xForwardedClientCert) { return .xForwardedClientCert }
        case 27:
            if `is`(name, .accessControlAllowOrigin) { return .accessControlAllowOrigin }
        case 28:
            if `is`(name, .accessControlAllowMethods) { return .accessControlAllowMethods }
            if `is`(name, .accessControlAllowHeaders) { return .accessControlAllowHeaders }
        case 29:
            if `is`(name, .accessControlRequestMethod) { return .accessControlRequestMethod }
            if `is`(name, .accessControlExposeHeaders) { return .accessControlExposeHeaders }
        case 30:
            if `is`(name, .accessControlRequestHeaders) { return .accessControlRequestHeaders }
        case 32:
            if `is`(name, .accessControlAllowCredentials) { return .accessControlAllowCredentials }
        default: break
        }
        return .other
    }

    @inline(__always)
    private static func `is`(_ name: Span<UInt8>, _ candidate: HeaderName) -> Bool {
        name.equalsIgnoringCase(candidate.text)
    }
}
