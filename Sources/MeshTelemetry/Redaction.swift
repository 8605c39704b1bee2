import MeshHTTP

/// What an access log does not say: whoever reads logs should not be able to act as the users in them.
enum Redaction {
    /// Header fields that no format may ask for.
    static let refusedHeaders: [String] = [
        "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "apikey",
        "x-auth-token", "x-access-token", "x-csrf-token", "x-xsrf-token", "x-amz-security-token", "x-vault-token",
    ]

    /// Query parameters whose values are replaced, in lower case; written in percent encoding they are found too.
    static let secretParameters: [StaticString] = [
        "access_token", "api-key", "api_key", "apikey", "auth", "authorization", "client_assertion", "client_secret",
        "code", "credentials", "id_token", "jwt", "key", "pass", "passwd", "password", "private_key", "pwd",
        "refresh_token", "secret", "session", "session_id", "sessionid", "sig", "signature", "token",
        "x-amz-credential", "x-amz-security-token", "x-amz-signature", "x-goog-signature",
    ]

    /// Where the next secret value of `text` stands, from `position` on; nil if there is none any more.
    ///
    /// A parameter begins at the start or behind one of `? & ; #`, its value behind the next `=`.
    static func next(in text: Span<UInt8>, from position: Int) -> Range<Int>? {
        var index = position
        while index < text.count {
            if index > 0 && !separates(text[index &- 1]) {
                index &+= 1
                continue
            }
            let start = index
            while index < text.count, text[index] != UInt8(ascii: "="), !separates(text[index]) { index &+= 1 }
            guard index < text.count, text[index] == UInt8(ascii: "=") else {
                index &+= 1
                continue
            }
            let isSecret = isSecret(text.extracting(start..<index))
            index &+= 1
            let value = index
            while index < text.count, !separates(text[index]) { index &+= 1 }
            if isSecret && index > value { return value..<index }
        }
        return nil
    }

    private static func separates(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "?") || byte == UInt8(ascii: "&") || byte == UInt8(ascii: ";") || byte == UInt8(ascii: "#")
    }

    private static func isSecret(_ name: Span<UInt8>) -> Bool {
        var index = 0
        while index < name.count, name[index] != UInt8(ascii: "%") { index &+= 1 }
        let isEncoded = index < name.count
        for secret in secretParameters {
            let plain = secret.bytes
            if isEncoded ? isEncoding(name, of: plain) : name.count == plain.count && name.equalsIgnoringCase(plain) {
                return true
            }
        }
        return false
    }

    /// True if `name` without its percent encoding is `plain`, compared without case.
    private static func isEncoding(_ name: Span<UInt8>, of plain: Span<UInt8>) -> Bool {
        guard name.count >= plain.count, name.count <= 3 &* plain.count else { return false }
        var (index, matched) = (0, 0)
        while index < name.count {
            guard matched < plain.count else { return false }
            var byte = name[index]
            index &+= 1
            if byte == UInt8(ascii: "%"), index &+ 1 < name.count, let high = Grammar.hexValue(name[index]),
                let low = Grammar.hexValue(name[index &+ 1])
            {
                byte = UInt8(truncatingIfNeeded: high << 4 | low)
                index &+= 2
            }
            if byte.lowercased != plain[matched] { return false }
            matched &+= 1
        }
        return matched == plain.count
    }
}
