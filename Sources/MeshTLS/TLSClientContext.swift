import COpenSSL
import Glibc
import MeshCore

/// A name that a server certificate may carry (`BackendTLSPolicy.validation.subjectAltNames`).
public enum SubjectAltName: Sendable, Equatable {
    /// A DNS name, matched as for a host name, wildcards in the certificate included.
    case hostname(String)
    /// A URI, matched byte for byte: a SPIFFE id.
    case uri(String)
}

/// The client side of TLS towards one backend. Immutable but for the sessions it keeps; shared by all loops.
@safe
public final class TLSClientContext: @unchecked Sendable {
    /// What the server certificate is checked against, beyond its chain.
    public enum Trust: Sendable {
        /// The system's certificate authorities.
        case system
        /// These authorities.
        case authorities(caPEM: [UInt8])
        /// No check at all. For tests and explicit `insecureSkipVerify`.
        case none
    }

    /// Facts of the client certificate, if there is one.
    public let certificateFacts: CertificateFacts?
    /// What is wrong without keeping anything from working.
    public let warnings: [String]

    let context: OwnedContext
    let subjectAltNames: [SubjectAltName]
    let verifies: Bool
    let sessions: SessionStore

    /// Reads everything that connections to a backend need.
    ///
    /// - Parameters:
    ///   - clientCertificate: shown when the server asks.
    ///   - alpn: offered, in order of preference; empty offers nothing.
    ///   - subjectAltNames: if any are given, the certificate must carry one of them, and the server name is used for
    ///     SNI only (Gateway API, BackendTLSPolicy); else it must be valid for the server name.
    ///   - sessionLimit: sessions kept for resumption, over all loops and endpoints.
    /// - Throws: a line that says which part is wrong.
    public init(
        trust: Trust, clientCertificate: TLSCertificate? = nil, alpn: [ALPN] = [.http2, .http1],
        subjectAltNames: [SubjectAltName] = [], minimumVersion: TLSVersion = .v1_2,
        cipherSuites: TLSCipherSuites = .sane, sessionLimit: Int = 256
    ) throws(ProxyError) {
        // SAFETY: `TLS_client_method` is a static table; OpenSSL copies or references all it is given.
        let context = unsafe OwnedContext(method: TLS_client_method())
        try context.configure(minimumVersion: minimumVersion, suites: cipherSuites)
        var facts: CertificateFacts?
        var warnings: [String] = []
        if let clientCertificate {
            let credential = try Credential(clientCertificate, now: Int64(time(nil)))
            try credential.install(in: context, label: clientCertificate.label)
            facts = credential.facts
            warnings = credential.warnings
        }
        verifies = try context.trust(trust)
        let wire = ALPN.wire(alpn)
        if !wire.isEmpty { _ = unsafe SSL_CTX_set_alpn_protos(context.pointer, wire, UInt32(wire.count)) }
        sessions = SessionStore(limit: sessionLimit)
        if sessionLimit > 0 {
            unsafe mesh_ctx_set_cache(context.pointer, 1)
            unsafe SSL_CTX_sess_set_new_cb(context.pointer, sessionEstablished)
        }
        self.context = context
        self.subjectAltNames = subjectAltNames
        self.warnings = warnings
        certificateFacts = facts
    }

    /// Speaks no more than TLS 1.2, for tests of it; before the first session.
    func limitToTLS12() { _ = unsafe mesh_ctx_set_max_version(context.pointer, TLS1_2_VERSION) }
}

extension OwnedContext {
    /// Sets what server certificates must chain to; false if nothing is checked.
    fileprivate func trust(_ trust: TLSClientContext.Trust) throws(ProxyError) -> Bool {
        // SAFETY: the context is being built; it takes a reference of its own to the store.
        switch trust {
        case .none:
            unsafe SSL_CTX_set_verify(pointer, SSL_VERIFY_NONE, nil)
            return false
        case .system:
            guard unsafe SSL_CTX_set_default_verify_paths(pointer) == 1 else {
                throw ProxyError("the system's certificate authorities: \(OpenSSLErrors.take() ?? "unreadable")")
            }
        case .authorities(let pem):
            let (store, _) = try PEM.trust(pem, label: "backend validation")
            unsafe store.lend { unsafe SSL_CTX_set1_cert_store(pointer, $0) }
        }
        unsafe SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER, serverVerified)
        return true
    }
}
