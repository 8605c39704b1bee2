import MeshCore
internal import NIOCore
internal import NIOSSL

/// TLS of the HTTP API: the control plane's own certificate, the one of now in each handshake. A client may show a
/// certificate of the mesh, or none and a token later. One that is not believed ends the handshake: what the API asks
/// the connection for is always verified.
enum APITLS {
    /// What the API is served with.
    static func configuration(_ authority: Authority) throws(ProxyError) -> TLSConfiguration {
        guard let server = authority.published.withLock({ $0.server }) else {
            throw ProxyError("the control plane has no certificate yet")
        }
        do {
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: try server.sources(), privateKey: .privateKey(try server.key()))
            configuration.minimumTLSVersion = .tlsv12
            configuration.certificateVerification = .optionalVerification
            // Peers are verified by `verification`: no store of the system is read for each context.
            configuration.trustRoots = .certificates([])
            configuration.applicationProtocols = ["http/1.1"]
            configuration.sslContextCallback = { _, promise in
                promise.completeWith(Result { try current(authority) })
            }
            return configuration
        } catch {
            throw ProxyError("the control plane's certificate cannot be used for the API: \(error)")
        }
    }

    /// Verifies clients' certificates by what the authority believes at that moment.
    static func verification(
        _ authority: Authority
    ) -> @Sendable ([NIOSSLCertificate], EventLoopPromise<NIOSSLVerificationResult>) -> Void {
        { sent, promise in
            promise.completeWithTask {
                await ServerTLS.verify(sent, authority).isEmpty ? .failed : .certificateVerified
            }
        }
    }

    /// The certificate is replaced at half of its life, and when the root is.
    private static func current(_ authority: Authority) throws -> NIOSSLContextConfigurationOverride {
        guard let server = authority.published.withLock({ $0.server }) else { return .noChanges }
        var override = NIOSSLContextConfigurationOverride.noChanges
        override.certificateChain = try server.sources()
        override.privateKey = .privateKey(try server.key())
        return override
    }
}
