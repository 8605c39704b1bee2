import Foundation
import MeshCore
internal import MeshDiscovery
import MeshModel

/// Discovery streams.
extension Distributor {
    /// Checks that whoever proved to be `peer` may be an instance of this role.
    func admit(_ role: String, instance: String, _ peer: ProxyPeer) throws(StreamRefusal) -> ProxyRole {
        do throws(StreamRefusal) {
            return try check(role, instance: instance, peer)
        } catch {
            metrics.count(.refusedStreams, error.kind.rawValue)
            log.warning("a stream of \(peer.identity) (\(peer.instance), \(peer.address)) is refused: \(error.message)")
            throw error
        }
    }

    private func check(_ text: String, instance: String, _ peer: ProxyPeer) throws(StreamRefusal) -> ProxyRole {
        guard let role = ProxyRole(text) else {
            throw StreamRefusal(
                kind: .invalid,
                message: "the role \"\(text)\" is none: workload:NAMESPACE/NAME or gateway:NAMESPACE/NAME")
        }
        guard isReady else {
            throw StreamRefusal(kind: .notReady, message: "the control plane has no valid configuration yet")
        }
        let service: String
        switch role {
        case .workload(let name):
            guard let workload = catalogue.resources.workloads[name] else {
                throw StreamRefusal(kind: .unknownRole, message: "there is no Workload \(name): apply one")
            }
            service = workload.service
        case .gateway(let name):
            guard catalogue.resources.gateways[name] != nil else {
                throw StreamRefusal(kind: .unknownRole, message: "there is no Gateway \(name): apply one")
            }
            service = name
        }
        guard service == peer.identity.name else {
            throw StreamRefusal(
                kind: .identity,
                message: "\(role) is the service \(service), but the certificate is of \(peer.identity): "
                    + "join with a token for \(role)")
        }
        guard instance == peer.instance else {
            throw StreamRefusal(
                kind: .identity,
                message: "the instance calls itself \"\(instance)\", but its certificate is of \"\(peer.instance)\": "
                    + "start it with that name, or let it join again")
        }
        return role
    }

    /// Lets a client of Envoy's types in, which stands beside `workload`: it sees what it may call, no secret, and must
    /// show the certificate of that Workload's service. Without a Workload it may be anybody of the mesh.
    func admitEnvoy(workload: String, _ peer: ProxyPeer) throws(StreamRefusal) {
        guard isReady else {
            throw StreamRefusal(kind: .notReady, message: "the control plane has no valid configuration yet")
        }
        if let service = catalogue.resources.workloads[workload]?.service, service != peer.identity.name {
            metrics.count(.refusedStreams, StreamRefusal.Kind.identity.rawValue)
            throw StreamRefusal(
                kind: .identity,
                message:
                    "node.cluster is the Workload \(workload) of the service \(service), but the certificate is of "
                    + "\(peer.identity): join with a token for it, or name the Workload that it is of")
        }
        // Only now is it worth while to keep Envoy's view of the mesh.
        envoy.isServed = true
        updateEnvoy()
    }

    /// A proxy asks for its resources by a new stream. The stream's number, and what tells its writer to ask for
    /// ``next(_:)``; it ends when the stream shall end.
    func open(
        _ role: String, instance: String, _ peer: ProxyPeer
    ) throws(StreamRefusal) -> (stream: UInt64, wake: AsyncStream<Void>) {
        let role = try admit(role, instance: instance, peer)
        let id = makeStream()
        let proxy = StoredInstance.ID(role: role.description, instance: instance)
        let (stream, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let session = ProxySession(id: id, proxy: proxy, role: role, peer: peer, opened: Date(), wake: wake)
        // A proxy that has come back before its old stream was known to be broken has one stream, the new one.
        for old in sessions.values where old.proxy == proxy { close(old.id) }
        sessions[id] = session
        former[proxy] = nil
        begin(session)
        settle()
        return (id, stream)
    }

    /// Gives a session its first scope.
    func begin(_ session: ProxySession) {
        let scope = scopes.enter(session.scopeKey, session: session.id, catalogue)
        session.discovery.update(scope.discovery)
    }

    /// A request has come. Throws if the proxy breaks the protocol.
    func receive(_ request: DiscoveryDeltaDiscoveryRequest, _ stream: UInt64) throws(ProxyError) {
        guard let session = sessions[stream] else { return }
        let event = try session.discovery.receive(request)
        if event.namesChanged, event.typeURL == MeshResourceType.service.url { rescope(session) }
        let type = Self.short(event.typeURL)
        if event.isAcknowledgement { metrics.count(.acks, type) }
        if let rejection = event.rejection {
            metrics.count(.rejections, type)
            log.warning("\(session.proxy.role)/\(session.proxy.instance) refuses \(type): \(rejection)")
        }
        if event.rejection != nil || (event.isAcknowledgement && !session.rejected.isEmpty) {
            session.noteRejections(Date())
        }
        noteSettled(session)
        session.signal()
    }

    /// The proxy has asked for other services by name.
    private func rescope(_ session: ProxySession) {
        let key = ScopeKey(role: session.role, onDemand: session.discovery.names(MeshResourceType.service.url))
        guard key != session.scopeKey else { return }
        let scope = scopes.enter(key, session: session.id, catalogue)
        scopes.leave(session.scopeKey, session: session.id)
        session.scopeKey = key
        session.discovery.update(scope.discovery)
        unsettle(session, since: nil)
    }

    /// What to send next; nil: nothing until it is signalled again.
    func next(_ stream: UInt64) -> DiscoveryDeltaDiscoveryResponse? {
        guard isReady, let session = sessions[stream], let response = session.discovery.next() else { return nil }
        metrics.count(.pushes, Self.short(response.typeURL))
        return response
    }

    /// A stream has ended, or shall end.
    func close(_ stream: UInt64) {
        guard let session = sessions.removeValue(forKey: stream) else { return }
        scopes.leave(session.scopeKey, session: stream)
        session.end()
        former[session.proxy] = FormerProxy(
            peer: session.peer, acked: session.acked.text, closed: Date())
        metrics.set(.discoveryStreams, sessions.count)
    }

    /// Ends every stream whose certificate has one of these serial numbers: it was revoked.
    func close(serials: Set<String>) {
        for session in sessions.values where serials.contains(session.peer.serial) { close(session.id) }
        for (stream, report) in reports where serials.contains(report.peer.serial) {
            report.end()
            disconnect(stream)
        }
    }

    /// The proxy has something to learn.
    func unsettle(_ session: ProxySession, since: ContinuousClock.Instant?) {
        guard !session.discovery.isSettled else { return }
        if session.isSettled { session.since = Date() }
        session.isSettled = false
        if session.changed == nil { session.changed = since }
        session.signal()
    }

    private func noteSettled(_ session: ProxySession) {
        guard session.discovery.isSettled, session.discovery.rejections.isEmpty else { return }
        if !session.isSettled { session.since = Date() }
        session.isSettled = true
        guard let changed = session.changed else { return }
        session.changed = nil
        metrics.observeConvergence(now - changed)
    }

    /// `MeshBackend` of `type.googleapis.com/martlet.v1.MeshBackend`; what is unknown is called so, because clients may
    /// say anything.
    private static func short(_ url: String) -> String {
        MeshResourceType(url: url)?.shortName ?? "unknown"
    }
}

extension MeshResourceType {
    /// The message's name without its package.
    var shortName: String { String(message.split(separator: ".").last ?? "") }
}

/// What is still known of a proxy without a discovery stream.
struct FormerProxy: Sendable {
    var peer: ProxyPeer
    /// A digest of what it had accepted.
    var acked: String
    var closed: Date
}
