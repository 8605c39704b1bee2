/// One resource as it travels from the control plane to proxies: one user object, or the part of one that changes by
/// itself. Nothing in it depends on who asks.
public enum MeshResource: Sendable, Equatable {
    /// Whom everybody believes: PEM, every root.
    case trustBundle([UInt8])
    case mesh(MeshSettings)
    case backend(MeshBackend)
    case endpoints(EndpointSet)
    case accessPolicy(AccessPolicy)
    case service(MeshService)
    case workload(Workload)
    case gateway(MeshGateway)
    case route(AttachedRoute)
}

/// The kinds of ``MeshResource``, in the order in which they must reach a proxy so that what is new refers to nothing
/// that is not there yet (make before break); what is removed is removed in the opposite order.
public enum MeshResourceType: Int, Sendable, CaseIterable, Comparable, Hashable {
    case trustBundle
    case mesh
    case backend
    case endpoints
    case accessPolicy
    case service
    case workload
    case gateway
    case route

    /// True if `left` must reach a proxy before `right`.
    public static func < (left: MeshResourceType, right: MeshResourceType) -> Bool { left.rawValue < right.rawValue }

    /// The name of the message in proto/martlet/v1/mesh.proto.
    public var message: String {
        switch self {
        case .trustBundle: "martlet.v1.TrustBundle"
        case .mesh: "martlet.v1.MeshSettings"
        case .backend: "martlet.v1.MeshBackend"
        case .endpoints: "martlet.v1.EndpointSet"
        case .accessPolicy: "martlet.v1.AccessPolicy"
        case .service: "martlet.v1.MeshService"
        case .workload: "martlet.v1.Workload"
        case .gateway: "martlet.v1.MeshGateway"
        case .route: "martlet.v1.AttachedRoute"
        }
    }

    /// As discovery names the type.
    public var url: String { "type.googleapis.com/" + message }

    /// The type of this URL; nil if there is none.
    public init?(url: String) {
        guard let type = Self.allCases.first(where: { $0.url == url }) else { return nil }
        self = type
    }
}

extension MeshResource {
    /// The kind.
    public var type: MeshResourceType {
        switch self {
        case .trustBundle: .trustBundle
        case .mesh: .mesh
        case .backend: .backend
        case .endpoints: .endpoints
        case .accessPolicy: .accessPolicy
        case .service: .service
        case .workload: .workload
        case .gateway: .gateway
        case .route: .route
        }
    }

    /// Unique among resources of its type.
    public var name: String {
        switch self {
        case .trustBundle: "bundle"
        case .mesh: "mesh"
        case .backend(let backend): backend.backend.name
        case .endpoints(let set): set.name
        case .accessPolicy(let policy): policy.name
        case .service(let service): service.name
        case .workload(let workload): workload.name
        case .gateway(let gateway): gateway.name
        case .route(let route): route.name
        }
    }
}

extension AttachedRoute {
    /// `section NAME|Kind namespace/name` or `service NAME:PORT|Kind namespace/name`: unique among attached routes.
    public var name: String {
        switch parent {
        case .section(let section): "section \(section)|\(object)"
        case .service(let service, let port, _): "service \(service)\(port.map { ":\($0)" } ?? "")|\(object)"
        }
    }
}
