import Crypto
import Foundation
import MeshCore
import SwiftASN1
import X509

/// An intermediate authority that signs leaves, with its way up to a root.
public struct Issuer: Sendable {
    /// Its certificate.
    public let certificate: Certificate
    /// What is sent after it: everything between it and a root that somebody may believe, nearest first.
    public let above: [Certificate]
    /// The root that it is under.
    public let root: Certificate
    private let key: Certificate.PrivateKey

    /// An issuer of these parts, which must have passed ``AuthorityCheck``.
    public init(
        certificate: Certificate, key: Certificate.PrivateKey, above: [Certificate] = [], root: Certificate
    ) {
        self.certificate = certificate
        self.key = key
        self.above = above
        self.root = root
    }

    /// How much earlier than now leaves begin to hold, for clocks that are behind.
    public static let backdating: TimeInterval = 60

    /// When the first certificate of its way up ends.
    public var notAfter: Date {
        ([certificate, root] + above).map(\.notValidAfter).min() ?? certificate.notValidAfter
    }

    /// A leaf: for TLS, server and client; no authority. It never outlives its issuer.
    public func leaf(
        _ subject: LeafSubject, key publicKey: Certificate.PublicKey, lifetime: TimeInterval, now: Date
    ) throws(ProxyError) -> Certificate {
        guard notAfter > now else {
            throw ProxyError("the authority \(certificate.subject) has ended at \(notAfter.formatted(.iso8601))")
        }
        do {
            return try Certificate(
                version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey,
                notValidBefore: now.addingTimeInterval(-Self.backdating),
                notValidAfter: min(now.addingTimeInterval(lifetime), notAfter), issuer: certificate.subject,
                subject: DistinguishedName { CommonName(subject.instance) },
                signatureAlgorithm: Self.algorithm(key),
                extensions: Certificate.Extensions {
                    Critical(BasicConstraints.notCertificateAuthority)
                    Critical(KeyUsage(digitalSignature: true))
                    try ExtendedKeyUsage([.serverAuth, .clientAuth])
                    // Not critical: the subject is not empty (RFC 5280 §4.2.1.6).
                    subject.names
                    SubjectKeyIdentifier(hash: publicKey)
                    AuthorityKeyIdentifier(keyIdentifier: Self.identifier(of: certificate))
                }, issuerPrivateKey: key)
        } catch {
            throw ProxyError("no certificate can be made for \(subject.identity): \(error)")
        }
    }

    /// PEM: a leaf and what is sent with it.
    public func chain(_ leaf: Certificate) -> String { CertificateFile.pem([leaf, certificate] + above) }

    /// The same issuer, which also sends `cross`: its root, vouched for by another one.
    public func crossed(by cross: Certificate?) -> Issuer {
        guard let cross else { return self }
        return Issuer(certificate: certificate, key: key, above: above + [cross], root: root)
    }

    /// What a key signs with.
    static func algorithm(_ key: Certificate.PrivateKey) -> Certificate.SignatureAlgorithm {
        if P384.Signing.PublicKey(key.publicKey) != nil { return .ecdsaWithSHA384 }
        if P521.Signing.PublicKey(key.publicKey) != nil { return .ecdsaWithSHA512 }
        if P256.Signing.PublicKey(key.publicKey) != nil { return .ecdsaWithSHA256 }
        return key.supportedSignatureAlgorithms.contains(.ed25519) ? .ed25519 : .sha256WithRSAEncryption
    }

    /// What an issuer calls its own key, or else what it would be called.
    static func identifier(of certificate: Certificate) -> ArraySlice<UInt8> {
        let named = try? certificate.extensions.subjectKeyIdentifier?.keyIdentifier
        return named ?? SubjectKeyIdentifier(hash: certificate.publicKey).keyIdentifier
    }
}
