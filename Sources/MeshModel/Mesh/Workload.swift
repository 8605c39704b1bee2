/// A Workload document: instances of one service that are all alike, each an application with a proxy beside it.
public struct Workload: Sendable, Equatable {
    /// `namespace/name`.
    public var name: String
    /// The service that it is part of, `namespace/name`; also the identity of its proxies.
    public var service: String
    /// Labels of its endpoints, such as `version`.
    public var labels: [String: String]
    /// Weight of each of its endpoints.
    public var weight: Int
    /// Where the application listens, and its proxy for the mesh.
    public var ports: [WorkloadPort]
    /// Where the application calls from the proxy; nil: only by a port per backend.
    public var outbound: ListenAddress?
    /// Where connections arrive that the kernel redirects; nil: nowhere.
    public var transparent: ListenAddress?
    /// Whom it calls.
    public var backends: [WorkloadBackend]
    /// Whether it takes clear text; already decided among Workload, namespace and mesh.
    public var mode: MTLSMode
    /// What concerns its proxies as a whole.
    public var settings: ProxySettings
    /// Where it was written.
    public var origin: Origin?

    /// A workload of these parts.
    public init(
        name: String, service: String, labels: [String: String] = [:], weight: Int = Endpoint.defaultWeight,
        ports: [WorkloadPort] = [], outbound: ListenAddress? = nil, transparent: ListenAddress? = nil,
        backends: [WorkloadBackend] = [], mode: MTLSMode = .strict, settings: ProxySettings = ProxySettings(),
        origin: Origin? = nil
    ) {
        self.name = name
        self.service = service
        self.labels = labels
        self.weight = weight
        self.ports = ports
        self.outbound = outbound
        self.transparent = transparent
        self.backends = backends
        self.mode = mode
        self.settings = settings
        self.origin = origin
    }

    /// 15001: the default port of ``outbound``, on 127.0.0.1.
    public static let defaultOutboundPort: UInt16 = 15001
    /// 15006: the default port of ``transparent`` where a document asks for it.
    public static let defaultTransparentPort: UInt16 = 15006
}

/// A port of an application, as part of its service.
public struct WorkloadPort: Sendable, Equatable {
    /// The port of the Service.
    public var port: UInt16
    /// What the application speaks.
    public var `protocol`: Backend.`Protocol`
    /// Where the application listens on the machine itself. An instance may say otherwise.
    public var application: EndpointAddress
    /// Where the proxy listens for the mesh; 0: the system chooses. An instance may say otherwise.
    public var inboundPort: UInt16
    /// Asks whether the application is ready, instance by instance; nil: it is ready when the proxy is.
    public var readiness: HealthCheck?

    /// A port of these parts.
    public init(
        port: UInt16, protocol: Backend.`Protocol` = .http1, application: EndpointAddress, inboundPort: UInt16 = 0,
        readiness: HealthCheck? = nil
    ) {
        self.port = port
        self.protocol = `protocol`
        self.application = application
        self.inboundPort = inboundPort
        self.readiness = readiness
    }
}

/// A service that a workload calls.
public struct WorkloadBackend: Sendable, Equatable {
    /// `namespace/name` of the Service.
    public var service: String
    /// The Service's port that ``localPort`` leads to; nil: its only one.
    public var servicePort: UInt16?
    /// A port on 127.0.0.1 that is for this backend alone; nil: it is called by name.
    public var localPort: UInt16?

    /// The backend `service`.
    public init(service: String, servicePort: UInt16? = nil, localPort: UInt16? = nil) {
        self.service = service
        self.servicePort = servicePort
        self.localPort = localPort
    }
}
