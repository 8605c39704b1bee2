/// What is done to a request or its response on the way.
public enum Filter: Sendable, Equatable {
    case requestHeaderModifier(HeaderModifier)
    case responseHeaderModifier(HeaderModifier)
    case requestRedirect(RequestRedirect)
    case urlRewrite(URLRewrite)
    case requestMirror(RequestMirror)
    case cors(CORS)
}

/// A header field.
public struct Header: Sendable, Equatable {
    /// The name; case does not count.
    public var name: String
    /// The value.
    public var value: String

    /// `name: value`.
    public init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

/// Changes header fields: first removes, then sets, then adds.
public struct HeaderModifier: Sendable, Equatable {
    /// Replace all fields of the name.
    public var set: [Header]
    /// Append a value to those there.
    public var add: [Header]
    /// Names of fields that go.
    public var remove: [String]

    /// A modifier of these parts.
    public init(set: [Header] = [], add: [Header] = [], remove: [String] = []) {
        self.set = set
        self.add = add
        self.remove = remove
    }
}

/// How a path changes.
public enum PathModifier: Sendable, Equatable {
    /// The whole path becomes this; the query stays.
    case replaceFullPath(String)
    /// The prefix that the rule matched becomes this; only for rules whose every match is a path prefix.
    case replacePrefixMatch(String)
}

/// Answers with a redirect. A part that is nil stays as the request has it.
public struct RequestRedirect: Sendable, Equatable {
    /// `http` or `https`.
    public var scheme: String?
    /// The host.
    public var hostname: String?
    /// The path.
    public var path: PathModifier?
    /// The port; nil: the well-known one of `scheme` if that is given, else the listener's.
    public var port: UInt16?
    /// 301, 302, 303, 307 or 308.
    public var statusCode: Int

    /// A redirect of these parts.
    public init(
        scheme: String? = nil, hostname: String? = nil, path: PathModifier? = nil, port: UInt16? = nil,
        statusCode: Int = Self.defaultStatusCode
    ) {
        self.scheme = scheme
        self.hostname = hostname
        self.path = path
        self.port = port
        self.statusCode = statusCode
    }

    /// 302.
    public static let defaultStatusCode = 302
}

/// Changes where a request goes before it is forwarded.
public struct URLRewrite: Sendable, Equatable {
    /// The new host; nil: as it came.
    public var hostname: String?
    /// The new path; nil: as it came.
    public var path: PathModifier?

    /// A rewrite of these parts.
    public init(hostname: String? = nil, path: PathModifier? = nil) {
        self.hostname = hostname
        self.path = path
    }
}

/// Sends a copy of some requests elsewhere and ignores the answers.
public struct RequestMirror: Sendable, Equatable {
    /// Who gets the copies.
    public var target: BackendTarget
    /// The share of requests: `numerator` of `denominator`.
    public var numerator: Int
    /// The whole; not 0.
    public var denominator: Int

    /// Copies of `numerator` in `denominator` requests, all of them if nothing is said.
    public init(target: BackendTarget, numerator: Int = 100, denominator: Int = 100) {
        self.target = target
        self.numerator = numerator
        self.denominator = denominator
    }
}

/// Lets browsers of other origins in (Fetch standard, Gateway API `HTTPCORSFilter`).
public struct CORS: Sendable, Equatable {
    /// `*`, `scheme://host[:port]`, or `scheme://*.suffix[:port]`.
    public var allowOrigins: [String]
    /// Cookies and the like may be sent.
    public var allowCredentials: Bool
    /// Methods, or `*`.
    public var allowMethods: [String]
    /// Request header names, or `*`.
    public var allowHeaders: [String]
    /// Response header names that scripts may read, or `*`.
    public var exposeHeaders: [String]
    /// How many seconds a preflight answer may be kept.
    public var maxAge: Int

    /// A filter of these parts.
    public init(
        allowOrigins: [String] = [], allowCredentials: Bool = false, allowMethods: [String] = [],
        allowHeaders: [String] = [], exposeHeaders: [String] = [], maxAge: Int = Self.defaultMaxAge
    ) {
        self.allowOrigins = allowOrigins
        self.allowCredentials = allowCredentials
        self.allowMethods = allowMethods
        self.allowHeaders = allowHeaders
        self.exposeHeaders = exposeHeaders
        self.maxAge = maxAge
    }

    /// 5 s.
    public static let defaultMaxAge = 5
}
