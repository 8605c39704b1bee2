import MeshCore

/// TLS between the proxies of a mesh: one context for each side, shared by all listeners and all backends of a proxy,
/// whatever their number.
///
/// Belongs to one identity. Whoever has another certificate or another bundle makes other contexts: connections that
/// exist go on with theirs, and no session of the old ones can be resumed, since ticket keys and kept sessions stay
/// behind.
public final class MeshContexts: Sendable {
    /// Asks every client for a certificate that the bundle vouches for.
    public let server: TLSServerContext
    /// Shows the certificate. Whom a connection expects, its ``TLSSession`` is told.
    public let client: TLSClientContext
    /// The SPIFFE id of the certificate.
    public let id: String

    /// Contexts of the proxy that `certificate` names, among proxies that `bundle`, PEM, vouches for: every root in it.
    ///
    /// - Throws: a line that says which part is wrong.
    public init(certificate: TLSCertificate, bundle: [UInt8]) throws(ProxyError) {
        _ = try PEM.trust(bundle, label: "trust bundle of the mesh")
        server = try TLSServerContext(
            certificates: [certificate], minimumVersion: .v1_3, alpn: [.http2, .http1],
            clientValidation: .required(caPEM: bundle))
        client = try TLSClientContext(
            trust: .authorities(caPEM: bundle), clientCertificate: certificate, alpn: [.http2], minimumVersion: .v1_3)
        let uris = server.certificateFacts[0].uris
        guard uris.count == 1, uris[0].hasPrefix("spiffe://") else {
            throw ProxyError(
                "\(certificate.label): the certificate is no identity of a mesh: it must carry exactly one URI, a SPIFFE "
                    + "id such as spiffe://mesh.local/ns/NAMESPACE/svc/SERVICE")
        }
        id = uris[0]
    }

    /// What is wrong without keeping anything from working: a certificate that expired or is not valid yet.
    public var warnings: [String] { server.warnings }
}
