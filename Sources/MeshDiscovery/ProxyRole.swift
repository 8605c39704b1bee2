import MeshModel

/// What a proxy is: which document says what it does. Its text is `workload:NAMESPACE/NAME` or
/// `gateway:NAMESPACE/NAME`.
public enum ProxyRole: Sendable, Hashable {
    /// A sidecar: the Workload `namespace/name`.
    case workload(String)
    /// The Gateway `namespace/name`.
    case gateway(String)

    /// `namespace/name` of the document.
    public var name: String {
        switch self {
        case .workload(let name), .gateway(let name): name
        }
    }

    /// The namespace of the document.
    public var namespace: String { Self.namespace(of: name) }

    /// The type of the resource that the role is.
    public var type: MeshResourceType {
        switch self {
        case .workload: .workload
        case .gateway: .gateway
        }
    }

    /// What is in front of the slash in `namespace/name`.
    static func namespace(of name: String) -> String {
        String(name.prefix { $0 != "/" })
    }
}

extension ProxyRole: CustomStringConvertible {
    /// The role that `text` writes; nil if it has another form.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        let segments = parts[1].split(separator: "/", omittingEmptySubsequences: false)
        guard segments.count == 2, segments.allSatisfy({ SPIFFEID.isSegment(String($0)) }) else { return nil }
        switch parts[0] {
        case "workload": self = .workload(String(parts[1]))
        case "gateway": self = .gateway(String(parts[1]))
        default: return nil
        }
    }

    /// `workload:NAMESPACE/NAME` or `gateway:NAMESPACE/NAME`.
    public var description: String {
        switch self {
        case .workload(let name): "workload:\(name)"
        case .gateway(let name): "gateway:\(name)"
        }
    }
}

/// What one instance does otherwise than its Workload says, because several may run on one machine.
public struct InstanceOverrides: Sendable, Equatable {
    /// Where a port of the service is served.
    public struct Port: Sendable, Equatable {
        /// The port of the Service.
        public var port: UInt16
        /// Where the application listens, on the host that the Workload says; nil: as the Workload says.
        public var applicationPort: UInt16?
        /// Where the proxy listens for the mesh; nil: as the Workload says.
        public var inboundPort: UInt16?

        /// Serves `port` elsewhere.
        public init(port: UInt16, applicationPort: UInt16? = nil, inboundPort: UInt16? = nil) {
            self.port = port
            self.applicationPort = applicationPort
            self.inboundPort = inboundPort
        }
    }

    /// The name of the instance; empty: unknown.
    public var instance: String
    /// Where it stands; nil: as its document says.
    public var zone: String?
    /// Ports that are served elsewhere; those that the Workload does not have are an error.
    public var ports: [Port]
    /// Where the application calls from; nil: as the Workload says.
    public var outbound: ListenAddress?
    /// Local ports of backends, in place of those for the same service and port, or beside the others.
    public var localPorts: [WorkloadBackend]

    /// Overrides; without any part, none.
    public init(
        instance: String = "", zone: String? = nil, ports: [Port] = [], outbound: ListenAddress? = nil,
        localPorts: [WorkloadBackend] = []
    ) {
        self.instance = instance
        self.zone = zone
        self.ports = ports
        self.outbound = outbound
        self.localPorts = localPorts
    }
}
