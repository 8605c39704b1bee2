import MeshCore
import MeshTLS

/// A one-use token with which a proxy asks for its first certificate: `mt1.ID.SECRET.ROOTHASH`. It also says whom to
/// believe: ROOTHASH is the SHA-256 of the root's DER form, base64 for URLs.
struct JoinToken: Equatable, Sendable {
    /// All of it. A secret: never in a log or an error.
    let text: String
    /// SHA-256 of the root certificate's DER form.
    let root: [UInt8]
    /// The public part, for the log.
    let id: String

    /// Reads `text`, white space around it aside; nil if it is no token.
    init?(_ text: String) {
        let trimmed = text.split(whereSeparator: \.isWhitespace)
        guard trimmed.count == 1, let word = trimmed.first else { return nil }
        let parts = word.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "mt1", !parts[1].isEmpty, !parts[2].isEmpty,
            let root = Base64.decodeURL(String(parts[3])), root.count == 32
        else { return nil }
        self.text = String(word)
        self.root = root
        id = String(parts[1])
    }
}
