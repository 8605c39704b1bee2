import MeshModel

/// The resources of a mesh, but for routes, which are added as they are attached.
extension Linker {
    /// Makes the resources, and the conditions of what only a mesh has.
    func linkMesh(_ settings: ProxySettings) {
        resources.add(.mesh(mesh.settings), of: [mesh.object].compactMap { $0 })
        for service in documents.services.values where !service.isExternalName { linkService(service) }
        linkBackends()
        for policy in documents.accessPolicies { linkAccessPolicy(policy) }
        for workload in documents.workloads { linkWorkload(workload, settings) }
        for gateway in documents.gateways { linkGateway(gateway, settings) }
        guard purpose != .proxy else { return }
        check(Model(settings: settings, backends: backends.backends))
    }

    // MARK: Services

    /// A Service as its callers see it; each of its ports becomes a backend, used or not.
    private func linkService(_ document: ServiceDocument) {
        let id = document.metadata.id
        let name = "\(id.name).\(id.namespace)"
        let ports = document.served.compactMap { port -> MeshServicePort? in
            backends.plain(id, port: port.port).map {
                MeshServicePort(port: UInt16(clamping: port.port), protocol: $0.protocol, backend: $0.name)
            }
        }
        let service = MeshService(
            name: "\(id.namespace)/\(id.name)", hosts: [name, "\(name).svc", "\(name).svc.cluster.local"],
            addresses: document.addresses, ports: ports, origin: document.metadata.origin)
        resources.add(.service(service), of: [id.description])
    }

    private func linkBackends() {
        for backend in backends.backends {
            guard let source = backends.sources[backend.name] else { continue }
            var plain = backend
            plain.endpoints = []
            var objects = source.objects
            if let id = source.service {
                plain.service = "\(id.namespace)/\(id.name)"
                if mesh.hasWorkload(id) {
                    plain.mesh = MeshPeer(identities: [mesh.identity(id.namespace, id.name)])
                    objects += [mesh.object].compactMap { $0 }
                }
            }
            resources.add(
                .backend(MeshBackend(backend: plain, endpoints: source.set, selector: source.selector)), of: objects)
        }
        for (name, set) in backends.sets {
            let sorted = set.endpoints.sorted { $0.address.description < $1.address.description }
            resources.add(.endpoints(EndpointSet(name: name, endpoints: sorted)), of: set.objects)
        }
    }

    // MARK: Gateways

    private func linkGateway(_ document: GatewayDocument, _ settings: ProxySettings) {
        let id = document.metadata.id
        let own = slots.filter { $0.gateway.metadata.id == id }
        var listeners = listeners(of: own)
        if purpose != .proxy {
            check(Model(settings: settings, listeners: listeners, backends: backends.backends))
        }
        for listener in listeners.indices {
            for section in listeners[listener].sections.indices {
                listeners[listener].sections[section].routes = []
                listeners[listener].sections[section].streamRoutes = []
            }
        }
        let gateway = MeshGateway(
            name: "\(id.namespace)/\(id.name)", listeners: listeners, settings: settings,
            origin: document.metadata.origin)
        let policies = own.compactMap { listenerPolicies($0)?.metadata.id.description }
        resources.add(.gateway(gateway), of: [id.description] + policies + settingsObjects)
    }

    /// The ProxySettings, if there is one.
    var settingsObjects: [String] { documents.settings.prefix(1).map(\.metadata.id.description) }

    // MARK: Access policies

    private func linkAccessPolicy(_ document: AccessPolicyDocument) {
        let metadata = document.metadata
        let rules = document.rules.map { rule in
            AccessRule(
                from: rule.from.map { source in
                    AccessSource(
                        identities: source.identities.map { identity($0) }, namespaces: source.namespaces,
                        cidrs: source.cidrs)
                }, to: rule.to)
        }
        // A target that does not exist stays: a policy without any would be for the whole namespace.
        let policy = AccessPolicy(
            name: "\(metadata.namespace)/\(metadata.name)", targets: document.targets.map { accessTarget($0.id) },
            action: document.action, isAudit: document.isAudit, rules: rules, origin: metadata.origin)
        resources.add(.accessPolicy(policy), of: [metadata.id.description] + [mesh.object].compactMap { $0 })
        if document.targets.isEmpty {
            let accepted = Condition("Accepted", true, reason: "Accepted")
            add(
                ObjectStatus(
                    object: metadata.id.description, part: "", place: metadata.place, conditions: [accepted]))
        }
        for target in document.targets {
            var condition = Condition("Accepted", true, reason: "Accepted")
            if let names = missing(target.id) {
                let message = "\(target.id.description) does not exist"
                condition = Condition("Accepted", false, reason: "TargetNotFound", message: message)
                report.warning(
                    message, at: target.place,
                    remedy: Suggestion.closest(to: target.id.name, in: names).map { "did you mean \"\($0)\"?" }
                        ?? "a \(target.id.kind) of this name")
            }
            add(
                ObjectStatus(
                    object: metadata.id.description, part: "target \(target.id.description)", place: metadata.place,
                    conditions: [condition]))
        }
    }

    private func identity(_ identity: AccessPolicyDocument.Identity) -> String {
        switch identity {
        case .any: "*"
        case .uri(let uri): uri
        case .service(let namespace, let name): mesh.identity(namespace, name)
        }
    }

    private func accessTarget(_ id: ObjectID) -> AccessTarget {
        let name = "\(id.namespace)/\(id.name)"
        switch id.kind {
        case "Workload": return .workload(name)
        case "Gateway": return .gateway(name)
        default: return .service(name)
        }
    }

    /// Names of the kind in the namespace if there is no `id`; nil if there is.
    private func missing(_ id: ObjectID) -> [String]? {
        let all: [ObjectID]
        switch id.kind {
        case "Workload": all = documents.workloads.map(\.metadata.id)
        case "Gateway": all = documents.gateways.map(\.metadata.id)
        default:
            if documents.services[id] != nil { return nil }
            all = Array(documents.services.keys)
        }
        return all.contains(id) ? nil : all.filter { $0.namespace == id.namespace }.map(\.name)
    }
}
