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
    case traceparent
    case tracestate
    case grpcStatus
    case grpcMessage
    case grpcTimeout
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
        case .traceparent: "traceparent"
        case .tracestate: "tracestate"
        case .grpcStatus: "grpc-status"
        case .grpcMessage: "grpc-message"
        case .grpcTimeout: "grpc-timeout"
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

    /// The interned form of `name`, in whatever case it is written.
    public static func intern(_ name: Span<UInt8>) -> HeaderName {
        switch name.count {
        case 2: firstMatch(name, .te)
        case 3: firstMatch(name, .via)
        case 4: firstMatch(name, .host, .date, .vary)
        case 5: firstMatch(name, .allow)
        case 6: firstMatch(name, .expect, .server, .accept, .cookie, .origin)
        case 7: firstMatch(name, .trailer, .upgrade, .referer, .altSvc)
        case 8: firstMatch(name, .location)
        case 9: firstMatch(name, .forwarded, .xRealIp)
        case 10: firstMatch(name, .connection, .keepAlive, .userAgent, .setCookie, .tracestate)
        case 11: firstMatch(name, .retryAfter, .traceparent, .grpcStatus)
        case 12: firstMatch(name, .contentType, .xRequestID, .grpcMessage, .grpcTimeout)
        case 13: firstMatch(name, .authorization)
        case 14: firstMatch(name, .http2Settings, .contentLength)
        case 15: firstMatch(name, .xForwardedFor)
        case 16: firstMatch(name, .proxyConnection, .contentEncoding, .xForwardedHost, .xForwardedPort, .xMartletReason)
        case 17: firstMatch(name, .transferEncoding, .xForwardedProto, .secWebsocketKey)
        case 18: firstMatch(name, .proxyAuthenticate)
        case 19: firstMatch(name, .proxyAuthorization)
        case 20: firstMatch(name, .secWebsocketAccept)
        case 21: firstMatch(name, .secWebsocketVersion)
        case 22: firstMatch(name, .accessControlMaxAge)
        case 23: firstMatch(name, .xForwardedClientCert)
        case 27: firstMatch(name, .accessControlAllowOrigin)
        case 28: firstMatch(name, .accessControlAllowMethods, .accessControlAllowHeaders)
        case 29: firstMatch(name, .accessControlRequestMethod, .accessControlExposeHeaders)
        case 30: firstMatch(name, .accessControlRequestHeaders)
        case 32: firstMatch(name, .accessControlAllowCredentials)
        default: .other
        }
    }

    @inline(__always)
    private static func firstMatch(_ name: Span<UInt8>, _ candidates: HeaderName...) -> HeaderName {
        for candidate in candidates where name.equalsIgnoringCase(candidate.text.bytes) { return candidate }
        return .other
    }
}
