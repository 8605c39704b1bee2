/// Character classes of RFC 9110 §5.6 and RFC 3986, and the checks that HTTP/1 and HTTP/2 share.
public enum Grammar {
    /// `tchar`: what a method or a field name is made of (RFC 9110 §5.6.2).
    @inlinable
    @inline(__always)
    public static func isToken(_ byte: UInt8) -> Bool {
        // One bit per character: 0x21, 0x23–0x27, 0x2A, 0x2B, 0x2D, 0x2E, digits | letters, 0x5E–0x60, 0x7C, 0x7E.
        let mask: UInt64 = byte < 64 ? 0x03FF_6CFA_0000_0000 : byte < 128 ? 0x57FF_FFFF_C7FF_FFFE : 0
        return mask >> UInt64(byte & 63) & 1 == 1
    }

    /// What a field value may hold: tab, space, visible characters and obs-text (RFC 9110 §5.5).
    @inlinable
    @inline(__always)
    public static func isFieldValue(_ byte: UInt8) -> Bool { (byte >= 0x20 && byte != 0x7F) || byte == 0x09 }

    /// What a request target may hold: visible ASCII without the fragment mark.
    @inlinable
    @inline(__always)
    public static func isTarget(_ byte: UInt8) -> Bool { byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "#") }

    /// True if `bytes` is a non-empty token.
    public static func isToken(_ bytes: Span<UInt8>) -> Bool {
        var index = 0
        while index < bytes.count {
            if !isToken(bytes[index]) { return false }
            index &+= 1
        }
        return bytes.count > 0
    }

    /// True if `bytes` may follow a colon as a field value.
    public static func isFieldValue(_ bytes: Span<UInt8>) -> Bool {
        var index = 0
        while index < bytes.count {
            if !isFieldValue(bytes[index]) { return false }
            index &+= 1
        }
        return true
    }

    /// True if `bytes` is a path with optional query in origin form.
    public static func isPath(_ bytes: Span<UInt8>) -> Bool {
        guard bytes.count > 0, bytes[0] == UInt8(ascii: "/") else { return false }
        var index = 0
        while index < bytes.count {
            if !isTarget(bytes[index]) { return false }
            index &+= 1
        }
        return true
    }

    /// True if `bytes` is `host [":" port]`: a name, an IPv4 address or an IPv6 address in brackets, no user info, and
    /// a port of at most 65535 (RFC 9110 §7.2, RFC 3986 §3.2).
    public static func isAuthority(_ bytes: Span<UInt8>) -> Bool {
        guard bytes.count > 0, bytes.count <= 261 else { return false }
        var index = 0
        if bytes[0] == UInt8(ascii: "[") {
            index = 1
            while index < bytes.count,
                isHex(bytes[index]) || bytes[index] == UInt8(ascii: ":")
                    || bytes[index] == UInt8(ascii: ".")
            {
                index &+= 1
            }
            guard index > 2, index < bytes.count, bytes[index] == UInt8(ascii: "]") else { return false }
            index &+= 1
        } else {
            while index < bytes.count, isHostName(bytes[index]) { index &+= 1 }
            guard index > 0 else { return false }
        }
        if index == bytes.count { return true }
        return bytes[index] == UInt8(ascii: ":") && isPort(bytes.extracting(droppingFirst: index &+ 1))
    }

    private static func isHostName(_ byte: UInt8) -> Bool {
        let letter = (byte | 0x20) &- UInt8(ascii: "a") < 26
        let digit = byte &- UInt8(ascii: "0") < 10
        return letter || digit || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_")
    }

    private static func isPort(_ bytes: Span<UInt8>) -> Bool {
        guard let port = decimal(bytes) else { return false }
        return port <= 65_535
    }

    /// True for `0`–`9`, `a`–`f`, `A`–`F`.
    @inlinable
    public static func isHex(_ byte: UInt8) -> Bool { hexValue(byte) != nil }

    /// The value of a hexadecimal digit, or nil.
    @inlinable
    @inline(__always)
    public static func hexValue(_ byte: UInt8) -> Int? {
        if byte &- UInt8(ascii: "0") < 10 { return Int(byte &- UInt8(ascii: "0")) }
        let letter = byte | 0x20
        if letter &- UInt8(ascii: "a") < 6 { return Int(letter &- UInt8(ascii: "a")) &+ 10 }
        return nil
    }

    /// True if a Content-Type of this value says gRPC: it begins with `application/grpc`, in any case.
    public static func isGRPC(contentType value: Span<UInt8>) -> Bool {
        value.startsIgnoringCase(with: "application/grpc")
    }

    /// The value of 1 to 18 decimal digits and nothing else, or nil. 18 digits always fit an `Int`.
    public static func decimal(_ bytes: Span<UInt8>) -> Int? {
        guard bytes.count > 0, bytes.count <= 18 else { return nil }
        var value = 0
        var index = 0
        while index < bytes.count {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            value = value &* 10 &+ Int(digit)
            index &+= 1
        }
        return value
    }
}
