import Foundation

extension API {
    /// What an object is known by.
    public struct ObjectID: Codable, Sendable, Hashable, Comparable {
        /// `HTTPRoute`, `Service`, …
        public var kind: String
        /// `default` where the document says nothing; empty for kinds that have none.
        public var namespace: String
        /// `metadata.name`.
        public var name: String

        /// The object of this kind and name.
        public init(kind: String, namespace: String, name: String) {
            self.kind = kind
            self.namespace = namespace
            self.name = name
        }

        /// By kind, namespace and name.
        public static func < (left: ObjectID, right: ObjectID) -> Bool {
            (left.kind, left.namespace, left.name) < (right.kind, right.namespace, right.name)
        }

        /// `HTTPRoute shop/cart`, as diagnostics name it.
        public var text: String { namespace.isEmpty ? "\(kind) \(name)" : "\(kind) \(namespace)/\(name)" }
    }

    /// Which objects: every part that is not nil must fit.
    public struct ObjectFilter: Sendable, Equatable {
        /// The kind, in whatever letter case.
        public var kind: String?
        /// The namespace.
        public var namespace: String?
        /// The name.
        public var name: String?

        /// Objects of these parts; without any, all.
        public init(kind: String? = nil, namespace: String? = nil, name: String? = nil) {
            self.kind = kind
            self.namespace = namespace
            self.name = name
        }

        /// Whether an object is one of those.
        public func fits(_ id: ObjectID) -> Bool {
            (kind.map { $0.lowercased() == id.kind.lowercased() } ?? true)
                && (namespace.map { $0 == id.namespace } ?? true) && (name.map { $0 == id.name } ?? true)
        }
    }

    /// A user's object.
    public struct Object: Codable, Sendable, Equatable {
        /// What it is known by.
        public var id: ObjectID
        /// `gateway.networking.k8s.io/v1`, …
        public var apiVersion: String
        /// The number of the revision that made it what it is.
        public var revision: Int
        /// `api`, or the file that it stands in, with the line: `mesh-config/shop.yaml:12`.
        public var source: String
        /// When that revision was accepted.
        public var changed: Date
        /// Its YAML; nil in lists. Values of a Secret's `data` and `stringData` are replaced by `(secret)`.
        public var text: String?

        /// An object of these parts.
        public init(
            id: ObjectID, apiVersion: String, revision: Int, source: String, changed: Date, text: String? = nil
        ) {
            self.id = id
            self.apiVersion = apiVersion
            self.revision = revision
            self.source = source
            self.changed = changed
            self.text = text
        }
    }

    /// A file of YAML documents.
    public struct File: Codable, Sendable, Equatable {
        /// The name that diagnostics shall give it.
        public var name: String
        /// YAML, any number of documents.
        public var text: String

        /// A file of this name and content.
        public init(name: String, text: String) {
            self.name = name
            self.text = text
        }
    }

    /// Objects to add or replace.
    public struct Change: Codable, Sendable, Equatable {
        /// The objects.
        public var files: [File]
        /// True: only say what would be done.
        public var dryRun: Bool
        /// Who does it; the API fills it in with who has proven who they are, if nothing was said.
        public var author: String
        /// Why, for people.
        public var message: String

        /// A change of these parts.
        public init(files: [File], dryRun: Bool = false, author: String = "", message: String = "") {
            self.files = files
            self.dryRun = dryRun
            self.author = author
            self.message = message
        }
    }

    /// Objects to remove.
    public struct Deletion: Codable, Sendable, Equatable {
        /// The objects.
        public var objects: [ObjectID]
        /// True: only say what would be done.
        public var dryRun: Bool
        /// Who does it, as in ``Change``.
        public var author: String
        /// Why, for people.
        public var message: String

        /// A deletion of these parts.
        public init(objects: [ObjectID], dryRun: Bool = false, author: String = "", message: String = "") {
            self.objects = objects
            self.dryRun = dryRun
            self.author = author
            self.message = message
        }
    }

    /// A return to an earlier revision.
    public struct Rollback: Codable, Sendable, Equatable {
        /// The number of the revision.
        public var revision: Int
        /// True: only say what would be done.
        public var dryRun: Bool
        /// Who does it, as in ``Change``.
        public var author: String
        /// Why, for people; empty: `rollback to REVISION`.
        public var message: String

        /// A return to revision `revision`.
        public init(revision: Int, dryRun: Bool = false, author: String = "", message: String = "") {
            self.revision = revision
            self.dryRun = dryRun
            self.author = author
            self.message = message
        }
    }

    /// What becomes of one thing.
    public enum Effect: String, Codable, Sendable, CaseIterable {
        case created, changed, unchanged, deleted
    }

    /// What a change did, or would do.
    public struct ChangeResult: Codable, Sendable, Equatable {
        /// What became of one object.
        public struct ObjectEffect: Codable, Sendable, Equatable {
            /// The object.
            public var id: ObjectID
            /// What became of it.
            public var effect: Effect

            /// The effect on an object.
            public init(id: ObjectID, effect: Effect) {
                self.id = id
                self.effect = effect
            }
        }

        /// False if there is any error among `diagnostics`: then nothing was changed.
        public var isAccepted: Bool
        /// True if nothing was changed because nothing was to be changed.
        public var dryRun: Bool
        /// The revision that holds now: the new one, or, where nothing changed, the one before.
        public var revision: Int
        /// The objects that the request was about.
        public var objects: [ObjectEffect]
        /// Errors and warnings of the whole configuration as it would be.
        public var diagnostics: [Diagnosis]

        /// A result of these parts.
        public init(
            isAccepted: Bool, dryRun: Bool, revision: Int, objects: [ObjectEffect], diagnostics: [Diagnosis] = []
        ) {
            self.isAccepted = isAccepted
            self.dryRun = dryRun
            self.revision = revision
            self.objects = objects
            self.diagnostics = diagnostics
        }
    }

    /// One problem with documents, and what to write instead.
    public struct Diagnosis: Codable, Sendable, Hashable {
        /// How bad it is.
        public enum Severity: String, Codable, Sendable, CaseIterable {
            case error, warning
        }

        /// How bad it is.
        public var severity: Severity
        /// As named in ``File``, or the `source` of an object that is not part of the request.
        public var file: String
        /// From 1; 0: not known.
        public var line: Int
        /// From 1; 0: not known.
        public var column: Int
        /// As in `spec.rules[2].matches[0].path.value`; empty for the object itself.
        public var field: String
        /// `HTTPRoute shop/cart`; empty where a file is not even YAML.
        public var object: String
        /// What is wrong, without a full stop.
        public var message: String
        /// What to write instead; empty if the message says it.
        public var remedy: String

        /// A problem of these parts.
        public init(
            severity: Severity, file: String, line: Int = 0, column: Int = 0, field: String = "",
            object: String = "", message: String, remedy: String = ""
        ) {
            self.severity = severity
            self.file = file
            self.line = line
            self.column = column
            self.field = field
            self.object = object
            self.message = message
            self.remedy = remedy
        }
    }

    /// What a change would do.
    public struct Diff: Codable, Sendable, Equatable {
        /// What would become of one object.
        public struct ObjectDiff: Codable, Sendable, Equatable {
            /// The object.
            public var id: ObjectID
            /// What would become of it.
            public var effect: Effect
            /// Unified diff of its YAML; empty if unchanged. No secrets.
            public var text: String

            /// The difference of an object.
            public init(id: ObjectID, effect: Effect, text: String) {
                self.id = id
                self.effect = effect
                self.text = text
            }
        }

        /// What one proxy would receive. Only proxies that would receive anything are listed.
        public struct ProxyDiff: Codable, Sendable, Equatable {
            /// The instance.
            public var id: ProxyID
            /// False: it is known, and would receive that when it comes back.
            public var isConnected: Bool
            /// Its resources that would be added, changed or removed.
            public var resources: [ResourceEffect]

            /// The difference for a proxy.
            public init(id: ProxyID, isConnected: Bool = true, resources: [ResourceEffect]) {
                self.id = id
                self.isConnected = isConnected
                self.resources = resources
            }
        }

        /// What would become of a resource of a proxy.
        public struct ResourceEffect: Codable, Sendable, Equatable {
            /// `MeshBackend`, `AttachedRoute`, …: the message's name without its package.
            public var type: String
            /// Unique among those of its type.
            public var name: String
            /// What would become of it.
            public var effect: Effect

            /// The effect on a resource.
            public init(type: String, name: String, effect: Effect) {
                self.type = type
                self.name = name
                self.effect = effect
            }
        }

        /// False if there is any error among `diagnostics`: then `proxies` is empty.
        public var isValid: Bool
        /// Every object in the files.
        public var objects: [ObjectDiff]
        /// Proxies that would receive anything.
        public var proxies: [ProxyDiff]
        /// Errors and warnings of the whole configuration as it would be.
        public var diagnostics: [Diagnosis]

        /// A difference of these parts.
        public init(isValid: Bool, objects: [ObjectDiff], proxies: [ProxyDiff], diagnostics: [Diagnosis] = []) {
            self.isValid = isValid
            self.objects = objects
            self.proxies = proxies
            self.diagnostics = diagnostics
        }
    }

    /// One accepted state of all objects.
    public struct Revision: Codable, Sendable, Equatable {
        /// From 1, without gaps.
        public var number: Int
        /// When it was accepted.
        public var time: Date
        /// Who made it: as in ``Change``, or `directory`.
        public var author: String
        /// Why; may be empty.
        public var message: String
        /// What it did to objects, without those that it left unchanged.
        public var objects: [ChangeResult.ObjectEffect]
        /// True for the one that holds now.
        public var isCurrent: Bool

        /// A revision of these parts.
        public init(
            number: Int, time: Date, author: String, message: String, objects: [ChangeResult.ObjectEffect],
            isCurrent: Bool
        ) {
            self.number = number
            self.time = time
            self.author = author
            self.message = message
            self.objects = objects
            self.isCurrent = isCurrent
        }
    }
}
