internal import Crypto
import Foundation
import MeshAuthority
import MeshCore
internal import SwiftASN1
@_spi(FixedExpiryValidationTime) internal import X509

import struct MeshModel.SPIFFEID

/// Who has been checked at the other end of a connection.
public struct PeerIdentity: Sendable, Equatable {
    /// The service that it is.
    public var spiffe: SPIFFEID
    /// The instance of it: the certificate's common name.
    public var instance: String
    /// Of its certificate: hexadecimal digits in lower case.
    public var serial: String
    /// When its certificate ends.
    public var notAfter: Date

    /// A peer of these parts.
    public init(spiffe: SPIFFEID, instance: String, serial: String, notAfter: Date) {
        self.spiffe = spiffe
        self.instance = instance
        self.serial = serial
        self.notAfter = notAfter
    }

    /// What `certificate` says about its holder; it has been verified, or nothing is to be believed.
    init(_ certificate: Certificate, trustDomain: String) throws(ProxyError) {
        let names = (try? certificate.extensions.subjectAlternativeNames) ?? SubjectAlternativeNames()
        let uris = names.compactMap { name -> String? in
            if case .uniformResourceIdentifier(let uri) = name { uri } else { nil }
        }
        guard uris.count == 1, let uri = uris.first else {
            throw ProxyError("the certificate has \(uris.count) URIs among its names: exactly one, a SPIFFE id")
        }
        guard let spiffe = SPIFFEID(uri) else {
            throw ProxyError("the certificate is for \(uri.prefix(200)): not spiffe://DOMAIN/ns/NAMESPACE/svc/SERVICE")
        }
        guard spiffe.trustDomain == trustDomain else {
            throw ProxyError("the certificate is of the trust domain \(spiffe.trustDomain), and this is \(trustDomain)")
        }
        self.init(
            spiffe: spiffe, instance: Self.commonName(certificate), serial: Self.serial(certificate),
            notAfter: certificate.notValidAfter)
    }

    /// The serial number as the store and people write it.
    static func serial(_ certificate: Certificate) -> String {
        certificate.serialNumber.bytes.map { hex($0) }.joined()
    }

    private static func commonName(_ certificate: Certificate) -> String {
        for name in certificate.subject {
            for attribute in name where attribute.type == .RDNAttributeType.commonName {
                return String(attribute.value) ?? ""
            }
        }
        return ""
    }
}

/// What an ``Authority`` believes at one moment.
struct TrustView: Sendable {
    var trustDomain: String
    /// The one that signs is the first.
    var roots: [Certificate]
    /// Intermediates of its own, for peers that send only a leaf.
    var intermediates: [Certificate]

    /// PEM of ``roots``.
    var bundle: String { CertificateFile.pem(roots) }

    /// The way from `leaf` to a root, each certificate valid at `now`; an error says for people why there is none.
    func verify(_ leaf: Certificate, with sent: [Certificate], now: Date) async throws(ProxyError) -> [Certificate] {
        guard now < leaf.notValidAfter else {
            throw ProxyError(
                "the certificate has expired at \(leaf.notValidAfter.formatted(.iso8601)): join again with a token")
        }
        guard leaf.notValidBefore <= now else {
            throw ProxyError(
                "the certificate is not valid before \(leaf.notValidBefore.formatted(.iso8601)), and here it is "
                    + "\(now.formatted(.iso8601)): check both clocks")
        }
        if let usage = try? leaf.extensions.extendedKeyUsage, !usage.contains(.clientAuth) {
            throw ProxyError("the certificate is not for clients: its extendedKeyUsage needs clientAuth")
        }
        // A root that has ended on a machine that was off for long is no reason to believe in nothing.
        var verifier = Verifier(rootCertificates: CertificateStore(roots)) {
            RFC5280Policy(fixedExpiryValidationTime: now)
        }
        let between = CertificateStore(intermediates + sent.prefix(8))
        switch await verifier.validate(leaf: leaf, intermediates: between) {
        case .validCertificate(let chain): return Array(chain)
        case .couldNotValidate:
            throw ProxyError(
                "the certificate was not issued for the mesh \(trustDomain) by this control plane: join with a token")
        }
    }
}

/// SHA-256 of a certificate's DER.
func fingerprint(_ certificate: Certificate) -> SHA256Digest {
    var serializer = DER.Serializer()
    try? serializer.serialize(certificate)
    return SHA256.hash(data: serializer.serializedBytes)
}
