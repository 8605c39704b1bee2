import MeshModel

/// Finds the access policies that concern a part of the mesh.
struct AccessSelection {
    private let policies: [AccessPolicy]
    private let mesh: MeshSettings

    init(_ resources: ResourceSet) {
        policies = resources.accessPolicies.values.sorted { $0.name < $1.name }
        mesh = resources.mesh ?? MeshSettings()
    }

    /// Rules for `port` of a workload's service: policies for either, those of the namespace that have no target, and
    /// those of the mesh's namespace that have none. Nil if there is nothing to check.
    func rules(for workload: Workload, port: UInt16) -> AccessRules? {
        let namespace = ProxyRole.namespace(of: workload.name)
        let found = policies.filter { policy in
            if policy.targets.isEmpty {
                let home = ProxyRole.namespace(of: policy.name)
                return home == namespace || home == mesh.namespace
            }
            return policy.targets.contains(.workload(workload.name))
                || policy.targets.contains(.service(workload.service))
        }
        return rules(found, defaultAction: mesh.defaultAccess, port: port)
    }

    /// Rules for a gateway: only policies that name it. Those without a target and the mesh's default are for services,
    /// whose callers have identities; a gateway's clients are strangers.
    func rules(forGateway name: String, port: UInt16?) -> AccessRules? {
        rules(policies.filter { $0.targets.contains(.gateway(name)) }, defaultAction: .allow, port: port)
    }

    private func rules(_ policies: [AccessPolicy], defaultAction: AccessAction, port: UInt16?) -> AccessRules? {
        if policies.isEmpty, defaultAction == .allow { return nil }
        return AccessRules(policies: policies.map { $0.limited(to: port) }, defaultAction: defaultAction)
    }
}

extension AccessPolicy {
    /// What it says about one port: operations on other ports go, and those on this one need not look at it. A policy
    /// without any rule left stays, because the presence of an allowing policy changes what is allowed.
    fileprivate func limited(to port: UInt16?) -> AccessPolicy {
        guard rules.contains(where: { rule in rule.to.contains { !$0.ports.isEmpty } }) else { return self }
        var policy = self
        policy.rules = rules.compactMap { rule in
            var limited = rule
            limited.to = rule.to.compactMap { operation in
                guard !operation.ports.isEmpty else { return operation }
                guard let port, operation.ports.contains(port) else { return nil }
                var operation = operation
                operation.ports = []
                return operation
            }
            return limited.to.isEmpty && !rule.to.isEmpty ? nil : limited
        }
        return policy
    }
}
