internal import Crypto
import Foundation
import MeshCore

/// The secret with which people and programs change the mesh. Only its digest is kept in memory.
public struct AdminToken: Sendable {
    private let digest: SHA256Digest

    /// A token that is known already.
    public init(_ text: String) { digest = SHA256.hash(data: Data(text.utf8)) }

    /// Reads the token in the file at `path`, or makes one there that only its owner can read. Throws if the file
    /// cannot be read or written, is empty, or can be read by others.
    public static func load(orMakeAt path: String) throws(ProxyError) -> AdminToken {
        if let made = try make(at: path) { return made }
        let files = FileManager.default
        let mode = (try? files.attributesOfItem(atPath: path))?[.posixPermissions] as? Int
        guard let mode, mode & 0o077 == 0 else {
            throw ProxyError("the admin token \(path) can be read by others: chmod 600 \(path)")
        }
        guard let data = files.contents(atPath: path) else {
            throw ProxyError("the admin token \(path) cannot be read")
        }
        let text = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        guard text.utf8.count >= 16 else {
            throw ProxyError("the admin token \(path) is too short: remove the file, and another is made")
        }
        return AdminToken(text)
    }

    /// A new token in a new file; nil if there is a file.
    private static func make(at path: String) throws(ProxyError) -> AdminToken? {
        guard !FileManager.default.fileExists(atPath: path) else { return nil }
        var text = "mta1."
        var random = SystemRandomNumberGenerator()
        for _ in 0..<4 {
            let digits = String(random.next() as UInt64, radix: 16)
            text += String(repeating: "0", count: 16 - digits.count) + digits
        }
        let attributes: [FileAttributeKey: Any] = [.posixPermissions: 0o600]
        guard FileManager.default.createFile(atPath: path, contents: Data((text + "\n").utf8), attributes: attributes)
        else { throw ProxyError("the admin token \(path) cannot be written") }
        return AdminToken(text)
    }

    /// Whether `text` is the token; takes the same time for every text of one length.
    func accepts(_ text: String) -> Bool {
        let other = SHA256.hash(data: Data(text.utf8))
        var difference: UInt8 = 0
        for (left, right) in zip(digest, other) { difference |= left ^ right }
        return difference == 0
    }
}
