/// A regular expression that takes time linear in the text, whatever the pattern: safe against untrusted text.
///
/// The language is a part of RE2's, over bytes: literals, `.`, classes with ranges and `[:name:]`, `\d \w \s` and
/// their negations, groups `(…)`, `(?:…)`, `(?P<name>…)`, `|`, `* + ? {m} {m,} {m,n}` (also lazy: what matches is the
/// same), `(?i)` in front, and `^ $ \A \z` at the ends, where they change nothing, since a match is always of the
/// whole text. `.` is any byte but a line feed; characters beyond ASCII are allowed outside of classes. There are no
/// back references and no look-around.
///
/// How: the pattern becomes a position automaton (Glushkov 1961), which becomes a table of at most ``maximumStates``
/// states, one look-up per byte. Patterns with larger tables are run as sets of positions, slower but linear too.
public struct LinearRegex: Sendable {
    /// What is wrong with a pattern, and where.
    public struct SyntaxError: Error, Sendable, Equatable, CustomStringConvertible {
        /// What is wrong, without a full stop.
        public let message: String
        /// The byte of the pattern where it is wrong, from 0.
        public let offset: Int

        /// The message with the offset.
        public var description: String { "\(message) at offset \(offset)" }
    }

    /// Bytes of a pattern.
    public static let maximumPattern = 4096
    /// Times that one thing may be repeated, as in RE2.
    public static let maximumRepeat = 1000
    /// Characters of a pattern when all repetitions are written out.
    public static let maximumPositions = 2000
    /// States of a table.
    public static let maximumStates = 512

    /// The pattern as it was written.
    public let pattern: String
    private let automaton: Automaton

    private enum Automaton: Sendable {
        case table(StateTable)
        case positions(PositionAutomaton)
    }

    /// The meaning of `pattern`.
    public init(_ pattern: String) throws(SyntaxError) {
        self.pattern = pattern
        var parser = RegexParser(Array(pattern.utf8))
        let tree = try parser.parse()
        let positions = try PositionAutomaton(tree)
        automaton = if let table = StateTable(positions) { .table(table) } else { .positions(positions) }
    }

    /// True if the whole of `text` fits. Does not allocate.
    public func matches(_ text: Span<UInt8>) -> Bool {
        switch automaton {
        case .table(let table): return table.accepts(table.state(after: text, from: StateTable.start))
        case .positions:
            var run = Run()
            feed(text, to: &run)
            return accepts(run)
        }
    }

    /// How far a text that arrives in pieces has come. Lives on the stack; belongs to one expression and one text.
    public struct Run: Sendable {
        /// The state of a table.
        fileprivate var state = StateTable.start
        /// The positions of an expression without a table.
        fileprivate var positions = PositionAutomaton.Positions.start

        /// Before the first byte.
        public init() {}
    }

    /// Goes on with the next bytes of the text.
    public func feed(_ text: Span<UInt8>, to run: inout Run) {
        switch automaton {
        case .table(let table): run.state = table.state(after: text, from: run.state)
        case .positions(let positions):
            var index = 0
            while index < text.count {
                positions.step(&run.positions, text[index])
                index &+= 1
            }
        }
    }

    /// Goes on with the next byte of the text.
    public func feed(_ byte: UInt8, to run: inout Run) {
        switch automaton {
        case .table(let table): run.state = table.step(run.state, byte)
        case .positions(let positions): positions.step(&run.positions, byte)
        }
    }

    /// True if the text fits as far as it came.
    public func accepts(_ run: Run) -> Bool {
        switch automaton {
        case .table(let table): table.accepts(run.state)
        case .positions(let positions): positions.accepts(run.positions)
        }
    }

    /// True if the whole of `text` fits.
    public func matches(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        return matches(bytes.span)
    }
}

// MARK: - The automata

/// A set of small numbers.
struct BitSet: Sendable, Hashable {
    private(set) var words: [UInt64]

    init(capacity: Int) { words = Array(repeating: 0, count: (capacity + 63) / 64) }

    mutating func insert(_ member: Int) { words[member / 64] |= 1 << UInt64(member % 64) }

    func contains(_ member: Int) -> Bool { words[member / 64] >> UInt64(member % 64) & 1 == 1 }

    mutating func formUnion(_ other: BitSet) {
        for index in words.indices { words[index] |= other.words[index] }
    }

    mutating func formIntersection(_ other: BitSet) {
        for index in words.indices { words[index] &= other.words[index] }
    }

    func isDisjoint(with other: BitSet) -> Bool {
        for index in words.indices where words[index] & other.words[index] != 0 { return false }
        return true
    }

    var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    func forEach(_ body: (Int) -> Void) {
        for (index, word) in words.enumerated() {
            var rest = word
            while rest != 0 {
                body(index * 64 + rest.trailingZeroBitCount)
                rest &= rest - 1
            }
        }
    }
}

/// One position per character of the pattern; `follow` says which may come next. Position 0 is the start.
private struct PositionAutomaton: Sendable {
    /// Positions, the start included.
    let capacity: Int
    /// Which bytes each position takes.
    private(set) var bytes: [ByteSet] = [ByteSet()]
    private(set) var follow: [BitSet] = []
    /// The positions that may end a match.
    private(set) var accepting: BitSet
    /// For every byte the positions that take it.
    private(set) var taking: [BitSet] = []
    /// Words of a set; the sets above, one behind the other.
    private var wordCount = 0
    private var flatFollow: [UInt64] = []
    private var flatTaking: [UInt64] = []
    private var flatAccepting: [UInt64] = []

    private struct Fragment {
        var isNullable: Bool
        var first: BitSet
        var last: BitSet
    }

    init(_ tree: RegexNode) throws(LinearRegex.SyntaxError) {
        capacity = tree.positionCount + 1
        guard capacity <= LinearRegex.maximumPositions else {
            throw .init(message: "the pattern is too large with its repetitions written out", offset: 0)
        }
        accepting = BitSet(capacity: capacity)
        follow = [BitSet(capacity: capacity)]
        let whole = add(tree)
        follow[0] = whole.first
        accepting = whole.last
        if whole.isNullable { accepting.insert(0) }
        taking = (0..<256).map { byte in
            var set = BitSet(capacity: capacity)
            for (position, bytes) in bytes.enumerated() where bytes.contains(UInt8(byte)) { set.insert(position) }
            return set
        }
        flatten()
    }

    private mutating func add(_ node: RegexNode) -> Fragment {
        let empty = BitSet(capacity: capacity)
        switch node {
        case .empty, .startAnchor, .endAnchor:
            return Fragment(isNullable: true, first: empty, last: empty)
        case .bytes(let set):
            var own = empty
            own.insert(bytes.count)
            bytes.append(set)
            follow.append(empty)
            return Fragment(isNullable: false, first: own, last: own)
        case .sequence(let nodes):
            var result = Fragment(isNullable: true, first: empty, last: empty)
            for node in nodes { join(&result, add(node)) }
            return result
        case .alternatives(let nodes):
            var result = Fragment(isNullable: false, first: empty, last: empty)
            for node in nodes {
                let next = add(node)
                result.isNullable = result.isNullable || next.isNullable
                result.first.formUnion(next.first)
                result.last.formUnion(next.last)
            }
            return result
        case .repetition(let node, let minimum, let maximum):
            var result = Fragment(isNullable: true, first: empty, last: empty)
            for _ in 0..<minimum { join(&result, add(node)) }
            guard let maximum else {
                var loop = add(node)
                loop.last.forEach { follow[$0].formUnion(loop.first) }
                loop.isNullable = true
                join(&result, loop)
                return result
            }
            for _ in minimum..<maximum {
                var next = add(node)
                next.isNullable = true
                join(&result, next)
            }
            return result
        }
    }

    private mutating func join(_ left: inout Fragment, _ right: Fragment) {
        left.last.forEach { follow[$0].formUnion(right.first) }
        if left.isNullable { left.first.formUnion(right.first) }
        if right.isNullable { left.last.formUnion(right.last) } else { left.last = right.last }
        left.isNullable = left.isNullable && right.isNullable
    }

    func step(_ state: BitSet, _ byte: UInt8) -> BitSet {
        var next = BitSet(capacity: capacity)
        state.forEach { next.formUnion(follow[$0]) }
        next.formIntersection(taking[Int(byte)])
        return next
    }

    var start: BitSet {
        var start = BitSet(capacity: capacity)
        start.insert(0)
        return start
    }

    // MARK: Matching, without allocation

    /// A set of at most ``LinearRegex/maximumPositions`` positions, on the stack.
    struct Positions: Sendable {
        var words: InlineArray<32, UInt64>

        /// Before the first byte.
        static var start: Positions {
            var words = InlineArray<32, UInt64>(repeating: 0)
            words[0] = 1
            return Positions(words: words)
        }
    }

    /// Lays the sets out for ``step(_:_:)``, once all positions are known.
    private mutating func flatten() {
        wordCount = (capacity + 63) / 64
        flatFollow = follow.flatMap(\.words)
        flatTaking = taking.flatMap(\.words)
        flatAccepting = accepting.words
    }

    func step(_ positions: inout Positions, _ byte: UInt8) {
        var next = InlineArray<32, UInt64>(repeating: 0)
        var word = 0
        while word < wordCount {
            var rest = positions.words[word]
            while rest != 0 {
                let row = (word &* 64 &+ rest.trailingZeroBitCount) &* wordCount
                rest &= rest &- 1
                var column = 0
                while column < wordCount {
                    next[column] |= flatFollow[row &+ column]
                    column &+= 1
                }
            }
            word &+= 1
        }
        word = 0
        while word < wordCount {
            positions.words[word] = next[word] & flatTaking[Int(byte) &* wordCount &+ word]
            word &+= 1
        }
    }

    func accepts(_ positions: Positions) -> Bool {
        var word = 0
        while word < wordCount {
            if positions.words[word] & flatAccepting[word] != 0 { return true }
            word &+= 1
        }
        return false
    }
}

/// The sets of positions that can occur, numbered. State 0 is the empty one, state 1 the start.
private struct StateTable: Sendable {
    private let classes: [UInt8]
    private let classCount: Int
    private let next: [UInt16]
    private let accepting: [Bool]

    /// Nil if there are too many states.
    init?(_ automaton: PositionAutomaton) {
        guard automaton.capacity <= LinearRegex.maximumStates else { return nil }
        var kinds: [BitSet: UInt8] = [:]
        var representatives: [UInt8] = []
        var classes: [UInt8] = []
        for byte in UInt8.min...UInt8.max {
            let taking = automaton.taking[Int(byte)]
            if kinds[taking] == nil {
                kinds[taking] = UInt8(representatives.count)
                representatives.append(byte)
            }
            classes.append(kinds[taking] ?? 0)
        }
        var states = [BitSet(capacity: automaton.capacity), automaton.start]
        var numbers = [states[0]: UInt16(0), states[1]: UInt16(1)]
        var next: [UInt16] = []
        var index = 0
        while index < states.count {
            for byte in representatives {
                let target = automaton.step(states[index], byte)
                if numbers[target] == nil {
                    guard states.count < LinearRegex.maximumStates else { return nil }
                    numbers[target] = UInt16(states.count)
                    states.append(target)
                }
                next.append(numbers[target] ?? 0)
            }
            index += 1
        }
        self.classes = classes
        classCount = representatives.count
        self.next = next
        accepting = states.map { !$0.isDisjoint(with: automaton.accepting) }
    }

    /// The state before the first byte.
    static let start = 1

    func step(_ state: Int, _ byte: UInt8) -> Int { Int(next[state &* classCount &+ Int(classes[Int(byte)])]) }

    func state(after text: Span<UInt8>, from start: Int) -> Int {
        var state = start
        var index = 0
        while index < text.count, state != 0 {
            state = step(state, text[index])
            index &+= 1
        }
        return state
    }

    func accepts(_ state: Int) -> Bool { accepting[state] }
}
