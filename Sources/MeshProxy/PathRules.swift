import MeshHTTP

/// What a path may hold at the edge. Two readings of one path are how access rules get bypassed, so that everything
/// with two readings is refused: dot segments, encoded slashes, backslashes, encoded dots, NUL, broken escapes.
enum PathRules {
    /// True if every reader of the request's path sees the same path.
    static func isSafe(_ request: MessageHead) -> Bool {
        let target = request.span(request.pathRange)
        var index = 0
        var segment = 0
        while index < target.count {
            let byte = target[index]
            if byte == UInt8(ascii: "?") { break }
            if byte == UInt8(ascii: "\\") { return false }
            if byte == UInt8(ascii: "/") {
                if isDots(target, segment, index) { return false }
                segment = index &+ 1
            }
            if byte == UInt8(ascii: "%") {
                guard index &+ 2 < target.count, let high = Grammar.hexValue(target[index &+ 1]),
                    let low = Grammar.hexValue(target[index &+ 2])
                else { return false }
                switch high &* 16 &+ low {
                case 0x00, 0x2E, 0x2F, 0x5C: return false
                default: index &+= 2
                }
            }
            index &+= 1
        }
        return !isDots(target, segment, index)
    }

    private static func isDots(_ target: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
        switch end &- start {
        case 1: target[start] == UInt8(ascii: ".")
        case 2: target[start] == UInt8(ascii: ".") && target[start &+ 1] == UInt8(ascii: ".")
        default: false
        }
    }
}

/// 128 random bits as 32 hexadecimal digits.
struct HexID {
    private let high: UInt64
    private let low: UInt64

    init(_ high: UInt64, _ low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Writes the 32 digits to `start`, which has room for them, and returns 32.
    func write(to start: UnsafeMutablePointer<UInt8>) -> Int {
        var index = 0
        while index < 32 {
            let word = index < 16 ? high : low
            let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 &- 4 &* (index & 15)) & 15)
            // SAFETY: the caller gives room for 32 bytes.
            unsafe start[index] = digit < 10 ? 48 &+ digit : 87 &+ digit
            index &+= 1
        }
        return 32
    }
}
