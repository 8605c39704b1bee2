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
        let encoded = Base64.encode(der)
        var text = "-----BEGIN CERTIFICATE-----\n"
        for start in stride(from: 0, to: encoded.count, by: 64) {
            text += String(decoding: encoded[start..<min(start + 64, encoded.count)], as: UTF8.self) + "\n"
        }
        return text + "-----END CERTIFICATE-----\n"
    }
}
