import MeshModel

/// A route of any kind, as far as attaching it to listeners is concerned.
struct AttachableRoute {
    enum Content {
        case http(HTTPRouteDocument)
        case grpc(GRPCRouteDocument)
        case stream(StreamRouteDocument)
    }

    var content: Content
    var metadata: Metadata
    var header: RouteHeader

    /// The host names it is for; `[.any]` if it does not say.
    var hostnames: [Hostname] {
        let all = header.hostnames.compactMap { Hostname($0.value) }
        return all.isEmpty ? [.any] : all
    }

    /// True if it has no host names because its kind cannot have some.
    var isTCP: Bool { metadata.id.kind == "TCPRoute" }

    /// What it says, for `hostnames`.
    func content(
        _ rules: [RouteRule], _ backends: [WeightedBackend], _ hostnames: [Hostname]
    ) -> AttachedRoute.Content {
        let name = "\(metadata.namespace)/\(metadata.name)"
        switch content {
        case .http:
            return .requests(Route(name: name, hostnames: hostnames, rules: rules, origin: metadata.origin))
        case .grpc:
            return .requests(
                Route(name: name, kind: .grpc, hostnames: hostnames, rules: rules, origin: metadata.origin))
        case .stream:
            return .streams(
                StreamRoute(name: name, hostnames: hostnames, backends: backends, origin: metadata.origin))
        }
    }
}

/// Routes find their listeners.
extension Linker {
    /// All routes, the oldest first, which is the order that decides between equals.
    func sortedRoutes() -> [AttachableRoute] {
        var routes = documents.httpRoutes.map {
            AttachableRoute(content: .http($0), metadata: $0.metadata, header: $0.header)
        }
        routes += documents.grpcRoutes.map {
            AttachableRoute(content: .grpc($0), metadata: $0.metadata, header: $0.header)
        }
        routes += documents.streamRoutes.map {
            AttachableRoute(content: .stream($0), metadata: $0.metadata, header: $0.header)
        }
        return routes.sorted { Precedence.isBefore($0.metadata, $1.metadata) }
    }

    /// Attaches a route to its Gateways.
    func attach(_ route: AttachableRoute) {
        var attached: Set<String> = []
        for parent in route.header.parents where !parent.isService { attach(route, to: parent, &attached) }
    }

    private func attach(_ route: AttachableRoute, to parent: ParentReference, _ attached: inout Set<String>) {
        let namespace = route.metadata.namespace
        let part = "parent \(parent.text(from: namespace))"
        var conditions: [Condition] = []
        switch candidates(route, parent) {
        case .failure(let refusal):
            let id = parent.target(from: namespace)
            let gateway = documents.gateways.first { $0.metadata.id == id }
            // A listener that could not be read may be the one; that is reported already.
            if gateway?.hasBrokenListener != true {
                report.warning(
                    "the route is not attached to \(parent.text(from: namespace)): \(refusal.message)",
                    at: parent.place, remedy: refusal.remedy)
            }
            conditions.append(Condition("Accepted", false, reason: refusal.reason, message: refusal.message))
            conditions.append(resolvedRefs(route, certificateOf: nil).condition)
        case .success(let found):
            let translated = resolvedRefs(route, certificateOf: found.first?.slot)
            conditions.append(Condition("Accepted", true, reason: "Accepted"))
            conditions.append(translated.condition)
            var shadows: [String] = []
            for (slot, hostnames) in found where attached.insert(slot.name).inserted {
                shadows += add(route, translated.rules, translated.backends, to: slot, hostnames)
            }
            let serves = found.contains { $0.slot.conflict == nil } && !report.hasErrors
            conditions.append(Condition("Programmed", serves, reason: serves ? "Programmed" : "Invalid"))
            if !shadows.isEmpty {
                conditions.append(
                    Condition("Shadowed", true, reason: "EarlierRuleWins", message: shadows.joined(separator: "; ")))
            }
        }
        add(
            ObjectStatus(
                object: route.metadata.id.description, part: part, place: route.metadata.place, conditions: conditions))
    }

    /// Puts a translated route into `slot`; returns what it can never match.
    private func add(
        _ route: AttachableRoute, _ rules: [RouteRule], _ backends: [WeightedBackend], to slot: ListenerSlot,
        _ hostnames: [Hostname]
    ) -> [String] {
        slot.attached.append((route.metadata.id, route.metadata.place, hostnames))
        let content = route.content(rules, backends, hostnames)
        switch content {
        case .requests(let translated): slot.routes.append(translated)
        case .streams(let translated): slot.streamRoutes.append(translated)
        }
        if slot.conflict == nil {
            for section in slot.sectionNames { resources.add(route, content, .section(section), traffic) }
        }
        return claims.claim(route, rules, slot: slot.name, hostnames, report)
    }

    // MARK: Candidates

    private func candidates(
        _ route: AttachableRoute, _ parent: ParentReference
    ) -> Result<[(slot: ListenerSlot, hostnames: [Hostname])], Refusal> {
        let id = parent.target(from: route.metadata.namespace)
        guard id.group == APIGroup.gateway, id.kind == "Gateway" else {
            return refuse("UnsupportedValue", "\(id.kind) cannot be a parent", "a Gateway, or a Service")
        }
        let own = slots.filter { $0.gateway.metadata.id == id }
        guard documents.gateways.contains(where: { $0.metadata.id == id }) else {
            let names = documents.gateways.filter { $0.metadata.namespace == id.namespace }.map(\.metadata.name)
            let elsewhere = documents.gateways.first { $0.metadata.name == id.name }?.metadata.namespace
            let remedy =
                Suggestion.closest(to: id.name, in: names).map { "did you mean \"\($0)\"?" }
                ?? elsewhere.map { "namespace: \($0)" } ?? "the name of a Gateway"
            return refuse("NoMatchingParent", "\(id.description) does not exist", remedy)
        }
        let named = own.filter { parent.sectionName == nil || $0.listener.name.value == parent.sectionName }
        guard !named.isEmpty else {
            let remedy = Suggestion.remedy(for: parent.sectionName ?? "", in: own.map(\.listener.name.value))
            return refuse("NoMatchingParent", "it has no listener \(parent.sectionName ?? "")", remedy)
        }
        let ported = named.filter { parent.port == nil || $0.listener.port.value == parent.port }
        guard !ported.isEmpty else {
            let ports = Set(named.map(\.listener.port.value)).sorted().map(String.init).joined(separator: ", ")
            return refuse("NoMatchingParent", "no such listener has port \(parent.port ?? 0)", "one of \(ports)")
        }
        return allowed(route, parent, ported)
    }

    private func allowed(
        _ route: AttachableRoute, _ parent: ParentReference, _ slots: [ListenerSlot]
    ) -> Result<[(slot: ListenerSlot, hostnames: [Hostname])], Refusal> {
        let namespace = route.metadata.namespace
        var labels = documents.namespaces[namespace] ?? [:]
        labels["kubernetes.io/metadata.name"] = namespace
        let takers = slots.filter { $0.takes(route.metadata.id) }
        guard !takers.isEmpty else {
            let protocols = Set(slots.map(\.listener.kind.value.rawValue)).sorted().joined(separator: ", ")
            return refuse(
                "NotAllowedByListeners", "no listener takes \(route.metadata.id.kind) (protocol \(protocols))",
                "a listener whose protocol and allowedRoutes.kinds fit")
        }
        let open = takers.filter { $0.admits(namespace: namespace, labels: labels) }
        guard !open.isEmpty else {
            return refuse(
                "NotAllowedByListeners", "no listener allows routes of namespace \(namespace)",
                "allowedRoutes: {namespaces: {from: All}} in the listener")
        }
        if route.isTCP { return .success(open.map { ($0, [.any]) }) }
        let meeting = open.compactMap { slot -> (slot: ListenerSlot, hostnames: [Hostname])? in
            var common: [Hostname] = []
            for hostname in route.hostnames {
                if let both = slot.hostname.intersection(hostname), !common.contains(both) { common.append(both) }
            }
            return common.isEmpty ? nil : (slot, common)
        }
        guard !meeting.isEmpty else {
            let hosts = open.map { "\($0.hostname)" }.joined(separator: ", ")
            return refuse(
                "NoMatchingListenerHostname", "no host name of the route is served by a listener (\(hosts))",
                "a host name that a listener serves")
        }
        return withoutOtherKinds(route, parent, meeting)
    }

    /// HTTPRoutes and GRPCRoutes never share a host name of a listener (GRPCRoute `hostnames`): the older one keeps it.
    /// A route that some listeners refuse for that is attached to the others.
    private func withoutOtherKinds(
        _ route: AttachableRoute, _ parent: ParentReference, _ found: [(slot: ListenerSlot, hostnames: [Hostname])]
    ) -> Result<[(slot: ListenerSlot, hostnames: [Hostname])], Refusal> {
        guard ["HTTPRoute", "GRPCRoute"].contains(route.metadata.id.kind) else { return .success(found) }
        var free: [(slot: ListenerSlot, hostnames: [Hostname])] = []
        var lost: [(listener: String, message: String)] = []
        for (slot, hostnames) in found {
            let winner = slot.attached.first { other in
                other.id.kind != route.metadata.id.kind
                    && other.hostnames.contains { theirs in hostnames.contains { $0.intersection(theirs) != nil } }
            }
            guard let winner else {
                free.append((slot, hostnames))
                continue
            }
            let message =
                "\(winner.id.description) at \(winner.place.fileAndLine) has the same host name, and kinds of routes are "
                + "never mixed on one"
            lost.append((slot.listener.name.value, message))
        }
        let remedy = "give one of them a host name of its own"
        if free.isEmpty, let first = lost.first { return refuse("HostnameConflict", first.message, remedy) }
        for (listener, message) in lost {
            report.warning(
                "the route is not attached to listener \(listener): \(message)", at: parent.place, remedy: remedy)
        }
        return .success(free)
    }

    func refuse<Success>(
        _ reason: String, _ message: String, _ remedy: String
    ) -> Result<Success, Refusal> {
        .failure(Refusal(reason: reason, message: message, remedy: remedy))
    }
}

/// Why a route does not attach to a parent, in the words of the standard.
struct Refusal: Error {
    var reason: String
    var message: String
    var remedy: String
}
