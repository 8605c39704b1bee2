import COpenSSL
import MeshCore

extension TLSCertificate {
    /// Reads certificate and key and checks that they belong together; what the leaf says.
    public func checked() throws(ProxyError) -> CertificateFacts {
        try Credential(self, now: 0).facts
    }

    /// True if the leaf leads to the first of the certificates in `bundle` (PEM), whether or not it is still valid. In a
    /// mesh that is the root that signs; what comes after it is believed, and on its way in or out.
    public func isIssued(underFirstOf bundle: [UInt8]) throws(ProxyError) -> Bool {
        let chain = try PEM.certificates(chainPEM, label: label)
        let root = try PEM.certificates(bundle, label: "trust bundle").prefix(1)
        let store = try PEM.trust(Array(root), label: "trust bundle")
        // SAFETY: the certificates live in `chain`, which outlives the call.
        return withExtendedLifetime(chain) {
            let issuers = unsafe chain.dropFirst().map { unsafe Optional($0.pointer) }
            return unsafe store.lend { store in
                unsafe mesh_verify(
                    store, chain[0].pointer, issuers, Int32(clamping: issuers.count), 0,
                    UInt(X509_V_FLAG_NO_CHECK_TIME) | UInt(X509_V_FLAG_PARTIAL_CHAIN)) == X509_V_OK
            }
        }
    }
}

/// Certificates that are believed.
public enum TrustBundle {
    /// The certificates in `pem`, as facts; at least one.
    public static func facts(_ pem: [UInt8]) throws(ProxyError) -> [CertificateFacts] {
        // SAFETY: each certificate is alive while it is read.
        try PEM.certificates(pem, label: "trust bundle").map { certificate in
            withExtendedLifetime(certificate) { unsafe CertificateFacts(reading: certificate.pointer) }
        }
    }
}

extension TLSSession {
    /// Checks a server of whom nothing is known but its root: for the first connection to a control plane, whose
    /// context checks nothing by itself. To be asked before anything is sent.
    ///
    /// - Parameter root: SHA-256 of the root's DER form; the server must send the root along.
    /// - Returns: what the server's certificate says, its chain being good up to that root.
    public func serverCertificate(underRoot root: [UInt8]) throws(ProxyError) -> CertificateFacts {
        // SAFETY: the chain belongs to `ssl`, which is alive; the store takes a reference of its own to the root.
        let list = unsafe SSL_get_peer_cert_chain(ssl)
        let chain = unsafe (0..<mesh_certificates_count(list)).map { unsafe mesh_certificates_get(list, $0) }
        guard let leaf = unsafe chain.first ?? nil else { throw ProxyError("the server shows no certificate") }
        let store = OwnedStore()
        var isFound = false
        for index in 0..<(unsafe chain.count) {
            let certificate = unsafe chain[index]
            var digest = [UInt8](repeating: 0, count: 32)
            var count: UInt32 = 32
            guard unsafe X509_digest(certificate, EVP_sha256(), &digest, &count) == 1, digest == root else { continue }
            isFound = unsafe store.lend { unsafe X509_STORE_add_cert($0, certificate) } == 1
        }
        guard isFound else {
            throw ProxyError("the server's certificates do not lead to the root that the token names")
        }
        let code = unsafe store.lend { store in
            unsafe mesh_verify(
                store, leaf, chain, Int32(clamping: chain.count), X509_PURPOSE_SSL_SERVER,
                UInt(X509_V_FLAG_PARTIAL_CHAIN))
        }
        ERR_clear_error()
        guard code == X509_V_OK else {
            let text = unsafe X509_verify_cert_error_string(Int(code)).map { unsafe String(cString: $0) }
            throw ProxyError("the server's certificate is not valid: \(text ?? "unknown")")
        }
        return unsafe CertificateFacts(reading: leaf)
    }
}
