import MeshCore
import MeshHTTP
import MeshHTTP2

/// Frames to an HTTP/2 session. The first byte of the input chooses the side and the limits; what comes before the
/// first frames (preface, SETTINGS) is put in front unless it says otherwise. How the bytes arrive makes no difference.
enum HTTP2Target {
    /// All that can be seen of a session from outside.
    private struct Account: Equatable {
        var events: [[UInt8]]
        var output: [UInt8]
        var failure: Reason?
    }

    static func run(_ input: [UInt8]) throws(Finding) {
        guard let mode = input.first else { return }
        let isServer = mode & 1 == 0
        let start = mode & 2 != 0 ? [] : (isServer ? preface : []) + settings
        let bytes = start + input.dropFirst()
        var dice = Dice(input)
        let pools = BufferPools()
        defer { withExtendedLifetime(pools) {} }
        let whole = try account(bytes, mode, pools) { bytes.count }
        let inPieces = try account(bytes, mode, pools) { Int.random(in: 1...40, using: &dice) }
        try require(whole.failure != .internalError && inPieces.failure != .internalError, "the session gave up")
        // After a GOAWAY without open streams nghttp2 is done: what follows is looked at or not.
        if whole.events.contains(where: { $0.starts(with: Array("goaway".utf8)) }) { return }
        let ends = [whole, inPieces].map { $0.failure.map { "\($0)" } ?? "nothing" }
        try require(ends[0] == ends[1], "\(ends[0]) ends it at once, \(ends[1]) in pieces")
        // How far it came before a failure depends on how much had been looked at when that was noticed.
        if whole.failure != nil { return }
        try require(comparable(whole.events) == comparable(inPieces.events), "in pieces other things happen")
        try require(whole.output == inPieces.output, "in pieces the answers differ")
    }

    /// Events without the bodies of streams that came to no good end: the bytes in front of a mistake are passed on or
    /// not, by how they come.
    private static func comparable(_ events: [[UInt8]]) -> [[UInt8]] {
        let bad = events.compactMap { event -> [UInt8]? in
            let text = String(decoding: event, as: UTF8.self)
            guard let stream = text.split(separator: " ").first, text.hasPrefix("\(stream) closed"),
                !text.hasSuffix("complete")
            else { return nil }
            return Array("\(stream) body".utf8)
        }
        return events.filter { event in !bad.contains { event.starts(with: $0) } }
    }

    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    private static let settings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]

    private static func account(
        _ bytes: [UInt8], _ mode: UInt8, _ pools: BufferPools, _ size: () -> Int
    ) throws(Finding) -> Account {
        var configuration = HTTP2Configuration(role: mode & 1 == 0 ? .server : .client)
        if mode & 4 != 0 {
            configuration.maxConcurrentStreams = 3
            configuration.resets = .init(burst: 3, perSecond: 1)
            configuration.glitches = .init(burst: 4, perSecond: 1)
            configuration.controlFrames = .init(burst: 5, perSecond: 1)
            configuration.maxContinuations = 2
            (configuration.maxHeaders, configuration.maxHeaderBytes, configuration.maxTargetBytes) = (4, 256, 32)
        }
        configuration.extendedConnect = mode & 8 != 0
        let session = RecordedSession(configuration, consumes: mode & 16 != 0, pools: pools)
        session.start()
        var output = OutputQueue(pools: pools)
        // What a client asks for must be on its way before it can be answered.
        if mode & 1 == 1 { for _ in 0..<3 { session.request() } }
        session.flush(into: &output, upTo: .max)
        var fed = 0
        while fed < bytes.count {
            let count = min(size(), bytes.count - fed, pools.medium.capacity)
            let part = Slice.copy(of: bytes.span.extracting(fed..<(fed + count)), in: pools.medium)
            if session.receive(part, now: Instant(nanoseconds: 1_000_000_000)) != nil { break }
            fed += count
        }
        session.flush(into: &output, upTo: .max)
        let failure = session.failure
        if failure == nil { session.receiveEnd() }
        session.flush(into: &output, upTo: .max)
        if failure != nil && !session.isFinished { session.wrong("it failed, and is not finished once flushed") }
        session.close()
        if let mistake = session.mistake { throw Finding(description: mistake) }
        var sent: [UInt8] = []
        while !output.isEmpty {
            let run = output.takeFirst(upTo: .max)
            sent += array(run.span)
        }
        return Account(events: session.events, output: sent, failure: failure)
    }
}
