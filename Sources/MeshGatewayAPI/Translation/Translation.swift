import MeshCore
import MeshModel

/// What became of a configuration: the model if it can be used, and everything there is to say about it.
public struct Translation: Sendable {
    /// The model of one proxy that is all Gateways; nil if any diagnostic is an error, and for a control plane, whose
    /// Gateways are proxies of their own.
    public var model: Model?
    /// What the proxies of a mesh are made from, by type and name: mesh settings, backends (every port of every Service,
    /// and what routes refer to), their endpoints as far as documents say them, access policies, services, workloads,
    /// gateways and attached routes; no trust bundle. Empty if any diagnostic is an error.
    ///
    /// A route's `age` is its `creationTimestamp` in milliseconds since 1970; without one it is younger than all that
    /// have one, in the order of reading. Who knows the age better may write another.
    public var resources: [MeshResource] = []
    /// The objects that each resource is made from, as in ``ObjectStatus/object``: first the one that it is, then those
    /// that have a say in it, such as policies.
    public var objects: [MeshResourceID: [String]] = [:]
    /// All problems, by file, line and column.
    public var diagnostics: [Diagnostic]
    /// The conditions of every object that has some, in the order of reading.
    public var conditions: [ObjectStatus]
    /// Where settings that have a default were written. Keys: `settings/drainTimeout`,
    /// `listener/ADDRESS/role`, `listener/ADDRESS/limits.maxHeaders`, `backend/NAME/timeouts.connect`,
    /// `rule/NAMESPACE/ROUTE/INDEX/timeouts.request`, `grpcrule/…` for a GRPCRoute, `backend/NAME/policy.retry.attempts`
    /// for what a backend's policy says of requests; also `certificate/NAMESPACE/SECRET`, where a certificate stands.
    public var origins: [String: Place]
    /// Text of every file that was read as YAML, by path as in ``Place/file``.
    public var sources: [String: String]
    /// Paths of other files that the configuration depends on, such as certificates, missing ones included; those that
    /// are not absolute are relative to the working directory.
    public var referencedFiles: [String]

    /// True if any diagnostic is an error.
    public var hasErrors: Bool { diagnostics.contains { $0.severity == .error } }

    /// Adds what others have found wrong; after an error there is no model, and nothing is programmed.
    public mutating func add(_ found: [Diagnostic]) {
        guard !found.isEmpty else { return }
        diagnostics = Report.sorted(diagnostics + found)
        guard hasErrors else { return }
        model = nil
        resources = []
        objects = [:]
        for object in conditions.indices {
            for index in conditions[object].conditions.indices
            where conditions[object].conditions[index].type == "Programmed" {
                conditions[object].conditions[index] = Condition("Programmed", false, reason: "Invalid")
            }
        }
    }
}

/// The name of a resource, unique among all.
public struct MeshResourceID: Sendable, Hashable {
    /// Its kind.
    public var type: MeshResourceType
    /// Unique among resources of its type.
    public var name: String

    /// The resource `name` of a type.
    public init(type: MeshResourceType, name: String) {
        self.type = type
        self.name = name
    }
}

extension MeshResource {
    /// The resource's name among all.
    public var id: MeshResourceID { MeshResourceID(type: type, name: name) }
}

/// The standard's condition: one statement about an object, or about an object under one parent.
public struct Condition: Sendable, Hashable {
    /// `Accepted`, `ResolvedRefs`, `Programmed`, `Conflicted` or `Shadowed`.
    public var type: String
    /// Whether the statement holds.
    public var status: Bool
    /// Why, in one word.
    public var reason: String
    /// Why, for people; may be empty.
    public var message: String

    /// A condition of which all parts are known.
    public init(_ type: String, _ status: Bool, reason: String, message: String = "") {
        self.type = type
        self.status = status
        self.reason = reason
        self.message = message
    }
}

/// The conditions of an object, or of an object under one parent.
public struct ObjectStatus: Sendable, Hashable {
    /// As in `HTTPRoute shop/cart`.
    public var object: String
    /// `listener NAME` of a Gateway, `parent Gateway NAMESPACE/NAME` or `parent Service …` of a route, `target …` of a policy; may be empty.
    public var part: String
    /// Where the object is written.
    public var place: Place
    /// What holds.
    public var conditions: [Condition]

    /// A status of which all parts are known.
    public init(object: String, part: String, place: Place, conditions: [Condition]) {
        self.object = object
        self.part = part
        self.place = place
        self.conditions = conditions
    }

    /// The condition of type `type`.
    public func condition(_ type: String) -> Condition? { conditions.first { $0.type == type } }
}

/// A file of the configuration, or an object that a store keeps.
public struct SourceFile: Sendable {
    /// How diagnostics name it: a path, or an object as in `Workload shop/orders`.
    public var path: String
    /// Its content.
    public var text: String
    /// True if it is no file. Then nothing in it can refer to files beside it; who may change objects over the network
    /// must not be able to have the control plane read its disk.
    public var isStored: Bool

    /// The file `path` with `text`.
    public init(path: String, text: String) {
        self.path = path
        self.text = text
        isStored = false
    }

    /// The object `object`, as in `Workload shop/orders`, as it was stored: `text` is YAML or JSON.
    public init(object: String, text: String) {
        path = object
        self.text = text
        isStored = true
    }
}
