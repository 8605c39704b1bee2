import Foundation
import MeshCore
internal import MeshDiscovery
import MeshModel

/// What is known of proxies.
extension Distributor {
    /// Every instance that is connected, or was and is not forgotten.
    func proxies() -> [API.Proxy] {
        let bySession = Dictionary(sessions.values.map { ($0.proxy, $0) }) { $0.id > $1.id ? $0 : $1 }
        let ids = Set(registry.instances.keys).union(bySession.keys).union(former.keys)
        return ids.compactMap { proxy($0, bySession[$0]) }.sorted { $0.id < $1.id }
    }

    /// One instance; nil if there is none.
    func proxy(_ id: API.ProxyID) -> API.ProxyDetail? {
        let key = StoredInstance.ID(role: id.role, instance: id.instance)
        let session = sessions.values.first { $0.proxy == key }
        guard let proxy = proxy(key, session) else { return nil }
        return API.ProxyDetail(proxy: proxy, resources: resources(session, key))
    }

    private func proxy(_ key: StoredInstance.ID, _ session: ProxySession?) -> API.Proxy? {
        let instance = registry.instances[key]
        guard let id = API.ProxyID(role: key.role, instance: key.instance),
            instance != nil || session != nil || former[key] != nil
        else { return nil }
        let peer = session?.peer ?? former[key]?.peer
        return API.Proxy(
            id: id, address: instance?.hello.address ?? peer?.address ?? "", zone: instance?.hello.zone ?? "",
            programVersion: instance?.hello.version ?? "", sync: session.map { sync($0) } ?? .disconnected,
            readiness: instance?.readiness?.rawValue ?? "",
            connectedSince: session == nil ? nil : (instance?.connectedSince ?? session?.opened),
            lastSeen: instance?.lastSeen ?? former[key]?.closed,
            desiredVersion: scope(session, key)?.digest.text ?? "",
            ackedVersion: session?.acked.text ?? former[key]?.acked ?? "", certificateExpires: peer?.notAfter,
            certificateSerial: peer?.serial ?? "", warnings: warnings(instance, session))
    }

    private func sync(_ session: ProxySession) -> API.SyncState {
        if !session.discovery.rejections.isEmpty { return .rejected }
        return session.discovery.isSettled && isReady ? .synced : .pending
    }

    private func scope(_ session: ProxySession?, _ key: StoredInstance.ID) -> Scope? {
        let role = session?.role ?? ProxyRole(key.role)
        guard let key = session?.scopeKey ?? role.map({ ScopeKey(role: $0) }) else { return nil }
        return scopes.scope(key) ?? Scope(key, catalogue, shared: sharedTables)
    }

    private var sharedTables: [MeshResourceType: DiscoveryTable] {
        var tables: [MeshResourceType: DiscoveryTable] = [:]
        for type in [MeshResourceType.trustBundle, .mesh] {
            tables[type] = DiscoveryTable(catalogue.resources.names(type).compactMap { catalogue.encoded(type, $0) })
        }
        return tables
    }

    private func warnings(_ instance: RegisteredInstance?, _ session: ProxySession?) -> [String] {
        var lines: [String] = []
        for rejection in session?.discovery.rejections ?? [] {
            lines.append(
                "refuses \(MeshResourceType(url: rejection.typeURL)?.shortName ?? rejection.typeURL) "
                    + "\(rejection.name): \(rejection.reason)")
        }
        guard let instance else { return lines }
        if abs(instance.hello.skew) > Registry.toleratedSkew {
            lines.append("its clock is off by \(instance.hello.skew) s: set it right")
        }
        if instance.isConnected, !instance.hello.version.isEmpty, instance.hello.version != Release.version {
            lines.append("it runs martlet-proxy \(instance.hello.version), and this is \(Release.version)")
        }
        if !instance.reason.isEmpty, instance.readiness != .ready { lines.append(instance.reason) }
        switch instance.presence {
        case .lost: lines.append("its stream broke; it is still an endpoint for a while")
        case .remembered: lines.append("not back since the control plane started; it is still an endpoint for a while")
        case .connected, .gone: break
        }
        return lines
    }

    private func resources(_ session: ProxySession?, _ key: StoredInstance.ID) -> [API.ProxyResource] {
        let tables = scope(session, key)?.tables ?? [:]
        var rows: [API.ProxyResource] = []
        for type in MeshResourceType.allCases {
            let desired = tables[type]?.resources ?? [:]
            let acked = session?.discovery.acked(type.url) ?? [:]
            for name in Set(desired.keys).union(acked.keys).sorted() {
                rows.append(
                    API.ProxyResource(
                        type: type.shortName, name: name, desiredVersion: desired[name]?.version.description,
                        ackedVersion: acked[name]?.description, rejection: rejection(session, type, name)))
            }
        }
        return rows
    }

    private func rejection(_ session: ProxySession?, _ type: MeshResourceType, _ name: String) -> API.Rejection? {
        guard let session,
            let found = session.discovery.rejections.first(where: { $0.typeURL == type.url && $0.name == name })
        else { return nil }
        return API.Rejection(
            message: found.reason, version: found.version?.description ?? "",
            time: session.rejected[RejectedResource(found)] ?? Date())
    }

    // MARK: What proxies would run

    /// The model that an instance should run; nil if it is not known.
    func model(_ id: API.ProxyID) throws(ProxyError) -> Model? {
        let key = StoredInstance.ID(role: id.role, instance: id.instance)
        let session = sessions.values.first { $0.proxy == key }
        guard let role = ProxyRole(key.role), session != nil || registry.instances[key] != nil || former[key] != nil,
            let scope = scope(session, key)
        else { return nil }
        var set = ResourceSet()
        for (type, table) in scope.tables {
            for name in table.resources.keys { catalogue.resources[type, name].map { set.insert($0) } }
        }
        var overrides = InstanceOverrides(instance: id.instance)
        if let instance = registry.instances[key] {
            overrides.zone = instance.hello.zone.isEmpty ? nil : instance.hello.zone
            overrides.ports = instance.serving.map { InstanceOverrides.Port(port: $0.port, inboundPort: $0.inbound) }
        }
        return try Assembly.model(from: set, role: role, overrides: overrides)
    }

    /// What each proxy would receive if documents said `resources`.
    func difference(_ resources: [MeshResource]) throws(ProxyError) -> [API.Diff.ProxyDiff] {
        var next = catalogue
        let change = try next.adopt(resources)
        guard !change.isEmpty else { return [] }
        var (before, users) = (scopes, sessions.mapValues(\.proxy))
        // Who is not connected will receive it when it comes back; what it asked for by name is not known.
        for (offset, absent) in absentProxies.enumerated() {
            guard let role = ProxyRole(absent.role) else { continue }
            let id = UInt64.max - UInt64(offset)
            users[id] = absent
            _ = before.enter(ScopeKey(role: role), session: id, catalogue)
        }
        var after = before
        var result: [API.Diff.ProxyDiff] = []
        for (scope, ids) in after.apply(change, next) {
            guard let old = before.scope(scope.key) else { continue }
            let effects = Self.effects(old, scope)
            for id in ids {
                guard let user = users[id], let proxy = API.ProxyID(role: user.role, instance: user.instance)
                else { continue }
                result.append(API.Diff.ProxyDiff(id: proxy, isConnected: sessions[id] != nil, resources: effects))
            }
        }
        return result.sorted { $0.id < $1.id }
    }

    /// Proxies that are known and have no stream.
    private var absentProxies: [StoredInstance.ID] {
        let connected = Set(sessions.values.map(\.proxy))
        return Set(registry.instances.keys).union(former.keys).filter { !connected.contains($0) }
    }

    private static func effects(_ before: Scope, _ after: Scope) -> [API.Diff.ResourceEffect] {
        var effects: [API.Diff.ResourceEffect] = []
        for type in MeshResourceType.allCases {
            let (old, new) = (before.tables[type]?.resources ?? [:], after.tables[type]?.resources ?? [:])
            for name in Set(old.keys).union(new.keys).sorted() where old[name]?.version != new[name]?.version {
                let effect: API.Effect = old[name] == nil ? .created : new[name] == nil ? .deleted : .changed
                effects.append(API.Diff.ResourceEffect(type: type.shortName, name: name, effect: effect))
            }
        }
        return effects
    }

    // MARK: Objects

    /// How far every connected proxy is with these resources, if it needs any.
    func deliveries(_ keys: Set<Catalogue.Key>) -> [API.ObjectStatus.Delivery] {
        sessions.values.compactMap { session in delivery(session, keys) }.sorted { $0.proxy < $1.proxy }
    }

    private func delivery(_ session: ProxySession, _ keys: Set<Catalogue.Key>) -> API.ObjectStatus.Delivery? {
        guard let scope = scopes.scope(session.scopeKey),
            let proxy = API.ProxyID(role: session.proxy.role, instance: session.proxy.instance)
        else { return nil }
        var (desired, acked) = (ResourceDigest(), ResourceDigest())
        var found: API.Rejection?
        var isConcerned = false
        for key in keys {
            let version = scope.tables[key.type]?.resources[key.name]?.version
            let there = session.discovery.acked(key.type.url)[key.name]
            if let version { desired.add(key.type.url, key.name, version) }
            if let there { acked.add(key.type.url, key.name, there) }
            isConcerned = isConcerned || version != nil || there != nil
            found = found ?? rejection(session, key.type, key.name)
        }
        guard isConcerned else { return nil }
        let sync: API.SyncState = found != nil ? .rejected : desired == acked ? .synced : .pending
        return API.ObjectStatus.Delivery(
            proxy: proxy, sync: sync, desiredVersion: desired.text, ackedVersion: acked.text, rejection: found,
            since: found?.time ?? session.since)
    }

    /// The connected proxies that have not confirmed the trust bundle that holds.
    func withoutBundle() -> [API.ProxyID] {
        guard let version = catalogue.encoded(.trustBundle, "bundle")?.version else { return [] }
        return sessions.values.filter { $0.discovery.acked(MeshResourceType.trustBundle.url)["bundle"] != version }
            .compactMap { API.ProxyID(role: $0.proxy.role, instance: $0.proxy.instance) }.sorted()
    }

    /// How many proxies have not answered everything.
    func unsettledCount() -> Int { sessions.values.count { !$0.discovery.isSettled } }

    /// The role of an instance of a service, for messages.
    func role(service: String, instance: String) -> String {
        let roles = (catalogue.workloadsOfServices[service] ?? []).map { "workload:\($0)" }.sorted()
        let found = roles.first { registry.instances[StoredInstance.ID(role: $0, instance: instance)] != nil }
        if let found { return found }
        if catalogue.resources.gateways[service] != nil { return "gateway:\(service)" }
        return roles.first ?? "workload:\(service)"
    }

    /// The service of a role; nil if there is no such role.
    func service(of role: String) -> String? {
        switch ProxyRole(role) {
        case .workload(let name)?: catalogue.resources.workloads[name]?.service
        case .gateway(let name)?: catalogue.resources.gateways[name]?.name
        case nil: nil
        }
    }

    /// What passed in the last `seconds`; nil: ever.
    func passed(seconds: Int?) -> API.Traffic {
        let (length, sums) = traffic.sums(seconds: seconds, at: now)
        let hops = sums.map { key, sum in
            API.Hop(
                direction: key.isInbound ? .inbound : .outbound, source: key.source, destination: key.destination,
                version: key.version, route: key.route, mtls: key.mtls,
                counts: sum.counts.sorted { $0.key < $1.key }.map {
                    API.HopCount(
                        status: Int($0.key.status), grpcStatus: Int($0.key.grpcStatus), reason: $0.key.reason,
                        count: $0.value)
                }, durationBuckets: sum.buckets)
        }
        let sorted = hops.sorted {
            ($0.direction.rawValue, $0.source, $0.destination, $0.version, $0.route)
                < ($1.direction.rawValue, $1.source, $1.destination, $1.version, $1.route)
        }
        return API.Traffic(seconds: length, durationBounds: HopBuckets.bounds.map { Int($0) }, hops: sorted)
    }

    /// How many instances are connected.
    var connectedCount: Int { registry.connectedCount }
}
