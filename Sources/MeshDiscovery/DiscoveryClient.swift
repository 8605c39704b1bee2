import MeshModel

/// A proxy's side of delta discovery.
public struct DiscoveryClient: Sendable {
    /// What has been accepted.
    public private(set) var resources: ResourceSet
    /// What has been accepted, as it came, sorted by type and name: for ``LastGood``.
    public var versions: [VersionedResource] { [] }
    /// True once every type has been answered, or if there was something to resume from.
    public var isComplete: Bool { false }
    /// Services that were subscribed by name and are not there.
    public private(set) var missingServices: Set<String> = []

    /// A client that has `resuming` from an earlier run; what is damaged in it is left out, and sent again.
    public init(resuming: [VersionedResource] = [], node: DiscoveryNode = DiscoveryNode()) {
        resources = ResourceSet()
    }

    /// Requests to begin a stream with, also after the loss of one.
    public mutating func start() -> [DiscoveryDeltaDiscoveryRequest] { [] }

    /// What `response` would change.
    public mutating func receive(_ response: DiscoveryDeltaDiscoveryResponse) -> DiscoveryUpdate {
        DiscoveryUpdate(type: nil, upserts: [], removals: [], rejection: nil, nonce: response.nonce, stream: 0)
    }

    /// What there would be with `updates` accepted, in this order.
    public func resources(after updates: [DiscoveryUpdate]) -> ResourceSet { resources }

    /// Takes `update` over. The request to send; nil if the update came over a stream that is no more.
    public mutating func accept(_ update: DiscoveryUpdate) -> DiscoveryDeltaDiscoveryRequest? { nil }

    /// Leaves everything as it is. The request to send; nil if the update came over a stream that is no more.
    public mutating func reject(_ update: DiscoveryUpdate, reason: String) -> DiscoveryDeltaDiscoveryRequest? { nil }

    /// Asks for a service by name. The request to send; nil if it has been asked for, or there is no stream yet.
    public mutating func subscribe(service: String) -> DiscoveryDeltaDiscoveryRequest? { nil }

    /// Asks no more for a service. The request to send; nil if it was not asked for, or there is no stream.
    public mutating func unsubscribe(service: String) -> DiscoveryDeltaDiscoveryRequest? { nil }
}

/// What a response changes.
public struct DiscoveryUpdate: Sendable {
    /// The type; nil if it is unknown.
    public let type: MeshResourceType?
    /// Resources that are new or another version.
    public let upserts: [MeshResource]
    /// Names of those that are no more.
    public let removals: [String]
    /// Not nil if it can only be rejected, for this reason.
    public let rejection: String?
    let nonce: String
    let stream: Int
}
