import Foundation
import MeshCore
import X509

/// What must hold for certificates and keys that come from files. An error names the file that is to be replaced.
public struct AuthorityCheck: Sendable {
    /// The roots, and where they come from.
    public var roots: [Certificate]
    /// As errors name it.
    public var rootFile: String
    /// As errors name it.
    public var intermediateFile: String
    /// As errors name it.
    public var keyFile: String

    /// A check of these files.
    public init(roots: [Certificate], rootFile: String, intermediateFile: String, keyFile: String) {
        self.roots = roots
        self.rootFile = rootFile
        self.intermediateFile = intermediateFile
        self.keyFile = keyFile
    }

    /// The issuer of `chain`: the intermediate that has `key`, then those above it, nearest first; the root may be the
    /// last of it or be left out.
    public func issuer(
        chain: [Certificate], key: Certificate.PrivateKey, now: Date
    ) throws(ProxyError) -> Issuer {
        guard let first = chain.first else { throw ProxyError("\(intermediateFile) has no certificate") }
        guard key.publicKey == first.publicKey else {
            throw ProxyError(
                "\(keyFile) does not fit \(intermediateFile): give the key that its first certificate was made with")
        }
        let above = chain.dropFirst().filter { !roots.contains($0) }
        var below = first
        try Self.authority(first, leavesRoom: 0, intermediateFile, now)
        for (index, certificate) in above.enumerated() {
            try Self.authority(certificate, leavesRoom: index + 1, intermediateFile, now)
            guard Self.isIssued(below, by: certificate) else {
                throw ProxyError(
                    "in \(intermediateFile), \(below.subject) is not issued by \(certificate.subject) that follows: "
                        + "write each certificate before the one that issued it")
            }
            below = certificate
        }
        guard let root = roots.first(where: { Self.isIssued(below, by: $0) }) else {
            throw ProxyError(
                "\(below.subject) of \(intermediateFile) is not issued by any root of \(rootFile): "
                    + "add the root of \(below.issuer)")
        }
        // A root that is its own intermediate would have to stay on this machine for good.
        guard root != first else {
            throw ProxyError("\(intermediateFile) is the root itself: give an intermediate that it issued")
        }
        try Self.authority(root, leavesRoom: above.count + 1, rootFile, now)
        return Issuer(certificate: first, key: key, above: Array(above), root: root)
    }

    /// An authority that is valid now and may have `leavesRoom` authorities below it.
    public static func authority(
        _ certificate: Certificate, leavesRoom depth: Int, _ file: String, _ now: Date
    ) throws(ProxyError) {
        let name = "\(certificate.subject) of \(file)"
        guard case .isCertificateAuthority(let length) = try? certificate.extensions.basicConstraints else {
            throw ProxyError("\(name) is no authority: it needs basicConstraints CA:TRUE")
        }
        if let usage = try? certificate.extensions.keyUsage, !usage.keyCertSign {
            throw ProxyError("\(name) may not sign certificates: its keyUsage needs keyCertSign")
        }
        if let length, length < depth {
            throw ProxyError(
                "\(name) allows \(length) authorities below it, and there are \(depth): issue it with a greater pathlen"
            )
        }
        guard certificate.notValidBefore <= now else {
            throw ProxyError(
                "\(name) is not valid before \(certificate.notValidBefore.formatted(.iso8601)), "
                    + "and it is \(now.formatted(.iso8601)): check the clock of this machine")
        }
        guard now < certificate.notValidAfter else {
            throw ProxyError(
                "\(name) has expired at \(certificate.notValidAfter.formatted(.iso8601)): renew it, "
                    + "or check the clock of this machine, by which it is \(now.formatted(.iso8601))")
        }
    }

    /// True if the names and the signature say so.
    public static func isIssued(_ certificate: Certificate, by issuer: Certificate) -> Bool {
        certificate.issuer == issuer.subject
            && issuer.publicKey.isValidSignature(certificate.signature, for: certificate)
    }
}
