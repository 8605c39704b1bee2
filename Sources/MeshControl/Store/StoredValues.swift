import Foundation

/// What a user's object is known by.
public struct ObjectKey: Sendable, Hashable, Comparable {
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

    /// `HTTPRoute shop/cart`, as diagnostics name it.
    public var text: String { namespace.isEmpty ? "\(kind) \(name)" : "\(kind) \(namespace)/\(name)" }

    /// By kind, namespace and name.
    public static func < (left: ObjectKey, right: ObjectKey) -> Bool {
        (left.kind, left.namespace, left.name) < (right.kind, right.namespace, right.name)
    }
}

/// A user's object.
public struct StoredObject: Sendable, Equatable {
    /// What it is known by.
    public var key: ObjectKey
    /// `gateway.networking.k8s.io/v1`, …
    public var apiVersion: String
    /// The document as it was written, without the lines that separate it from others.
    public var text: String
    /// The file of the directory that it stands in; empty: it came through the API.
    public var file: String
    /// The line of ``file`` in which ``text`` begins, from 1.
    public var line: Int
    /// The revision that made it.
    public var created: Int
    /// The revision that made it what it is.
    public var changed: Int
    /// When that was.
    public var time: Date
    /// Who made that revision.
    public var author: String

    /// An object of these parts; revision, time and author are the store's to say.
    public init(
        key: ObjectKey, apiVersion: String, text: String, file: String = "", line: Int = 1, created: Int = 0,
        changed: Int = 0, time: Date = Date(timeIntervalSince1970: 0), author: String = ""
    ) {
        self.key = key
        self.apiVersion = apiVersion
        self.text = text
        self.file = file
        self.line = line
        self.created = created
        self.changed = changed
        self.time = time
        self.author = author
    }
}

/// What a revision does to one object.
public enum ObjectChange: Sendable, Equatable {
    /// It is there from now on.
    case create(StoredObject)
    /// It is this from now on.
    case replace(StoredObject)
    /// It is there no longer.
    case delete(ObjectKey)

    /// The object.
    public var key: ObjectKey {
        switch self {
        case .create(let object), .replace(let object): object.key
        case .delete(let key): key
        }
    }
}

/// A revision that is to be.
public struct RevisionDraft: Sendable, Equatable {
    /// Who makes it.
    public var author: String
    /// Why.
    public var message: String
    /// When.
    public var time: Date
    /// What it changes; each object once.
    public var changes: [ObjectChange]

    /// A draft of these parts.
    public init(author: String, message: String, time: Date, changes: [ObjectChange]) {
        self.author = author
        self.message = message
        self.time = time
        self.changes = changes
    }
}

/// An accepted revision.
public struct StoredRevision: Sendable, Equatable {
    /// What it did to an object.
    public enum Effect: String, Sendable, CaseIterable {
        case created, changed, deleted
    }

    /// From 1, without gaps.
    public var number: Int
    /// When it was accepted.
    public var time: Date
    /// Who made it.
    public var author: String
    /// Why; may be empty.
    public var message: String
    /// What it did, by kind, namespace and name.
    public var effects: [(key: ObjectKey, effect: Effect)]

    /// A revision of these parts.
    public init(
        number: Int, time: Date, author: String, message: String, effects: [(key: ObjectKey, effect: Effect)]
    ) {
        self.number = number
        self.time = time
        self.author = author
        self.message = message
        self.effects = effects
    }

    /// Equal in every part.
    public static func == (left: StoredRevision, right: StoredRevision) -> Bool {
        left.number == right.number && left.time == right.time && left.author == right.author
            && left.message == right.message
            && left.effects.elementsEqual(right.effects) { $0.key == $1.key && $0.effect == $1.effect }
    }
}

/// A token to join with. Its secret is not here.
public struct StoredToken: Sendable, Equatable {
    /// What it is known by; not secret.
    public var id: String
    /// SHA-256 of its secret.
    public var secretHash: [UInt8]
    /// `workload:NAMESPACE/NAME` or `gateway:NAMESPACE/NAME`.
    public var role: String
    /// When it was made.
    public var created: Date
    /// When it becomes useless.
    public var expires: Date
    /// How many may join with it.
    public var uses: Int
    /// How many of them have not yet.
    public var usesLeft: Int
    /// When it was used last; nil: never.
    public var used: Date?
    /// True if it was made useless.
    public var isRevoked: Bool
    /// Who made it.
    public var author: String

    /// A token of these parts.
    public init(
        id: String, secretHash: [UInt8], role: String, created: Date, expires: Date, uses: Int = 1,
        usesLeft: Int? = nil, used: Date? = nil, isRevoked: Bool = false, author: String = ""
    ) {
        self.id = id
        self.secretHash = secretHash
        self.role = role
        self.created = created
        self.expires = expires
        self.uses = uses
        self.usesLeft = usesLeft ?? uses
        self.used = used
        self.isRevoked = isRevoked
        self.author = author
    }
}

/// A certificate that was issued.
public struct StoredCertificate: Sendable, Equatable {
    /// In hexadecimal digits, in lower case.
    public var serial: String
    /// Its SPIFFE id.
    public var identity: String
    /// Its common name.
    public var instance: String
    /// When it was issued.
    public var issued: Date
    /// When it ends to hold.
    public var notAfter: Date
    /// When it was revoked; nil: it was not.
    public var revoked: Date?

    /// A certificate of these parts.
    public init(
        serial: String, identity: String, instance: String, issued: Date, notAfter: Date, revoked: Date? = nil
    ) {
        self.serial = serial
        self.identity = identity
        self.instance = instance
        self.issued = issued
        self.notAfter = notAfter
        self.revoked = revoked
    }
}

/// An instance that served something when it was last heard of.
public struct StoredInstance: Sendable, Equatable, Identifiable {
    /// What an instance is known by.
    public struct ID: Sendable, Hashable {
        /// `workload:NAMESPACE/NAME`.
        public var role: String
        /// Unique in its role.
        public var instance: String

        /// The instance of a role.
        public init(role: String, instance: String) {
            self.role = role
            self.instance = instance
        }
    }

    /// A port of the service, and where the instance serves it.
    public struct Port: Sendable, Hashable, Codable {
        /// The service's.
        public var port: UInt16
        /// The proxy's.
        public var inbound: UInt16
        /// False if clear text is all it takes.
        public var isMeshed: Bool

        /// A port of these parts.
        public init(port: UInt16, inbound: UInt16, isMeshed: Bool) {
            self.port = port
            self.inbound = inbound
            self.isMeshed = isMeshed
        }
    }

    /// What it is known by.
    public var id: ID
    /// Where others reach it.
    public var address: String
    /// Empty: not known.
    public var zone: String
    /// What it serves.
    public var ports: [Port]

    /// An instance of these parts.
    public init(id: ID, address: String, zone: String, ports: [Port]) {
        self.id = id
        self.address = address
        self.zone = zone
        self.ports = ports
    }
}
