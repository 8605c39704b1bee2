import MeshModel

/// Regular expressions: the first line of the input is a pattern, the rest a text. Besides traps and endless loops
/// (libFuzzer's time limit), what must hold between expressions that mean the same.
enum RegexTarget {
    static func run(_ input: [UInt8]) throws(Finding) {
        let parts = input.split(separator: 0x0A, maxSplits: 1, omittingEmptySubsequences: false)
        let text = parts.count > 1 ? Array(parts[1]) : []
        let pattern = String(decoding: parts[0], as: UTF8.self)
        let regex: LinearRegex
        do { regex = try LinearRegex(pattern) } catch {
            try require(error.offset >= 0 && error.offset <= pattern.utf8.count, "an error outside of the pattern")
            return
        }
        let matches = regex.matches(text.span)
        // `(?i)` stands in front, whatever is put around the rest.
        let flag = pattern.hasPrefix("(?i)") ? "(?i)" : ""
        let rest = pattern.dropFirst(flag.count)
        try require(same("\(flag)(?:\(rest))", text) ?? matches == matches, "a group changes the meaning")
        try require(same("\(flag)(?:\(rest)|\(rest))", text) ?? matches == matches, "x|x is not x")
        try require(same("\(flag)(?:\(rest))|", []) ?? true, "x| does not match nothing")
        if matches {
            try require(same("\(flag)(?:\(rest))+", text) ?? true, "x+ does not match what x matches")
            try require(same("\(flag)(?:\(rest)){2}", text + text) ?? true, "x{2} does not match x twice")
            try require(same("\(flag)(?:\(rest))?", text) ?? true, "x? does not match what x matches")
        }
        if !flag.isEmpty, pattern.utf8.allSatisfy({ $0 < 0x80 }) {
            let upper = text.map { (0x61...0x7A).contains($0) ? $0 & 0xDF : $0 }
            try require(regex.matches(upper.span) == matches, "(?i) minds the case")
        }
    }

    /// Whether `pattern` matches; nil if it is none, such as for its size.
    private static func same(_ pattern: String, _ text: [UInt8]) -> Bool? {
        (try? LinearRegex(pattern))?.matches(text.span)
    }
}
