import COpenSSL
import MeshCore

/// A private key that was made here (EC, P-256) and goes nowhere but into a file of its owner: others get a signing
/// request with the public half.
public struct KeyPair: Sendable {
    /// The private key, PEM (PKCS #8), not encrypted. A secret.
    public let privatePEM: [UInt8]

    /// Makes a new key.
    public init() throws(ProxyError) {
        ERR_clear_error()
        // SAFETY: the key is a new reference, owned at once; the BIO owns what is printed into it, and is read before
        // it goes.
        guard let made = unsafe mesh_generate_p256() else {
            throw ProxyError("no key could be made: \(OpenSSLErrors.take() ?? "out of memory")")
        }
        let key = unsafe OwnedKey(taking: made)
        let target = MemoryBIO()
        guard unsafe key.lend({ unsafe PEM_write_bio_PKCS8PrivateKey(target.pointer, $0, nil, nil, 0, nil, nil) }) == 1
        else { throw ProxyError("no key could be written: \(OpenSSLErrors.take() ?? "out of memory")") }
        privatePEM = Array(target.text.utf8)
    }

    /// A request for a certificate (PKCS #10, DER), signed with the key.
    ///
    /// - Parameters:
    ///   - commonName: the subject, 1 to 64 bytes.
    ///   - uri: the subject alternative name, a SPIFFE id: no comma in it.
    public func signingRequest(commonName: String, uri: String) throws(ProxyError) -> [UInt8] {
        guard !uri.contains(where: { $0 == "," || $0 == "\0" || $0 == "\n" }) else {
            throw ProxyError("\"\(uri)\" is no SPIFFE id")
        }
        let key = try PEM.privateKey(privatePEM, label: "private key")
        let request = OwnedRequest()
        ERR_clear_error()
        let name = Array(commonName.utf8)
        // SAFETY: key and request are alive for the call; OpenSSL copies the name and the key's public half.
        let isComplete = unsafe request.lend { request in
            unsafe key.lend { key in
                let subject = unsafe X509_REQ_get_subject_name(request)
                return unsafe X509_REQ_set_version(request, 0) == 1
                    && X509_NAME_add_entry_by_txt(
                        subject, "CN", MBSTRING_FLAG, name, Int32(clamping: name.count), -1, 0) == 1
                    && X509_REQ_set_pubkey(request, key) == 1
                    && mesh_request_add_names(request, "URI:\(uri)") == 1
                    && X509_REQ_sign(request, key, EVP_sha256()) > 0
            }
        }
        guard isComplete else {
            throw ProxyError("no signing request could be made: \(OpenSSLErrors.take() ?? "out of memory")")
        }
        return request.der
    }
}

/// Owns an `X509_REQ`.
@safe
private final class OwnedRequest {
    private let pointer: OpaquePointer

    init() {
        guard let made = unsafe X509_REQ_new() else { fatalError("out of memory: X509_REQ_new") }
        unsafe pointer = made
    }

    deinit { unsafe X509_REQ_free(pointer) }

    /// Runs `body` while the request is certain to live.
    func lend<Result>(_ body: (OpaquePointer) -> Result) -> Result {
        withExtendedLifetime(self) { unsafe body(pointer) }
    }

    var der: [UInt8] {
        unsafe lend { request in
            // SAFETY: the first call only measures; the second writes as many bytes.
            let size = unsafe Int(i2d_X509_REQ(request, nil))
            var der = [UInt8](repeating: 0, count: max(size, 0))
            unsafe der.withUnsafeMutableBufferPointer { buffer in
                var cursor = buffer.baseAddress
                if size > 0 { _ = unsafe i2d_X509_REQ(request, &cursor) }
            }
            return der
        }
    }
}

extension OwnedKey {
    /// Runs `body` while the key is certain to live.
    func lend<Result>(_ body: (OpaquePointer) -> Result) -> Result {
        withExtendedLifetime(self) { unsafe body(pointer) }
    }
}
