import MeshModel

/// Workloads, with what their Services and the mesh say.
extension Linker {
    /// Makes a Workload's resource and conditions.
    func linkWorkload(_ document: WorkloadDocument, _ settings: ProxySettings) {
        let metadata = document.metadata
        let id = document.serviceID
        let service = documents.services[id].flatMap { $0.isExternalName ? nil : $0 }
        var linker = WorkloadLinker(linker: self, document: document, service: service)
        linker.checkService(id)
        let ports = linker.ports()
        let callees = linker.callees()
        let workload = Workload(
            name: "\(metadata.namespace)/\(metadata.name)", service: "\(id.namespace)/\(id.name)",
            labels: document.labels, weight: document.weight, ports: ports, outbound: document.outbound,
            transparent: document.transparent, backends: callees, mode: mesh.mode(of: document), settings: settings,
            origin: metadata.origin)
        let others = [service?.metadata.id.description, mesh.object].compactMap { $0 }
        resources.add(.workload(workload), of: [metadata.id.description] + others + settingsObjects)
        let problem = linker.problem
        add(
            ObjectStatus(
                object: metadata.id.description, part: "", place: metadata.place,
                conditions: [
                    Condition("Accepted", true, reason: "Accepted"),
                    Condition(
                        "ResolvedRefs", problem == nil, reason: problem?.reason ?? "ResolvedRefs",
                        message: problem?.message ?? ""),
                ]))
    }
}

private struct WorkloadLinker {
    let linker: Linker
    let document: WorkloadDocument
    let service: ServiceDocument?
    /// The first reference that does not resolve.
    var problem: (reason: String, message: String)?

    private var report: Report { linker.report }

    private mutating func unresolved(_ message: String, at place: Place, remedy: String) {
        problem = problem ?? ("BackendNotFound", message)
        report.warning(message, at: place, remedy: remedy)
    }

    /// Without a Service it can call, but not be called.
    mutating func checkService(_ id: ObjectID) {
        guard service == nil, document.service != nil || document.ports?.isEmpty == false else { return }
        let names = linker.documents.services.keys.filter { $0.namespace == id.namespace }.map(\.name)
        unresolved(
            "\(id.description) does not exist, so that nobody can call the Workload",
            at: document.service?.place ?? document.metadata.place,
            remedy: Suggestion.closest(to: id.name, in: names).map { "did you mean \"\($0)\"?" }
                ?? "a Service of this name, or service: NAME")
    }

    // MARK: Ports

    mutating func ports() -> [WorkloadPort] {
        guard let given = document.ports else {
            return service?.served.compactMap { port($0, nil, at: document.metadata.place) } ?? []
        }
        guard let service else { return [] }
        var seen: Set<Int> = []
        var result: [WorkloadPort] = []
        for own in given {
            guard let found = service.port(own.port.value) else {
                let all = service.served.map { $0.name.isEmpty ? "\($0.port)" : "\($0.port) (\($0.name))" }
                unresolved(
                    "\(service.metadata.id.description) has no port \(own.port.value.text)", at: own.port.place,
                    remedy: all.isEmpty ? "a port in the Service" : "one of \(all.joined(separator: ", "))")
                continue
            }
            guard seen.insert(found.port).inserted else {
                report.error("port \(found.port) is given twice", at: own.port.place, remedy: "remove one of them")
                continue
            }
            if let port = port(found, own, at: own.place) { result.append(port) }
        }
        return result
    }

    private func port(
        _ port: ServiceDocument.Port, _ own: WorkloadDocument.Port?, at place: Place
    ) -> WorkloadPort? {
        guard let id = service?.metadata.id, let called = linker.backends.plain(id, port: port.port) else { return nil }
        if own?.appPort == nil, let name = port.targetName {
            report.error(
                "nothing says which port the application has: targetPort of \(id.description) is the name \(name)",
                at: place, remedy: "ports: [{port: \(port.port), appPort: NUMBER}]")
            return nil
        }
        var spoken = called.protocol
        if let kind = own?.kind {
            spoken = kind.value.spoken
            if (spoken == .tcp) != (called.protocol == .tcp) {
                let service = port.appProtocol.map { "appProtocol \($0)" } ?? "what another Workload says"
                report.error(
                    "protocol \(kind.value.rawValue) does not go with that of port \(port.port) of \(id.description), "
                        + service, at: kind.place, remedy: "the same at both places")
            }
        }
        let application = own?.appPort ?? port.targetPort ?? port.port
        return WorkloadPort(
            port: UInt16(clamping: port.port), protocol: spoken,
            application: .ip(own?.appAddress ?? "127.0.0.1", port: UInt16(clamping: application)),
            inboundPort: UInt16(clamping: own?.inboundPort ?? 0), readiness: own?.readiness)
    }

    // MARK: Whom it calls

    /// Those that exist; the others are left out, so that the proxy listens for none that it cannot reach.
    mutating func callees() -> [WorkloadBackend] {
        var result: [WorkloadBackend] = []
        for callee in document.backends {
            let namespace = callee.namespace ?? document.metadata.namespace
            let id = ObjectID(group: APIGroup.core, kind: "Service", namespace: namespace, name: callee.service)
            guard let service = linker.documents.services[id], !service.isExternalName else {
                let names = linker.documents.services.keys.filter { $0.namespace == namespace }.map(\.name)
                let elsewhere = linker.documents.services.keys.filter { $0.name == callee.service }.map(\.namespace)
                unresolved(
                    "\(id.description) does not exist", at: callee.place,
                    remedy: Suggestion.closest(to: callee.service, in: names).map { "did you mean \"\($0)\"?" }
                        ?? elsewhere.min().map { "namespace: \($0)" } ?? "a Service of this name")
                continue
            }
            let all = service.served.map { String($0.port) }.joined(separator: ", ")
            if let port = callee.servicePort, !service.served.contains(where: { $0.port == port.value }) {
                unresolved("\(id.description) has no port \(port.value)", at: port.place, remedy: "one of \(all)")
                continue
            }
            // An error, so that a Service does not get a second port while its callers mean its only one.
            if let port = callee.localPort, callee.servicePort == nil, service.served.count != 1 {
                report.error(
                    "\(id.description) has the ports \(all.isEmpty ? "none" : all), and servicePort does not say to which "
                        + "port \(port.value) leads", at: port.place,
                    remedy: "servicePort: \(service.served.first.map { String($0.port) } ?? "NUMBER")")
            }
            result.append(
                WorkloadBackend(
                    service: "\(namespace)/\(callee.service)",
                    servicePort: callee.servicePort.map { UInt16(clamping: $0.value) },
                    localPort: callee.localPort.map { UInt16(clamping: $0.value) }))
        }
        return result
    }
}

extension WorkloadDocument.PortName {
    /// As it was written.
    var text: String {
        switch self {
        case .number(let number): String(number)
        case .name(let name): name
        }
    }
}

extension WorkloadDocument.PortProtocol {
    /// As the model has it.
    var spoken: Backend.`Protocol` {
        switch self {
        case .http: .http1
        case .h2c, .grpc: .http2
        case .tcp: .tcp
        }
    }
}
