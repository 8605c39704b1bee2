import MeshHTTP

/// Cookies as the balancer reads and writes them (RFC 6265).
enum RequestCookie {
    /// Where the value of the first cookie called `name` stands in `head`, or nil if there is none. HTTP/2 may bring
    /// cookies in several fields. Names are compared exactly; quotes belong to the value.
    static func value(of name: Span<UInt8>, in head: MessageHead) -> ByteRange? {
        var field = head.firstIndex(of: .cookie)
        while let found = field {
            let range = head[found].valueRange
            if let value = value(of: name, inField: head.span(range)) {
                return ByteRange(Int(range.offset) &+ Int(value.offset), value.count)
            }
            field = head.firstIndex(of: .cookie, from: found &+ 1)
        }
        return nil
    }

    private static func value(of name: Span<UInt8>, inField text: Span<UInt8>) -> ByteRange? {
        var start = 0
        while start < text.count {
            while start < text.count, text[start] == 0x20 || text[start] == UInt8(ascii: ";") { start &+= 1 }
            var end = start
            while end < text.count, text[end] != UInt8(ascii: ";") { end &+= 1 }
            if end &- start > name.count, text[start &+ name.count] == UInt8(ascii: "="),
                matches(text, at: start, name)
            {
                let value = start &+ name.count &+ 1
                while end > value, text[end &- 1] == 0x20 { end &-= 1 }
                return ByteRange(value, end &- value)
            }
            start = end
        }
        return nil
    }

    private static func matches(_ text: Span<UInt8>, at start: Int, _ name: Span<UInt8>) -> Bool {
        var index = 0
        while index < name.count {
            if text[start &+ index] != name[index] { return false }
            index &+= 1
        }
        return true
    }
}

/// A `Set-Cookie` field apart from its value, ready to be copied.
struct ResponseCookie: Sendable {
    private let before: [UInt8]
    private let after: [UInt8]

    /// A cookie that scripts do not see and other sites do not send. Without `maxAge`, in seconds, it ends with the
    /// browser.
    init(name: String, path: String, maxAge: UInt64?) {
        before = Array("\(name)=".utf8)
        let age = maxAge.map { "; Max-Age=\($0)" } ?? ""
        after = Array("; Path=\(path.isEmpty ? "/" : path)\(age); HttpOnly; SameSite=Lax".utf8)
    }

    /// Adds the field to `head`, with what `value` stores there as the cookie's value.
    func append(to head: MessageHead, isSecure: Bool, _ value: (MessageHead) -> Void) {
        let start = head.byteCount
        _ = head.store(before.span)
        value(head)
        _ = head.store(after.span)
        if isSecure { _ = head.store(("; Secure" as StaticString).bytes) }
        head.append(.setCookie, value: head.stored(since: start))
    }
}

/// Numbers as hexadecimal digits of fixed length.
enum HexDigits {
    /// Stores the last `count` digits of `number`.
    static func store(_ number: UInt64, count: Int, in head: MessageHead) {
        var left = count
        while left > 0 {
            left &-= 1
            let digit = UInt8(truncatingIfNeeded: number >> UInt64(4 &* left) & 15)
            head.store(digit < 10 ? 48 &+ digit : 87 &+ digit)
        }
    }

    /// The number that `count` digits from `start` on stand for, or nil if one of them is none.
    static func number(_ text: Span<UInt8>, from start: Int, count: Int) -> UInt64? {
        var number: UInt64 = 0
        var index = start
        while index < start &+ count {
            guard index < text.count, let digit = Grammar.hexValue(text[index]) else { return nil }
            number = number << 4 | UInt64(digit)
            index &+= 1
        }
        return number
    }
}
