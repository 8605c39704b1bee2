import COpenSSL
import Glibc
import MeshCore

/// A certificate with its key, as a user gives it.
public struct TLSCertificate: Sendable {
    /// The certificate, then its intermediates, PEM.
    public var chainPEM: [UInt8]
    /// The private key, PEM, not encrypted.
    public var keyPEM: [UInt8]
    /// A DER OCSP response to staple.
    public var ocspStaple: [UInt8]?
    /// What errors call it: a file or a Secret.
    public var label: String

    /// A certificate that errors call `label`.
    public init(chainPEM: [UInt8], keyPEM: [UInt8], ocspStaple: [UInt8]? = nil, label: String = "certificate") {
        self.chainPEM = chainPEM
        self.keyPEM = keyPEM
        self.ocspStaple = ocspStaple
        self.label = label
    }
}

/// A certificate with its key, read and checked against each other.
final class Credential {
    let leaf: OwnedCertificate
    let issuers: [OwnedCertificate]
    let key: OwnedKey
    let facts: CertificateFacts
    let staple: [UInt8]?
    /// OpenSSL's number of the key algorithm: two certificates for one name differ in it.
    let algorithm: Int32
    /// Problems that do not keep it from being served.
    let warnings: [String]

    /// Reads `source`; `now` is in seconds since 1970.
    init(_ source: TLSCertificate, now: Int64) throws(ProxyError) {
        let label = source.label
        if source.chainPEM.isEmpty { throw ProxyError("\(label): the certificate is empty") }
        if source.keyPEM.isEmpty { throw ProxyError("\(label): the private key is empty") }
        var chain = try PEM.certificates(source.chainPEM, label: label)
        leaf = chain.removeFirst()
        issuers = chain
        key = try PEM.privateKey(source.keyPEM, label: label)
        staple = source.ocspStaple.flatMap { $0.isEmpty ? nil : $0 }
        // SAFETY: leaf and key are alive, owned by this object.
        ERR_clear_error()
        guard unsafe X509_check_private_key(leaf.pointer, key.pointer) == 1 else {
            ERR_clear_error()
            throw ProxyError("\(label): the private key does not belong to the certificate")
        }
        facts = unsafe CertificateFacts(reading: leaf.pointer)
        algorithm = unsafe EVP_PKEY_get_base_id(key.pointer)
        var warnings: [String] = []
        if now > facts.notAfter { warnings.append("\(label): the certificate expired") }
        if now < facts.notBefore { warnings.append("\(label): the certificate is not valid yet") }
        self.warnings = warnings
    }

    /// Names to serve it under: its DNS names, or its common name if it has no subject alternative name at all.
    var names: [String] {
        if !facts.dnsNames.isEmpty || !facts.uris.isEmpty || !facts.addresses.isEmpty { return facts.dnsNames }
        for part in facts.subject.split(separator: ",") where part.hasPrefix("CN=") {
            return [part.dropFirst(3).lowercased()]
        }
        return []
    }

    /// Makes `context` use it.
    func install(in context: OwnedContext, label: String) throws(ProxyError) {
        // SAFETY: OpenSSL takes references of its own to what it keeps.
        ERR_clear_error()
        guard unsafe SSL_CTX_use_certificate(context.pointer, leaf.pointer) == 1,
            unsafe SSL_CTX_use_PrivateKey(context.pointer, key.pointer) == 1
        else { throw ProxyError("\(label): \(OpenSSLErrors.take() ?? "not usable")") }
        for issuer in issuers {
            guard unsafe mesh_ctx_add_chain(context.pointer, issuer.pointer) == 1 else {
                throw ProxyError("\(label): intermediate: \(OpenSSLErrors.take() ?? "not usable")")
            }
        }
    }
}

/// Reading of PEM files.
enum PEM {
    /// All certificates in `bytes`, at least one.
    static func certificates(_ bytes: [UInt8], label: String) throws(ProxyError) -> [OwnedCertificate] {
        let source = MemoryBIO(bytes)
        var found: [OwnedCertificate] = []
        // SAFETY: each certificate read is a new reference, owned at once.
        ERR_clear_error()
        while let certificate = unsafe PEM_read_bio_X509(source.pointer, nil, nil, nil) {
            unsafe found.append(OwnedCertificate(taking: certificate))
        }
        let code = ERR_peek_last_error()
        let reason = Int32(truncatingIfNeeded: UInt(code) & 0x7f_ffff)
        let text = OpenSSLErrors.take()
        // The end of the file shows as "no start line"; anything else is a broken block.
        guard reason == PEM_R_NO_START_LINE else {
            throw ProxyError("\(label): certificate \(found.count + 1) is broken: \(text ?? "unreadable")")
        }
        if found.isEmpty { throw ProxyError("\(label): no PEM certificate (-----BEGIN CERTIFICATE-----) found") }
        return found
    }

    /// The private key in `bytes`.
    static func privateKey(_ bytes: [UInt8], label: String) throws(ProxyError) -> OwnedKey {
        let text = String(decoding: bytes, as: UTF8.self)
        if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            throw ProxyError(
                "\(label): the private key is encrypted; give it decrypted (openssl pkey -in KEY -out NEW)")
        }
        if !text.contains("PRIVATE KEY-----") {
            throw ProxyError("\(label): no PEM private key (-----BEGIN PRIVATE KEY-----) found")
        }
        let source = MemoryBIO(bytes)
        // SAFETY: the key read is a new reference, owned at once. The callback refuses to ask for a password.
        ERR_clear_error()
        guard let key = unsafe PEM_read_bio_PrivateKey(source.pointer, nil, noPassword, nil) else {
            throw ProxyError("\(label): the private key is broken: \(OpenSSLErrors.take() ?? "unreadable")")
        }
        return unsafe OwnedKey(taking: key)
    }

    /// A store that trusts every certificate in `bytes`, and those certificates.
    static func trust(_ bytes: [UInt8], label: String) throws(ProxyError) -> (OwnedStore, [OwnedCertificate]) {
        if bytes.isEmpty { throw ProxyError("\(label): the list of trusted certificates is empty") }
        let anchors = try certificates(bytes, label: label)
        return (try trust(anchors, label: label), anchors)
    }

    /// A store that trusts `anchors`.
    static func trust(_ anchors: [OwnedCertificate], label: String) throws(ProxyError) -> OwnedStore {
        let store = OwnedStore()
        // SAFETY: the store takes references of its own.
        for anchor in anchors {
            guard unsafe X509_STORE_add_cert(store.pointer, anchor.pointer) == 1 else {
                throw ProxyError("\(label): \(OpenSSLErrors.take() ?? "not usable")")
            }
        }
        // A mesh often trusts an intermediate and not its root.
        unsafe X509_STORE_set_flags(store.pointer, UInt(X509_V_FLAG_PARTIAL_CHAIN))
        return store
    }
}
