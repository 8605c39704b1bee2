import MeshModel

/// Follows references to backends, and makes each that is used a backend of the model.
///
/// One object can become several backends of the model: what is spoken to it depends on the kind of route if the object
/// does not say, and the certificate shown to it on the Gateway.
final class BackendTable {
    /// Who uses a backend.
    enum Use {
        case http
        case grpc
        case stream
    }

    /// Why a reference does not resolve, in the words of the standard.
    struct Problem: Error {
        var reason: String
        var message: String
        var remedy = ""
    }

    /// What a backend was made from.
    struct Source {
        /// The set of endpoints, `namespace/kind/name:port`.
        var set: String
        /// Nil: a Backend, not a Service.
        var service: ObjectID?
        /// Of the Service.
        var port = 0
        var selector: [String: String]
        /// The object that it is, and those that have a say in it.
        var objects: [String]
    }

    let documents: DocumentSet
    private let policies: TLSPolicies
    let traffic: TrafficPolicies
    let mesh: MeshIndex
    let report: Report
    private let slices: [ObjectID: [EndpointSliceDocument]]
    private(set) var backends: [Backend] = []
    private var index: [String: Int] = [:]
    /// Where settings of a backend were written, by key as in ``Translation/origins``.
    private(set) var origins: [String: Place] = [:]
    private var known: [String: Result<BackendTarget, Problem>] = [:]
    /// What each of ``backends`` was made from, by name.
    private(set) var sources: [String: Source] = [:]
    /// The endpoints that documents name, by the name of the set, and the objects that name them.
    private(set) var sets: [String: (endpoints: [Endpoint], objects: [String])] = [:]

    init(
        _ documents: DocumentSet, policies: TLSPolicies, traffic: TrafficPolicies, mesh: MeshIndex, report: Report
    ) {
        self.documents = documents
        self.mesh = mesh
        slices = Dictionary(grouping: documents.slices.filter { $0.service != nil }) { slice in
            ObjectID(
                group: APIGroup.core, kind: "Service", namespace: slice.metadata.namespace, name: slice.service ?? "")
        }
        self.report = report
        self.policies = policies
        self.traffic = traffic
    }

    /// Remembers where a setting was written, in place of what another document said.
    func note<Target>(_ setting: Setting<Target>, under key: String) { origins.note(setting, under: key) }

    /// The backend of the model called `name`.
    func backend(named name: String) -> Backend? { index[name].map { backends[$0] } }

    /// The backend that `reference` of `source` leads to.
    func target(
        _ reference: ObjectReference, from source: ObjectID, use: Use, certificate: Certificate?
    ) -> Result<BackendTarget, Problem> {
        let id = reference.target(from: source.namespace)
        if let problem = grantProblem(source, id) { return .failure(problem) }
        let result = target(id, reference.port, use: use, certificate: certificate)
        if case .success(.backend(let name)) = result { warnIfNowhere(name) }
        return result
    }

    /// Warns of a Service that runs nowhere; where a Workload is, its instances say where they are.
    private func warnIfNowhere(_ backend: String) {
        guard let source = sources[backend], let id = source.service, let service = documents.services[id],
            sets[source.set]?.endpoints.isEmpty == true, !mesh.hasWorkload(id)
        else { return }
        report.warning(
            "\(id.description) has no ready endpoint at port \(source.port): requests for it are answered with 503",
            at: service.metadata.place,
            remedy: "an EndpointSlice with the label kubernetes.io/service-name: \(id.name), or a Backend of "
                + "group \(APIGroup.martlet) in place of the Service")
    }

    /// The backend that `port` of a Service is to its callers; nil if there is none. Bytes where no route could say more.
    func plain(_ id: ObjectID, port: Int) -> Backend? {
        for use in [Use.http, .stream] {
            if case .success(.backend(let name)) = target(id, port, use: use, certificate: nil) {
                return backend(named: name)
            }
        }
        return nil
    }

    private func target(
        _ id: ObjectID, _ port: Int?, use: Use, certificate: Certificate?
    ) -> Result<BackendTarget, Problem> {
        let key = "\(id.group)|\(id.description)|\(port ?? 0)|\(use)|\(certificate?.name ?? "")"
        if let result = known[key] { return result }
        let result: Result<BackendTarget, Problem>
        switch (id.group, id.kind) {
        case (APIGroup.core, "Service"): result = service(id, port, nil, use, certificate)
        case (APIGroup.martlet, "Backend"): result = backend(id, nil, use, certificate)
        case (APIGroup.martlet, "BackendSubset"): result = subset(id, use, certificate)
        default: result = .failure(unknownKind(id))
        }
        known[key] = result
        return result
    }

    func unknownKind(_ id: ObjectID) -> Problem {
        let remedy =
            ["Backend", "BackendSubset"].contains(id.kind) && id.group != APIGroup.martlet
            ? "group: \(APIGroup.martlet)" : "kind Service, or kind Backend with group \(APIGroup.martlet)"
        let group = id.group.isEmpty ? "the core group" : "group \(id.group)"
        return Problem(
            reason: "InvalidKind", message: "\(id.kind) of \(group) cannot be a backend", remedy: remedy)
    }

    private func grantProblem(_ source: ObjectID, _ target: ObjectID) -> Problem? {
        guard source.namespace != target.namespace else { return nil }
        guard !documents.grants.contains(where: { $0.permits(source, target) }) else { return nil }
        return Problem(
            reason: "RefNotPermitted",
            message: "no ReferenceGrant lets \(source.kind) of namespace \(source.namespace) refer to "
                + target.description,
            remedy: "a ReferenceGrant in namespace \(target.namespace) from \(source.kind) to \(target.kind)")
    }

    // MARK: Service

    func service(
        _ id: ObjectID, _ number: Int?, _ subset: BackendSubsetDocument?, _ use: Use, _ certificate: Certificate?
    ) -> Result<BackendTarget, Problem> {
        find(id, number).flatMap { service, port in backend(service, port, subset, use, certificate) }
    }

    /// The port `number` of the Service `id`.
    private func find(
        _ id: ObjectID, _ number: Int?
    ) -> Result<(service: ServiceDocument, port: ServiceDocument.Port), Problem> {
        guard let service = documents.services[id], !service.isExternalName else {
            let near = documents.services.keys.filter { $0.namespace == id.namespace }.map(\.name)
            let close = Suggestion.closest(to: id.name, in: near)
            let isBackend = documents.backends.keys.contains { $0.namespace == id.namespace && $0.name == id.name }
            return .failure(
                Problem(
                    reason: "BackendNotFound",
                    message: documents.services[id] == nil
                        ? "\(id.description) does not exist" : "\(id.description) is only a name",
                    remedy: isBackend
                        ? "for the Backend of this name: {group: \(APIGroup.martlet), kind: Backend, name: \(id.name)}"
                        : close.map { "did you mean \"\($0)\"?" }
                            ?? "a Service of this name, or a Backend: {group: \(APIGroup.martlet), kind: Backend, name: "
                            + "\(id.name)}"))
        }
        guard let number else {
            return .failure(
                Problem(
                    reason: "BackendNotFound", message: "a reference to a Service needs a port",
                    remedy: "port: \(service.ports.first?.port ?? 80)"))
        }
        let isMeant = { (port: ServiceDocument.Port) in port.port == number }
        guard let port = service.served.first(where: isMeant) ?? service.ports.first(where: isMeant) else {
            let all = service.ports.map { String($0.port) }.joined(separator: ", ")
            return .failure(
                Problem(
                    reason: "BackendNotFound", message: "\(id.description) has no port \(number)",
                    remedy: "one of \(all)"))
        }
        return .success((service, port))
    }

    private func backend(
        _ service: ServiceDocument, _ port: ServiceDocument.Port, _ subset: BackendSubsetDocument?, _ use: Use,
        _ certificate: Certificate?
    ) -> Result<BackendTarget, Problem> {
        let (id, number) = (service.metadata.id, port.port)
        let tls = policies.tls(for: id, section: port.name, certificate: certificate)
        let appProtocol = port.appProtocol ?? mesh.appProtocol(of: service, port)
        return spoken(appProtocol, use, tls: tls != nil, owner: id).map { spoken in
            let set = "\(id.namespace)/Service/\(id.name):\(number)"
            if sets[set] == nil { sets[set] = endpoints(id, port) }
            var backend = Backend(
                name: name(subset?.baseName ?? set, use, certificate: tls?.clientCertificate), protocol: spoken,
                tls: tls,
                endpoints: sets[set]?.endpoints ?? [])
            backend.origin = (subset?.metadata ?? service.metadata).origin
            let key = "backend/\(backend.name)/"
            origins[key + "tls"] = policies.place(for: id, section: port.name)
            if port.appProtocol != nil { origins[key + "appProtocol"] = port.place }
            let traffic = traffic.policies(for: id, section: port.name)
            apply(traffic, to: &backend)
            if use.isGRPC, appProtocol == nil, mesh.hasWorkload(id) {
                report.warning(
                    "port \(number) of \(id.description) is used for gRPC and says no appProtocol, so that its Workloads "
                        + "are spoken to in HTTP/1.1", at: port.place, remedy: "appProtocol: grpc")
            }
            finish(&backend, subset, of: id)
            let tlsPolicy = policies.place(for: id, section: port.name)?.object
            return add(
                backend,
                Source(
                    set: set, service: id, port: number, selector: subset?.selector ?? [:],
                    objects: objects(id, subset, traffic, tlsPolicy)))
        }
    }

    /// The object that a backend is, and those that have a say in it.
    private func objects(
        _ id: ObjectID, _ subset: BackendSubsetDocument?, _ traffic: [TrafficPolicyDocument], _ tlsPolicy: String?
    ) -> [String] {
        let own = subset.map { self.traffic.policies(for: $0.metadata.id, section: nil) } ?? []
        return [subset?.metadata.id.description, id.description].compactMap { $0 }
            + (traffic + own).map(\.metadata.id.description) + [tlsPolicy].compactMap { $0 }
    }

    /// The ready endpoints of a port, each address once, and the objects that name them.
    private func endpoints(_ id: ObjectID, _ port: ServiceDocument.Port) -> (endpoints: [Endpoint], objects: [String]) {
        var result: [Endpoint] = []
        var seen: Set<EndpointAddress> = []
        let slices = slices[id] ?? []
        for slice in slices {
            let number = slice.ports.first { $0.name == port.name } ?? (slice.ports.count == 1 ? slice.ports[0] : nil)
            guard let number else { continue }
            let socket = UInt16(clamping: number.port)
            for endpoint in slice.endpoints where endpoint.isReady {
                for address in endpoint.addresses {
                    let place: EndpointAddress =
                        slice.isName ? .name(address.value, port: socket) : .ip(address.value, port: socket)
                    if seen.insert(place).inserted {
                        result.append(Endpoint(place, zone: endpoint.zone, labels: slice.endpointLabels))
                    }
                }
            }
        }
        return (result, [id.description] + slices.map(\.metadata.id.description))
    }

    // MARK: Backend

    func backend(
        _ id: ObjectID, _ subset: BackendSubsetDocument?, _ use: Use, _ certificate: Certificate?
    ) -> Result<BackendTarget, Problem> {
        guard let document = documents.backends[id] else {
            let near = documents.backends.keys.filter { $0.namespace == id.namespace }.map(\.name)
            return .failure(
                Problem(
                    reason: "BackendNotFound", message: "\(id.description) does not exist",
                    remedy: Suggestion.remedy(for: id.name, in: near)))
        }
        let tls = policies.tls(for: id, section: nil, certificate: certificate)
        return spoken(document.appProtocol?.value, use, tls: tls != nil, owner: id).map { spoken in
            let set = "\(id.namespace)/Backend/\(id.name)"
            let name = name(subset?.baseName ?? set, use, certificate: tls?.clientCertificate)
            var backend = Backend(name: name, protocol: spoken, tls: tls)
            backend.endpoints = document.endpoints.map { endpoint in
                let address: EndpointAddress
                switch endpoint.address {
                case .ip(let ip, let port): address = .ip(ip, port: UInt16(clamping: port))
                case .name(let name, let port): address = .name(name, port: UInt16(clamping: port))
                case .unix(let path): address = .unix(path: path)
                }
                return Endpoint(
                    address, weight: endpoint.weight, zone: endpoint.zone, labels: endpoint.labels,
                    isBackup: endpoint.isBackup)
            }
            sets[set] = (backend.endpoints, [id.description])
            apply(document, to: &backend)
            if let subset { backend.origin = subset.metadata.origin }
            let traffic = traffic.policies(for: id, section: nil)
            apply(traffic, to: &backend)
            let tlsPolicy = policies.place(for: id, section: nil)
            origins["backend/\(backend.name)/tls"] = tlsPolicy
            finish(&backend, subset, of: id)
            return add(
                backend,
                Source(
                    set: set, service: nil, selector: subset?.selector ?? [:],
                    objects: objects(id, subset, traffic, tlsPolicy?.object)))
        }
    }

    private func apply(_ document: BackendDocument, to backend: inout Backend) {
        let key = "backend/\(backend.name)/"
        func take<Value>(_ given: Located<Value>?, _ name: String, _ set: (Value) -> Void) {
            guard let given else { return }
            set(given.value)
            origins[key + name] = given.place
        }
        for setting in document.settings {
            setting.apply(&backend)
            origins.note(setting, under: key)
        }
        take(document.proxyProtocol, "proxyProtocol") { backend.proxyProtocol = $0 == .v1 ? .v1 : .v2 }
        take(document.appProtocol, "appProtocol") { _ in }
        backend.origin = document.metadata.origin
    }

    // MARK: Shared

    /// What is spoken to a backend that says `appProtocol`.
    private func spoken(
        _ appProtocol: String?, _ use: Use, tls: Bool, owner: ObjectID
    ) -> Result<Backend.`Protocol`, Problem> {
        if case .stream = use { return .success(.tcp) }
        // Names without a domain are IANA's, in which case does not count (RFC 6335 §5.1).
        switch appProtocol?.lowercased() {
        case nil, "": return .success(use.isGRPC ? .http2 : .http1)
        case "kubernetes.io/h2c", "grpc", "h2c": return .success(.http2)
        case "https" where tls: return .success(use.isGRPC ? .http2 : .http1)
        case "kubernetes.io/wss" where tls && !use.isGRPC, "wss" where tls && !use.isGRPC: return .success(.http1)
        case "kubernetes.io/ws" where !use.isGRPC, "ws" where !use.isGRPC, "http" where !use.isGRPC:
            return .success(.http1)
        case let other?:
            let needsTLS = !tls && ["https", "kubernetes.io/wss", "wss"].contains(other)
            return .failure(
                Problem(
                    reason: "UnsupportedProtocol",
                    message: "\(owner.description) speaks \(other), which this route cannot use",
                    remedy: needsTLS
                        ? "add a BackendTLSPolicy for it"
                        : use.isGRPC
                            ? "kubernetes.io/h2c, which gRPC needs"
                            : "kubernetes.io/h2c, kubernetes.io/ws, or no appProtocol for HTTP/1.1"))
        }
    }

    private func name(_ base: String, _ use: Use, certificate: Certificate?) -> String {
        let suffix: String
        switch use {
        case .http: suffix = ""
        case .grpc: suffix = "#grpc"
        case .stream: suffix = "#tcp"
        }
        return base + suffix + (certificate.map { "@\($0.name)" } ?? "")
    }

    /// Adds `backend`, or finds the equal one that another use has made.
    private func add(_ backend: Backend, _ source: Source) -> BackendTarget {
        let plain = backend.name.split(separator: "#").first.map(String.init) ?? backend.name
        if let same = index[plain], backends[same].protocol == backend.protocol, backends[same].tls == backend.tls {
            return .backend(plain)
        }
        if index[backend.name] == nil {
            index[backend.name] = backends.count
            backends.append(backend)
            sources[backend.name] = source
        }
        return .backend(backend.name)
    }
}

extension BackendTable.Use {
    /// True for GRPCRoute.
    var isGRPC: Bool {
        if case .grpc = self { return true }
        return false
    }
}

extension Metadata {
    /// Where the object starts, for the model.
    var origin: Origin { place.origin }
}

extension Place {
    /// The place as the model keeps it.
    var origin: Origin { Origin(file: file, line: line) }
}
