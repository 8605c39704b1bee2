import MeshHTTP

/// The frame header of RFC 9113 §4.1.
struct FrameHeader {
    var length: Int
    var type: UInt8
    var flags: UInt8
    var stream: Int32

    static let size = 9
    static let maxLength = 16_384

    static let data: UInt8 = 0
    static let headers: UInt8 = 1
    static let priority: UInt8 = 2
    static let reset: UInt8 = 3
    static let settings: UInt8 = 4
    static let pushPromise: UInt8 = 5
    static let ping: UInt8 = 6
    static let goaway: UInt8 = 7
    static let windowUpdate: UInt8 = 8
    static let continuation: UInt8 = 9

    static let ack: UInt8 = 1
    static let endStream: UInt8 = 1
    static let endHeaders: UInt8 = 4
}

/// Walks over received bytes from frame header to frame header, however the bytes are cut.
///
/// nghttp2 parses the frames; what it does not report, or reports too late, is seen here first.
struct FrameScanner {
    enum Step {
        /// All bytes are looked at.
        case done
        /// The client's connection preface is wrong.
        case badPreface
        /// A frame header that began at this position, which is negative if it began in earlier bytes.
        case frame(FrameHeader, start: Int)
        /// The PRIORITY frame that was reported last makes the stream depend on this one.
        case dependency(Int32)
    }

    /// Where the scanner stands in the current bytes.
    private(set) var position = 0

    private var prefaceLeft: Int
    private var skip = 0
    /// Bytes of a header or dependency gathered so far, most significant first, and how many of how many.
    private var gathered: UInt128 = 0
    private var have = 0
    private var dependencyWanted = false
    /// Payload bytes behind the dependency.
    private var after = 0

    private static let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

    init(expectsPreface: Bool) { prefaceLeft = expectsPreface ? Self.preface.utf8CodeUnitCount : 0 }

    /// Starts over with new bytes that follow the old ones.
    mutating func begin() { position = 0 }

    /// The next thing to know about `input`.
    mutating func next(_ input: Span<UInt8>) -> Step {
        if prefaceLeft > 0 && !readPreface(input) { return .badPreface }
        while position < input.count {
            if skip > 0 {
                let count = min(skip, input.count &- position)
                skip &-= count
                position &+= count
                continue
            }
            if !dependencyWanted && have == 0 && input.count &- position >= FrameHeader.size {
                let start = position
                var index = 0
                while index < FrameHeader.size {
                    gathered = gathered << 8 | UInt128(input[start &+ index])
                    index &+= 1
                }
                position &+= FrameHeader.size
                return .frame(header(), start: start)
            }
            gathered = gathered << 8 | UInt128(input[position])
            have &+= 1
            position &+= 1
            if dependencyWanted {
                if have == 4 {
                    dependencyWanted = false
                    return .dependency(Int32(truncatingIfNeeded: take()) & .max)
                }
            } else if have == FrameHeader.size {
                return .frame(header(), start: position &- FrameHeader.size)
            }
        }
        return .done
    }

    /// Reads the dependency of the PRIORITY frame that was reported last, which has 5 bytes.
    mutating func readDependency() {
        dependencyWanted = true
        skip = 0
        after = 1
    }

    private mutating func take() -> UInt128 {
        let value = gathered
        gathered = 0
        have = 0
        skip = after
        after = 0
        return value
    }

    private mutating func header() -> FrameHeader {
        let value = take()
        let frame = FrameHeader(
            length: Int(truncatingIfNeeded: value >> 48) & 0xFF_FFFF,
            type: UInt8(truncatingIfNeeded: value >> 40), flags: UInt8(truncatingIfNeeded: value >> 32),
            stream: Int32(truncatingIfNeeded: value) & .max)
        skip = frame.length
        return frame
    }

    private mutating func readPreface(_ input: Span<UInt8>) -> Bool {
        let preface = Self.preface.bytes
        while position < input.count && prefaceLeft > 0 {
            if input[position] != preface[preface.count &- prefaceLeft] { return false }
            position &+= 1
            prefaceLeft &-= 1
        }
        return true
    }
}
