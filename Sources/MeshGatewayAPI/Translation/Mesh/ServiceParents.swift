import MeshModel

/// Routes whose parent is a Service (GAMMA, GEP-1324): they govern what is sent to it, in the proxy of every caller, or
/// of the callers in the route's namespace if that is not the Service's own.
///
/// Hosts do not count there: whatever name or address a caller uses, it means the Service.
extension Linker {
    /// Which ports of a Service, for which of its callers.
    struct Governed: Hashable {
        var service: ObjectID
        var port: Int
        /// Nil: all.
        var consumers: String?

        /// As a place for claims.
        var text: String { "\(service.description):\(port)|\(consumers ?? "")" }
    }

    /// Attaches a route to its Services.
    func attachToServices(_ route: AttachableRoute) {
        let parents = route.header.parents
        guard parents.contains(where: \.isService) else { return }
        if let hostname = route.header.hostnames.first, parents.allSatisfy(\.isService) {
            report.warning(
                "hostnames have no effect where a Service is the parent", at: hostname.place,
                remedy: "remove them: whatever name is called, the Service is meant")
        }
        var attached: Set<Governed> = []
        for parent in parents where parent.isService { attach(route, toService: parent, &attached) }
    }

    private func attach(
        _ route: AttachableRoute, toService parent: ParentReference, _ attached: inout Set<Governed>
    ) {
        let text = parent.text(from: route.metadata.namespace)
        let translated = resolvedRefs(route, certificateOf: nil)
        var conditions: [Condition] = []
        switch governed(route, parent) {
        case .failure(let refusal):
            report.warning(
                "the route is not attached to \(text): \(refusal.message)", at: parent.place, remedy: refusal.remedy)
            conditions.append(Condition("Accepted", false, reason: refusal.reason, message: refusal.message))
            conditions.append(translated.condition)
        case .success(let found):
            conditions.append(Condition("Accepted", true, reason: "Accepted"))
            conditions.append(translated.condition)
            let new = found.ports.filter { attached.insert($0).inserted }
            let content = route.content(translated.rules, translated.backends, [.any])
            // Whatever the Service's ports are: one resource that says so, for ports to come as well.
            let isWhole = found.isWhole && new.count == found.ports.count
            for (index, port) in new.enumerated() where index == 0 || !isWhole {
                let service = "\(port.service.namespace)/\(port.service.name)"
                let number = isWhole ? nil : UInt16(clamping: port.port)
                resources.add(
                    route, content, .service(service, port: number, consumers: port.consumers), traffic)
            }
            var shadows: [String] = []
            for port in new {
                for shadow in claims.claim(route, translated.rules, slot: port.text, [.any], report)
                where !shadows.contains(shadow) { shadows.append(shadow) }
            }
            conditions.append(
                Condition("Programmed", !report.hasErrors, reason: report.hasErrors ? "Invalid" : "Programmed"))
            if !shadows.isEmpty {
                conditions.append(
                    Condition("Shadowed", true, reason: "EarlierRuleWins", message: shadows.joined(separator: "; ")))
            }
        }
        add(
            ObjectStatus(
                object: route.metadata.id.description, part: "parent \(text)", place: route.metadata.place,
                conditions: conditions))
    }

    /// The ports that the route governs, and whether they are all that it could.
    private func governed(
        _ route: AttachableRoute, _ parent: ParentReference
    ) -> Result<(ports: [Governed], isWhole: Bool), Refusal> {
        let id = parent.target(from: route.metadata.namespace)
        let kind = route.metadata.id.kind
        guard kind != "TLSRoute" else {
            return refuse("UnsupportedValue", "a TLSRoute cannot govern a Service", "a TCPRoute, or a Gateway")
        }
        guard let service = documents.services[id], !service.isExternalName else {
            let names = documents.services.values.filter { $0.metadata.namespace == id.namespace && !$0.isExternalName }
                .map(\.metadata.name)
            return refuse(
                "NoMatchingParent", documents.services[id] == nil ? "it does not exist" : "it is only a name",
                Suggestion.closest(to: id.name, in: names).map { "did you mean \"\($0)\"?" } ?? "the name of a Service")
        }
        let named = service.served.filter {
            (parent.sectionName ?? $0.name) == $0.name && (parent.port ?? $0.port) == $0.port
        }
        guard !named.isEmpty else {
            let all = service.served.map { String($0.port) }.joined(separator: ", ")
            let port = parent.port.map { "\($0)" } ?? parent.sectionName ?? ""
            return refuse(
                "NoMatchingParent", "it has no port \(port)", all.isEmpty ? "a port in the Service" : "one of \(all)")
        }
        let isStream = kind == "TCPRoute"
        let fitting = named.filter { (backends.plain(id, port: $0.port)?.protocol == .tcp) == isStream }
        guard !fitting.isEmpty else {
            let ports = named.map { String($0.port) }.joined(separator: ", ")
            return refuse(
                "UnsupportedProtocol",
                "\(kind) needs \(isStream ? "TCP" : "HTTP"), which port \(ports) does not speak",
                isStream
                    ? "appProtocol: tcp at the port of the Service" : "appProtocol: http at the port, or a TCPRoute")
        }
        let consumers = route.metadata.namespace == id.namespace ? nil : route.metadata.namespace
        let wanted = fitting.map { Governed(service: id, port: $0.port, consumers: consumers) }
        return withoutOtherKinds(route, parent, wanted)
    }

    /// HTTPRoutes and GRPCRoutes never share a port, as they never share a host name of a listener: the older keeps it.
    private func withoutOtherKinds(
        _ route: AttachableRoute, _ parent: ParentReference, _ wanted: [Governed]
    ) -> Result<(ports: [Governed], isWhole: Bool), Refusal> {
        let id = route.metadata.id
        var lost: [String] = []
        var free: [Governed] = []
        for port in wanted {
            if let owner = governors[port], owner.id.kind != id.kind {
                lost.append(
                    "\(owner.id.description) at \(owner.place.fileAndLine) governs port \(port.port), and kinds of routes "
                        + "are never mixed on one")
            } else {
                free.append(port)
            }
        }
        let remedy = "keep one kind of route for a port"
        if free.isEmpty, let first = lost.first { return refuse("Conflicted", first, remedy) }
        for message in lost {
            report.warning("the route is not attached to one port: \(message)", at: parent.place, remedy: remedy)
        }
        for port in free where governors[port] == nil { governors[port] = route.metadata }
        return .success((free, parent.port == nil && parent.sectionName == nil && lost.isEmpty))
    }
}
