/// Who may call what, for the part of a mesh that one section serves. First DENY, then ALLOW, as Istio does it: a
/// request that a denying policy fits is refused; if there is any allowing policy, one of them must fit; if there is
/// none, ``defaultAction`` holds.
public struct AccessRules: Sendable, Equatable {
    /// The policies that concern the section.
    public var policies: [AccessPolicy]
    /// For requests that no policy says anything about.
    public var defaultAction: AccessAction

    /// Rules of these policies; without any, all may do everything.
    public init(policies: [AccessPolicy] = [], defaultAction: AccessAction = .allow) {
        self.policies = policies
        self.defaultAction = defaultAction
    }
}

/// What a policy does with requests that fit it.
public enum AccessAction: Sendable, Equatable, CaseIterable {
    case allow
    case deny
}

/// An AccessPolicy document.
public struct AccessPolicy: Sendable, Equatable {
    /// `namespace/name`.
    public var name: String
    /// What it is for. Empty: every service of its namespace; of the whole mesh if the namespace is the mesh's own.
    public var targets: [AccessTarget]
    /// What it does with requests that fit.
    public var action: AccessAction
    /// True if it only counts and logs what it would do.
    public var isAudit: Bool
    /// Requests that any one of these describes fit. Empty: none does.
    public var rules: [AccessRule]
    /// Where it was written.
    public var origin: Origin?

    /// A policy of these parts.
    public init(
        name: String, targets: [AccessTarget] = [], action: AccessAction, isAudit: Bool = false,
        rules: [AccessRule] = [], origin: Origin? = nil
    ) {
        self.name = name
        self.targets = targets
        self.action = action
        self.isAudit = isAudit
        self.rules = rules
        self.origin = origin
    }
}

/// What an AccessPolicy is for.
public enum AccessTarget: Sendable, Hashable {
    /// The service `namespace/name`.
    case service(String)
    /// The Workload `namespace/name`.
    case workload(String)
    /// The Gateway `namespace/name`.
    case gateway(String)
}

/// Describes requests: a caller and an operation.
public struct AccessRule: Sendable, Equatable {
    /// Any one of these callers; empty: everybody, also without identity.
    public var from: [AccessSource]
    /// Any one of these operations; empty: everything.
    public var to: [AccessOperation]

    /// Requests `from` callers `to` do something.
    public init(from: [AccessSource] = [], to: [AccessOperation] = []) {
        self.from = from
        self.to = to
    }
}

/// Describes callers: every part that is not empty must fit, any one of its values.
public struct AccessSource: Sendable, Equatable {
    /// SPIFFE ids (URIs) that mutual TLS has proven; `*` at the end fits every rest, `*` alone every identity.
    public var identities: [String]
    /// Namespaces of proven identities of the mesh's trust domain.
    public var namespaces: [String]
    /// Address ranges, `10.0.0.0/8`: of the connection's peer, or of the client behind `trustedHops`.
    public var cidrs: [String]

    /// Callers of these parts.
    public init(identities: [String] = [], namespaces: [String] = [], cidrs: [String] = []) {
        self.identities = identities
        self.namespaces = namespaces
        self.cidrs = cidrs
    }
}

/// Describes operations: every part that is not empty must fit, any one of its values. On sections of bytes only
/// `ports` can fit: an operation with another part fits no connection there.
public struct AccessOperation: Sendable, Equatable {
    /// Hosts without port, as in ``Hostname``.
    public var hosts: [String]
    /// Methods, in capitals.
    public var methods: [String]
    /// Paths without query, exactly, or with `*` at the end for every rest. gRPC calls are `/service/method`.
    public var paths: [String]
    /// Ports of the service.
    public var ports: [UInt16]

    /// Operations of these parts.
    public init(hosts: [String] = [], methods: [String] = [], paths: [String] = [], ports: [UInt16] = []) {
        self.hosts = hosts
        self.methods = methods
        self.paths = paths
        self.ports = ports
    }
}
