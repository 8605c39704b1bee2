import MeshCore
internal import MeshDiscovery
import MeshModel

/// What a proxy is to be sent depends on its role, and on what it asked for by name; proxies that are alike in both
/// share one scope.
struct ScopeKey: Hashable {
    var role: ProxyRole
    /// Services beside those that its Workload declares.
    var onDemand: Set<String> = []
}

/// The names of what is in a scope. Names of what does not exist are here, too: it may come.
struct ScopeNames: Equatable {
    var services: Set<String> = []
    var routes: Set<String> = []
    var backends: Set<String> = []
    var endpoints: Set<String> = []
    var policies: Set<String> = []

    /// What `key` needs of `catalogue`.
    init(_ key: ScopeKey, _ catalogue: Catalogue) {
        switch key.role {
        case .workload(let name): sidecar(name, key, catalogue)
        case .gateway(let name): routes = catalogue.routesOfGateways[name] ?? []
        }
        let resources = catalogue.resources
        for route in routes { backends.formUnion(resources.routes[route]?.backends ?? []) }
        for backend in backends {
            if let backend = resources.backends[backend] { endpoints.insert(backend.endpoints) }
        }
        for policy in resources.accessPolicies.values
        where policy.concerns(key.role, resources.workloads[key.role.name], resources.mesh) {
            policies.insert(policy.name)
        }
    }

    private mutating func sidecar(_ name: String, _ key: ScopeKey, _ catalogue: Catalogue) {
        let resources = catalogue.resources
        services = key.onDemand.union(resources.workloads[name]?.backends.map(\.service) ?? [])
        for service in services {
            for port in resources.services[service]?.ports ?? [] { backends.insert(port.backend) }
            for route in catalogue.routesOfServices[service] ?? [] {
                // Consumer routes are for callers of one namespace.
                if case .service(_, _, let consumers?)? = resources.routes[route]?.parent,
                    consumers != key.role.namespace
                {
                    continue
                }
                routes.insert(route)
            }
        }
    }

    /// The names of a type; those of the scope's own document and of what everybody gets are not here.
    func names(_ type: MeshResourceType) -> Set<String> {
        switch type {
        case .service: services
        case .route: routes
        case .backend: backends
        case .endpoints: endpoints
        case .accessPolicy: policies
        case .trustBundle, .mesh, .workload, .gateway: []
        }
    }
}

extension AccessPolicy {
    /// Whether a proxy has to enforce it: the same choice as `Assembly` makes.
    func concerns(_ role: ProxyRole, _ workload: Workload?, _ mesh: MeshSettings?) -> Bool {
        switch role {
        case .gateway(let name): return targets.contains(.gateway(name))
        case .workload(let name):
            guard !targets.isEmpty else {
                let home = String(self.name.prefix { $0 != "/" })
                return home == role.namespace || home == (mesh ?? MeshSettings()).namespace
            }
            return targets.contains(.workload(name))
                || (workload.map { targets.contains(.service($0.service)) } ?? false)
        }
    }
}

/// A scope with its resources, in tables that all of its sessions share.
struct Scope {
    let key: ScopeKey
    private(set) var names: ScopeNames
    private(set) var tables: [MeshResourceType: DiscoveryTable] = [:]

    /// The scope of `key`, with what `catalogue` has for it.
    init(_ key: ScopeKey, _ catalogue: Catalogue, shared: [MeshResourceType: DiscoveryTable]) {
        self.key = key
        names = ScopeNames(key, catalogue)
        fill(MeshResourceType.allCases, catalogue, shared)
    }

    /// Finds out anew what is in it. True if anything is other than before.
    mutating func refresh(_ catalogue: Catalogue, shared: [MeshResourceType: DiscoveryTable]) -> Bool {
        names = ScopeNames(key, catalogue)
        return fill(MeshResourceType.allCases, catalogue, shared)
    }

    /// Takes over other endpoints; what is in it stays. True if anything is other than before.
    mutating func refreshEndpoints(_ catalogue: Catalogue) -> Bool { fill([.endpoints], catalogue, [:]) }

    @discardableResult
    private mutating func fill(
        _ types: [MeshResourceType], _ catalogue: Catalogue, _ shared: [MeshResourceType: DiscoveryTable]
    ) -> Bool {
        var hasChanged = false
        for type in types {
            let before = tables[type]
            let table = shared[type] ?? table(type, catalogue, before)
            if table !== before {
                tables[type] = table
                hasChanged = true
            }
        }
        return hasChanged
    }

    /// The table of a type: the one before if nothing in it has changed, so that sessions have nothing to compare.
    private func table(_ type: MeshResourceType, _ catalogue: Catalogue, _ before: DiscoveryTable?) -> DiscoveryTable {
        let wanted = type == key.role.type ? [key.role.name] : names.names(type)
        let found = wanted.compactMap { catalogue.encoded(type, $0) }
        if let before, before.resources.count == found.count,
            found.allSatisfy({ before.resources[$0.name]?.version == $0.version })
        {
            return before
        }
        return DiscoveryTable(found)
    }

    /// As sessions take it.
    var discovery: DiscoveryScope {
        DiscoveryScope(Dictionary(uniqueKeysWithValues: tables.map { ($0.key.url, $0.value) }))
    }

    /// A digest of all versions in it, the same for equal resources.
    var digest: ResourceDigest {
        var digest = ResourceDigest()
        for (type, table) in tables {
            for resource in table.resources.values { digest.add(type.url, resource.name, resource.version) }
        }
        return digest
    }
}

/// A digest of a set of resources with their versions, whatever their order.
struct ResourceDigest: Equatable {
    private var bits: UInt64 = 0

    /// Adds a resource; adding it again takes it out.
    mutating func add(_ typeURL: String, _ name: String, _ version: ResourceVersion) {
        var parts = FNV1a()
        for text in [typeURL, name, version.description] {
            parts.add(text.utf8)
            parts.add([0])
        }
        var hash = parts.value
        // Mixed once more, so that differences of two do not cancel each other.
        hash = (hash ^ (hash >> 30)) &* 0xbf58_476d_1ce4_e5b9
        bits ^= hash ^ (hash >> 27)
    }

    /// 16 hexadecimal digits; empty for nothing.
    var text: String {
        bits == 0 ? "" : FNV1a.text(bits)
    }
}
