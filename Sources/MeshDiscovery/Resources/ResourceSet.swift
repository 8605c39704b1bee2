import MeshModel

/// Resources by type and name: all that one proxy's configuration is made from. A value: changing a copy costs what
/// has changed, and leaves what is in use alone.
public struct ResourceSet: Sendable, Equatable {
    /// PEM: every root that is believed; nil: not there yet.
    public private(set) var trustBundle: [UInt8]?
    /// What holds for the whole mesh; nil: not there, so that the defaults hold.
    public private(set) var mesh: MeshSettings?
    /// Backends by name.
    public private(set) var backends: [String: MeshBackend] = [:]
    /// Sets of endpoints by name.
    public private(set) var endpoints: [String: EndpointSet] = [:]
    /// Access policies by name.
    public private(set) var accessPolicies: [String: AccessPolicy] = [:]
    /// Services by name.
    public private(set) var services: [String: MeshService] = [:]
    /// Workloads by name.
    public private(set) var workloads: [String: Workload] = [:]
    /// Gateways by name.
    public private(set) var gateways: [String: MeshGateway] = [:]
    /// Attached routes by name.
    public private(set) var routes: [String: AttachedRoute] = [:]

    /// A set of `resources`; of several with the same type and name the last.
    public init(_ resources: some Sequence<MeshResource> = []) {
        for resource in resources { insert(resource) }
    }

    /// Adds `resource`, in place of another of its type and name.
    public mutating func insert(_ resource: MeshResource) {
        switch resource {
        case .trustBundle(let bundle): trustBundle = bundle
        case .mesh(let settings): mesh = settings
        case .backend(let backend): backends[resource.name] = backend
        case .endpoints(let set): endpoints[resource.name] = set
        case .accessPolicy(let policy): accessPolicies[resource.name] = policy
        case .service(let service): services[resource.name] = service
        case .workload(let workload): workloads[resource.name] = workload
        case .gateway(let gateway): gateways[resource.name] = gateway
        case .route(let route): routes[resource.name] = route
        }
    }

    /// Takes a resource out, if it is there.
    public mutating func remove(_ type: MeshResourceType, _ name: String) {
        switch type {
        case .trustBundle: trustBundle = nil
        case .mesh: mesh = nil
        case .backend: backends[name] = nil
        case .endpoints: endpoints[name] = nil
        case .accessPolicy: accessPolicies[name] = nil
        case .service: services[name] = nil
        case .workload: workloads[name] = nil
        case .gateway: gateways[name] = nil
        case .route: routes[name] = nil
        }
    }

    /// The resource of this type and name; nil if it is not there.
    public subscript(_ type: MeshResourceType, _ name: String) -> MeshResource? {
        switch type {
        case .trustBundle: name == "bundle" ? trustBundle.map { .trustBundle($0) } : nil
        case .mesh: name == "mesh" ? mesh.map { .mesh($0) } : nil
        case .backend: backends[name].map { .backend($0) }
        case .endpoints: endpoints[name].map { .endpoints($0) }
        case .accessPolicy: accessPolicies[name].map { .accessPolicy($0) }
        case .service: services[name].map { .service($0) }
        case .workload: workloads[name].map { .workload($0) }
        case .gateway: gateways[name].map { .gateway($0) }
        case .route: routes[name].map { .route($0) }
        }
    }

    /// The names of the resources of a type, sorted.
    public func names(_ type: MeshResourceType) -> [String] {
        switch type {
        case .trustBundle: trustBundle == nil ? [] : ["bundle"]
        case .mesh: mesh == nil ? [] : ["mesh"]
        case .backend: backends.keys.sorted()
        case .endpoints: endpoints.keys.sorted()
        case .accessPolicy: accessPolicies.keys.sorted()
        case .service: services.keys.sorted()
        case .workload: workloads.keys.sorted()
        case .gateway: gateways.keys.sorted()
        case .route: routes.keys.sorted()
        }
    }

    /// Every resource, by type and name.
    public var all: [MeshResource] {
        MeshResourceType.allCases.flatMap { type in names(type).compactMap { self[type, $0] } }
    }
}
