/// A set of bytes.
struct ByteSet: Sendable, Equatable {
    private var low: (UInt64, UInt64) = (0, 0)
    private var high: (UInt64, UInt64) = (0, 0)

    init() {}

    init(_ ranges: ClosedRange<UInt8>...) {
        for range in ranges { insert(range) }
    }

    mutating func insert(_ byte: UInt8) {
        let bit: UInt64 = 1 << UInt64(byte & 63)
        switch byte >> 6 {
        case 0: low.0 |= bit
        case 1: low.1 |= bit
        case 2: high.0 |= bit
        default: high.1 |= bit
        }
    }

    mutating func insert(_ range: ClosedRange<UInt8>) {
        for byte in range { insert(byte) }
    }

    func contains(_ byte: UInt8) -> Bool {
        let word =
            switch byte >> 6 {
            case 0: low.0
            case 1: low.1
            case 2: high.0
            default: high.1
            }
        return word >> UInt64(byte & 63) & 1 == 1
    }

    mutating func formUnion(_ other: ByteSet) {
        low = (low.0 | other.low.0, low.1 | other.low.1)
        high = (high.0 | other.high.0, high.1 | other.high.1)
    }

    var inverted: ByteSet {
        var result = self
        result.low = (~low.0, ~low.1)
        result.high = (~high.0, ~high.1)
        return result
    }

    /// With the other case of every letter.
    var ignoringCase: ByteSet {
        var result = self
        for letter in UInt8(ascii: "a")...UInt8(ascii: "z") where contains(letter) || contains(letter - 32) {
            result.insert(letter)
            result.insert(letter - 32)
        }
        return result
    }

    static func == (left: Self, right: Self) -> Bool { left.low == right.low && left.high == right.high }
}

/// What a pattern says.
indirect enum RegexNode: Sendable {
    case empty
    case startAnchor(offset: Int)
    case endAnchor(offset: Int)
    case bytes(ByteSet)
    case sequence([RegexNode])
    case alternatives([RegexNode])
    case repetition(RegexNode, Int, Int?)

    /// True for what takes no character and is no anchor, as it is written.
    var isEmpty: Bool {
        if case .empty = self { return true }
        return false
    }

    /// Characters when all repetitions are written out; a large number stands for all that are too large.
    var positionCount: Int {
        switch self {
        case .empty, .startAnchor, .endAnchor: 0
        case .bytes: 1
        case .sequence(let nodes), .alternatives(let nodes): nodes.reduce(0) { min($0 + $1.positionCount, 1_000_000) }
        case .repetition(let node, let minimum, let maximum):
            // An open end is one copy more, which loops.
            min(node.positionCount * (maximum ?? minimum + 1), 1_000_000)
        }
    }
}

/// Reads the language of ``LinearRegex``.
struct RegexParser {
    private typealias SyntaxError = LinearRegex.SyntaxError

    private let pattern: [UInt8]
    private var position = 0
    private var depth = 0
    private var ignoresCase = false

    private static let maximumDepth = 50

    init(_ pattern: [UInt8]) { self.pattern = pattern }

    mutating func parse() throws(LinearRegex.SyntaxError) -> RegexNode {
        guard pattern.count <= LinearRegex.maximumPattern else {
            throw error("the pattern is longer than \(LinearRegex.maximumPattern) bytes", LinearRegex.maximumPattern)
        }
        if pattern.starts(with: "(?i)".utf8) {
            ignoresCase = true
            position = 4
        }
        let tree = try alternatives()
        if position < pattern.count { throw error("')' without '('") }
        try checkAnchors(tree, isFirst: true, isLast: true)
        return tree
    }

    private func error(_ message: String, _ offset: Int? = nil) -> LinearRegex.SyntaxError {
        LinearRegex.SyntaxError(message: message, offset: offset ?? position)
    }

    private var current: UInt8? { position < pattern.count ? pattern[position] : nil }

    private mutating func take(_ text: String) -> Bool {
        guard pattern[position...].starts(with: text.utf8) else { return false }
        position += text.utf8.count
        return true
    }

    private mutating func alternatives() throws(LinearRegex.SyntaxError) -> RegexNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else { throw error("groups are nested too deeply") }
        var branches = [try sequence()]
        while take("|") {
            let branch = try sequence()
            // Nothing a second time changes nothing.
            if !branch.isEmpty || !branches.contains(where: \.isEmpty) { branches.append(branch) }
        }
        return branches.count == 1 ? branches[0] : .alternatives(branches)
    }

    private mutating func sequence() throws(LinearRegex.SyntaxError) -> RegexNode {
        var nodes: [RegexNode] = []
        while let byte = current, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
            let start = position
            var node = try atom(byte)
            if let (minimum, maximum) = try quantifier() {
                if hasAnchor(node) { throw error("an anchor cannot be repeated", start) }
                node = .repetition(node, minimum, maximum)
                let next = position
                if try quantifier() != nil { throw error("a repetition cannot be repeated", next) }
                // Written out, nothing repeated 1000 times within 1000 times … would take for ever.
                if node.positionCount == 0 { node = .empty }
            }
            if !node.isEmpty { nodes.append(node) }
        }
        return nodes.count == 1 ? nodes[0] : nodes.isEmpty ? .empty : .sequence(nodes)
    }

    private mutating func atom(_ byte: UInt8) throws(LinearRegex.SyntaxError) -> RegexNode {
        let start = position
        position += 1
        switch byte {
        case UInt8(ascii: "("): return try group(start)
        case UInt8(ascii: "["): return .bytes(try set(start))
        case UInt8(ascii: "."): return .bytes(ByteSet(10...10).inverted)
        case UInt8(ascii: "^"): return .startAnchor(offset: start)
        case UInt8(ascii: "$"): return .endAnchor(offset: start)
        case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"):
            throw error("nothing to repeat", start)
        case UInt8(ascii: "\\"):
            if take("A") { return .startAnchor(offset: start) }
            if take("z") { return .endAnchor(offset: start) }
            let escaped = try escape(start)
            return .bytes(ignoresCase ? escaped.ignoringCase : escaped)
        case 0x80...:
            // One character beyond ASCII is one thing to repeat: lead byte and continuation bytes together.
            var nodes = [RegexNode.bytes(ByteSet(byte...byte))]
            while let next = current, next & 0xC0 == 0x80 {
                nodes.append(.bytes(ByteSet(next...next)))
                position += 1
            }
            return .sequence(nodes)
        default:
            let set = ByteSet(byte...byte)
            return .bytes(ignoresCase ? set.ignoringCase : set)
        }
    }

    private mutating func group(_ start: Int) throws(LinearRegex.SyntaxError) -> RegexNode {
        if take("?P<") || take("?<") {
            while let byte = current, byte != UInt8(ascii: ">"), byte != UInt8(ascii: ")") {
                // `(?<=` and `(?<!` are look-behind.
                guard byte == UInt8(ascii: "_") || Self.word.contains(byte) else {
                    throw error("this kind of group is not supported", start)
                }
                position += 1
            }
            guard take(">") else { throw error("the group's name has no end", start) }
        } else if !take("?:"), current == UInt8(ascii: "?") {
            throw error("this kind of group is not supported", start)
        }
        let node = try alternatives()
        guard take(")") else { throw error("'(' without ')'", start) }
        return node
    }

    /// `* + ? {m} {m,} {m,n}`, lazy or not; nil if there is none. A brace that starts none of them is a literal.
    private mutating func quantifier() throws(LinearRegex.SyntaxError) -> (Int, Int?)? {
        let start = position
        let result: (Int, Int?)
        if take("*") {
            result = (0, nil)
        } else if take("+") {
            result = (1, nil)
        } else if take("?") {
            result = (0, 1)
        } else if take("{") {
            guard let minimum = number() else {
                position = start
                return nil
            }
            var maximum: Int? = minimum
            if take(",") { maximum = number() }
            guard take("}") else {
                position = start
                return nil
            }
            guard max(minimum, maximum ?? 0) <= LinearRegex.maximumRepeat, minimum <= maximum ?? minimum else {
                throw error("repetition is not m ≤ n ≤ \(LinearRegex.maximumRepeat)", start)
            }
            result = (minimum, maximum)
        } else {
            return nil
        }
        _ = take("?")
        return result
    }

    /// Decimal digits, or nil if there are none; large numbers stop at one that is too large anyway.
    private mutating func number() -> Int? {
        let start = position
        var value = 0
        while let byte = current, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
            value = min(value * 10 + Int(byte - UInt8(ascii: "0")), LinearRegex.maximumRepeat + 1)
            position += 1
        }
        return position > start ? value : nil
    }

    /// Behind a backslash.
    private mutating func escape(_ start: Int) throws(LinearRegex.SyntaxError) -> ByteSet {
        guard let byte = current else { throw error("nothing after '\\'", start) }
        position += 1
        switch byte {
        case UInt8(ascii: "d"): return Self.digit
        case UInt8(ascii: "D"): return Self.digit.inverted
        case UInt8(ascii: "w"): return Self.word
        case UInt8(ascii: "W"): return Self.word.inverted
        case UInt8(ascii: "s"): return Self.space
        case UInt8(ascii: "S"): return Self.space.inverted
        case UInt8(ascii: "t"): return ByteSet(9...9)
        case UInt8(ascii: "n"): return ByteSet(10...10)
        case UInt8(ascii: "v"): return ByteSet(11...11)
        case UInt8(ascii: "f"): return ByteSet(12...12)
        case UInt8(ascii: "r"): return ByteSet(13...13)
        case UInt8(ascii: "x"):
            guard let high = hexDigit(), let low = hexDigit() else { throw error("'\\x' wants two digits", start) }
            return ByteSet((high << 4 | low)...(high << 4 | low))
        case 0x80...: throw error("this escape is not supported", start)
        default:
            guard !Self.word.contains(byte) || byte == UInt8(ascii: "_") else {
                throw error("this escape is not supported", start)
            }
            return ByteSet(byte...byte)
        }
    }

    private mutating func hexDigit() -> UInt8? {
        guard let byte = current else { return nil }
        position += 1
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): return byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): return byte - UInt8(ascii: "A") + 10
        default: return nil
        }
    }

    /// Behind `[`, up to and with `]`.
    private mutating func set(_ start: Int) throws(LinearRegex.SyntaxError) -> ByteSet {
        var result = ByteSet()
        let isInverted = take("^")
        var isFirst = true
        while let byte = current, isFirst || byte != UInt8(ascii: "]") {
            isFirst = false
            if byte == UInt8(ascii: "["), let named = namedSet() {
                result.formUnion(named)
                continue
            }
            let (low, single) = try member(byte)
            guard let first = single, position + 1 < pattern.count, pattern[position] == UInt8(ascii: "-"),
                pattern[position + 1] != UInt8(ascii: "]")
            else {
                result.formUnion(low)
                continue
            }
            let range = position
            position += 1
            guard let last = try member(pattern[position]).single, first <= last else {
                throw error("the range is empty or has no bounds", range)
            }
            result.insert(first...last)
        }
        guard take("]") else { throw error("'[' without ']'", start) }
        if ignoresCase { result = result.ignoringCase }
        return isInverted ? result.inverted : result
    }

    /// One member of a class, which may be a class itself; `single` if it is one byte.
    private mutating func member(_ byte: UInt8) throws(LinearRegex.SyntaxError) -> (set: ByteSet, single: UInt8?) {
        let start = position
        guard byte < 0x80 else { throw error("only ASCII can stand in a class") }
        position += 1
        guard byte == UInt8(ascii: "\\") else { return (ByteSet(byte...byte), byte) }
        let set = try escape(start)
        var only: UInt8?
        for candidate in UInt8.min...UInt8.max where set.contains(candidate) {
            if only != nil { return (set, nil) }
            only = candidate
        }
        return (set, only)
    }

    private mutating func namedSet() -> ByteSet? {
        for (name, set) in Self.named where take("[:\(name):]") { return set }
        return nil
    }

    private func hasAnchor(_ node: RegexNode) -> Bool {
        switch node {
        case .startAnchor, .endAnchor: true
        case .empty, .bytes: false
        case .sequence(let nodes), .alternatives(let nodes): nodes.contains(where: hasAnchor)
        case .repetition(let node, _, _): hasAnchor(node)
        }
    }

    /// Anchors are allowed where they say what is so anyway: nothing is before a `^` or behind a `$`.
    private func checkAnchors(
        _ node: RegexNode, isFirst: Bool, isLast: Bool
    ) throws(LinearRegex.SyntaxError) {
        switch node {
        case .startAnchor(let offset):
            if !isFirst { throw error("'^' can only stand at the start", offset) }
        case .endAnchor(let offset):
            if !isLast { throw error("'$' can only stand at the end", offset) }
        case .empty, .bytes, .repetition: break
        case .alternatives(let nodes):
            for node in nodes { try checkAnchors(node, isFirst: isFirst, isLast: isLast) }
        case .sequence(let nodes):
            for (index, node) in nodes.enumerated() {
                try checkAnchors(
                    node, isFirst: isFirst && index == 0, isLast: isLast && index == nodes.count - 1)
            }
        }
    }

    private static let digit = ByteSet(48...57)
    private static let word = ByteSet(48...57, 65...90, 95...95, 97...122)
    private static let space = ByteSet(9...10, 12...13, 32...32)
    private static let named: [(String, ByteSet)] = [
        ("alnum", ByteSet(48...57, 65...90, 97...122)), ("alpha", ByteSet(65...90, 97...122)), ("digit", digit),
        ("lower", ByteSet(97...122)), ("upper", ByteSet(65...90)), ("word", word),
        ("xdigit", ByteSet(48...57, 65...70, 97...102)),
        ("space", ByteSet(9...13, 32...32)), ("blank", ByteSet(9...9, 32...32)),
        ("punct", ByteSet(33...47, 58...64, 91...96, 123...126)), ("graph", ByteSet(33...126)),
        ("print", ByteSet(32...126)),
    ]
}
