import MeshModel

/// The types that a session serves, in the order in which what is new must reach a client so that it refers to nothing
/// that is not there yet (make before break); what is removed is removed in the opposite order.
public struct DiscoveryOrder: Sendable {
    /// One type.
    public struct Kind: Sendable {
        /// Its URL.
        public var url: String
        /// True if resources of later types refer to it by name: it is not removed while one of those is rejected,
        /// because the client then still has the one before.
        public var isReferenced: Bool
        /// State of the world only: every response has all resources, and what is missing is gone.
        public var isComplete: Bool
        /// The type of which the resource with the same name must be sent again after one of this type was sent.
        public var renews: String?

        /// A type.
        public init(_ url: String, isReferenced: Bool = false, isComplete: Bool = false, renews: String? = nil) {
            self.url = url
            self.isReferenced = isReferenced
            self.isComplete = isComplete
            self.renews = renews
        }
    }

    /// The types, in order.
    public var kinds: [Kind]

    /// An order of `kinds`.
    public init(_ kinds: [Kind]) { self.kinds = kinds }

    /// Our own types, in the order of ``MeshResourceType``.
    public static let mesh = DiscoveryOrder(
        MeshResourceType.allCases.map { type in
            Kind(type.url, isReferenced: type == .backend || type == .endpoints || type == .service)
        })

    /// Envoy's types: clusters, endpoints, listeners, route configurations, secrets before all of them. Endpoints follow
    /// their cluster, or Envoy keeps a changed cluster warming.
    public static let envoy = DiscoveryOrder([
        Kind("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", isReferenced: true),
        Kind(
            "type.googleapis.com/envoy.config.cluster.v3.Cluster", isReferenced: true, isComplete: true,
            renews: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"),
        Kind("type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"),
        Kind("type.googleapis.com/envoy.config.listener.v3.Listener", isComplete: true),
        Kind("type.googleapis.com/envoy.config.route.v3.RouteConfiguration"),
    ])
}
