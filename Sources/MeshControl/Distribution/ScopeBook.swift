internal import MeshDiscovery
import MeshModel

/// The scopes that are in use, and for each resource the scopes that it may be in, so that a change costs what it
/// concerns.
struct ScopeBook {
    /// Sessions that share a scope.
    private struct Entry {
        var scope: Scope
        var users: Set<UInt64> = []
    }

    private var entries: [Int: Entry] = [:]
    private var ids: [ScopeKey: Int] = [:]
    private var nextID = 0
    /// By the names in ``ScopeNames``, existing or not.
    private var holders: [MeshResourceType: [String: Set<Int>]] = [:]
    private var byRole: [ProxyRole: Set<Int>] = [:]
    /// Tables that all scopes have in common.
    private var shared: [MeshResourceType: DiscoveryTable] = [:]

    /// How many there are.
    var count: Int { entries.count }

    /// The scope of `key`, for one more session.
    mutating func enter(_ key: ScopeKey, session: UInt64, _ catalogue: Catalogue) -> Scope {
        if let id = ids[key], var entry = entries[id] {
            entry.users.insert(session)
            entries[id] = entry
            return entry.scope
        }
        if shared.isEmpty { share(catalogue) }
        let scope = Scope(key, catalogue, shared: shared)
        let id = nextID
        nextID += 1
        ids[key] = id
        entries[id] = Entry(scope: scope, users: [session])
        byRole[key.role, default: []].insert(id)
        index(id, scope.names)
        return scope
    }

    /// A session needs its scope no longer.
    mutating func leave(_ key: ScopeKey, session: UInt64) {
        guard let id = ids[key], var entry = entries[id] else { return }
        entry.users.remove(session)
        guard entry.users.isEmpty else {
            entries[id] = entry
            return
        }
        unindex(id, entry.scope.names)
        byRole[key.role]?.remove(id)
        if byRole[key.role]?.isEmpty == true { byRole[key.role] = nil }
        ids[key] = nil
        entries[id] = nil
    }

    /// The scope of `key`, if it is in use.
    func scope(_ key: ScopeKey) -> Scope? { ids[key].flatMap { entries[$0]?.scope } }

    /// Takes over what has changed in `catalogue`. The sessions that have something new to learn, with their scope.
    mutating func apply(_ change: Catalogue.Change, _ catalogue: Catalogue) -> [(scope: Scope, sessions: Set<UInt64>)] {
        var whole: Set<Int> = []
        var endpoints: Set<Int> = []
        var sharedChanged = false
        for key in change.keys {
            switch key.type {
            case .trustBundle, .mesh: sharedChanged = true
            case .endpoints: endpoints.formUnion(holders[.endpoints]?[key.name] ?? [])
            case .service, .backend: whole.formUnion(holders[key.type]?[key.name] ?? [])
            case .workload: whole.formUnion(byRole[.workload(key.name)] ?? [])
            case .gateway: whole.formUnion(byRole[.gateway(key.name)] ?? [])
            case .route:
                if let route = catalogue.resources.routes[key.name] { whole.formUnion(ids(of: route)) }
            case .accessPolicy:
                if let policy = catalogue.resources.accessPolicies[key.name] {
                    whole.formUnion(ids(of: policy, catalogue))
                }
            }
        }
        for route in change.formerRoutes { whole.formUnion(ids(of: route)) }
        for policy in change.formerPolicies { whole.formUnion(ids(of: policy, catalogue)) }
        if sharedChanged {
            share(catalogue)
            whole = Set(entries.keys)
        }
        return refresh(whole, endpoints: endpoints.subtracting(whole), catalogue)
    }

    private mutating func refresh(
        _ whole: Set<Int>, endpoints: Set<Int>, _ catalogue: Catalogue
    ) -> [(scope: Scope, sessions: Set<UInt64>)] {
        var result: [(scope: Scope, sessions: Set<UInt64>)] = []
        for id in whole {
            guard var entry = entries.removeValue(forKey: id) else { continue }
            let before = entry.scope.names
            if entry.scope.refresh(catalogue, shared: shared) { result.append((entry.scope, entry.users)) }
            if before != entry.scope.names {
                unindex(id, before)
                index(id, entry.scope.names)
            }
            entries[id] = entry
        }
        for id in endpoints {
            guard var entry = entries.removeValue(forKey: id) else { continue }
            if entry.scope.refreshEndpoints(catalogue) { result.append((entry.scope, entry.users)) }
            entries[id] = entry
        }
        return result
    }

    // MARK: Indexes

    private func ids(of route: AttachedRoute) -> Set<Int> {
        switch route.governed {
        case .service(let name): holders[.service]?[name] ?? []
        case .gateway(let name): byRole[.gateway(name)] ?? []
        }
    }

    private func ids(of policy: AccessPolicy, _ catalogue: Catalogue) -> Set<Int> {
        let resources = catalogue.resources
        return byRole.reduce(into: []) { found, entry in
            if policy.concerns(entry.key, resources.workloads[entry.key.name], resources.mesh) {
                found.formUnion(entry.value)
            }
        }
    }

    private mutating func share(_ catalogue: Catalogue) {
        for type in [MeshResourceType.trustBundle, .mesh] {
            shared[type] = DiscoveryTable(
                catalogue.resources.names(type).compactMap { catalogue.encoded(type, $0) })
        }
    }

    private static let indexed: [MeshResourceType] = [.service, .backend, .endpoints]

    private mutating func index(_ id: Int, _ names: ScopeNames) {
        for type in Self.indexed {
            for name in names.names(type) { holders[type, default: [:]][name, default: []].insert(id) }
        }
    }

    private mutating func unindex(_ id: Int, _ names: ScopeNames) {
        for type in Self.indexed {
            for name in names.names(type) {
                holders[type]?[name]?.remove(id)
                if holders[type]?[name]?.isEmpty == true { holders[type]?[name] = nil }
            }
        }
    }
}
