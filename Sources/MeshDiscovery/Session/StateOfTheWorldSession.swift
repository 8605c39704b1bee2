import MeshCore

/// The control plane's side of one stream of state-of-the-world discovery (`StreamAggregatedResources`), for clients
/// such as proxyless gRPC. Order and acknowledgement are as in ``DiscoverySession``; what is different: each request
/// says all names, one with an old nonce says nothing, and what is gone is missing in the response of a complete type.
public struct StateOfTheWorldSession: Sendable {
    private let maxTopics: Int
    private var topics: [WorldTopic]
    private var scope = DiscoveryScope()
    private var lastNonce: UInt64 = 0

    /// A session over a new stream, for the types of `order`.
    public init(order: DiscoveryOrder = .envoy) {
        topics = order.kinds.map { WorldTopic($0) }
        maxTopics = topics.count + DiscoveryBounds.unknownTypes
    }

    /// Takes a request, as ``DiscoverySession/receive(_:)`` does.
    public mutating func receive(_ request: DiscoveryDiscoveryRequest) throws(ProxyError) -> DiscoveryEvent {
        let index = try topic(request.typeURL)
        var event = DiscoveryEvent(typeURL: request.typeURL)
        guard topics[index].nonce == request.responseNonce || !topics[index].isStarted else { return event }
        guard request.resourceNames.count <= DiscoveryBounds.names else {
            throw ProxyError("more than \(DiscoveryBounds.names) names of \(request.typeURL) are asked for")
        }
        if topics[index].isUnderWay {
            if request.hasErrorDetail {
                let reason = DiscoveryBounds.reason(request.errorDetail.message)
                event.rejection = reason
                topics[index].reject(reason)
            } else {
                event.isAcknowledgement = true
                topics[index].accept()
            }
        }
        event.namesChanged = topics[index].ask(request)
        return event
    }

    /// What the client may see from now on.
    public mutating func update(_ scope: DiscoveryScope) {
        self.scope = scope
        for index in topics.indices { topics[index].update(scope.tables[topics[index].kind.url]) }
    }

    /// The next response to send; nil: none before something else happens. Call it until it is nil after each
    /// ``receive(_:)`` and ``update(_:)``.
    public mutating func next() -> DiscoveryDiscoveryResponse? {
        var mayRemove = true
        for index in topics.indices where topics[index].isStarted {
            topics[index].refresh()
            if topics[index].isUnderWay {
                mayRemove = false
                if topics[index].hasAdditions { return nil }
            } else if topics[index].hasAdditions {
                return response(index, removing: false)
            }
        }
        guard mayRemove else { return nil }
        var isRefused = false
        for index in topics.indices.reversed() where topics[index].isStarted {
            if topics[index].hasRemovals, !(isRefused && topics[index].kind.isReferenced) {
                return response(index, removing: true)
            }
            isRefused = isRefused || topics[index].hasRefusals
        }
        return nil
    }

    private mutating func response(_ index: Int, removing: Bool) -> DiscoveryDiscoveryResponse {
        lastNonce += 1
        var renewed: [String] = []
        let response = topics[index].response(nonce: String(lastNonce), removing: removing) { renewed.append($0) }
        if let url = topics[index].kind.renews, let other = topics.firstIndex(where: { $0.kind.url == url }) {
            for name in renewed { topics[other].renew(name) }
        }
        return response
    }

    private mutating func topic(_ url: String) throws(ProxyError) -> Int {
        if let index = topics.firstIndex(where: { $0.kind.url == url }) { return index }
        guard !url.isEmpty else { throw ProxyError("a request has no type_url") }
        guard topics.count < maxTopics else { throw ProxyError("too many types that are not served: \(url)") }
        topics.append(WorldTopic(DiscoveryOrder.Kind(url)))
        topics[topics.count - 1].update(scope.tables[url])
        return topics.count - 1
    }

    // MARK: Status

    /// The names that the client asks for, without the wildcard.
    public func names(_ typeURL: String) -> Set<String> {
        topics.first { $0.kind.url == typeURL }?.names ?? []
    }

    /// What the client has accepted, by name.
    public func acked(_ typeURL: String) -> [String: ResourceVersion] {
        topics.first { $0.kind.url == typeURL }?.acked ?? [:]
    }

    /// What the client has rejected and still should take, by type and name.
    public var rejections: [DiscoveryRejection] {
        topics.flatMap { topic in
            var topic = topic
            topic.refresh()
            return topic.rejections
        }
    }

    /// True if the client has accepted or rejected everything.
    public var isSettled: Bool {
        topics.allSatisfy { topic in
            var topic = topic
            topic.refresh()
            return !topic.isStarted || !(topic.isUnderWay || topic.hasAdditions || topic.hasRemovals)
        }
    }
}
