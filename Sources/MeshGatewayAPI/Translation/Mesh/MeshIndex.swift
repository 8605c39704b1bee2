import MeshModel

/// What the documents say about the mesh as a whole, and which Workloads are part of which Service.
final class MeshIndex {
    /// What holds for the whole mesh.
    let settings: MeshSettings
    /// The Mesh, as in ``ObjectStatus/object``; nil if there is none.
    let object: String?
    /// True if a proxy of its own asks, false for a control plane.
    let isForProxy: Bool
    /// Conditions of Mesh objects.
    private(set) var statuses: [ObjectStatus] = []
    private let document: MeshDocument?
    private let workloads: [ObjectID: [WorkloadDocument]]

    init(_ documents: DocumentSet, purpose: Translator.Purpose, report: Report) {
        document = documents.meshes.first
        object = document?.metadata.id.description
        isForProxy = purpose == .proxy
        workloads = Dictionary(grouping: documents.workloads, by: \.serviceID)
        var authority: String?
        if case .controlPlane(let trustDomain) = purpose { authority = trustDomain }
        settings = Self.settings(document, authority, report)
        for mesh in documents.meshes {
            var condition = Condition("Accepted", true, reason: "Accepted")
            if let first = document, first.metadata.id != mesh.metadata.id {
                let message = "there are two Meshes; the first is at \(first.metadata.place.fileAndLine)"
                condition = Condition("Accepted", false, reason: "Conflicted", message: message)
                report.error(message, at: mesh.metadata.place, remedy: "merge them")
            }
            statuses.append(
                ObjectStatus(
                    object: mesh.metadata.id.description, part: "", place: mesh.metadata.place,
                    conditions: [condition]))
        }
    }

    private static func settings(_ document: MeshDocument?, _ authority: String?, _ report: Report) -> MeshSettings {
        var result = MeshSettings(trustDomain: authority ?? MeshSettings.defaultTrustDomain)
        guard let document else { return result }
        result.namespace = document.metadata.namespace
        if let domain = document.trustDomain {
            if let authority, authority != domain.value {
                report.error(
                    "the trust domain is \(domain.value), and that of the control plane's authority \(authority)",
                    at: domain.place, remedy: "trustDomain: \(authority), or an authority of its own for the other")
            }
            result.trustDomain = domain.value
        }
        if let access = document.defaultAccess { result.defaultAccess = access }
        if let unknown = document.unknownDestinations { result.allowsUnknownDestinations = unknown == .allow }
        if let lifetime = document.certificateLifetime { result.certificateLifetime = .nanoseconds(lifetime) }
        return result
    }

    /// True if the Service has instances with a proxy beside them.
    func hasWorkload(_ service: ObjectID) -> Bool { workloads[service] != nil }

    /// The labels of each Workload of the Service.
    func labels(of service: ObjectID) -> [[String: String]] { workloads[service]?.map(\.labels) ?? [] }

    /// What the first Workload that says so speaks at `port` of `service`, in the words of `appProtocol`.
    func appProtocol(of service: ServiceDocument, _ port: ServiceDocument.Port) -> String? {
        guard let workloads = workloads[service.metadata.id] else { return nil }
        for workload in workloads {
            for own in workload.ports ?? [] {
                if let kind = own.kind, service.port(own.port.value)?.port == port.port { return kind.value.rawValue }
            }
        }
        return nil
    }

    /// Whether instances of a Workload take clear text: what it says itself, then its namespace, then the mesh.
    func mode(of workload: WorkloadDocument) -> MTLSMode {
        workload.mode ?? document?.modes[workload.metadata.namespace] ?? document?.mode ?? .strict
    }

    /// The SPIFFE id of a service.
    func identity(_ namespace: String, _ name: String) -> String {
        SPIFFEID(trustDomain: settings.trustDomain, namespace: namespace, service: name).description
    }
}

extension ServiceDocument {
    /// The ports that are served, each number once.
    var served: [Port] {
        var seen: Set<Int> = []
        return ports.filter { $0.isTCP && seen.insert($0.port).inserted }
    }

    /// The port of this number or name.
    func port(_ name: WorkloadDocument.PortName) -> Port? {
        ports.first { port in
            switch name {
            case .number(let number): port.isTCP && port.port == number
            case .name(let name): port.isTCP && port.name == name
            }
        }
    }
}
