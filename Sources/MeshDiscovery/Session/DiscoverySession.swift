import MeshCore

/// The control plane's side of one stream of delta discovery.
///
/// What is new goes out in the order of its types, and what is gone is taken away in the opposite order after
/// everything new has been acknowledged, so that a client can use what it has at every moment. There is at most one
/// response per type that has not been acknowledged; what changes meanwhile goes into the next. A session keeps
/// versions, never bytes.
public struct DiscoverySession: Sendable {
    private let maxResponseBytes: Int
    private let maxTopics: Int
    private var topics: [DeltaTopic]
    private var scope = DiscoveryScope()
    private var lastNonce: UInt64 = 0

    /// A session over a new stream, for the types of `order`. Responses have about `maxResponseBytes` at most; more is
    /// sent when they have been acknowledged.
    public init(order: DiscoveryOrder = .mesh, maxResponseBytes: Int = 1 << 20) {
        topics = order.kinds.map { DeltaTopic($0) }
        maxTopics = topics.count + DiscoveryBounds.unknownTypes
        self.maxResponseBytes = maxResponseBytes
    }

    /// Takes a request, which may be anything: an acknowledgement, a change of subscriptions, or both. Call ``next()``
    /// afterwards, and before it ``update(_:)`` if the names that are asked for change the scope. Throws if the client
    /// breaks the protocol: the stream is to be ended with the error's text.
    public mutating func receive(_ request: DiscoveryDeltaDiscoveryRequest) throws(ProxyError) -> DiscoveryEvent {
        let index = try topic(request.typeURL)
        var event = DiscoveryEvent(typeURL: request.typeURL)
        if let nonce = topics[index].nonce, nonce == request.responseNonce {
            if request.hasErrorDetail {
                let reason = DiscoveryBounds.reason(request.errorDetail.message)
                event.rejection = reason
                topics[index].reject(reason)
            } else {
                event.isAcknowledgement = true
                topics[index].accept()
            }
        }
        if topics[index].isStarted {
            // Also if the nonce is an old one: a request says what has changed since the one before it.
            event.namesChanged = topics[index].change(request)
        } else {
            topics[index].start(request)
            event.namesChanged = !topics[index].names.isEmpty
        }
        guard topics[index].names.count <= DiscoveryBounds.names else {
            throw ProxyError("more than \(DiscoveryBounds.names) names of \(request.typeURL) are asked for")
        }
        return event
    }

    /// What the client may see from now on.
    public mutating func update(_ scope: DiscoveryScope) {
        self.scope = scope
        for index in topics.indices { topics[index].update(scope.tables[topics[index].kind.url]) }
    }

    /// The next response to send; nil: none before something else happens. Call it until it is nil after each
    /// ``receive(_:)`` and ``update(_:)``.
    public mutating func next() -> DiscoveryDeltaDiscoveryResponse? {
        var mayRemove = true
        for index in topics.indices where topics[index].isStarted {
            topics[index].refresh()
            if topics[index].nonce != nil {
                mayRemove = false
                // What is new of later types may refer to what waits here.
                if topics[index].hasAdditions { return nil }
            } else if topics[index].hasAdditions {
                return additions(index)
            }
        }
        guard mayRemove else { return nil }
        var isRefused = false
        for index in topics.indices.reversed() where topics[index].isStarted {
            if topics[index].hasRemovals, !(isRefused && topics[index].kind.isReferenced) {
                return topics[index].withdrawals(nonce: nonce())
            }
            isRefused = isRefused || topics[index].hasRefusals
        }
        return nil
    }

    private mutating func additions(_ index: Int) -> DiscoveryDeltaDiscoveryResponse {
        var renewed: [String] = []
        let response = topics[index].additions(nonce: nonce(), maxBytes: maxResponseBytes) { renewed.append($0) }
        if let url = topics[index].kind.renews, let other = topics.firstIndex(where: { $0.kind.url == url }) {
            for name in renewed { topics[other].renew(name) }
        }
        return response
    }

    private mutating func nonce() -> String {
        lastNonce += 1
        return String(lastNonce)
    }

    private mutating func topic(_ url: String) throws(ProxyError) -> Int {
        if let index = topics.firstIndex(where: { $0.kind.url == url }) { return index }
        guard !url.isEmpty else { throw ProxyError("a request has no type_url") }
        guard topics.count < maxTopics else { throw ProxyError("too many types that are not served: \(url)") }
        // There is nothing of such a type, which is an answer.
        topics.append(DeltaTopic(DiscoveryOrder.Kind(url)))
        topics[topics.count - 1].update(scope.tables[url])
        return topics.count - 1
    }

    // MARK: Status

    /// The names that the client asks for, without the wildcard.
    public func names(_ typeURL: String) -> Set<String> { known(typeURL)?.names ?? [] }

    /// What the client has accepted, by name.
    public func acked(_ typeURL: String) -> [String: ResourceVersion] { known(typeURL)?.acked ?? [:] }

    /// Names of what the client should have and has neither accepted nor rejected, or still has and should not; sorted.
    public func pending(_ typeURL: String) -> [String] {
        guard var topic = known(typeURL), topic.isStarted else { return [] }
        topic.refresh()
        return topic.pending
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
            return !topic.isStarted || (topic.nonce == nil && !topic.hasAdditions && !topic.hasRemovals)
        }
    }

    private func known(_ url: String) -> DeltaTopic? { topics.first { $0.kind.url == url } }
}

/// What a request has brought.
public struct DiscoveryEvent: Sendable, Equatable {
    /// The type that the request is about.
    public var typeURL: String
    /// True if the client asks for other names than before.
    public var namesChanged = false
    /// True if it has accepted a response.
    public var isAcknowledgement = false
    /// Not nil if it has rejected a response, for this reason.
    public var rejection: String?

    /// Nothing yet.
    init(typeURL: String) { self.typeURL = typeURL }
}

/// A resource that a client refuses.
public struct DiscoveryRejection: Sendable, Equatable {
    /// The type.
    public var typeURL: String
    /// The name.
    public var name: String
    /// The version that was refused; nil: its removal was.
    public var version: ResourceVersion?
    /// What the client said, cut after 4 KiB.
    public var reason: String
}

/// What a client may have of a session: it is known who it is, but not that it is well.
enum DiscoveryBounds {
    /// Names of one type.
    static let names = 65_536
    /// Types beside those that are served.
    static let unknownTypes = 16

    /// `text`, cut.
    static func reason(_ text: String) -> String {
        text.utf8.count <= 4096 ? text : String(text.prefix(1024)) + "…"
    }
}
