import MeshCore
import MeshHTTP

/// Bodies behind HTTP/1 heads. The first byte of the input chooses the framing and the limits, the rest is the body
/// and what follows it. How it arrives must make no difference, and a body that is written again stays the same.
enum HTTP1BodyTarget {
    /// What became of all bytes.
    private struct Reading: Equatable {
        enum Outcome: Equatable {
            case waiting
            case ended
            case failed
        }

        var body: [UInt8] = []
        var trailers: [[UInt8]] = []
        var consumed = 0
        var outcome = Outcome.waiting
    }

    static func run(_ input: [UInt8]) throws(Finding) {
        guard let first = input.first else { return }
        let bytes = Array(input.dropFirst())
        let head = MessageHead()
        switch first % 8 {
        case 0: head.bodyLength = .known(max(1, bytes.count / 2))
        case 1: head.bodyLength = .unknown
        default:
            head.bodyLength = .unknown
            head.flags.insert(.chunked)
        }
        var limits = HTTP1Limits()
        if first & 0x80 != 0 { (limits.maxHeaderBytes, limits.maxHeaders) = (48, 2) }
        var dice = Dice(input)
        let whole = try read(bytes, head, limits) { bytes.count }
        let byByte = try read(bytes, head, limits) { 1 }
        let inPieces = try read(bytes, head, limits) { Int.random(in: 1...9, using: &dice) }
        try require(byByte == whole, "byte by byte: \(byByte.outcome) after \(byByte.consumed), not \(whole.consumed)")
        try require(inPieces == whole, "in pieces: \(inPieces.outcome) after \(inPieces.consumed)")
        try require(whole.consumed <= bytes.count, "more was taken than there is")
        guard whole.outcome == .ended, head.flags.contains(.chunked) else { return }
        try requireSameWhenWritten(whole, head)
    }

    /// Feeds `bytes` in pieces of `size()`.
    private static func read(
        _ bytes: [UInt8], _ head: MessageHead, _ limits: HTTP1Limits, _ size: () -> Int
    ) throws(Finding) -> Reading {
        var decoder = HTTP1BodyDecoder(head)
        var reading = Reading()
        var arrived = 0
        let trailers = MessageHead()
        while arrived < bytes.count {
            arrived = min(arrived + size(), bytes.count)
            feeding: while true {
                let left = bytes.span.extracting(reading.consumed..<arrived)
                switch decoder.next(left, trailers: trailers, limits: limits) {
                case .data(let skip, let count):
                    try require(count > 0 && skip >= 0 && skip + count <= left.count, "data outside of the input")
                    reading.body += array(left.extracting(skip..<(skip + count)))
                    reading.consumed += skip + count
                case .needsMore(let consumed):
                    try require(consumed >= 0 && consumed <= left.count, "consumed more than there is")
                    reading.consumed += consumed
                    break feeding
                case .end(let consumed, let hasTrailers):
                    try require(consumed >= 0 && consumed <= left.count, "ended behind the input")
                    reading.consumed += consumed
                    reading.outcome = .ended
                    try require(decoder.isComplete, "ended and not complete")
                    if hasTrailers { reading.trailers = try fields(trailers) }
                    return reading
                case .failed:
                    // Where exactly it was noticed may differ.
                    reading.consumed = 0
                    reading.outcome = .failed
                    return reading
                }
            }
        }
        return reading
    }

    private static func fields(_ trailers: MessageHead) throws(Finding) -> [[UInt8]] {
        var fields: [[UInt8]] = []
        for index in 0..<trailers.fieldCount where trailers[index].name != .removed {
            let (name, value) = (trailers.span(trailers[index].nameRange), trailers.span(trailers[index].valueRange))
            try require(Grammar.isToken(name) && Grammar.isFieldValue(value), "a trailer is malformed")
            try require(!HeaderName.intern(name).isForbiddenInTrailers, "a trailer that may not be one")
            fields.append(array(name) + [0x3A] + array(value))
        }
        return fields
    }

    private static func requireSameWhenWritten(_ reading: Reading, _ head: MessageHead) throws(Finding) {
        let trailers = MessageHead()
        for field in reading.trailers {
            guard let colon = field.firstIndex(of: 0x3A) else { continue }
            trailers.append(name: Array(field[..<colon]).span, value: Array(field[(colon + 1)...]).span)
        }
        let bytes = written { output in
            if !reading.body.isEmpty {
                HTTP1Encoder.chunkHeader(reading.body.count, into: &output)
                output.append(copying: reading.body.span)
                HTTP1Encoder.chunkEnd(into: &output)
            }
            HTTP1Encoder.lastChunk(trailers: trailers, into: &output)
        }
        let again = try read(bytes, head, HTTP1Limits()) { bytes.count }
        try require(again.outcome == .ended && again.consumed == bytes.count, "what was written has no end")
        try require(again.body == reading.body && again.trailers == reading.trailers, "what was written differs")
    }
}
