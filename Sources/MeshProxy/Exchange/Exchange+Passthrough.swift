import MeshCore
import MeshNet

/// Requests that no route takes: they go on if the connection was redirected.
extension Exchange {
    /// Finds the way to where the client's connection was going. False if the listener does not let such requests out.
    func passesOn() -> Bool {
        guard let configuration, served?.destinations?.passesUnknown == true else { return false }
        let meant = downstream.withOrigin { _, connection in Socket.originalDestination(connection.fd) } ?? nil
        // The address cannot be the proxy's own: such connections are not let in.
        guard let meant else { return false }
        passthrough = worker.passthrough.pool(to: meant, request.version == .http2 ? .http2 : .http1)
        if passthrough == nil { return false }
        account.routedPath = request.pathRange
        account.routedAuthority = request.authorityRange
        account.slot = configuration.passthroughSlot(listener)
        // Nothing is added: who is outside of the mesh need not know of it.
        request.removeHopByHop()
        return true
    }
}
