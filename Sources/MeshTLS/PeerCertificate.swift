import COpenSSL
import MeshCore

/// The certificate that a peer showed, with what `x-forwarded-client-cert` and access rules need of it.
public struct PeerCertificate: Sendable {
    /// Subject, names, validity, fingerprint.
    public let facts: CertificateFacts
    /// True if its chain was verified. False only under `AllowInsecureFallback` and on clients that check nothing.
    public let isVerified: Bool
    /// The certificate itself, DER.
    public let der: [UInt8]

    /// Reads `certificate`, an `X509` that is alive.
    init(_ certificate: OpaquePointer, verified: Bool) {
        // SAFETY: the facts and the DER form are copies; the first call only measures.
        facts = unsafe CertificateFacts(reading: certificate)
        isVerified = verified
        let size = unsafe Int(i2d_X509(certificate, nil))
        var der = [UInt8](repeating: 0, count: max(size, 0))
        unsafe der.withUnsafeMutableBufferPointer { buffer in
            var cursor = buffer.baseAddress
            if size > 0 { _ = unsafe i2d_X509(certificate, &cursor) }
        }
        self.der = der
    }

    /// The certificate in PEM form.
    public var pem: String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text = Array("-----BEGIN CERTIFICATE-----\n".utf8)
        var column = 0
        for start in stride(from: 0, to: der.count, by: 3) {
            let left = der.count - start
            let second = left > 1 ? Int(der[start + 1]) : 0
            let third = left > 2 ? Int(der[start + 2]) : 0
            let group = Int(der[start]) << 16 | second << 8 | third
            text.append(alphabet[group >> 18])
            text.append(alphabet[group >> 12 & 63])
            text.append(left > 1 ? alphabet[group >> 6 & 63] : UInt8(ascii: "="))
            text.append(left > 2 ? alphabet[group & 63] : UInt8(ascii: "="))
            column += 4
            if column == 64 || left <= 3 {
                text.append(UInt8(ascii: "\n"))
                column = 0
            }
        }
        return String(decoding: text, as: UTF8.self) + "-----END CERTIFICATE-----\n"
    }
}
