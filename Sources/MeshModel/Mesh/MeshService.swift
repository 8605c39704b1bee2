/// A Service, as its callers see it.
public struct MeshService: Sendable, Equatable {
    /// `namespace/name`.
    public var name: String
    /// What it is called by, in lower case and without port: `name.namespace`, `name.namespace.svc` and what else its
    /// documents say. Callers in its own namespace call it by `name`, too.
    public var hosts: [String]
    /// Addresses that stand for it in redirected connections: its cluster IPs.
    public var addresses: [String]
    /// Its ports.
    public var ports: [MeshServicePort]
    /// Where it was written.
    public var origin: Origin?

    /// A service of these parts.
    public init(
        name: String, hosts: [String] = [], addresses: [String] = [], ports: [MeshServicePort] = [],
        origin: Origin? = nil
    ) {
        self.name = name
        self.hosts = hosts
        self.addresses = addresses
        self.ports = ports
        self.origin = origin
    }
}

/// A port of a service.
public struct MeshServicePort: Sendable, Equatable {
    /// The number by which it is called.
    public var port: UInt16
    /// What its applications speak.
    public var `protocol`: Backend.`Protocol`
    /// The backend for requests that no route takes.
    public var backend: String

    /// A port of these parts.
    public init(port: UInt16, protocol: Backend.`Protocol`, backend: String) {
        self.port = port
        self.protocol = `protocol`
        self.backend = backend
    }
}

/// A backend, without its endpoints.
public struct MeshBackend: Sendable, Equatable {
    /// The backend; no endpoints.
    public var backend: Backend
    /// The name of the ``EndpointSet`` that it takes its endpoints from.
    public var endpoints: String
    /// Labels that an endpoint must have to belong to it; empty: all belong.
    public var selector: [String: String]

    /// A backend with the endpoints of a set.
    public init(backend: Backend, endpoints: String, selector: [String: String] = [:]) {
        self.backend = backend
        self.endpoints = endpoints
        self.selector = selector
    }
}

/// Where something is served. The part of the configuration that changes without anybody's doing.
public struct EndpointSet: Sendable, Equatable {
    /// `namespace/kind/name:port`, as the backend without a selector is called.
    public var name: String
    /// The endpoints, sorted by address.
    public var endpoints: [Endpoint]

    /// A set of endpoints.
    public init(name: String, endpoints: [Endpoint]) {
        self.name = name
        self.endpoints = endpoints
    }
}

/// A Gateway, without its routes.
public struct MeshGateway: Sendable, Equatable {
    /// `namespace/name`; also the identity of its proxies, as a service.
    public var name: String
    /// Its sockets; their sections have no routes.
    public var listeners: [Listener]
    /// What concerns its proxies as a whole.
    public var settings: ProxySettings
    /// Where it was written.
    public var origin: Origin?

    /// A gateway of these parts.
    public init(
        name: String, listeners: [Listener], settings: ProxySettings = ProxySettings(), origin: Origin? = nil
    ) {
        self.name = name
        self.listeners = listeners
        self.settings = settings
        self.origin = origin
    }
}

/// A route, attached to one parent.
public struct AttachedRoute: Sendable, Equatable {
    /// What a route governs.
    public enum Parent: Sendable, Hashable {
        /// What arrives at this section of a Gateway, `namespace/gateway/section`.
        case section(String)
        /// What is sent to the Service `namespace/name`: to this port of it, nil: to any. `consumers`: only by workloads
        /// of this namespace (a consumer route); nil: by all.
        case service(String, port: UInt16?, consumers: String?)
    }

    /// What it says.
    public enum Content: Sendable, Equatable {
        /// An HTTPRoute or GRPCRoute.
        case requests(Route)
        /// A TCPRoute or TLSRoute.
        case streams(StreamRoute)
    }

    /// What it governs.
    public var parent: Parent
    /// `Kind namespace/name`.
    public var object: String
    /// What it says.
    public var content: Content
    /// Which of several equal routes is older, and wins: the smaller number, then the smaller ``object``.
    public var age: Int64

    /// A route of these parts.
    public init(parent: Parent, object: String, content: Content, age: Int64 = 0) {
        self.parent = parent
        self.object = object
        self.content = content
        self.age = age
    }
}

/// What holds for a whole mesh.
public struct MeshSettings: Sendable, Equatable {
    /// The trust domain of all identities.
    public var trustDomain: String
    /// The namespace whose policies without target are for the whole mesh.
    public var namespace: String
    /// For services without any AccessPolicy.
    public var defaultAccess: AccessAction
    /// True if proxies let traffic through to redirected destinations that are no service of the mesh.
    public var allowsUnknownDestinations: Bool
    /// How long certificates of proxies are valid; renewed at half of it.
    public var certificateLifetime: Duration

    /// Settings; the defaults where nothing is said.
    public init(
        trustDomain: String = Self.defaultTrustDomain, namespace: String = "default",
        defaultAccess: AccessAction = .allow, allowsUnknownDestinations: Bool = true,
        certificateLifetime: Duration = Self.defaultCertificateLifetime
    ) {
        self.trustDomain = trustDomain
        self.namespace = namespace
        self.defaultAccess = defaultAccess
        self.allowsUnknownDestinations = allowsUnknownDestinations
        self.certificateLifetime = certificateLifetime
    }

    /// `mesh.local`.
    public static let defaultTrustDomain = "mesh.local"
    /// 24 h.
    public static let defaultCertificateLifetime = Duration.seconds(24 * 3600)
}
