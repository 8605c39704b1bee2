import MeshCore

/// Finds the body in the bytes behind an HTTP/1 head (RFC 9112 §6, §7.1). Sans-I/O, no copy: it says which of the
/// given bytes are body.
///
/// Chunk framing is taken off here and put on anew by the encoder, so that nothing odd in it travels on.
public struct HTTP1BodyDecoder: Sendable {
    /// What the next bytes are.
    public enum Step: Sendable, Equatable {
        /// Skip `skip` bytes of framing; the `count` bytes behind them are body. Call again with the rest.
        case data(skip: Int, count: Int)
        /// `consumed` bytes are done with; come back with more.
        case needsMore(consumed: Int)
        /// The body ended after `consumed` bytes; what follows is the next message.
        case end(consumed: Int, hasTrailers: Bool)
        /// Close the connection.
        case failed(Reason)
    }

    private enum State: Sendable, Equatable {
        case length(Int)
        case untilClose
        case size(value: Int, digits: Int)
        case chunkExtension(value: Int, seen: Int)
        case sizeLineFeed(value: Int)
        case chunk(left: Int)
        case chunkCarriageReturn
        case chunkLineFeed
        case trailers
        case complete
    }

    /// Bytes of chunk extensions that are skipped per chunk; nobody uses them, and attackers may.
    public static let maxExtensionBytes = 256

    private var state: State

    /// A decoder for the body that `head` announces.
    public init(_ head: MessageHead) {
        switch head.bodyLength {
        case .none: state = .complete
        case .known(let count): state = .length(count)
        case .unknown: state = head.flags.contains(.chunked) ? .size(value: 0, digits: 0) : .untilClose
        }
    }

    /// The body ends when the peer closes.
    public var isUntilClose: Bool { state == .untilClose }

    /// No byte of the body is to come.
    public var isComplete: Bool { state == .complete }

    /// Says what the bytes at the start of `input` are. Trailers go to `trailers`, which is reset before.
    public mutating func next(_ input: Span<UInt8>, trailers: MessageHead, limits: HTTP1Limits) -> Step {
        switch state {
        case .complete: return .end(consumed: 0, hasTrailers: false)
        case .untilClose: return input.count > 0 ? .data(skip: 0, count: input.count) : .needsMore(consumed: 0)
        case .length(let left):
            if input.count == 0 { return .needsMore(consumed: 0) }
            let count = min(left, input.count)
            state = count == left ? .complete : .length(left &- count)
            return .data(skip: 0, count: count)
        case .size, .chunkExtension, .sizeLineFeed, .chunk, .chunkCarriageReturn, .chunkLineFeed, .trailers:
            return chunked(input, trailers, limits)
        }
    }

    private mutating func chunked(_ input: Span<UInt8>, _ trailers: MessageHead, _ limits: HTTP1Limits) -> Step {
        var index = 0
        while index < input.count {
            if case .chunk(let left) = state {
                let count = min(left, input.count &- index)
                state = count == left ? .chunkCarriageReturn : .chunk(left: left &- count)
                return .data(skip: index, count: count)
            }
            if state == .trailers { return trailerSection(input, from: index, trailers, limits) }
            guard framing(input[index]) else { return .failed(.malformedChunk) }
            index &+= 1
        }
        return .needsMore(consumed: index)
    }

    /// One byte of chunk framing; false if it is not valid.
    private mutating func framing(_ byte: UInt8) -> Bool {
        switch state {
        case .size(let value, let digits):
            if let digit = Grammar.hexValue(byte) {
                // 15 digits are 2⁶⁰ − 1: they fit, and nothing larger is real.
                guard digits < 15 else { return false }
                state = .size(value: value << 4 | digit, digits: digits &+ 1)
                return true
            }
            guard digits > 0 else { return false }
            if byte == UInt8(ascii: ";") {
                state = .chunkExtension(value: value, seen: 0)
                return true
            }
            state = .sizeLineFeed(value: value)
            return byte == 13
        case .chunkExtension(let value, let seen):
            guard seen < Self.maxExtensionBytes else { return false }
            state = byte == 13 ? .sizeLineFeed(value: value) : .chunkExtension(value: value, seen: seen &+ 1)
            return byte == 13 || Grammar.isFieldValue(byte)
        case .sizeLineFeed(let value):
            state = value == 0 ? .trailers : .chunk(left: value)
            return byte == 10
        case .chunkCarriageReturn:
            state = .chunkLineFeed
            return byte == 13
        case .chunkLineFeed:
            state = .size(value: 0, digits: 0)
            return byte == 10
        case .length, .untilClose, .chunk, .trailers, .complete:
            return false
        }
    }

    /// The trailer section is small and parsed as a whole, once it is there as a whole.
    private mutating func trailerSection(
        _ input: Span<UInt8>, from index: Int, _ trailers: MessageHead, _ limits: HTTP1Limits
    ) -> Step {
        let rest = input.extracting(droppingFirst: index)
        switch HTTP1Parser.parseTrailers(rest, into: trailers, limits: limits) {
        case .incomplete: return .needsMore(consumed: index)
        case .failed(let reason): return .failed(reason)
        case .complete(let length):
            state = .complete
            return .end(consumed: index &+ length, hasTrailers: trailers.fieldCount > 0)
        }
    }
}
