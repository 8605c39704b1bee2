import MeshCore

/// The control plane's side of one stream of state-of-the-world discovery (`StreamAggregatedResources`), for clients
/// such as proxyless gRPC.
public struct StateOfTheWorldSession: Sendable {
    /// A session over a new stream, for the types of `order`.
    public init(order: DiscoveryOrder = .envoy) {}

    /// Takes a request, as ``DiscoverySession/receive(_:)`` does.
    public mutating func receive(_ request: DiscoveryDiscoveryRequest) throws(ProxyError) -> DiscoveryEvent {
        DiscoveryEvent()
    }

    /// What the client may see from now on.
    public mutating func update(_ scope: DiscoveryScope) {}

    /// The next response to send; nil: none before something else happens.
    public mutating func next() -> DiscoveryDiscoveryResponse? { nil }

    /// The names that the client asks for, without the wildcard.
    public func names(_ typeURL: String) -> Set<String> { [] }
}
