import COpenSSL

/// Digests that protocols ask for.
public enum Digest {
    /// SHA-1 of `bytes`, 20 bytes: for the WebSocket handshake (RFC 6455 §4.2.2), which is no secret.
    public static func sha1(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 20)
        // SAFETY: SHA-1 writes 20 bytes; both arrays live during the call.
        unsafe SHA1(bytes, bytes.count, &digest)
        return digest
    }
}

/// Base64 with padding (RFC 4648 §4).
public enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// The text of `bytes`, ASCII.
    public static func encode(_ bytes: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let left = bytes.count - start
            let second = left > 1 ? Int(bytes[start + 1]) : 0
            let third = left > 2 ? Int(bytes[start + 2]) : 0
            let group = Int(bytes[start]) << 16 | second << 8 | third
            text.append(alphabet[group >> 18])
            text.append(alphabet[group >> 12 & 63])
            text.append(left > 1 ? alphabet[group >> 6 & 63] : UInt8(ascii: "="))
            text.append(left > 2 ? alphabet[group & 63] : UInt8(ascii: "="))
        }
        return text
    }
}

extension Base64 {
    /// The bytes that `text` stands for, in the alphabet for URLs (RFC 4648 §5), with or without padding; nil if it
    /// is none.
    public static func decodeURL(_ text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        var (group, bits): (UInt32, UInt32) = (0, 0)
        var symbols = Array(text.utf8)
        while symbols.last == UInt8(ascii: "=") { symbols.removeLast() }
        for byte in symbols {
            let value: UInt8
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = byte &- 65
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = byte &- 71
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = byte &+ 4
            case UInt8(ascii: "-"), UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "_"), UInt8(ascii: "/"): value = 63
            default: return nil
            }
            group = (group << 6 | UInt32(value)) & 0xFFFF
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: group >> bits))
            }
        }
        return bits < 6 ? bytes : nil
    }
}
