/// A YAML value that knows where it was written.
struct YAMLNode: Sendable {
    /// One field of a mapping.
    struct Entry: Sendable {
        var key: String
        var line: Int
        var column: Int
        var value: YAMLNode
    }

    /// What a node can be.
    indirect enum Content: Sendable {
        case null
        /// `plain` if it was written without quotes, so that `true` is a boolean and `"true"` a string.
        case scalar(String, plain: Bool)
        case sequence([YAMLNode])
        case mapping([Entry])
    }

    /// Line of the first character, from 1.
    var line: Int
    /// Column of the first character in Unicode scalars, from 1.
    var column: Int
    var content: Content

    /// The same, written so many lines further up.
    func moved(up lines: Int) -> YAMLNode {
        var node = self
        node.line -= lines
        switch content {
        case .null, .scalar: break
        case .sequence(let items): node.content = .sequence(items.map { $0.moved(up: lines) })
        case .mapping(let entries):
            node.content = .mapping(
                entries.map { entry in
                    Entry(
                        key: entry.key, line: entry.line - lines, column: entry.column,
                        value: entry.value.moved(up: lines))
                })
        }
        return node
    }

    /// What the node is, for messages.
    var kindName: String {
        switch content {
        case .null: "nothing"
        case .scalar(let text, let plain): plain ? PlainScalar(text).name : "a string"
        case .sequence: "a list"
        case .mapping: "a mapping"
        }
    }
}

/// What YAML makes of a scalar without quotes; the same rules as Kubernetes (YAML 1.1 booleans included), so that a
/// file that is accepted here is accepted there.
enum PlainScalar: Equatable {
    case null
    case boolean(Bool)
    case integer(Int)
    /// A number that is not an `Int`.
    case number
    case string

    init(_ text: String) {
        switch text {
        case "", "~", "null", "Null", "NULL": self = .null
        case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON": self = .boolean(true)
        case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF": self = .boolean(false)
        case ".inf", "-.inf", "+.inf", ".nan", ".NaN", ".NAN", ".Inf", ".INF": self = .number
        default: self = Self.numeric(text)
        }
    }

    private static func numeric(_ text: String) -> PlainScalar {
        let bytes = Array(text.utf8)
        guard let first = bytes.first, first == 0x2B || first == 0x2D || first == 0x2E || (0x30...0x39).contains(first)
        else { return .string }
        let digits = bytes.first == 0x2B || bytes.first == 0x2D ? bytes.dropFirst() : bytes[...]
        guard !digits.isEmpty else { return .string }
        if digits.starts(with: [0x30, 0x78]) || digits.starts(with: [0x30, 0x6F]) {
            let rest = String(decoding: digits.dropFirst(2), as: UTF8.self)
            let radix = digits[digits.startIndex + 1] == 0x78 ? 16 : 8
            return Int(rest, radix: radix).map { .integer($0) } ?? .string
        }
        if digits.allSatisfy({ (0x30...0x39).contains($0) }) {
            return Int(text).map { .integer($0) } ?? .number
        }
        return isDecimalFraction(digits) ? .number : .string
    }

    private static func isDecimalFraction(_ digits: ArraySlice<UInt8>) -> Bool {
        var seenDigit = false
        var seenDot = false
        var rest = digits
        while let byte = rest.first {
            if (0x30...0x39).contains(byte) {
                seenDigit = true
            } else if byte == 0x2E, !seenDot {
                seenDot = true
            } else {
                break
            }
            rest = rest.dropFirst()
        }
        guard seenDigit else { return false }
        if rest.isEmpty { return true }
        guard rest.first == 0x65 || rest.first == 0x45 else { return false }
        rest = rest.dropFirst()
        if rest.first == 0x2B || rest.first == 0x2D { rest = rest.dropFirst() }
        return !rest.isEmpty && rest.allSatisfy { (0x30...0x39).contains($0) }
    }

    /// What it is, for messages.
    var name: String {
        switch self {
        case .null: "nothing"
        case .boolean: "a boolean"
        case .integer: "an integer"
        case .number: "a number"
        case .string: "a string"
        }
    }
}
