/// A named group of endpoints that serve the same.
public struct Backend: Sendable, Equatable {
    /// What is spoken to the endpoints.
    public enum `Protocol`: Sendable, Equatable, CaseIterable {
        /// HTTP/1.1.
        case http1
        /// HTTP/2: with prior knowledge in clear text, by ALPN in TLS. gRPC needs it.
        case http2
        /// Bytes.
        case tcp
    }

    /// The PROXY protocol header that connections to the endpoints begin with.
    public enum ProxyProtocol: Sendable, Equatable, CaseIterable {
        case none
        case v1
        case v2
    }

    /// Unique in the model: `namespace/kind/name:port`.
    public var name: String
    /// What is spoken to the endpoints.
    public var `protocol`: `Protocol`
    /// TLS; nil: clear text.
    public var tls: BackendTLS?
    /// Where it is served; none: 503.
    public var endpoints: [Endpoint]
    /// How the endpoints share its requests.
    public var loadBalancer: LoadBalancer
    /// From the start of a connection to its use, TLS handshake included.
    public var connectTimeout: Duration
    /// How long an unused connection is kept. Shorter than servers do, so that they seldom close what we are about to
    /// use.
    public var idleTimeout: Duration
    /// What the proxy may not exceed.
    public var limits: ConnectionLimits
    /// Whether endpoints are told who the client is.
    public var proxyProtocol: ProxyProtocol
    /// Asks endpoints whether they are well; nil: all count as well.
    public var healthCheck: HealthCheck?
    /// Takes endpoints out that fail requests; nil: none.
    public var outlierDetection: OutlierDetection?
    /// Bounds the load that retries add.
    public var retryBudget: RetryBudget
    /// Finds out how many requests it takes at a time; nil: only ``limits`` count.
    public var adaptiveConcurrency: AdaptiveConcurrency?
    /// For requests whose rule says nothing itself.
    public var policy: RequestPolicy
    /// Who serves its meshed endpoints; nil: it has none.
    public var mesh: MeshPeer?
    /// `namespace/name` of the Service that it is part of, as metrics of hops name it; empty: none.
    public var service: String
    /// Where it was written.
    public var origin: Origin?

    /// A backend of these parts; the defaults where nothing is said.
    public init(
        name: String, protocol: `Protocol` = .http1, tls: BackendTLS? = nil, endpoints: [Endpoint] = [],
        loadBalancer: LoadBalancer = LoadBalancer(), connectTimeout: Duration = Self.defaultConnectTimeout,
        idleTimeout: Duration = Self.defaultIdleTimeout, limits: ConnectionLimits = ConnectionLimits(),
        proxyProtocol: ProxyProtocol = .none, healthCheck: HealthCheck? = nil,
        outlierDetection: OutlierDetection? = nil, retryBudget: RetryBudget = RetryBudget(),
        adaptiveConcurrency: AdaptiveConcurrency? = nil, policy: RequestPolicy = RequestPolicy(),
        mesh: MeshPeer? = nil, service: String = "", origin: Origin? = nil
    ) {
        self.mesh = mesh
        self.service = service
        self.name = name
        self.protocol = `protocol`
        self.tls = tls
        self.endpoints = endpoints
        self.loadBalancer = loadBalancer
        self.connectTimeout = connectTimeout
        self.idleTimeout = idleTimeout
        self.limits = limits
        self.proxyProtocol = proxyProtocol
        self.healthCheck = healthCheck
        self.outlierDetection = outlierDetection
        self.retryBudget = retryBudget
        self.adaptiveConcurrency = adaptiveConcurrency
        self.policy = policy
        self.origin = origin
    }

    /// 5 s.
    public static let defaultConnectTimeout = Duration.seconds(5)
    /// 4 s.
    public static let defaultIdleTimeout = Duration.seconds(4)
}

/// One address of a backend.
public struct Endpoint: Sendable, Equatable {
    /// Where it is.
    public var address: EndpointAddress
    /// Its share of requests is `weight` of the sum of its backend's. 0: none.
    public var weight: Int
    /// Where it stands, such as an availability zone; nil: unknown.
    public var zone: String?
    /// What else is known about it.
    public var labels: [String: String]
    /// True if it gets requests only while none of the others is available.
    public var isBackup: Bool
    /// True if a proxy of the mesh serves it: `Backend.mesh` says what is spoken. Otherwise the backend's `protocol` and
    /// `tls` do.
    public var isMeshed: Bool

    /// An endpoint at `address`.
    public init(
        _ address: EndpointAddress, weight: Int = Self.defaultWeight, zone: String? = nil,
        labels: [String: String] = [:], isBackup: Bool = false, isMeshed: Bool = false
    ) {
        self.isMeshed = isMeshed
        self.address = address
        self.weight = weight
        self.zone = zone
        self.labels = labels
        self.isBackup = isBackup
    }

    /// 1.
    public static let defaultWeight = 1
}

/// Where an endpoint is.
public enum EndpointAddress: Sendable, Hashable {
    /// A numeric IPv4 or IPv6 address, without brackets.
    case ip(String, port: UInt16)
    /// A DNS name, resolved again and again; every address of it is used.
    case name(String, port: UInt16)
    /// A unix socket at this path.
    case unix(path: String)
}

extension EndpointAddress: CustomStringConvertible {
    /// `127.0.0.1:80`, `[::1]:80`, `name:80` or `unix:/path`.
    public var description: String {
        switch self {
        case .ip(let host, let port), .name(let host, let port):
            host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}
