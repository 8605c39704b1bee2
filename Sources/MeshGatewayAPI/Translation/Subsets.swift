import MeshModel

/// What TrafficPolicies and BackendSubsets make of a backend.
extension BackendTable {
    /// Writes what `policies` say into `backend`, the weaker first.
    func apply(_ policies: [TrafficPolicyDocument], to backend: inout Backend) {
        for policy in policies {
            for setting in policy.forBackends {
                setting.apply(&backend)
                note(setting, under: "backend/\(backend.name)/")
            }
            for setting in policy.forRequests {
                setting.apply(&backend.policy)
                note(setting, under: "backend/\(backend.name)/policy.")
            }
        }
    }

    /// The last steps: the part that `subset` names, the policies for it, and what follows from all of it.
    func finish(_ backend: inout Backend, _ subset: BackendSubsetDocument?, of parent: ObjectID) {
        if let subset {
            let all = backend.endpoints
            backend.endpoints = all.filter { endpoint in
                subset.labels.allSatisfy { endpoint.labels[$0.key] == $0.value.value }
            }
            let labels = all.map(\.labels) + mesh.labels(of: parent)
            let isSomewhere = labels.contains { labels in subset.selector.allSatisfy { labels[$0.key] == $0.value } }
            if !isSomewhere, !labels.isEmpty { warn(subset, labels, parent) }
            apply(traffic.policies(for: subset.metadata.id, section: nil), to: &backend)
        }
        check(backend)
        // Nothing is weaker than a backend: a timeout that is none is the absence of one.
        backend.policy.timeouts.forgetUnlimited(unless: [])
        // In a mesh each proxy is told where it stands.
        if backend.loadBalancer.zonePreference != nil, documents.settings.first?.zone == nil, mesh.isForProxy,
            let place = origins["backend/\(backend.name)/loadBalancer.zonePreference"]
        {
            report.warning(
                "zonePreference has no effect: nothing says in which zone the proxy is", at: place,
                remedy: "kind: ProxySettings with spec: {zone: NAME}")
        }
    }

    /// The backend that a BackendSubset is.
    func subset(_ id: ObjectID, _ use: Use, _ certificate: Certificate?) -> Result<BackendTarget, Problem> {
        guard let subset = documents.subsets[id] else {
            let near = documents.subsets.keys.filter { $0.namespace == id.namespace }.map(\.name)
            return .failure(
                Problem(
                    reason: "BackendNotFound", message: "\(id.description) does not exist",
                    remedy: Suggestion.remedy(for: id.name, in: near)))
        }
        let parent = subset.reference.target(from: id.namespace)
        switch (parent.group, parent.kind) {
        case (APIGroup.core, "Service"): return service(parent, subset.reference.port, subset, use, certificate)
        case (APIGroup.martlet, "Backend"): return backend(parent, subset, use, certificate)
        default: return .failure(unknownKind(parent))
        }
    }

    private func warn(_ subset: BackendSubsetDocument, _ all: [[String: String]], _ parent: ObjectID) {
        let alone = subset.labels.first { label in !all.contains { $0[label.key] == label.value.value } }
        guard let label = alone ?? subset.labels.first else { return }
        let values = Set(all.compactMap { $0[label.key] }).sorted()
        let keys = Set(all.flatMap(\.keys)).sorted()
        let remedy: String
        if alone == nil {
            remedy = "labels that one endpoint has together"
        } else if values.isEmpty {
            remedy =
                keys.isEmpty
                ? "labels: {\(label.key): \(label.value.value)} at an endpoint"
                : Suggestion.remedy(
                    for: label.key, in: keys)
        } else {
            remedy = "\(label.key) is \(values.prefix(8).joined(separator: " or ")) there"
        }
        let what = alone == nil ? "all of these labels" : "the label \(label.key): \(label.value.value)"
        report.warning(
            "no endpoint of \(parent.description) has \(what): requests for the subset are answered with 503",
            at: label.value.place, remedy: remedy)
    }

    /// What several documents say against each other.
    private func check(_ backend: Backend) {
        for problem in backend.policy.contradictions() {
            let key = "backend/\(backend.name)/policy."
            report.contradiction(problem, at: origins[key + problem.field], bound: origins[key + problem.bound])
        }
    }
}

extension Report {
    /// Reports a contradiction between the settings at `place` and at `bound`; within one object it has been reported
    /// with the object. Between a rule and its backend it is no error: others may use the backend with more time.
    func contradiction(_ problem: RequestPolicy.Contradiction, at place: Place?, bound: Place?, isError: Bool = true) {
        guard let place, bound?.object != place.object else { return }
        let message = problem.message + (bound.map { " (\($0.fileAndLine))" } ?? "")
        if isError {
            error(message, at: place, remedy: problem.remedy)
        } else {
            warning(message, at: place, remedy: problem.remedy)
        }
    }
}

extension Timeouts {
    /// Takes timeouts of ``Timeouts/unlimited`` for what they are, except where one of `weaker` would take their place.
    mutating func forgetUnlimited(unless weaker: [Timeouts]) {
        if request == Timeouts.unlimited, weaker.allSatisfy({ $0.request == nil }) { request = nil }
        if backendRequest == Timeouts.unlimited, weaker.allSatisfy({ $0.backendRequest == nil }) {
            backendRequest = nil
        }
        if idle == Timeouts.unlimited, weaker.allSatisfy({ $0.idle == nil }) { idle = nil }
    }
}

extension BackendSubsetDocument {
    /// What its backend in the model is called.
    var baseName: String { "\(metadata.namespace)/BackendSubset/\(metadata.name)" }

    /// The labels that an endpoint of it has.
    var selector: [String: String] {
        Dictionary(labels.map { ($0.key, $0.value.value) }) { first, _ in first }
    }
}

extension EndpointSliceDocument {
    /// What all endpoints of the slice are labelled with: its own labels, without those of Kubernetes itself.
    var endpointLabels: [String: String] { metadata.labels.filter { !$0.key.contains("kubernetes.io/") } }
}
