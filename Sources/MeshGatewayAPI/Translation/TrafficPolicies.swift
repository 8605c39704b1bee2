import MeshModel

/// TrafficPolicies by what they are for; of two for the same, the older one counts and the other not at all.
final class TrafficPolicies {
    private struct Key: Hashable {
        var target: ObjectID
        var section: String?
    }

    private var owners: [Key: TrafficPolicyDocument] = [:]
    private(set) var statuses: [ObjectStatus] = []

    init(_ documents: DocumentSet, report: Report) {
        for policy in documents.trafficPolicies.sorted(by: { Self.isBefore($0.metadata, $1.metadata) }) {
            for target in policy.targets {
                let key = Key(target: target.id, section: target.sectionName)
                let section = target.sectionName.map { "#\($0)" } ?? ""
                var condition = Condition("Accepted", true, reason: "Accepted")
                if let missing = Self.missing(target, documents) {
                    condition = Condition("Accepted", false, reason: "TargetNotFound", message: missing.message)
                    report.warning(missing.message, at: target.place, remedy: missing.remedy)
                } else if let winner = owners[key]?.metadata {
                    let message =
                        winner.id == policy.metadata.id
                        ? "the target is named twice"
                        : "\(winner.id.description) at \(winner.place.fileAndLine) is for the same target"
                    condition = Condition("Accepted", false, reason: "Conflicted", message: message)
                    report.warning(message, at: target.place, remedy: "merge them, or remove one")
                } else {
                    owners[key] = policy
                }
                statuses.append(
                    ObjectStatus(
                        object: policy.metadata.id.description, part: "target \(target.id.description)\(section)",
                        place: policy.metadata.place, conditions: [condition]))
            }
        }
    }

    /// The policies for `section` of `target`, the weaker first.
    func policies(for target: ObjectID, section: String?) -> [TrafficPolicyDocument] {
        let whole = owners[Key(target: target, section: nil)]
        let own = section.flatMap { owners[Key(target: target, section: $0)] }
        return [whole, own].compactMap { $0 }
    }

    /// By creation timestamp, those that have one first, then by name, as GEP-713 has it: moving an object to another
    /// file changes nothing.
    private static func isBefore(_ left: Metadata, _ right: Metadata) -> Bool {
        if left.creationTimestamp != right.creationTimestamp {
            if left.creationTimestamp.isEmpty { return false }
            return right.creationTimestamp.isEmpty || left.creationTimestamp < right.creationTimestamp
        }
        return (left.namespace, left.name) < (right.namespace, right.name)
    }

    private static func missing(
        _ target: TrafficPolicyDocument.Target, _ documents: DocumentSet
    ) -> (message: String, remedy: String)? {
        let id = target.id
        let (names, sections, noun) = known(id, documents)
        guard names.contains(id.name) else {
            return ("\(id.description) does not exist", Suggestion.remedy(for: id.name, in: names))
        }
        guard let section = target.sectionName, !sections.contains(section) else { return nil }
        guard !noun.isEmpty else { return ("\(id.kind) has no sections", "remove sectionName") }
        let remedy =
            sections.isEmpty
            ? "give the \(noun) a name, or remove sectionName" : Suggestion.remedy(for: section, in: sections)
        return ("\(id.description) has no \(noun) with the name \(section)", remedy)
    }

    /// The objects of a target's kind and namespace, the sections of the target, and what sections are.
    private static func known(
        _ id: ObjectID, _ documents: DocumentSet
    ) -> (names: [String], sections: [String], noun: String) {
        func names(_ all: some Sequence<ObjectID>) -> [String] {
            all.filter { $0.namespace == id.namespace }.map(\.name)
        }
        switch id.kind {
        case "Service":
            let ports = documents.services[id]?.ports.map(\.name) ?? []
            return (names(documents.services.keys), ports.filter { !$0.isEmpty }, "port")
        case "Backend": return (names(documents.backends.keys), [], "")
        case "BackendSubset": return (names(documents.subsets.keys), [], "")
        case "HTTPRoute":
            let route = documents.httpRoutes.first { $0.metadata.id == id }
            return (names(documents.httpRoutes.map(\.metadata.id)), route?.rules.compactMap(\.name) ?? [], "rule")
        default:
            let route = documents.grpcRoutes.first { $0.metadata.id == id }
            return (names(documents.grpcRoutes.map(\.metadata.id)), route?.rules.compactMap(\.name) ?? [], "rule")
        }
    }
}
