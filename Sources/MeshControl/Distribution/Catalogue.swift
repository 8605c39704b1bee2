import MeshCore
internal import MeshDiscovery
import MeshModel

/// All resources of the mesh, each encoded once, whoever gets it.
struct Catalogue {
    /// A resource's name among all.
    struct Key: Hashable {
        var type: MeshResourceType
        var name: String
    }

    /// What has become of resources.
    struct Change {
        /// Added, other than before, or removed.
        var keys: Set<Key> = []
        /// Routes that were changed or removed, as they were before.
        var formerRoutes: [AttachedRoute] = []
        /// Access policies that were changed or removed, as they were before.
        var formerPolicies: [AccessPolicy] = []

        var isEmpty: Bool { keys.isEmpty }
    }

    /// The same, to be looked into; endpoint sets with the registered endpoints.
    private(set) var resources = ResourceSet()
    /// Names of routes by the service that they govern.
    private(set) var routesOfServices: [String: Set<String>] = [:]
    /// Names of routes by the gateway that they are attached to.
    private(set) var routesOfGateways: [String: Set<String>] = [:]
    /// Names of workloads by their service.
    private(set) var workloadsOfServices: [String: Set<String>] = [:]
    private var encoded: [MeshResourceType: [String: EncodedResource]] = [:]
    /// Endpoint sets as documents say them.
    private var written: [String: EndpointSet] = [:]
    /// Endpoints of instances, by the name of their set.
    private var registered: [String: [MeshModel.Endpoint]] = [:]

    /// The resource as it is sent; nil if there is none.
    func encoded(_ type: MeshResourceType, _ name: String) -> EncodedResource? { encoded[type]?[name] }

    /// How many resources there are.
    var count: Int { encoded.values.reduce(0) { $0 + $1.count } }

    // MARK: Changes

    /// Everything that documents say, in place of what they said before. Nothing changes if one of them cannot be
    /// encoded.
    mutating func adopt(_ all: [MeshResource]) throws(ProxyError) -> Change {
        var next = self
        var change = Change()
        var seen: [MeshResourceType: Set<String>] = [:]
        next.written = [:]
        for resource in all {
            let (type, name) = (resource.type, resource.name)
            guard seen[type, default: []].insert(name).inserted else { continue }
            if case .endpoints(let set) = resource {
                next.written[name] = set
            } else {
                try next.put(resource, &change)
            }
        }
        for type in MeshResourceType.allCases where type != .endpoints && type != .trustBundle {
            for name in resources.names(type) where seen[type]?.contains(name) != true {
                next.remove(type, name, &change)
            }
        }
        for name in Set(next.written.keys).union(written.keys).union(registered.keys) {
            try next.merge(name, &change)
        }
        self = next
        return change
    }

    /// The roots that everybody believes.
    mutating func adopt(trustBundle: [UInt8]) throws(ProxyError) -> Change {
        var change = Change()
        try put(.trustBundle(trustBundle), &change)
        return change
    }

    /// The endpoints that instances are to a set, in place of those before.
    mutating func register(_ endpoints: [MeshModel.Endpoint], in set: String) throws(ProxyError) -> Change {
        var change = Change()
        registered[set] = endpoints.isEmpty ? nil : endpoints
        try merge(set, &change)
        return change
    }

    /// The sets that instances are registered in.
    var registeredSets: Set<String> { Set(registered.keys) }

    private mutating func merge(_ name: String, _ change: inout Change) throws(ProxyError) {
        guard written[name] != nil || registered[name] != nil else {
            // A set that was used stays, empty: whoever has it shall see that it is.
            if resources.endpoints[name] != nil, isUsed(name) {
                try put(.endpoints(EndpointSet(name: name, endpoints: [])), &change)
            } else {
                remove(.endpoints, name, &change)
            }
            return
        }
        var endpoints = registered[name] ?? []
        var addresses = Set(endpoints.map(\.address))
        for endpoint in written[name]?.endpoints ?? [] where addresses.insert(endpoint.address).inserted {
            endpoints.append(endpoint)
        }
        endpoints.sort { $0.address.description < $1.address.description }
        try put(.endpoints(EndpointSet(name: name, endpoints: endpoints)), &change)
    }

    private func isUsed(_ set: String) -> Bool { resources.backends.values.contains { $0.endpoints == set } }

    private mutating func put(_ resource: MeshResource, _ change: inout Change) throws(ProxyError) {
        let (type, name) = (resource.type, resource.name)
        let before = resources[type, name]
        guard before != resource else { return }
        // Where it is written is known here, for people, and is not sent: that moves whenever something before it does.
        let sent = resource.withoutOrigins
        if let before {
            guard before.withoutOrigins != sent else { return resources.insert(resource) }
            note(before, &change)
            unlink(before)
        }
        encoded[type, default: [:]][name] = EncodedResource(try VersionedResource(sent))
        resources.insert(resource)
        link(resource)
        change.keys.insert(Key(type: type, name: name))
    }

    private mutating func remove(_ type: MeshResourceType, _ name: String, _ change: inout Change) {
        guard let before = resources[type, name] else { return }
        note(before, &change)
        unlink(before)
        resources.remove(type, name)
        encoded[type]?[name] = nil
        change.keys.insert(Key(type: type, name: name))
    }

    private func note(_ before: MeshResource, _ change: inout Change) {
        switch before {
        case .route(let route): change.formerRoutes.append(route)
        case .accessPolicy(let policy): change.formerPolicies.append(policy)
        case .trustBundle, .mesh, .backend, .endpoints, .service, .workload, .gateway: break
        }
    }

    // MARK: Indexes

    private mutating func link(_ resource: MeshResource) {
        switch resource {
        case .route(let route):
            switch route.governed {
            case .service(let name): routesOfServices[name, default: []].insert(route.name)
            case .gateway(let name): routesOfGateways[name, default: []].insert(route.name)
            }
        case .workload(let workload): workloadsOfServices[workload.service, default: []].insert(workload.name)
        case .trustBundle, .mesh, .backend, .endpoints, .accessPolicy, .service, .gateway: break
        }
    }

    private mutating func unlink(_ resource: MeshResource) {
        switch resource {
        case .route(let route):
            switch route.governed {
            case .service(let name): routesOfServices[name]?.remove(route.name)
            case .gateway(let name): routesOfGateways[name]?.remove(route.name)
            }
        case .workload(let workload): workloadsOfServices[workload.service]?.remove(workload.name)
        case .trustBundle, .mesh, .backend, .endpoints, .accessPolicy, .service, .gateway: break
        }
    }
}

extension AttachedRoute {
    /// What a route governs, as scopes see it.
    enum Governed: Hashable {
        /// `namespace/name`.
        case service(String)
        /// `namespace/name`.
        case gateway(String)
    }

    /// What it governs.
    var governed: Governed {
        switch parent {
        case .service(let service, _, _): .service(service)
        case .section(let section): .gateway(section.split(separator: "/").prefix(2).joined(separator: "/"))
        }
    }

    /// The backends that it names.
    var backends: Set<String> {
        var names: Set<String> = []
        func add(_ target: BackendTarget) {
            if case .backend(let name) = target { names.insert(name) }
        }
        func add(_ filters: [Filter]) {
            for case .requestMirror(let mirror) in filters { add(mirror.target) }
        }
        switch content {
        case .requests(let route):
            for rule in route.rules {
                add(rule.filters)
                for backend in rule.backends {
                    add(backend.target)
                    add(backend.filters)
                }
            }
        case .streams(let route):
            for backend in route.backends { add(backend.target) }
        }
        return names
    }
}
