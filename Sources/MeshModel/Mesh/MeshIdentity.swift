/// Who a proxy is to the other proxies of its mesh, and whom it believes. Short-lived: replaced as a whole at each
/// renewal, without a change of anything else in a model.
public struct MeshIdentity: Sendable, Equatable {
    /// The leaf that carries the proxy's SPIFFE id, its issuers, and the leaf's key.
    public var certificate: Certificate
    /// PEM: every root that is believed. More than one while a root is being replaced.
    public var bundle: [UInt8]

    /// The identity that `certificate` proves, among proxies that `bundle` vouches for.
    public init(certificate: Certificate, bundle: [UInt8]) {
        self.certificate = certificate
        self.bundle = bundle
    }
}

/// Who serves a backend in the mesh. Its meshed endpoints are spoken to in TLS with the proxy's own identity; what is
/// in the TLS is HTTP/2, or bytes where the backend's protocol is `tcp`.
public struct MeshPeer: Sendable, Equatable {
    /// The SPIFFE ids (URIs) of which an endpoint must show one. Never empty.
    public var identities: [String]

    /// Endpoints that show one of `identities`.
    public init(identities: [String]) { self.identities = identities }
}

/// Whether a service takes clear text.
public enum MTLSMode: Sendable, Equatable, CaseIterable {
    /// Only mutual TLS with an identity of the mesh.
    case strict
    /// Mutual TLS, and clear text on the same port, from clients that have no identity.
    case permissive
    /// Only clear text.
    case disabled
}

/// Which part of the mesh a proxy is, as metrics name it.
public struct MeshPlace: Sendable, Equatable {
    /// `namespace/service` of the application beside the proxy, or of the gateway.
    public var service: String
    /// The version of that application; empty if it has none.
    public var version: String
    /// The instance, unique in its service.
    public var instance: String

    /// The place of an instance.
    public init(service: String, version: String = "", instance: String = "") {
        self.service = service
        self.version = version
        self.instance = instance
    }
}
