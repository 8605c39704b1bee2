import Crypto
import Foundation
import MeshCore
import X509

/// Makes the certificates of authorities.
public enum AuthorityMaker {
    /// How long a root is valid: 10 years.
    public static let rootLifetime: TimeInterval = 3652 * 86400
    /// How long an intermediate is valid: a year.
    public static let intermediateLifetime: TimeInterval = 365 * 86400

    /// A certificate and its key.
    public struct Pair: Sendable {
        /// The certificate.
        public let certificate: Certificate
        /// The key.
        public let key: Certificate.PrivateKey

        /// A certificate with its key.
        public init(certificate: Certificate, key: Certificate.PrivateKey) {
            self.certificate = certificate
            self.key = key
        }

        /// PEM of the key. Secret.
        public var keyPEM: String { (try? key.serializeAsPEM().pemString).map { $0 + "\n" } ?? "" }
    }

    /// A root on P-384. Its name has digits of its key, so that no two are called the same.
    public static func root(
        trustDomain: String, now: Date, lifetime: TimeInterval = rootLifetime
    ) throws(ProxyError) -> Pair {
        let key = Certificate.PrivateKey(P384.Signing.PrivateKey())
        let name = try name("\(trustDomain) root", key.publicKey)
        return try pair(
            key, subject: name, issuer: name, signer: key, signerIdentifier: nil,
            validity: now..<now.addingTimeInterval(lifetime), pathLength: nil)
    }

    /// An intermediate on P-256 that signs leaves only.
    public static func intermediate(
        trustDomain: String, root: Pair, now: Date, lifetime: TimeInterval = intermediateLifetime
    ) throws(ProxyError) -> Pair {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let end = min(now.addingTimeInterval(lifetime), root.certificate.notValidAfter)
        guard end > now else {
            throw ProxyError(
                "the root has ended at \(root.certificate.notValidAfter.formatted(.iso8601)): rotate the root")
        }
        return try pair(
            key, subject: try name("\(trustDomain) intermediate", key.publicKey), issuer: root.certificate.subject,
            signer: root.key, signerIdentifier: Issuer.identifier(of: root.certificate), validity: now..<end,
            pathLength: 0)
    }

    /// The key and the name of a new root, vouched for by an old one: who knows only the old one can follow.
    public static func cross(_ root: Certificate, by old: Pair, now: Date) throws(ProxyError) -> Certificate {
        try certificate(
            root.publicKey, subject: root.subject, issuer: old.certificate.subject, signer: old.key,
            signerIdentifier: Issuer.identifier(of: old.certificate),
            validity: now..<min(root.notValidAfter, old.certificate.notValidAfter), pathLength: 1)
    }

    private static func name(_ text: String, _ key: Certificate.PublicKey) throws(ProxyError) -> DistinguishedName {
        let digits = SHA256.hash(data: key.subjectPublicKeyInfoBytes).prefix(4).map { hex($0) }.joined()
        do {
            return try DistinguishedName {
                OrganizationName("Martlet")
                CommonName("\(text.prefix(50)) \(digits)")
            }
        } catch {
            throw ProxyError("\(text) cannot be the name of an authority: \(error)")
        }
    }

    private static func pair(
        _ key: Certificate.PrivateKey, subject: DistinguishedName, issuer: DistinguishedName,
        signer: Certificate.PrivateKey, signerIdentifier: ArraySlice<UInt8>?, validity: Range<Date>, pathLength: Int?
    ) throws(ProxyError) -> Pair {
        let made = try certificate(
            key.publicKey, subject: subject, issuer: issuer, signer: signer, signerIdentifier: signerIdentifier,
            validity: validity, pathLength: pathLength)
        return Pair(certificate: made, key: key)
    }

    private static func certificate(
        _ key: Certificate.PublicKey, subject: DistinguishedName, issuer: DistinguishedName,
        signer: Certificate.PrivateKey, signerIdentifier: ArraySlice<UInt8>?, validity: Range<Date>, pathLength: Int?
    ) throws(ProxyError) -> Certificate {
        do {
            return try Certificate(
                version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: key,
                notValidBefore: validity.lowerBound.addingTimeInterval(-Issuer.backdating),
                notValidAfter: validity.upperBound, issuer: issuer, subject: subject,
                signatureAlgorithm: Issuer.algorithm(signer),
                extensions: Certificate.Extensions {
                    Critical(BasicConstraints.isCertificateAuthority(maxPathLength: pathLength))
                    Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                    SubjectKeyIdentifier(hash: key)
                    if let signerIdentifier { AuthorityKeyIdentifier(keyIdentifier: signerIdentifier) }
                }, issuerPrivateKey: signer)
        } catch {
            throw ProxyError("the certificate of \(subject) cannot be made: \(error)")
        }
    }
}

/// Two hexadecimal digits of a byte, in lower case.
public func hex(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }
