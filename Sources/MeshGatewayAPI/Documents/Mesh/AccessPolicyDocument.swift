import MeshModel

/// AccessPolicy of martlet.dev/v1alpha1: who may call what.
struct AccessPolicyDocument {
    enum Mode: String, CaseIterable {
        case enforce = "ENFORCE"
        case audit = "AUDIT"
    }

    struct Target {
        var id: ObjectID
        var place: Place
    }

    /// Who is meant.
    enum Identity {
        /// A SPIFFE URI, or the beginning of one and `*`.
        case uri(String)
        /// A service of the mesh's own trust domain; `*` for all of the namespace.
        case service(namespace: String, name: String)
        /// Everybody who has an identity.
        case any
    }

    struct Source {
        var identities: [Identity]
        var namespaces: [String]
        var cidrs: [String]
    }

    struct Rule {
        var from: [Source]
        var to: [AccessOperation]
    }

    var metadata: Metadata
    var targets: [Target]
    var action: AccessAction
    var isAudit: Bool
    var rules: [Rule]

    /// Kinds that a policy can be for.
    static let kinds = ["Service": APIGroup.core, "Workload": APIGroup.martlet, "Gateway": APIGroup.gateway]

    init(_ spec: Fields, metadata: Metadata) {
        self.metadata = metadata
        targets = spec.list("targetRefs", most: 64) { Self.target($0, metadata) }
        if spec.has("targetRefs"), spec.items("targetRefs", most: 64).isEmpty {
            spec.report.error(
                "targetRefs is empty", at: spec.place(of: "targetRefs"),
                remedy: "remove it, if every service of namespace \(metadata.namespace) is meant")
        }
        action = spec.choice("action", AccessActionName.self)?.value.action ?? .allow
        isAudit = spec.choice("mode", Mode.self)?.value == .audit
        rules = spec.list("rules", most: 256) { fields in
            Rule(
                from: fields.list("from", most: 256) { Self.source($0) },
                to: fields.list("to", most: 256) { Self.operation($0) })
        }
        if rules.isEmpty, action == .deny, spec.items("rules", most: 256).isEmpty {
            spec.report.warning(
                "the policy denies nothing: it has no rule", at: metadata.place,
                remedy: "rules: [{}] denies everything")
        }
    }

    private static func target(_ fields: Fields, _ metadata: Metadata) -> Target? {
        if fields.has("namespace") {
            fields.ignore("namespace")
            fields.report.error(
                "a policy is for objects of its own namespace", at: fields.place(of: "namespace"),
                remedy: "remove it, and write the policy in the namespace of its target")
        }
        guard var reference = ObjectReference(fields, kind: nil, hasNamespace: false) else { return nil }
        guard let group = kinds[reference.kind] else {
            fields.report.error(
                "\(reference.kind) cannot be the target of an AccessPolicy", at: fields.place,
                remedy: Suggestion.remedy(for: reference.kind, in: kinds.keys))
            return nil
        }
        if fields.has("group"), reference.group != group {
            fields.report.error(
                "\(reference.kind) is not a kind of group \"\(reference.group)\"", at: fields.place(of: "group"),
                remedy: "group: \(group.isEmpty ? "\"\"" : group)")
            return nil
        }
        reference.group = group
        return Target(id: reference.target(from: metadata.namespace), place: fields.place)
    }

    private static func source(_ fields: Fields) -> Source {
        let report = fields.report
        return Source(
            identities: texts(fields, "identities").compactMap { AccessSyntax.identity($0, report) },
            namespaces: texts(fields, "namespaces").compactMap { Syntax.objectName($0, report) },
            cidrs: texts(fields, "cidrs").compactMap { AccessSyntax.cidr($0, report) })
    }

    private static func operation(_ fields: Fields) -> AccessOperation {
        let report = fields.report
        var ports: [UInt16] = []
        if !isEmptyList(fields, "ports") {
            for (node, place) in fields.items("ports", most: 64) {
                if case .scalar(let text, true) = node.content, let port = UInt16(text), port > 0 {
                    ports.append(port)
                } else {
                    report.error("a port must be a number, not \(node.kindName)", at: place, remedy: "1 to 65535")
                }
            }
        }
        return AccessOperation(
            hosts: texts(fields, "hosts").compactMap { AccessSyntax.host($0, report) },
            methods: texts(fields, "methods").compactMap { AccessSyntax.method($0, report) },
            paths: texts(fields, "paths").compactMap { AccessSyntax.path($0, report) }, ports: ports)
    }

    private static func texts(_ fields: Fields, _ name: String) -> [Located<String>] {
        isEmptyList(fields, name) ? [] : fields.strings(name, most: 1000)
    }

    /// A list that is left out fits all; one that is empty looks as if it fitted nobody, and is refused.
    private static func isEmptyList(_ fields: Fields, _ name: String) -> Bool {
        guard fields.has(name), case .sequence(let items)? = fields.node(name)?.content, items.isEmpty else {
            return false
        }
        fields.report.error(
            "\(name) is empty", at: fields.place(of: name), remedy: "name at least one, or remove it if all are meant")
        return true
    }
}
