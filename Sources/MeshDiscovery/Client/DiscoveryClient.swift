import MeshModel

/// A proxy's side of delta discovery: asks for everything that it may see, by a wildcard for each type, and for more
/// services by name when requests for them come.
///
/// How it is driven: ``start()`` at each new stream, ``receive(_:)`` for each response, then either ``accept(_:)`` or
/// ``reject(_:reason:)``; each gives the requests to send. While ``isComplete`` is false nothing can be made of the
/// resources yet, and updates are accepted as they come; afterwards an update is accepted if a model can be made of
/// ``resources(after:)``. The order in which the control plane sends makes every step on the way a working one.
///
/// Versions are kept from stream to stream, so that a new one brings only what has changed.
public struct DiscoveryClient: Sendable {
    /// What has been accepted.
    public private(set) var resources = ResourceSet()
    /// True once every type has been answered, or if there was something to resume from.
    public private(set) var isComplete: Bool
    /// Services that were asked for by name and are not there.
    public private(set) var missingServices: Set<String> = []
    /// Services that are asked for by name.
    public private(set) var requestedServices: Set<String> = []

    private let node: DiscoveryNode
    private var kept: [MeshResourceType: [String: VersionedResource]] = [:]
    private var answered: Set<MeshResourceType> = []
    /// Counts streams; 0: there was none.
    private var stream = 0

    /// A client that has `resuming` from an earlier run; what is damaged in it is left out, and sent again.
    public init(resuming: [VersionedResource] = [], node: DiscoveryNode = DiscoveryNode()) {
        self.node = node
        isComplete = !resuming.isEmpty
        for resource in resuming {
            guard let decoded = try? resource.decode() else { continue }
            resources.insert(decoded)
            kept[resource.type, default: [:]][resource.name] = resource
        }
    }

    /// What has been accepted, as it came, sorted by type and name: for ``LastGood``.
    public var versions: [VersionedResource] {
        MeshResourceType.allCases.flatMap { type in
            (kept[type] ?? [:]).values.sorted { $0.name < $1.name }
        }
    }

    /// Requests to begin a stream with, also after the loss of one. Updates of an earlier stream are void from now on.
    public mutating func start() -> [DiscoveryDeltaDiscoveryRequest] {
        stream += 1
        return MeshResourceType.allCases.enumerated().map { index, type in
            var request = DiscoveryDeltaDiscoveryRequest()
            // Only the first message of a stream needs to say who asks.
            if index == 0 { request.node = node }
            request.typeURL = type.url
            request.resourceNamesSubscribe = ["*"] + (type == .service ? requestedServices.sorted() : [])
            request.initialResourceVersions = (kept[type] ?? [:]).mapValues(\.version)
            return request
        }
    }

    /// What `response`, which may be anything, would change.
    public func receive(_ response: DiscoveryDeltaDiscoveryResponse) -> DiscoveryUpdate {
        DiscoveryUpdate(response, stream: stream)
    }

    /// What there would be with `updates` accepted, in this order.
    public func resources(after updates: [DiscoveryUpdate]) -> ResourceSet {
        var result = resources
        for update in updates where update.stream == stream { Self.apply(update, to: &result) }
        return result
    }

    /// Takes `update` over, which has no ``DiscoveryUpdate/rejection``. The request to send; nil if the update came over
    /// a stream that is no more: then nothing changes, because the control plane does not know that it was taken.
    public mutating func accept(_ update: DiscoveryUpdate) -> DiscoveryDeltaDiscoveryRequest? {
        if let rejection = update.rejection { return reject(update, reason: rejection) }
        guard update.stream == stream, let type = update.type else { return nil }
        Self.apply(update, to: &resources)
        for resource in update.kept { kept[type, default: [:]][resource.name] = resource }
        for name in update.removals { kept[type]?[name] = nil }
        if type == .service {
            for resource in update.kept { missingServices.remove(resource.name) }
            missingServices.formUnion(requestedServices.intersection(update.removals))
        }
        answered.insert(type)
        if answered.count == MeshResourceType.allCases.count { isComplete = true }
        return answer(update)
    }

    /// Leaves everything as it is. The request to send; nil if the update came over a stream that is no more.
    public mutating func reject(_ update: DiscoveryUpdate, reason: String) -> DiscoveryDeltaDiscoveryRequest? {
        guard update.stream == stream else { return nil }
        var request = answer(update)
        request.errorDetail.code = Self.invalidArgument
        request.errorDetail.message = reason
        return request
    }

    /// Asks for a service by name, now and on every later stream. The request to send; nil if it has been asked for, or
    /// there is no stream yet.
    public mutating func subscribe(service: String) -> DiscoveryDeltaDiscoveryRequest? {
        guard requestedServices.insert(service).inserted, stream > 0 else { return nil }
        var request = DiscoveryDeltaDiscoveryRequest()
        request.typeURL = MeshResourceType.service.url
        request.resourceNamesSubscribe = [service]
        return request
    }

    /// Asks no more for a service; what comes with it goes when the control plane says so. The request to send; nil if
    /// it was not asked for, or there is no stream.
    public mutating func unsubscribe(service: String) -> DiscoveryDeltaDiscoveryRequest? {
        guard requestedServices.remove(service) != nil else { return nil }
        missingServices.remove(service)
        guard stream > 0 else { return nil }
        var request = DiscoveryDeltaDiscoveryRequest()
        request.typeURL = MeshResourceType.service.url
        request.resourceNamesUnsubscribe = [service]
        return request
    }

    /// INVALID_ARGUMENT of `google.rpc.Code`.
    private static let invalidArgument: Int32 = 3

    private func answer(_ update: DiscoveryUpdate) -> DiscoveryDeltaDiscoveryRequest {
        var request = DiscoveryDeltaDiscoveryRequest()
        request.typeURL = update.typeURL
        request.responseNonce = update.nonce
        return request
    }

    private static func apply(_ update: DiscoveryUpdate, to resources: inout ResourceSet) {
        guard update.rejection == nil, let type = update.type else { return }
        for resource in update.upserts { resources.insert(resource) }
        for name in update.removals { resources.remove(type, name) }
    }
}
