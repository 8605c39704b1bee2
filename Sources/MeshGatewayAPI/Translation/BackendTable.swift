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

    let documents: DocumentSet
    private let policies: TLSPolicies
    let traffic: TrafficPolicies
    let report: Report
    private(set) var backends: [Backend] = []
    private var index: [String: Int] = [:]
    /// Where settings of a backend were written, by key as in ``Translation/origins``.
    private(set) var origins: [String: Place] = [:]
    private var known: [String: Result<BackendTarget, Problem>] = [:]

    init(_ documents: DocumentSet, policies: TLSPolicies, traffic: TrafficPolicies, report: Report) {
        self.documents = documents
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
        let key = "\(id.group)|\(id.description)|\(reference.port ?? 0)|\(use)|\(certificate?.name ?? "")"
        if let result = known[key] { return result }
        let result: Result<BackendTarget, Problem>
        switch (id.group, id.kind) {
        case (APIGroup.core, "Service"): result = service(id, reference.port, nil, use, certificate)
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
        _ id: ObjectID, _ port: Int?, _ subset: BackendSubsetDocument?, _ use: Use, _ certificate: Certificate?
    ) -> Result<BackendTarget, Problem> {
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
        guard let number = port else {
            return .failure(
                Problem(
                    reason: "BackendNotFound", message: "a reference to a Service needs a port",
                    remedy: "port: \(service.ports.first?.port ?? 80)"))
        }
        guard let port = service.ports.first(where: { $0.port == number }) else {
            let all = service.ports.map { String($0.port) }.joined(separator: ", ")
            return .failure(
                Problem(
                    reason: "BackendNotFound", message: "\(id.description) has no port \(number)",
                    remedy: "one of \(all)"))
        }
        let tls = policies.tls(for: id, section: port.name, certificate: certificate)
        return spoken(port.appProtocol, use, tls: tls != nil, owner: id).map { spoken in
            let own = subset?.baseName ?? "\(id.namespace)/Service/\(id.name):\(number)"
            var backend = Backend(
                name: name(own, use, certificate: tls?.clientCertificate), protocol: spoken, tls: tls,
                endpoints: endpoints(id, port))
            backend.origin = (subset?.metadata ?? service.metadata).origin
            let key = "backend/\(backend.name)/"
            origins[key + "tls"] = policies.place(for: id, section: port.name)
            if port.appProtocol != nil { origins[key + "appProtocol"] = port.place }
            apply(traffic.policies(for: id, section: port.name), to: &backend)
            if backend.endpoints.isEmpty {
                report.warning(
                    "\(id.description) has no ready endpoint at port \(number): requests for it are answered with 503",
                    at: service.metadata.place,
                    remedy: "an EndpointSlice with the label kubernetes.io/service-name: \(id.name), or a Backend of "
                        + "group \(APIGroup.martlet) in place of the Service")
            }
            finish(&backend, subset, of: id)
            return add(backend)
        }
    }

    private func endpoints(_ id: ObjectID, _ port: ServiceDocument.Port) -> [Endpoint] {
        var result: [Endpoint] = []
        for slice in documents.slices where slice.service == id.name && slice.metadata.namespace == id.namespace {
            let number = slice.ports.first { $0.name == port.name } ?? (slice.ports.count == 1 ? slice.ports[0] : nil)
            guard let number else { continue }
            let socket = UInt16(clamping: number.port)
            for endpoint in slice.endpoints where endpoint.isReady {
                for address in endpoint.addresses {
                    let place: EndpointAddress =
                        slice.isName ? .name(address.value, port: socket) : .ip(address.value, port: socket)
                    if !result.contains(where: { $0.address == place }) {
                        result.append(Endpoint(place, zone: endpoint.zone, labels: slice.endpointLabels))
                    }
                }
            }
        }
        return result
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
            let own = subset?.baseName ?? "\(id.namespace)/Backend/\(id.name)"
            let name = name(own, use, certificate: tls?.clientCertificate)
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
            apply(document, to: &backend)
            if let subset { backend.origin = subset.metadata.origin }
            apply(traffic.policies(for: id, section: nil), to: &backend)
            origins["backend/\(backend.name)/tls"] = policies.place(for: id, section: nil)
            finish(&backend, subset, of: id)
            return add(backend)
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
    private func add(_ backend: Backend) -> BackendTarget {
        let plain = backend.name.split(separator: "#").first.map(String.init) ?? backend.name
        if let same = index[plain], backends[same].protocol == backend.protocol, backends[same].tls == backend.tls {
            return .backend(plain)
        }
        if index[backend.name] == nil {
            index[backend.name] = backends.count
            backends.append(backend)
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
