/// An HTTPRoute or GRPCRoute, attached to one section.
public struct Route: Sendable, Equatable {
    /// Which kind of requests it is for.
    public enum Kind: Sendable, Equatable, CaseIterable {
        case http
        case grpc
    }

    /// `namespace/name`.
    public var name: String
    /// Which kind of requests it is for.
    public var kind: Kind
    /// The hosts it is for, already limited to its section's; never empty, `[.any]` if neither says one.
    public var hostnames: [Hostname]
    /// Only for requests whose `Host` or `:authority` says this port, or none if it is 80; nil: for any.
    public var port: UInt16?
    /// What it does, in document order.
    public var rules: [RouteRule]
    /// Where it was written.
    public var origin: Origin?

    /// A route of these parts.
    public init(
        name: String, kind: Kind = .http, hostnames: [Hostname] = [.any], port: UInt16? = nil,
        rules: [RouteRule] = [], origin: Origin? = nil
    ) {
        self.port = port
        self.name = name
        self.kind = kind
        self.hostnames = hostnames
        self.rules = rules
        self.origin = origin
    }
}

/// What happens to the requests that one of its matches describes.
public struct RouteRule: Sendable, Equatable {
    /// The rule's name in its document; empty if it has none.
    public var name: String
    /// Any one of these; never empty, a rule without matches has the one that every request fulfils.
    public var matches: [RouteMatch]
    /// In the order in which they run.
    public var filters: [Filter]
    /// Where requests go, by weight. Empty: a redirect answers, or 500.
    public var backends: [WeightedBackend]
    /// How long it may take, when to try again, what is refused.
    public var policy: RequestPolicy
    /// How a client stays with one endpoint; nil: it does not.
    public var sessionPersistence: SessionPersistence?
    /// Where it was written.
    public var origin: Origin?

    /// A rule of these parts.
    public init(
        name: String = "", matches: [RouteMatch] = [RouteMatch()], filters: [Filter] = [],
        backends: [WeightedBackend] = [], policy: RequestPolicy = RequestPolicy(),
        sessionPersistence: SessionPersistence? = nil, origin: Origin? = nil
    ) {
        self.name = name
        self.matches = matches
        self.filters = filters
        self.backends = backends
        self.policy = policy
        self.sessionPersistence = sessionPersistence
        self.origin = origin
    }
}

/// Describes requests: all of its parts must fit.
public struct RouteMatch: Sendable, Equatable {
    /// The path, without query.
    public var path: PathMatch
    /// Every one of these header fields is there and fits; names are compared without case, the first of several
    /// matches for one name counts.
    public var headers: [NamedMatch]
    /// Every one of these query parameters is there and fits; names are compared exactly.
    public var queryParams: [NamedMatch]
    /// The method, in capitals; nil: any.
    public var method: String?

    /// A match of these parts; without any, every request.
    public init(
        path: PathMatch = .everything, headers: [NamedMatch] = [], queryParams: [NamedMatch] = [],
        method: String? = nil
    ) {
        self.path = path
        self.headers = headers
        self.queryParams = queryParams
        self.method = method
    }
}

/// Describes a path.
public enum PathMatch: Sendable, Equatable {
    /// Exactly this path, case and all.
    case exact(String)
    /// This path and what is below it, element by element: `/v2` is not a prefix of `/v2example`. A slash at the end
    /// does not count.
    case prefix(String)
    /// A ``LinearRegex`` that the whole path fits.
    case regex(String)
    /// A gRPC call, `/service/method`; nil: any.
    case grpc(service: StringMatch?, method: StringMatch?)

    /// The default of the Gateway API.
    public static let everything = PathMatch.prefix("/")
}

/// Describes a text.
public enum StringMatch: Sendable, Equatable {
    /// Exactly this, case and all.
    case exact(String)
    /// A ``LinearRegex`` that the whole text fits.
    case regex(String)
}

/// Describes a header field or query parameter.
public struct NamedMatch: Sendable, Equatable {
    /// The name.
    public var name: String
    /// The value.
    public var value: StringMatch

    /// `name` with `value`.
    public init(name: String, value: StringMatch) {
        self.name = name
        self.value = value
    }
}

/// One of the backends that share a rule's requests.
public struct WeightedBackend: Sendable, Equatable {
    /// Who gets this share.
    public var target: BackendTarget
    /// The share is `weight` of the sum of all weights. 0: none.
    public var weight: Int
    /// Run for this share only, after the rule's.
    public var filters: [Filter]

    /// `weight` parts for `target`.
    public init(_ target: BackendTarget, weight: Int = Self.defaultWeight, filters: [Filter] = []) {
        self.target = target
        self.weight = weight
        self.filters = filters
    }

    /// 1.
    public static let defaultWeight = 1
    /// 1,000,000.
    public static let maximumWeight = 1_000_000
}

/// What a reference to a backend leads to.
public enum BackendTarget: Sendable, Equatable {
    /// The backend of this name in the model.
    case backend(String)
    /// Nothing, for this reason, which is for people; its share gets 500.
    case invalid(reason: String)
}

/// How long an exchange may take. Nil: no limit of its own; `ListenerLimits.streamIdleTimeout` still holds.
public struct Timeouts: Sendable, Equatable {
    /// From the request's first byte to the response's last; longer: 504.
    public var request: Duration?
    /// From the start of one attempt to the response's last byte; longer: 504.
    public var backendRequest: Duration?
    /// How long it may stay without a byte in either direction, instead of `ListenerLimits.streamIdleTimeout`; longer:
    /// 408, or the stream is cut.
    public var idle: Duration?

    /// The given timeouts.
    public init(
        request: Duration? = Self.defaultRequest, backendRequest: Duration? = Self.defaultBackendRequest,
        idle: Duration? = nil
    ) {
        self.request = request
        self.backendRequest = backendRequest
        self.idle = idle
    }

    /// A year: what a rule has that wants none although its backend's policy sets one.
    public static let unlimited = Duration.seconds(31_536_000)
    /// None.
    public static let defaultRequest: Duration? = nil
    /// None.
    public static let defaultBackendRequest: Duration? = nil
}

/// How a client stays with one endpoint.
public struct SessionPersistence: Sendable, Equatable {
    /// Where the session is kept.
    public enum Kind: Sendable, Equatable {
        /// In a cookie of this name; permanent ones outlive the browser.
        case cookie(name: String, path: String, permanent: Bool)
        /// In a header field of this name.
        case header(name: String)
    }

    /// Where the session is kept.
    public var kind: Kind
    /// When it ends at the latest; nil: never.
    public var absoluteTimeout: Duration?

    /// Persistence by `kind`.
    public init(kind: Kind, absoluteTimeout: Duration? = nil) {
        self.kind = kind
        self.absoluteTimeout = absoluteTimeout
    }
}

/// A TLSRoute or TCPRoute, attached to one section: where connections go.
public struct StreamRoute: Sendable, Equatable {
    /// `namespace/name`.
    public var name: String
    /// The server names it is for, already limited to its section's; `[.any]` for TCP.
    public var hostnames: [Hostname]
    /// Where connections go, by weight. Filters are not allowed here.
    public var backends: [WeightedBackend]
    /// Where it was written.
    public var origin: Origin?

    /// A route of these parts.
    public init(
        name: String, hostnames: [Hostname] = [.any], backends: [WeightedBackend] = [], origin: Origin? = nil
    ) {
        self.name = name
        self.hostnames = hostnames
        self.backends = backends
        self.origin = origin
    }
}
