import MeshCore
import MeshModel

/// The model of a sidecar. Listeners come in this order: one for each port of the application (inbound), then
/// outbound by host, outbound by port, and redirected connections.
struct SidecarAssembly {
    private let resources: ResourceSet
    private let workload: Workload
    private let overrides: InstanceOverrides
    private let namespace: String
    private var references: References
    private var calls: [ServiceCall] = []
    private var listeners: [Listener] = []
    /// Which field each address is from, to name both where two are the same.
    private var fields: [ListenAddress: String] = [:]

    init(_ resources: ResourceSet, _ workload: Workload, _ overrides: InstanceOverrides) {
        self.resources = resources
        self.workload = workload
        self.overrides = overrides
        namespace = ProxyRole.namespace(of: workload.name)
        references = References(resources)
    }

    /// The model; not yet validated.
    mutating func model() throws(ProxyError) -> Model {
        try inbound()
        let routes = ServiceRoutes(resources, callersIn: namespace)
        for service in resources.services.values.sorted(by: { $0.name < $1.name }) {
            for port in service.ports {
                calls.append(ServiceCall(service, port, routes.routes(service, port), &references))
            }
        }
        if let address = overrides.outbound ?? workload.outbound {
            let section = section("outbound", .http, routes: byHost())
            try listen(address, "outbound", [section])
        }
        try byPort()
        if let address = workload.transparent { try transparent(address) }
        return Model(
            settings: workload.settings, listeners: listeners, backends: references.backends,
            place: MeshPlace(
                service: workload.service, version: workload.labels["version"] ?? "", instance: overrides.instance))
    }

    // MARK: Inbound

    private mutating func inbound() throws(ProxyError) {
        let access = AccessSelection(resources)
        for override in overrides.ports where !workload.ports.contains(where: { $0.port == override.port }) {
            let ports = workload.ports.map { String($0.port) }.joined(separator: ", ")
            throw ProxyError(
                "workload '\(workload.name)' has no port \(override.port), which this instance serves elsewhere; "
                    + (ports.isEmpty ? "it has none" : "one of \(ports)"))
        }
        for (index, port) in workload.ports.enumerated() {
            let override = overrides.ports.last { $0.port == port.port }
            let name = "\(ProxyRole.namespace(of: workload.name))/Workload/\(ownName):\(port.port)"
            references.add(
                Backend(
                    name: name, protocol: port.protocol,
                    endpoints: [Endpoint(port.application.at(override?.applicationPort))],
                    healthCheck: port.readiness, origin: workload.origin))
            let target = WeightedBackend(.backend(name))
            let isMeshed = workload.mode != .disabled
            var section: Section
            if port.protocol == .tcp {
                section = self.section("inbound-\(port.port)", isMeshed ? .tls : .tcp)
                section.streamRoutes = [StreamRoute(name: "inbound", backends: [target], origin: workload.origin)]
            } else {
                section = self.section("inbound-\(port.port)", isMeshed ? .https : .http)
                let rule = RouteRule(backends: [target], origin: workload.origin)
                section.routes = [Route(name: "inbound", rules: [rule], origin: workload.origin)]
            }
            section.mesh = isMeshed ? workload.mode : nil
            section.access = access.rules(for: workload, port: port.port)
            try listen(
                .any(port: override?.inboundPort ?? port.inboundPort), "ports[\(index)].inboundPort", [section])
        }
    }

    private var ownName: Substring { workload.name.drop { $0 != "/" }.dropFirst() }

    // MARK: Outbound

    /// Routes for requests whose host says which service they are for.
    private func byHost() -> [Route] {
        var result: [Route] = []
        for call in calls where !call.requests.isEmpty {
            let hosts = hostnames(of: call.service)
            guard !hosts.isEmpty else { continue }
            let isOneOfSeveral = call.service.ports.count { $0.protocol != .tcp } > 1
            result += call.requests(for: hosts, port: isOneOfSeveral ? call.port.port : nil)
        }
        return result
    }

    private func hostnames(of service: MeshService) -> [Hostname] {
        var hosts = service.hosts
        if ProxyRole.namespace(of: service.name) == namespace {
            hosts.append(String(service.name.dropFirst(namespace.utf8.count + 1)))
        }
        var result: [Hostname] = []
        for host in hosts {
            if let hostname = Hostname(host), hostname != .any, !result.contains(hostname) { result.append(hostname) }
        }
        return result
    }

    private mutating func byPort() throws(ProxyError) {
        var names: Set<String> = []
        for (backend, field) in localBackends() {
            guard let local = backend.localPort else { continue }
            let ports = resources.services[backend.service]?.ports ?? []
            let port = backend.servicePort ?? (ports.count == 1 ? ports.first?.port : nil)
            let call = calls.first { $0.service.name == backend.service && $0.port.port == port }
            var name = "to-\(backend.service.split(separator: "/").joined(separator: "-"))"
            if let port { name += "-\(port)" }
            if !names.insert(name).inserted { name += "-at-\(local)" }
            let section: Section
            if let call {
                section = self.section(name, call)
            } else {
                let reason = self.reason(backend, ports)
                let rule = RouteRule(backends: [WeightedBackend(.invalid(reason: reason))], origin: workload.origin)
                section = self.section(
                    name, .http, routes: [Route(name: backend.service, rules: [rule], origin: workload.origin)])
            }
            try listen(.ip("127.0.0.1", port: local), field, [section])
        }
    }

    /// Declared backends with the ports that this instance has for them, then what only the instance has.
    private func localBackends() -> [(WorkloadBackend, field: String)] {
        var result = workload.backends.enumerated().map { ($1, field: "backends[\($0)].localPort") }
        for (index, override) in overrides.localPorts.enumerated() {
            let field = "local port \(index + 1) of the instance"
            let same = result.firstIndex { backend, _ in
                backend.service == override.service
                    && (backend.servicePort == override.servicePort || override.servicePort == nil)
            }
            guard let same else {
                result.append((override, field))
                continue
            }
            result[same].0.localPort = override.localPort
            result[same].field = field
        }
        return result
    }

    private func reason(_ backend: WorkloadBackend, _ ports: [MeshServicePort]) -> String {
        let all = ports.map { String($0.port) }.joined(separator: ", ")
        if resources.services[backend.service] == nil { return "there is no service '\(backend.service)'" }
        if ports.isEmpty { return "service '\(backend.service)' has no ports" }
        guard let port = backend.servicePort else {
            return "service '\(backend.service)' has several ports: say which of \(all)"
        }
        return "service '\(backend.service)' has no port \(port), only \(all)"
    }

    // MARK: Redirected

    /// Connections to an address of a service are for that service, whatever host their requests say. Others to a port on
    /// which some service speaks HTTP go by host, because what is behind an unknown address is not known.
    private mutating func transparent(_ address: ListenAddress) throws(ProxyError) {
        let byHost = section("transparent", .http, routes: byHost())
        var sections = [byHost]
        var names: Set<String> = [byHost.name]
        var destinations = OriginalDestination(
            passesUnknown: (resources.mesh ?? MeshSettings()).allowsUnknownDestinations)
        var taken: Set<OriginalDestination.Entry.Meant> = []
        for call in calls {
            var section = self.section("transparent-\(call.label)", call)
            // Two services of different names may have one label.
            if names.contains(section.name) { section.name += "-\(sections.count)" }
            var isUsed = false
            for address in call.service.addresses
            where taken.insert(.init(address: address, port: call.port.port)).inserted {
                destinations.entries.append(.init(address: address, port: call.port.port, section: section.name))
                isUsed = true
            }
            if isUsed {
                names.insert(section.name)
                sections.append(section)
            }
            if !call.requests.isEmpty, taken.insert(.init(address: nil, port: call.port.port)).inserted {
                destinations.entries.append(.init(port: call.port.port, section: byHost.name))
            }
        }
        try listen(address, "transparent", sections)
        listeners[listeners.count - 1].originalDestination = destinations
    }

    // MARK: Parts

    private func section(_ name: String, _ kind: SectionProtocol, routes: [Route] = []) -> Section {
        Section(name: "\(workload.name)/\(name)", protocol: kind, routes: routes, origin: workload.origin)
    }

    /// A section for nothing but `call`.
    private func section(_ name: String, _ call: ServiceCall) -> Section {
        guard let stream = call.stream else { return section(name, .http, routes: call.requests) }
        var section = section(name, .tcp)
        section.streamRoutes = [stream]
        return section
    }

    private mutating func listen(
        _ address: ListenAddress, _ field: String, _ sections: [Section]
    ) throws(ProxyError) {
        // Several may leave their port to the system.
        if address.port != 0, let other = fields.updateValue(field, forKey: address) {
            throw ProxyError(
                "workload '\(workload.name)': \(field): \(address) is taken by \(other); give one of them another")
        }
        listeners.append(Listener(address: address, role: .sidecar, sections: sections))
    }
}

extension OriginalDestination.Entry {
    /// What a connection meant.
    fileprivate struct Meant: Hashable {
        let address: String?
        let port: UInt16
    }
}

extension EndpointAddress {
    /// The same host with another port; nil, and a unix socket: unchanged.
    fileprivate func at(_ port: UInt16?) -> EndpointAddress {
        guard let port else { return self }
        return switch self {
        case .ip(let host, _): .ip(host, port: port)
        case .name(let host, _): .name(host, port: port)
        case .unix: self
        }
    }
}
