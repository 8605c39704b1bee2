import Foundation
internal import GRPCCore
internal import GRPCNIOTransportHTTP2
import MeshCore
internal import X509

/// Lets calls through to services only with the identity of a peer, but for `Join`; services read it from
/// ``ServerContext/peer``.
struct PeerCheck: ServerInterceptor {
    let authority: Authority

    func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingServerRequest<Input>, context: ServerContext,
        next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
        var context = context
        let transport = context.transportSpecific as? HTTP2ServerTransport.Posix.Context
        context.transportSpecific = nil
        guard context.descriptor != ControlIdentity.Method.Join.descriptor else {
            return try await next(request, context)
        }
        context.transportSpecific = CheckedPeer(identity: try await identity(transport))
        return try await next(request, context)
    }

    private func identity(_ transport: HTTP2ServerTransport.Posix.Context?) async throws(RPCError) -> PeerIdentity {
        guard let leaf = transport?.peerCertificate else {
            throw RPCError(
                code: .unauthenticated, message: "no client certificate: join with a token first, then use it")
        }
        let peer: PeerIdentity
        do throws(ProxyError) {
            peer = try await authority.check(leaf, isVerified: transport?.peerCertificateChain != nil)
        } catch {
            throw RPCError(code: .unauthenticated, message: error.description)
        }
        guard !authority.isRevoked(peer.serial) else {
            throw RPCError(code: .permissionDenied, message: Authority.revokedMessage(peer))
        }
        return peer
    }
}

/// What ``PeerCheck`` leaves for services.
private struct CheckedPeer: ServerContext.TransportSpecific {
    var identity: PeerIdentity
}

extension ServerContext {
    /// Who calls; its certificate was checked, and is not revoked. nil only in `Join`.
    var peer: PeerIdentity? { (transportSpecific as? CheckedPeer)?.identity }
}

extension Authority {
    /// Who shows `leaf`. `isVerified`: the chain was verified when the connection was opened. (It was not if that
    /// failed, or if a TLS session was resumed.)
    nonisolated func check(_ leaf: Certificate, isVerified: Bool) async throws(ProxyError) -> PeerIdentity {
        let (trust, time) = (published.withLock { $0.trust }, now())
        // An open connection outlives the leaf it began with; its holder must have renewed in time.
        let isHeldOpen = isVerified && time >= leaf.notValidAfter
        if !isVerified { _ = try await trust.verify(leaf, with: [], now: time) }
        let peer = try PeerIdentity(leaf, trustDomain: trustDomain)
        let holder = Published.Holder(identity: peer.spiffe.description, instance: peer.instance)
        guard !isHeldOpen || published.withLock({ $0.isCurrent(holder, at: time) }) else {
            throw ProxyError(
                "the certificate has expired at \(leaf.notValidAfter.formatted(.iso8601)): join again with a token")
        }
        return peer
    }
}
