import Foundation
internal import MeshDiscovery
import MeshModel

/// One discovery stream.
final class ProxySession {
    let id: UInt64
    /// Who is served.
    let proxy: StoredInstance.ID
    let role: ProxyRole
    let peer: ProxyPeer
    let opened: Date
    var scopeKey: ScopeKey
    var discovery = DiscoverySession()
    /// When the oldest change was made that the proxy has not answered yet; nil: there is none.
    var changed: ContinuousClock.Instant?
    /// When it last went from settled to not, or back.
    var since: Date
    var isSettled = false
    /// When each of the refusals that still hold came.
    var rejected: [RejectedResource: Date] = [:]
    private let wake: AsyncStream<Void>.Continuation

    init(
        id: UInt64, proxy: StoredInstance.ID, role: ProxyRole, peer: ProxyPeer, opened: Date,
        wake: AsyncStream<Void>.Continuation
    ) {
        self.id = id
        self.proxy = proxy
        self.role = role
        self.peer = peer
        self.opened = opened
        self.wake = wake
        since = opened
        scopeKey = ScopeKey(role: role)
    }

    /// Whoever writes to the stream shall ask for what is next.
    func signal() { wake.yield() }

    /// The stream shall end.
    func end() { wake.finish() }

    /// The state of everything that was accepted.
    var acked: ResourceDigest {
        var digest = ResourceDigest()
        for type in MeshResourceType.allCases {
            for (name, version) in discovery.acked(type.url) { digest.add(type.url, name, version) }
        }
        return digest
    }

    /// Notes when refusals came, and forgets those that no longer hold.
    func noteRejections(_ date: Date) {
        let now = Set(discovery.rejections.map { RejectedResource($0) })
        rejected = rejected.filter { now.contains($0.key) }
        for rejection in now where rejected[rejection] == nil { rejected[rejection] = date }
    }
}

/// A resource in a version that was refused.
struct RejectedResource: Hashable {
    var typeURL: String
    var name: String
    var version: ResourceVersion?

    init(_ rejection: DiscoveryRejection) {
        typeURL = rejection.typeURL
        name = rejection.name
        version = rejection.version
    }
}
