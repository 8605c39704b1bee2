import COpenSSL
import Glibc
import MeshCore

/// What there is to know about a certificate without trusting it.
public struct CertificateFacts: Sendable, Equatable {
    /// Distinguished name, RFC 2253 order: `CN=shop,O=Example`.
    public let subject: String
    /// Distinguished name of who signed it.
    public let issuer: String
    /// DNS subject alternative names, lower case, as they are in the certificate: `*.example.com`.
    public let dnsNames: [String]
    /// URI subject alternative names; a SPIFFE id is one of these.
    public let uris: [String]
    /// IP subject alternative names in text form.
    public let addresses: [String]
    /// Start of validity, seconds since 1970.
    public let notBefore: Int64
    /// End of validity, seconds since 1970.
    public let notAfter: Int64
    /// Serial number in upper-case hexadecimal.
    public let serial: String
    /// SHA-256 of the DER form, lower-case hexadecimal.
    public let sha256: String

    /// The first URI that is a SPIFFE id, if there is one.
    public var spiffeID: String? { uris.first { $0.hasPrefix("spiffe://") } }

    /// Reads the facts of `certificate`, an `X509` that is alive.
    init(reading certificate: OpaquePointer) {
        // SAFETY: everything read belongs to `certificate`; what OpenSSL allocates for us is freed where it is read.
        subject = unsafe Self.text(of: X509_get_subject_name(certificate))
        issuer = unsafe Self.text(of: X509_get_issuer_name(certificate))
        notBefore = unsafe Self.seconds(X509_get0_notBefore(certificate))
        notAfter = unsafe Self.seconds(X509_get0_notAfter(certificate))
        serial = unsafe Self.serial(of: certificate)
        var digest = [UInt8](repeating: 0, count: 32)
        var count: UInt32 = 32
        _ = unsafe X509_digest(certificate, EVP_sha256(), &digest, &count)
        sha256 = digest.hexadecimal

        var dnsNames: [String] = []
        var uris: [String] = []
        var addresses: [String] = []
        let names = unsafe X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil).map { OpaquePointer($0) }
        if let names = unsafe names {
            for index in 0..<(unsafe mesh_names_count(names)) {
                var start: UnsafePointer<UInt8>?
                var length: Int32 = 0
                let type = unsafe mesh_names_get(names, index, &start, &length)
                let bytes = unsafe Array(UnsafeBufferPointer(start: start, count: Int(length)))
                // A NUL or a byte outside ASCII is never in a name that somebody may trust.
                let isText = bytes.allSatisfy { $0 > 0x20 && $0 < 0x7f }
                switch type {
                case GEN_DNS where isText: dnsNames.append(String(decoding: bytes, as: UTF8.self).lowercased())
                case GEN_URI where isText: uris.append(String(decoding: bytes, as: UTF8.self))
                case GEN_IPADD: addresses.append(Self.address(bytes))
                default: break
                }
            }
            unsafe GENERAL_NAMES_free(names)
        }
        self.dnsNames = dnsNames
        self.uris = uris
        self.addresses = addresses
    }

    private static func text(of name: OpaquePointer?) -> String {
        let out = MemoryBIO()
        guard let name = unsafe name else { return "" }
        unsafe mesh_print_name(out.pointer, name)
        return out.text
    }

    private static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64 {
        var parts = unsafe tm()
        guard let time = unsafe time, unsafe ASN1_TIME_to_tm(time, &parts) == 1 else { return 0 }
        return unsafe Int64(timegm(&parts))
    }

    private static func serial(of certificate: OpaquePointer) -> String {
        guard let number = unsafe ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nil) else { return "" }
        defer { unsafe BN_free(number) }
        guard let text = unsafe BN_bn2hex(number) else { return "" }
        defer { unsafe CRYPTO_free(text, nil, 0) }
        return unsafe String(cString: text)
    }

    private static func address(_ bytes: [UInt8]) -> String {
        guard bytes.count == 4 || bytes.count == 16 else { return "" }
        var text = [CChar](repeating: 0, count: 64)
        let family = bytes.count == 4 ? AF_INET : AF_INET6
        // SAFETY: both buffers are live arrays, the output is 64 bytes and inet_ntop is told so.
        guard unsafe inet_ntop(family, bytes, &text, 64) != nil else { return "" }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension [UInt8] {
    /// Two lower-case hexadecimal digits a byte.
    var hexadecimal: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
