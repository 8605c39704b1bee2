import Foundation
import MeshCore
internal import NIOCore
internal import NIOSSL
import Synchronization
internal import X509

/// TLS of the control plane: made anew for each certificate, taken by each new connection. Connections that are open
/// keep theirs.
///
/// A client may show a certificate or none. What it shows is verified here while the connection opens, but a
/// certificate that fails does not end it: the call is refused instead, with a message that says why (``PeerCheck``).
final class ServerTLS: Sendable {
    private let authority: Authority
    private let context: Mutex<NIOSSLContext>

    init(_ authority: Authority) throws(ProxyError) {
        self.authority = authority
        context = Mutex(try Self.makeContext(authority))
    }

    /// Takes the authority's certificate of now for the connections to come.
    func update() throws(ProxyError) {
        let next = try Self.makeContext(authority)
        context.withLock { $0 = next }
    }

    /// The first handler of a connection. `verified` is told the serial number of a peer that was verified.
    func handler(verified: @escaping @Sendable (String) -> Void) -> NIOSSLServerHandler {
        let authority = authority
        return NIOSSLServerHandler(context: context.withLock { $0 }) { sent, promise in
            promise.completeWithTask {
                let chain = await Self.verify(sent, authority)
                if let leaf = chain.first { verified(PeerIdentity.serial(leaf)) }
                let validated = try chain.map { try NIOSSLCertificate(bytes: Self.der($0), format: .der) }
                return .certificateVerified(
                    VerificationMetadata(validated.isEmpty ? nil : ValidatedCertificateChain(validated)))
            }
        }
    }

    /// The way from what a peer sent to a root; empty if there is none.
    static func verify(_ sent: [NIOSSLCertificate], _ authority: Authority) async -> [Certificate] {
        let certificates = sent.prefix(8).compactMap { try? Certificate(derEncoded: $0.toDERBytes()) }
        guard let leaf = certificates.first else { return [] }
        let trust = authority.published.withLock { $0.trust }
        return (try? await trust.verify(leaf, with: Array(certificates.dropFirst()), now: authority.now())) ?? []
    }

    private static func makeContext(_ authority: Authority) throws(ProxyError) -> NIOSSLContext {
        guard let server = authority.published.withLock({ $0.server }) else {
            throw ProxyError("the control plane has no certificate yet")
        }
        do {
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: try server.sources(), privateKey: .privateKey(try server.key()))
            configuration.minimumTLSVersion = .tlsv12
            configuration.certificateVerification = .optionalVerification
            // Peers are verified by `verify`: no store of the system is read for each context.
            configuration.trustRoots = .certificates([])
            configuration.applicationProtocols = ["h2"]
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw ProxyError("the control plane's certificate cannot be used: \(error)")
        }
    }

    private static func der(_ certificate: Certificate) throws -> [UInt8] {
        try certificate.serializeAsPEM().derBytes
    }
}

extension ServerCertificate {
    /// The chain as NIOSSL has it.
    func sources() throws -> [NIOSSLCertificateSource] {
        try chain.map { .certificate(try NIOSSLCertificate(bytes: try $0.serializeAsPEM().derBytes, format: .der)) }
    }

    /// The key as NIOSSL has it.
    func key() throws -> NIOSSLPrivateKey { try NIOSSLPrivateKey(bytes: Array(keyPEM.utf8), format: .pem) }
}
