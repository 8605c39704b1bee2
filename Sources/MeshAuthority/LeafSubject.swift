import Crypto
import Foundation
import MeshCore
import X509

import struct MeshModel.SPIFFEID

/// Whom a leaf is for.
public struct LeafSubject: Sendable, Equatable {
    /// The only URI among its names.
    public var identity: SPIFFEID
    /// Its common name.
    public var instance: String
    /// Further names, for a server that people reach with a browser or `curl`.
    public var dnsNames: [String]
    /// IPv4 addresses in text; anything else is left out.
    public var addresses: [String]

    /// The leaf of an instance.
    public init(identity: SPIFFEID, instance: String, dnsNames: [String] = [], addresses: [String] = []) {
        self.identity = identity
        self.instance = instance
        self.dnsNames = dnsNames
        self.addresses = addresses
    }

    /// True for what an instance may be called: 1–64 letters, digits, `.`, `-`, `_` (RFC 5280 §A.1: a common name has
    /// 64 characters at most).
    public static func isInstance(_ name: String) -> Bool { name.utf8.count <= 64 && SPIFFEID.isSegment(name) }

    var names: SubjectAlternativeNames {
        var names: [GeneralName] = [.uniformResourceIdentifier(identity.description)]
        names += dnsNames.map { .dnsName($0) }
        for address in addresses {
            let parts = address.split(separator: ".", omittingEmptySubsequences: false).compactMap { UInt8($0) }
            if parts.count == 4 { names.append(.ipAddress(.init(contentBytes: parts[...]))) }
        }
        return SubjectAlternativeNames(names)
    }
}

/// What a proxy asks for: PKCS #10 in DER. Only the public key counts; whoever asks must have its private key.
public struct LeafRequest: Sendable {
    /// The key to certify: EC on P-256 or P-384.
    public let publicKey: Certificate.PublicKey

    /// Reads a request; the bytes may be anything.
    public init(der: [UInt8]) throws(ProxyError) {
        guard !der.isEmpty else { throw ProxyError("the request has no csr: a PKCS #10 request in DER") }
        guard der.count <= 16384 else { throw ProxyError("the csr has \(der.count) bytes: 16384 are enough") }
        guard let request = try? CertificateSigningRequest(derEncoded: der) else {
            throw ProxyError("the csr cannot be read: a PKCS #10 request in DER")
        }
        let key = request.publicKey
        guard P256.Signing.PublicKey(key) != nil || P384.Signing.PublicKey(key) != nil else {
            throw ProxyError("the csr has a key that is refused (\(key)): an EC key on P-256 or P-384")
        }
        guard key.isValidSignature(request.signature, for: request) else {
            throw ProxyError("the csr is not signed with its own key")
        }
        publicKey = key
    }
}
