import MeshCore

/// The control plane's side of one stream of delta discovery.
public struct DiscoverySession: Sendable {
    /// A session over a new stream, for the types of `order`.
    public init(order: DiscoveryOrder = .mesh, maxResponseBytes: Int = 1 << 20) {}

    /// Takes a request: an acknowledgement, a change of subscriptions, or both. Call ``next()`` afterwards, and before it
    /// ``update(_:)`` if the names that are asked for change the scope. Throws if the client breaks the protocol: the
    /// stream is to be closed with the error's text.
    public mutating func receive(_ request: DiscoveryDeltaDiscoveryRequest) throws(ProxyError) -> DiscoveryEvent {
        DiscoveryEvent()
    }

    /// What the client may see from now on.
    public mutating func update(_ scope: DiscoveryScope) {}

    /// The next response to send; nil: none before something else happens. Call it until it is nil after each
    /// ``receive(_:)`` and ``update(_:)``.
    public mutating func next() -> DiscoveryDeltaDiscoveryResponse? { nil }

    /// The names that the client asks for, without the wildcard.
    public func names(_ typeURL: String) -> Set<String> { [] }

    /// What the client has accepted.
    public func acked(_ typeURL: String) -> [String: ResourceVersion] { [:] }

    /// Names of what the client should have and has neither accepted nor rejected, or still has and should not.
    public func pending(_ typeURL: String) -> [String] { [] }

    /// What the client has rejected and still should have.
    public var rejections: [DiscoveryRejection] { [] }

    /// True if the client has accepted or rejected everything.
    public var isSettled: Bool { true }
}

/// What a request has brought.
public struct DiscoveryEvent: Sendable, Equatable {
    /// The type that the request is about.
    public var typeURL = ""
    /// True if the client asks for other names than before.
    public var namesChanged = false
    /// True if it has accepted a response.
    public var isAcknowledgement = false
    /// Not nil if it has rejected a response, for this reason.
    public var rejection: String?
}

/// A resource that a client refuses.
public struct DiscoveryRejection: Sendable, Equatable {
    /// The type.
    public var typeURL: String
    /// The name.
    public var name: String
    /// The version that was refused; nil: its removal was.
    public var version: ResourceVersion?
    /// What the client said.
    public var reason: String
}
