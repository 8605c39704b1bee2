internal import Crypto
import Foundation
import MeshCore

import struct MeshModel.SPIFFEID

/// What a proxy joins with: `mt1.ID.SECRET.ROOTHASH`. ID is not secret; ROOTHASH is SHA-256 of the root's DER, so that
/// the proxy knows the control plane by it. SECRET and ROOTHASH are base64url without padding.
struct JoinToken: Sendable, Equatable {
    /// Twelve hexadecimal digits.
    var id: String
    /// 32 random bytes.
    var secret: [UInt8]
    var rootHash: [UInt8]

    /// A new one for a mesh whose root has this hash.
    init(rootHash: [UInt8]) {
        var random = SystemRandomNumberGenerator()
        id = (0..<6).map { _ in hexDigits(UInt8.random(in: 0...255, using: &random)) }.joined()
        secret = (0..<32).map { _ in UInt8.random(in: 0...255, using: &random) }
        self.rootHash = rootHash
    }

    /// The token that `text` writes; nil if it has another form. The text may be anything.
    init?(_ text: String) {
        guard text.utf8.count <= 256 else { return nil }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "mt1", parts[1].utf8.count == 12,
            let secret = Self.decode(parts[2]), secret.count == 32, let rootHash = Self.decode(parts[3])
        else { return nil }
        (id, self.secret, self.rootHash) = (String(parts[1]), secret, rootHash)
    }

    /// As the proxy is given it. Secret.
    var text: String { "mt1.\(id).\(Self.encode(secret)).\(Self.encode(rootHash))" }

    /// What the store keeps. 256 random bits need no salt and no slow hash.
    var secretHash: [UInt8] { Array(SHA256.hash(data: secret)) }

    /// True if the secret has this hash; takes the same time wherever they differ.
    func hasSecret(of hash: [UInt8]) -> Bool {
        let own = secretHash
        guard own.count == hash.count else { return false }
        var difference: UInt8 = 0
        for index in own.indices { difference |= own[index] ^ hash[index] }
        return difference == 0
    }

    private static func encode(_ bytes: [UInt8]) -> String {
        Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    private static func decode(_ text: Substring) -> [UInt8]? {
        let plain = text.replacing("-", with: "+").replacing("_", with: "/")
        let padding = String(repeating: "=", count: (4 - plain.utf8.count % 4) % 4)
        return Data(base64Encoded: plain + padding).map { [UInt8]($0) }
    }
}

private func hexDigits(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }

/// `workload:NAMESPACE/NAME` or `gateway:NAMESPACE/NAME`.
struct JoinRole: Sendable, Equatable {
    enum Kind: String, Sendable { case workload, gateway }

    var kind: Kind
    var namespace: String
    var name: String

    /// The role that `text` writes; the text may be anything.
    init(_ text: String) throws(ProxyError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let path = (parts.count == 2 ? parts[1] : "").split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let kind = Kind(rawValue: String(parts[0])), path.count == 2,
            path.allSatisfy({ $0.utf8.count <= 253 && SPIFFEID.isSegment(String($0)) })
        else {
            throw ProxyError(
                "\(text.prefix(100).debugDescription) is no role: workload:NAMESPACE/NAME or gateway:NAMESPACE/NAME")
        }
        (self.kind, namespace, name) = (kind, String(path[0]), String(path[1]))
    }

    var text: String { "\(kind.rawValue):\(namespace)/\(name)" }
    /// `namespace/name`.
    var path: String { "\(namespace)/\(name)" }
}
