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
        guard !documents.trafficPolicies.isEmpty else { return }
        let known = Self.targets(documents)
        for policy in documents.trafficPolicies.sorted(by: { Self.isBefore($0.metadata, $1.metadata) }) {
            for target in policy.targets {
                let key = Key(target: target.id, section: target.sectionName)
                let section = target.sectionName.map { "#\($0)" } ?? ""
                var condition = Condition("Accepted", true, reason: "Accepted")
                if let missing = Self.missing(target, known) {
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

    /// What a target may be, with the sections that it has.
    private static func targets(_ documents: DocumentSet) -> [ObjectID: Sections] {
        var result: [ObjectID: Sections] = [:]
        for (id, service) in documents.services {
            result[id] = Sections(noun: "port", names: service.ports.map(\.name).filter { !$0.isEmpty })
        }
        for id in documents.backends.keys { result[id] = Sections(noun: "", names: []) }
        for id in documents.subsets.keys { result[id] = Sections(noun: "", names: []) }
        for route in documents.httpRoutes {
            result[route.metadata.id] = Sections(noun: "rule", names: route.rules.compactMap(\.name))
        }
        for route in documents.grpcRoutes {
            result[route.metadata.id] = Sections(noun: "rule", names: route.rules.compactMap(\.name))
        }
        return result
    }

    /// What the parts of an object are that a policy can be for, and what they are called.
    private struct Sections {
        /// Empty if it has no parts.
        var noun: String
        var names: [String]
    }

    private static func missing(
        _ target: TrafficPolicyDocument.Target, _ known: [ObjectID: Sections]
    ) -> (message: String, remedy: String)? {
        let id = target.id
        guard let sections = known[id] else {
            let names = known.keys.filter { $0.kind == id.kind && $0.namespace == id.namespace }.map(\.name)
            let remedy = names.isEmpty ? "a \(id.kind) of this name" : Suggestion.remedy(for: id.name, in: names)
            return ("\(id.description) does not exist", remedy)
        }
        guard let section = target.sectionName, !sections.names.contains(section) else { return nil }
        guard !sections.noun.isEmpty else { return ("\(id.kind) has no sections", "remove sectionName") }
        let remedy =
            sections.names.isEmpty
            ? "give the \(sections.noun) a name, or remove sectionName"
            : Suggestion.remedy(for: section, in: sections.names)
        return ("\(id.description) has no \(sections.noun) with the name \(section)", remedy)
    }
}
