import MeshCore
import MeshModel

/// What became of a configuration: the model if it can be used, and everything there is to say about it.
public struct Translation: Sendable {
    /// The model; nil if any diagnostic is an error.
    public var model: Model?
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
        for object in conditions.indices {
            for index in conditions[object].conditions.indices
            where conditions[object].conditions[index].type == "Programmed" {
                conditions[object].conditions[index] = Condition("Programmed", false, reason: "Invalid")
            }
        }
    }
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
    /// `listener NAME` of a Gateway, `parent Gateway NAMESPACE/NAME` of a route, `target …` of a policy; may be empty.
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

/// A file of the configuration.
public struct SourceFile: Sendable {
    /// How diagnostics name it.
    public var path: String
    /// Its content.
    public var text: String

    /// The file `path` with `text`.
    public init(path: String, text: String) {
        self.path = path
        self.text = text
    }
}
