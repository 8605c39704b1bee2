import MeshModel

/// TrafficPolicy of martlet.dev/v1alpha1: how requests on a route, or to a backend, are treated.
struct TrafficPolicyDocument {
    struct Target {
        var id: ObjectID
        var sectionName: String?
        var place: Place

        /// True for a route.
        var isRoute: Bool { id.group == APIGroup.gateway }
    }

    var metadata: Metadata
    var targets: [Target]
    /// What concerns requests: of a rule, of a route, or of all that go to a backend.
    var forRequests: [Setting<RequestPolicy>]
    /// What only a backend can have.
    var forBackends: [Setting<Backend>]

    /// Kinds that a policy can be for.
    static let kinds = [
        "Service": APIGroup.core, "Backend": APIGroup.martlet, "BackendSubset": APIGroup.martlet,
        "HTTPRoute": APIGroup.gateway, "GRPCRoute": APIGroup.gateway,
    ]

    init(_ spec: Fields, metadata: Metadata) {
        self.metadata = metadata
        targets = spec.list("targetRefs", most: 16) { Self.target($0, metadata) }
        if spec.items("targetRefs", most: 16).isEmpty {
            spec.missing("targetRefs", remedy: Shape.example(at: "targetRefs"))
        }
        forBackends = BackendSettings.all(spec)
        let timeouts = spec.fields("timeouts")
        if let timeouts, let setting = BackendSettings.connectTimeout(timeouts) { forBackends.append(setting) }
        forRequests = RequestSettings.all(spec, timeouts: timeouts)
        timeouts?.done()
        if forRequests.isEmpty, forBackends.isEmpty, spec.names.allSatisfy({ $0 == "targetRefs" }) {
            spec.report.warning(
                "the TrafficPolicy sets nothing", at: metadata.place,
                remedy: "for example retry: {attempts: 2, codes: [503]}")
        }
        checkTargets(spec)
    }

    private static func target(_ fields: Fields, _ metadata: Metadata) -> Target? {
        let section = fields.string("sectionName")?.value
        if fields.has("namespace") {
            fields.ignore("namespace")
            fields.report.error(
                "a policy is for objects of its own namespace", at: fields.place(of: "namespace"),
                remedy: "remove it, and write the policy in the namespace of its target")
        }
        guard var reference = ObjectReference(fields, kind: nil, hasNamespace: false) else { return nil }
        guard let group = kinds[reference.kind] else {
            fields.report.error(
                "\(reference.kind) cannot be the target of a TrafficPolicy", at: fields.place,
                remedy: "one of \(kinds.keys.sorted().joined(separator: ", "))")
            return nil
        }
        if fields.has("group"), reference.group != group {
            fields.report.error(
                "\(reference.kind) is not a kind of group \"\(reference.group)\"", at: fields.place(of: "group"),
                remedy: "group: \(group.isEmpty ? "\"\"" : group)")
            return nil
        }
        reference.group = group
        return Target(id: reference.target(from: metadata.namespace), sectionName: section, place: fields.place)
    }

    /// What makes no sense for a target.
    private func checkTargets(_ spec: Fields) {
        if let route = targets.first(where: \.isRoute) {
            for setting in forBackends {
                spec.report.error(
                    "\(setting.name) is for a backend, not for \(route.id.kind) \(route.id.name)", at: setting.place,
                    remedy: "a TrafficPolicy of its own with targetRefs: "
                        + "[{group: martlet.dev, kind: Backend, name: NAME}]")
            }
        }
        if targets.contains(where: { !$0.isRoute }) {
            var policy = RequestPolicy()
            for setting in forRequests { setting.apply(&policy) }
            let retry = forRequests.first { $0.name == "retry" }
            if policy.retry?.attempts == 0, let place = retry?.parts["attempts"] {
                spec.report.error(
                    "attempts is 0, which is no retry", at: place,
                    remedy: "remove retry: nothing is tried again without it; only a policy on a route says 0, to be "
                        + "without the retry of its backend")
            }
        }
    }
}

/// BackendSubset of martlet.dev/v1alpha1: the endpoints of a backend that have certain labels.
struct BackendSubsetDocument {
    var metadata: Metadata
    var reference: ObjectReference
    var labels: [(key: String, value: Located<String>)]

    init?(_ spec: Fields, metadata: Metadata) {
        self.metadata = metadata
        let reference = spec.requiredFields(
            "backendRef", remedy: "backendRef: {group: martlet.dev, kind: Backend, name: NAME}"
        ).flatMap { fields -> ObjectReference? in
            defer { fields.done() }
            var reference = ObjectReference(fields, kind: "Service", hasNamespace: false, hasPort: true)
            if !fields.has("group"), reference?.kind == "Backend" { reference?.group = APIGroup.martlet }
            return reference
        }
        labels = spec.map("labels")
        if labels.isEmpty, !spec.has("labels") || spec.fields("labels")?.names.isEmpty == true {
            spec.missing("labels", remedy: "labels: {version: v2}")
        }
        guard let reference else { return nil }
        self.reference = reference
    }
}
