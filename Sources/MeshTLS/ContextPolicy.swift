import COpenSSL
import MeshCore

extension OwnedContext {
    /// Seconds for which a session can be resumed.
    static var sessionSeconds: Int { Int(TLSTicketKeys.lifetime) }

    /// Versions, suites and groups; common to both sides.
    func configure(minimumVersion: TLSVersion, suites: TLSCipherSuites) throws(ProxyError) {
        // SAFETY: the context is being built and is not shared yet; OpenSSL copies the strings.
        ERR_clear_error()
        _ = unsafe mesh_ctx_set_min_version(pointer, minimumVersion.number)
        guard unsafe SSL_CTX_set_cipher_list(pointer, suites.tls12) == 1 else {
            ERR_clear_error()
            throw ProxyError("none of the TLS 1.2 cipher suites is known: \(suites.tls12)")
        }
        guard unsafe SSL_CTX_set_ciphersuites(pointer, suites.tls13) == 1 else {
            ERR_clear_error()
            throw ProxyError("a TLS 1.3 cipher suite is not known: \(suites.tls13)")
        }
        // X25519 costs least; the others are for peers without it.
        _ = unsafe mesh_ctx_set_groups(pointer, "X25519:P-256:P-384")
        unsafe SSL_CTX_set_timeout(pointer, Self.sessionSeconds)
        // One ticket: OpenSSL's default of two costs a quarter more to make and to send, and clients use one.
        _ = unsafe SSL_CTX_set_num_tickets(pointer, 1)
        unsafe mesh_ctx_set_cache(pointer, 0)
    }

    /// Asks clients for certificates that chain to `trust`.
    func validateClients(_ validation: ClientValidation, _ trust: (OwnedStore, [OwnedCertificate])) {
        // SAFETY: the context takes references of its own to the store and the names.
        unsafe SSL_CTX_set1_cert_store(pointer, trust.0.pointer)
        for authority in trust.1 { _ = unsafe SSL_CTX_add_client_CA(pointer, authority.pointer) }
        switch validation {
        case .none: break
        case .required:
            unsafe SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
        case .allowInsecureFallback:
            unsafe SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER, verificationOptional)
        }
    }

    /// A session can be resumed only where clients are validated in the same way: tickets of a listener that asks for
    /// nothing must not open one that asks for certificates, even when both have the same ticket keys.
    func nameSessions(after validation: ClientValidation) {
        var name: [UInt8]
        switch validation {
        case .none: name = [0]
        case .required: name = [1]
        case .allowInsecureFallback: name = [2]
        }
        name += validation.caPEM ?? []
        var digest = [UInt8](repeating: 0, count: 32)
        // SAFETY: SHA-256 writes 32 bytes; OpenSSL copies the name.
        unsafe SHA256(name, name.count, &digest)
        _ = unsafe SSL_CTX_set_session_id_context(pointer, digest, 32)
    }
}
