/// API groups that Martlet reads.
enum APIGroup {
    static let core = ""
    static let gateway = "gateway.networking.k8s.io"
    static let discovery = "discovery.k8s.io"
    static let martlet = "martlet.dev"
}

/// The name of an object: unique in a configuration.
struct ObjectID: Hashable, Sendable {
    var group: String
    var kind: String
    var namespace: String
    var name: String

    /// `HTTPRoute shop/cart`; without a namespace for kinds that have none.
    var description: String { namespace.isEmpty ? "\(kind) \(name)" : "\(kind) \(namespace)/\(name)" }
}

/// What every object has.
struct Metadata {
    var id: ObjectID
    var labels: [String: String] = [:]
    var annotations: [String: Located<String>] = [:]
    /// RFC 3339 in UTC, which sorts as text; empty if not given.
    var creationTimestamp = ""
    /// Order of reading: files by path, documents in a file from the top.
    var order = 0
    /// Where the object starts.
    var place: Place

    var namespace: String { id.namespace }
    var name: String { id.name }
}

/// A reference from a route to a Gateway or a Service, or to a part of one.
struct ParentReference {
    var group: String
    var kind: String
    var namespace: String?
    var name: String
    var sectionName: String?
    var port: Int?
    var place: Place

    init?(_ fields: Fields) {
        let group = fields.string("group")?.value
        kind = fields.string("kind")?.value ?? "Gateway"
        // There is no other Service that could be meant.
        self.group = kind == "Service" && group ?? "core" == "core" ? APIGroup.core : group ?? APIGroup.gateway
        namespace = fields.string("namespace")?.value
        let name = fields.required(
            "name", remedy: kind == "Service" ? "the name of a Service" : "the name of a Gateway")
        sectionName = fields.string("sectionName")?.value
        port = fields.integer("port", in: 1...65535)?.value
        place = fields.place
        guard let name else { return nil }
        self.name = name.value
    }

    /// True if it governs what is sent to a Service.
    var isService: Bool { group == APIGroup.core && kind == "Service" }

    /// The object it names, seen from `namespace`.
    func target(from namespace: String) -> ObjectID {
        ObjectID(group: group, kind: kind, namespace: self.namespace ?? namespace, name: name)
    }

    /// `Gateway shop/edge`, with `#section` and `:port` if given.
    func text(from namespace: String) -> String {
        target(from: namespace).description + (sectionName.map { "#\($0)" } ?? "") + (port.map { ":\($0)" } ?? "")
    }
}

/// A reference to an object by group, kind and name.
struct ObjectReference {
    var group: String
    var kind: String
    var namespace: String?
    var name: String
    var port: Int?
    var place: Place

    init?(_ fields: Fields, kind defaultKind: String?, hasNamespace: Bool = true, hasPort: Bool = false) {
        group = fields.string("group")?.value ?? APIGroup.core
        let kind = fields.string("kind")?.value ?? defaultKind
        namespace = hasNamespace ? fields.string("namespace")?.value : nil
        let name = fields.required("name")
        port = hasPort ? fields.integer("port", in: 1...65535)?.value : nil
        place = fields.place
        if kind == nil { fields.missing("kind") }
        guard let name, let kind else { return nil }
        self.name = name.value
        self.kind = kind
    }

    /// The object it names, seen from `namespace`.
    func target(from namespace: String) -> ObjectID {
        ObjectID(group: group, kind: kind, namespace: self.namespace ?? namespace, name: name)
    }
}

/// A backend of a route rule.
struct BackendReference {
    var reference: ObjectReference
    var weight: Int
    var filters: [FilterDocument]

    init?(_ fields: Fields, filters kinds: [FilterDocument.Kind]) {
        let reference = ObjectReference(fields, kind: "Service", hasPort: true)
        weight = fields.integer("weight", in: 0...1_000_000)?.value ?? 1
        filters = kinds.isEmpty ? [] : FilterDocument.list(fields, of: kinds)
        guard let reference else { return nil }
        self.reference = reference
    }
}
