import Foundation

/// All objects of a configuration, by kind, each checked by itself; references between them are not followed yet.
struct DocumentSet {
    private(set) var gateways: [GatewayDocument] = []
    private(set) var httpRoutes: [HTTPRouteDocument] = []
    private(set) var grpcRoutes: [GRPCRouteDocument] = []
    private(set) var streamRoutes: [StreamRouteDocument] = []
    private(set) var grants: [ReferenceGrantDocument] = []
    private(set) var tlsPolicies: [BackendTLSPolicyDocument] = []
    private(set) var listenerPolicies: [ListenerPolicyDocument] = []
    private(set) var settings: [ProxySettingsDocument] = []
    private(set) var trafficPolicies: [TrafficPolicyDocument] = []
    private(set) var subsets: [ObjectID: BackendSubsetDocument] = [:]
    private(set) var meshes: [MeshDocument] = []
    private(set) var workloads: [WorkloadDocument] = []
    private(set) var accessPolicies: [AccessPolicyDocument] = []
    private(set) var services: [ObjectID: ServiceDocument] = [:]
    private(set) var slices: [EndpointSliceDocument] = []
    private(set) var backends: [ObjectID: BackendDocument] = [:]
    private(set) var secrets: [ObjectID: DataDocument] = [:]
    private(set) var configMaps: [ObjectID: DataDocument] = [:]
    /// Labels of namespaces that are written down.
    private(set) var namespaces: [String: [String: String]] = [:]
    /// Every object in the order of reading.
    private(set) var objects: [Metadata] = []

    /// True if any of them is for a mesh only.
    var isMesh: Bool { !meshes.isEmpty || !workloads.isEmpty || !accessPolicies.isEmpty }

    private var places: [ObjectID: Place] = [:]

    /// Reads one document of a file; an empty one is skipped.
    mutating func add(_ node: YAMLNode, file: String, report: Report) {
        if case .null = node.content { return }
        let start = Place(file: file, line: node.line, column: node.column)
        let unnamed = Fields(node, at: start, report: report)
        guard case .mapping = node.content else { return }
        if unnamed.has("items"), unnamed.string("kind")?.value.hasSuffix("List") == true {
            for item in unnamed.items("items", most: 100_000) { add(item.node, file: file, report: report) }
            return
        }
        let version = unnamed.required("apiVersion", remedy: "for example \(APIGroup.gateway)/v1")
        let kind = unnamed.required("kind", remedy: "for example HTTPRoute")
        guard let version, let kind else { return }
        guard let metadata = metadata(unnamed, version: version, kind: kind, report: report) else { return }
        if let first = places[metadata.id] {
            report.error(
                "\(metadata.id.description) is already defined at \(first.fileAndLine)", at: metadata.place,
                remedy: "rename or remove one of them")
            return
        }
        places[metadata.id] = metadata.place
        objects.append(metadata)
        var place = metadata.place
        place.fieldPath = ""
        let root = Fields(node, at: place, report: report)
        root.ignore("apiVersion", "kind", "metadata", "status")
        read(root, version: version, metadata: metadata)
    }

    // MARK: Metadata

    private func metadata(_ root: Fields, version: Located<String>, kind: Located<String>, report: Report) -> Metadata?
    {
        let parts = version.value.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let group = parts.count == 2 ? String(parts[0]) : APIGroup.core
        let nameNode = root.node("metadata")
        guard let nameNode, case .mapping = nameNode.content else {
            report.error("metadata is missing", at: kind.place, remedy: "metadata: {name: NAME}")
            return nil
        }
        let isClusterWide = ["Namespace", "GatewayClass"].contains(kind.value)
        let peek = Fields(nameNode, at: root.place(of: "metadata"), report: Report())
        let name = peek.string("name")?.value ?? ""
        let namespace = isClusterWide ? "" : peek.string("namespace")?.value ?? "default"
        let id = ObjectID(group: group, kind: kind.value, namespace: namespace, name: name)
        var place = root.place
        place.object = id.description
        var metadataPlace = root.place(of: "metadata")
        metadataPlace.object = place.object
        let fields = Fields(nameNode, at: metadataPlace, report: report)
        var result = Metadata(id: id, order: objects.count, place: place)
        if let name = fields.required("name") { _ = Syntax.objectName(name, report) }
        if let namespace = fields.string("namespace") { _ = Syntax.objectName(namespace, report) }
        result.labels = Dictionary(fields.map("labels").map { ($0.key, $0.value.value) }) { first, _ in first }
        result.annotations = Dictionary(fields.map("annotations").map { ($0.key, $0.value) }) { first, _ in first }
        result.creationTimestamp = fields.string("creationTimestamp")?.value ?? ""
        fields.ignore(
            "generation", "uid", "resourceVersion", "managedFields", "finalizers", "ownerReferences", "generateName",
            "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
        fields.done()
        return result
    }

    // MARK: Kinds

    /// Kinds that are read, by group, with the versions of each.
    private static let versions: [String: [String]] = [
        APIGroup.gateway: ["v1", "v1beta1", "v1alpha3", "v1alpha2"],
        APIGroup.core: ["v1"],
        APIGroup.discovery: ["v1"],
        APIGroup.martlet: ["v1alpha1"],
    ]

    private static let kinds: [String: [String]] = [
        APIGroup.gateway: [
            "Gateway", "GatewayClass", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "ReferenceGrant",
            "BackendTLSPolicy",
        ],
        APIGroup.core: ["Service", "Secret", "ConfigMap", "Namespace"],
        APIGroup.discovery: ["EndpointSlice"],
        APIGroup.martlet: [
            "Backend", "BackendSubset", "TrafficPolicy", "ListenerPolicy", "ProxySettings", "Mesh", "Workload",
            "AccessPolicy",
        ],
    ]

    /// Kinds of the Gateway API that exist and are not read: nobody meant another one.
    private static let unsupported = ["UDPRoute", "ListenerSet", "XListenerSet", "XMesh", "XBackendTrafficPolicy"]

    private mutating func read(_ root: Fields, version: Located<String>, metadata: Metadata) {
        let (group, kind) = (metadata.id.group, metadata.id.kind)
        guard isKnown(group, kind, version, root, metadata) else { return }
        defer { root.done() }
        switch (group, kind) {
        case (APIGroup.core, "Secret"):
            secrets[metadata.id] = DataDocument(root, metadata: metadata, isSecret: true)
        case (APIGroup.core, "ConfigMap"):
            configMaps[metadata.id] = DataDocument(root, metadata: metadata, isSecret: false)
        case (APIGroup.core, "Namespace"):
            root.ignore("spec")
            namespaces[metadata.name] = metadata.labels
        case (APIGroup.gateway, "GatewayClass"):
            root.ignore("spec")
        case (APIGroup.discovery, _):
            slices.append(EndpointSliceDocument(root, metadata: metadata))
        default:
            guard let spec = root.requiredFields("spec") else { return }
            defer { spec.done() }
            readSpec(spec, metadata)
        }
    }

    private mutating func readSpec(_ spec: Fields, _ metadata: Metadata) {
        switch metadata.id.kind {
        case "Gateway": gateways.append(GatewayDocument(spec, metadata: metadata))
        case "HTTPRoute": httpRoutes.append(HTTPRouteDocument(spec, metadata: metadata))
        case "GRPCRoute": grpcRoutes.append(GRPCRouteDocument(spec, metadata: metadata))
        case "TLSRoute": streamRoutes.append(StreamRouteDocument(spec, metadata: metadata, isTLS: true))
        case "TCPRoute": streamRoutes.append(StreamRouteDocument(spec, metadata: metadata, isTLS: false))
        case "ReferenceGrant": grants.append(ReferenceGrantDocument(spec, metadata: metadata))
        case "BackendTLSPolicy":
            if let policy = BackendTLSPolicyDocument(spec, metadata: metadata) { tlsPolicies.append(policy) }
        case "Service": services[metadata.id] = ServiceDocument(spec, metadata: metadata)
        case "Backend": backends[metadata.id] = BackendDocument(spec, metadata: metadata)
        case "BackendSubset": subsets[metadata.id] = BackendSubsetDocument(spec, metadata: metadata)
        case "TrafficPolicy": trafficPolicies.append(TrafficPolicyDocument(spec, metadata: metadata))
        case "ListenerPolicy": listenerPolicies.append(ListenerPolicyDocument(spec, metadata: metadata))
        case "ProxySettings": settings.append(ProxySettingsDocument(spec, metadata: metadata))
        case "Mesh": meshes.append(MeshDocument(spec, metadata: metadata))
        case "Workload": workloads.append(WorkloadDocument(spec, metadata: metadata))
        case "AccessPolicy": accessPolicies.append(AccessPolicyDocument(spec, metadata: metadata))
        default: break
        }
    }

    /// Reports kinds and versions that are not read; those of other systems only get a warning.
    private func isKnown(
        _ group: String, _ kind: String, _ version: Located<String>, _ root: Fields, _ metadata: Metadata
    ) -> Bool {
        let report = root.report
        guard let kinds = Self.kinds[group], let versions = Self.versions[group] else {
            let close = Suggestion.closest(to: group, in: Self.kinds.keys.filter { !$0.isEmpty })
            if let close {
                report.error("unknown API group \"\(group)\"", at: metadata.place, remedy: "did you mean \"\(close)\"?")
            } else {
                report.warning("\(kind) of \(version.value) is not read", at: metadata.place)
            }
            return false
        }
        guard kinds.contains(kind) else {
            let home = Self.kinds.first { $0.value.contains(kind) }
            if let home {
                let right = home.key.isEmpty ? "v1" : "\(home.key)/\(Self.versions[home.key]?.first ?? "v1")"
                report.error(
                    "\(kind) is not a kind of \(version.value)", at: metadata.place, remedy: "apiVersion: \(right)")
            } else if let close = Suggestion.closest(to: kind, in: kinds), !Self.unsupported.contains(kind) {
                report.error(
                    "unknown kind \"\(kind)\"", at: root.place(of: "kind"), remedy: "did you mean \"\(close)\"?")
            } else if group == APIGroup.core {
                report.warning("\(kind) is not read", at: metadata.place)
            } else {
                report.error(
                    "\(kind) is not supported", at: root.place(of: "kind"),
                    remedy: Suggestion.remedy(for: kind, in: kinds))
            }
            return false
        }
        let short = version.value.split(separator: "/").last.map(String.init) ?? ""
        guard versions.contains(short) else {
            let right = group.isEmpty ? versions[0] : "\(group)/\(versions[0])"
            report.error("the version \(version.value) is not read", at: metadata.place, remedy: "apiVersion: \(right)")
            return false
        }
        return true
    }
}
