import MeshModel

/// BackendTLSPolicies by what they are for; of two for the same, the older one counts.
final class TLSPolicies {
    private struct Key: Hashable {
        var target: ObjectID
        var section: String?
    }

    private var policies: [Key: BackendTLS] = [:]
    private var owners: [Key: Metadata] = [:]
    private(set) var statuses: [ObjectStatus] = []

    init(_ documents: DocumentSet, material: Material, report: Report) {
        for policy in documents.tlsPolicies.sorted(by: { Precedence.isBefore($0.metadata, $1.metadata) }) {
            let metadata = policy.metadata
            let tls = Self.tls(policy, documents, material, report)
            for target in policy.targets {
                let id = target.reference.target(from: metadata.namespace)
                let key = Key(target: id, section: target.sectionName)
                var condition = Condition("Accepted", true, reason: "Accepted")
                let resolved = Condition(
                    "ResolvedRefs", tls != nil, reason: tls == nil ? "InvalidCACertificateRef" : "ResolvedRefs")
                if tls == nil {
                    condition = Condition("Accepted", false, reason: "NoValidCACertificate")
                } else if let problem = Self.missing(id, target.sectionName, documents) {
                    condition = Condition("Accepted", false, reason: "TargetNotFound", message: problem)
                    report.warning(problem, at: target.reference.place, remedy: "correct the targetRef")
                } else if let winner = owners[key] {
                    let message = "\(winner.id.description) at \(winner.place.fileAndLine) is for the same target"
                    condition = Condition("Accepted", false, reason: "Conflicted", message: message)
                    report.warning(message, at: target.reference.place, remedy: "remove one of them")
                } else {
                    owners[key] = metadata
                    policies[key] = tls
                }
                statuses.append(
                    ObjectStatus(
                        object: metadata.id.description, part: "target \(id.description)", place: metadata.place,
                        conditions: [condition, resolved]))
            }
        }
    }

    /// TLS to port `section` of `target`; nil: clear text.
    func tls(for target: ObjectID, section: String?, certificate: Certificate?) -> BackendTLS? {
        var result = section.flatMap { policies[Key(target: target, section: $0)] }
        result = result ?? policies[Key(target: target, section: nil)]
        result?.clientCertificate = certificate
        return result
    }

    /// Where the policy for port `section` of `target` is written; nil if there is none.
    func place(for target: ObjectID, section: String?) -> Place? {
        let own = section.flatMap { owners[Key(target: target, section: $0)] }
        return (own ?? owners[Key(target: target, section: nil)])?.place
    }

    private static func missing(_ id: ObjectID, _ section: String?, _ documents: DocumentSet) -> String? {
        switch (id.group, id.kind) {
        case (APIGroup.core, "Service"):
            guard let service = documents.services[id] else { return "\(id.description) does not exist" }
            guard let section, !service.ports.contains(where: { $0.name == section }) else { return nil }
            return "\(id.description) has no port with the name \(section)"
        case (APIGroup.martlet, "Backend"):
            return documents.backends[id] == nil ? "\(id.description) does not exist" : nil
        default: return "\(id.kind) cannot be the target of a BackendTLSPolicy"
        }
    }

    private static func tls(
        _ policy: BackendTLSPolicyDocument, _ documents: DocumentSet, _ material: Material, _ report: Report
    ) -> BackendTLS? {
        var trust = BackendTLS.Trust.system
        if !policy.usesSystem {
            var all: [UInt8] = []
            for reference in policy.authorities {
                let id = reference.target(from: policy.metadata.namespace)
                guard documents.configMaps[id] != nil || documents.secrets[id] != nil else {
                    report.error(
                        "\(id.description) does not exist", at: reference.place, remedy: "a ConfigMap with ca.crt")
                    return nil
                }
                guard let pem = material.authorities(id) else { return nil }
                all += pem + (pem.last == 0x0A ? [] : [0x0A])
            }
            guard !all.isEmpty else { return nil }
            trust = .authorities(all)
        }
        var result = BackendTLS(trust: trust, hostname: policy.hostname)
        result.subjectAltNames = policy.altNames.map { name in
            switch name {
            case .hostname(let hostname): .hostname(hostname)
            case .uri(let uri): .uri(uri)
            }
        }
        return result
    }
}

/// Which of two objects is older, and with that wins.
enum Precedence {
    /// By creation timestamp, where both have one; those that have one come first; then in the order of reading.
    static func isBefore(_ left: Metadata, _ right: Metadata) -> Bool {
        if left.creationTimestamp != right.creationTimestamp {
            if left.creationTimestamp.isEmpty { return false }
            if right.creationTimestamp.isEmpty { return true }
            return left.creationTimestamp < right.creationTimestamp
        }
        if !left.creationTimestamp.isEmpty {
            return (left.namespace, left.name) < (right.namespace, right.name)
        }
        return left.order < right.order
    }
}
