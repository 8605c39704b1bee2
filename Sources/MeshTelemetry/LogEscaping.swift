import MeshHTTP

/// How values stand in a line of the access log.
enum LogStyle: Sendable, Equatable {
    /// In JSON (RFC 8259).
    case json
    /// In a text format, between quotation marks of that format.
    case quoted
    /// In a text format, where a space ends a value.
    case bare
}

/// Writes values of strangers so that no byte of them can end a line, a field or a string, move a terminal's cursor
/// or turn its direction of writing.
///
/// In JSON, control characters are `\u00XX`, and a byte that is not UTF-8 is the text `\xHH` (`\\xHH` in the source). In
/// text, both are `\xHH`, a quotation mark `\"` and a backslash `\\`; outside of quotation marks a space is `\x20`.
enum LogEscaping {
    /// Bytes of a value that are written; the rest becomes `...`.
    static let maximumValue = 4096

    /// Appends `value` without quotation marks around it.
    static func append(_ value: Span<UInt8>, _ style: LogStyle, to line: inout [UInt8]) {
        var index = 0
        while index < value.count {
            let start = index
            while index < value.count, isPlain(value[index], style) { index &+= 1 }
            if index > start { line.put(value.extracting(start..<index)) }
            guard index < value.count else { return }
            let byte = value[index]
            if byte < 0x80 {
                append(ascii: byte, style, to: &line)
                index &+= 1
                continue
            }
            let length = UTF8Sequence.length(value, at: index)
            if length == 0 {
                if style == .json { line.append(UInt8(ascii: "\\")) }
                append(byte: byte, to: &line)
                index &+= 1
            } else {
                append(character: value.extracting(index..<(index &+ length)), style, to: &line)
                index &+= length
            }
        }
    }

    @inline(__always)
    private static func isPlain(_ byte: UInt8, _ style: LogStyle) -> Bool {
        byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
            || byte == 0x20 && style != .bare
    }

    private static func append(ascii byte: UInt8, _ style: LogStyle, to line: inout [UInt8]) {
        if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
            line.append(UInt8(ascii: "\\"))
            line.append(byte)
        } else if style == .json {
            append(scalar: UInt32(byte), to: &line)
        } else {
            append(byte: byte, to: &line)
        }
    }

    private static func append(character: Span<UInt8>, _ style: LogStyle, to line: inout [UInt8]) {
        guard isUnsafe(UTF8Sequence.scalar(character)) else { return line.put(character) }
        if style == .json { return append(scalar: UTF8Sequence.scalar(character), to: &line) }
        for index in 0..<character.count { append(byte: character[index], to: &line) }
    }

    /// `\xHH`.
    private static func append(byte: UInt8, to line: inout [UInt8]) {
        line.put("\\x")
        line.put(hex: UInt64(byte), digits: 2)
    }

    /// `\uXXXX`; all scalars that are escaped fit four digits.
    private static func append(scalar: UInt32, to line: inout [UInt8]) {
        line.put("\\u")
        line.put(hex: UInt64(scalar), digits: 4)
    }

    /// C1 controls, line and paragraph separators, and everything that changes the direction of writing.
    private static func isUnsafe(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x80...0x9F, 0x061C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xFEFF: true
        default: false
        }
    }
}

/// UTF-8 as the Unicode Standard defines it (table 3-7): no overlong forms, no surrogates, nothing above U+10FFFF.
enum UTF8Sequence {
    /// The length of the well-formed sequence at `index`, 0 if there is none.
    static func length(_ bytes: Span<UInt8>, at index: Int) -> Int {
        let first = bytes[index]
        var (low, high): (UInt8, UInt8) = (0x80, 0xBF)
        let length: Int
        switch first {
        case 0...0x7F: return 1
        case 0xC2...0xDF: length = 2
        case 0xE0: (length, low) = (3, 0xA0)
        case 0xED: (length, high) = (3, 0x9F)
        case 0xE1...0xEF: length = 3
        case 0xF0: (length, low) = (4, 0x90)
        case 0xF4: (length, high) = (4, 0x8F)
        case 0xF1...0xF3: length = 4
        default: return 0
        }
        guard length <= bytes.count &- index, bytes[index &+ 1] >= low, bytes[index &+ 1] <= high else { return 0 }
        var offset = 2
        while offset < length {
            guard bytes[index &+ offset] & 0xC0 == 0x80 else { return 0 }
            offset &+= 1
        }
        return length
    }

    /// The scalar of a well-formed sequence of two to four bytes.
    static func scalar(_ bytes: Span<UInt8>) -> UInt32 {
        var value = UInt32(bytes[0]) & (0x7F >> UInt32(bytes.count))
        var index = 1
        while index < bytes.count {
            value = value << 6 | UInt32(bytes[index] & 0x3F)
            index &+= 1
        }
        return value
    }
}
