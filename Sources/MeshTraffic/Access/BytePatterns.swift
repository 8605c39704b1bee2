import MeshHTTP

/// A set of texts, each meant exactly or, with `*` at its end, as a prefix. Looked up by bisection, without allocation.
struct BytePatterns: Sendable {
    /// Nothing is in the set: what it would describe is not described.
    let isEmpty: Bool
    private let matchesAll: Bool
    private let exact: SortedTexts
    /// None begins with another: the only one that can be a prefix of a text is its predecessor.
    private let prefixes: SortedTexts

    /// The set of `patterns`.
    init(_ patterns: [String]) {
        self.init(
            exact: patterns.filter { !$0.hasSuffix("*") }.map { Array($0.utf8) },
            prefixes: patterns.filter { $0.hasSuffix("*") }.map { Array($0.utf8.dropLast()) })
    }

    /// The set of texts that are in `exact` or begin with one of `prefixes`.
    init(exact: [[UInt8]], prefixes: [[UInt8]] = []) {
        isEmpty = exact.isEmpty && prefixes.isEmpty
        self.exact = SortedTexts(exact.sorted { $0.lexicographicallyPrecedes($1) })
        var kept: [[UInt8]] = []
        for prefix in prefixes.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            if let last = kept.last, prefix.starts(with: last) { continue }
            kept.append(prefix)
        }
        matchesAll = kept.first?.isEmpty ?? false
        self.prefixes = SortedTexts(kept)
    }

    /// True if `text` is described.
    func contains(_ text: Span<UInt8>) -> Bool {
        matchesAll || exact.predecessor(of: text, isWhole: true) || prefixes.predecessor(of: text, isWhole: false)
    }
}

/// Texts in the order of their bytes, in one run of memory.
private struct SortedTexts: Sendable {
    private var bytes: [UInt8] = []
    private var ranges: [ByteRange] = []

    init(_ sorted: [[UInt8]]) {
        for text in sorted {
            ranges.append(ByteRange(bytes.count, text.count))
            bytes += text
        }
    }

    /// True if the last of the texts that does not come after `text` is equal to it, or unless `isWhole` its beginning.
    func predecessor(of text: Span<UInt8>, isWhole: Bool) -> Bool {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low &+ high) / 2
            if comesAfter(ranges[middle], text) { high = middle } else { low = middle &+ 1 }
        }
        guard low > 0 else { return false }
        let range = ranges[low &- 1]
        guard isWhole ? range.count == text.count : range.count <= text.count else { return false }
        return bytes.span.extracting(range).equals(text.extracting(first: range.count))
    }

    private func comesAfter(_ range: ByteRange, _ text: Span<UInt8>) -> Bool {
        let own = bytes.span.extracting(range)
        let count = min(own.count, text.count)
        var index = 0
        while index < count {
            if own[index] != text[index] { return own[index] > text[index] }
            index &+= 1
        }
        return own.count > text.count
    }
}
