import MeshCore
import MeshHTTP
import Testing

@testable import MeshHTTP2

/// Whatever bytes come, in whatever pieces: no trap, no loop, every stream ends once.
@Suite struct MutationTests {
    /// A conversation that touches everything a server reads.
    private static let toServer: [Frame] = [
        .settings([(4, 70_000), (1, 4096)]), .settingsAck, .window(0, 100_000),
        .headers(1, get + [("cookie", "a=b"), ("cookie", "c=d"), ("te", "trailers")]),
        .headers(3, post + [("content-length", "5")], end: false), .data(3, "ab"), .priority(3, on: 1), .ping(),
        .data(3, "cde"), .headers(3, [("x-trailer", "t")]),
        .block(5, [0x82, 0x86, 0x84, 0x41, 0x01, 0x61], endHeaders: false), .continuation(5, [0x40, 1, 97, 1, 98]),
        Frame(type: 0x21, payload: [1, 2]), .headers(7, post, end: false), .window(7, 5), .reset(7),
        Frame(type: 1, flags: 0x2d, stream: 9, payload: [1] + big(0) + [7, 0x82, 0x86, 0x84, 0x41, 1, 97, 0]),
        .block(11, [0x82, 0x86, 0x84, 0x41, 0x01, 0x61, 0xbe], end: false),
        Frame(type: 0, flags: 9, stream: 11, payload: [3, 1, 2, 0, 0, 0]), .goaway(0),
    ]

    private static let toClient: [Frame] = [
        .settings([(3, 10), (4, 100)]), .settingsAck, .window(0, 1000), .headers(1, [(":status", "103")], end: false),
        .headers(1, [(":status", "200"), ("content-length", "3")], end: false), .data(1, "ab"),
        .data(1, "c", end: true),
        .headers(3, [(":status", "404")]), .ping(), .window(5, 100), .headers(5, [(":status", "200")], end: false),
        .data(5, "x"), .headers(5, [("grpc-status", "0")]), .reset(7, 7), .priority(3),
        .block(9, [0x88], end: true, endHeaders: false), .continuation(9, [0x40, 1, 97, 1, 98]), .goaway(9),
    ]

    private func mutate(_ bytes: [UInt8], _ random: inout Random) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...6, using: &random) where !bytes.isEmpty {
            let at = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<7, using: &random) {
            case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
            case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: bytes.remove(at: at)
            case 3: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: at)
            case 4: bytes.removeSubrange(at..<min(at + Int.random(in: 1...30, using: &random), bytes.count))
            case 5:
                let part = Array(bytes[at..<min(at + Int.random(in: 1...40, using: &random), bytes.count)])
                bytes.insert(contentsOf: part, at: Int.random(in: 0...bytes.count, using: &random))
            default:
                bytes.replaceSubrange(at..<min(at + 4, bytes.count), with: [0xff, 0xff, 0xff, 0xff])
            }
        }
        return bytes
    }

    private func shuffle(_ frames: [Frame], _ random: inout Random) -> [Frame] {
        var frames = frames
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let (a, b) = (
                Int.random(in: 1..<frames.count, using: &random), Int.random(in: 1..<frames.count, using: &random)
            )
            switch Int.random(in: 0..<4, using: &random) {
            case 0: frames.swapAt(a, b)
            case 1: frames.insert(frames[a], at: b)
            case 2: frames[a].stream = frames[b].stream
            default: frames[a].flags ^= [1, 4, 8, 0x20].randomElement(using: &random)!
            }
        }
        return frames
    }

    @Test(arguments: [UInt64(1), 2, 3, 4]) func servers(seed: UInt64) {
        var random = Random(seed: seed)
        for round in 0..<500 {
            let probe = Probe(handshake: false) { $0.extendedConnect = round % 2 == 0 }
            if round % 3 == 0 { probe.session.consumes = false }
            // Owners do things at odd times.
            probe.session.prepare = { stream in
                switch round % 7 {
                case 0: stream.on["head"] = { $0.session.reset($0, code: 8) }
                case 1: stream.on["body"] = { $0.session.reset($0, code: 8) }
                case 2: stream.trailers = nil
                case 3: stream.body = nil
                case 4: stream.on["ended"] = { $0.session.goaway(code: 0) }
                default: break
                }
            }
            run(probe, Self.toServer, &random, start: preface)
        }
    }

    @Test(arguments: [UInt64(5), 6, 7, 8]) func clients(seed: UInt64) {
        var random = Random(seed: seed)
        for round in 0..<500 {
            let probe = Probe(.client, handshake: false)
            for index in 0..<6 {
                let stream = probe.session.request(method: index == 2 ? "HEAD" : "POST", hasBody: index % 2 == 0)
                stream?.send([1, 2, 3], end: round % 2 == 0)
                if round % 5 == 0 { stream?.on["head"] = { $0.session.reset($0, code: 8) } }
            }
            run(probe, Self.toClient, &random, start: [])
        }
    }

    private func run(_ probe: Probe, _ frames: [Frame], _ random: inout Random, start: [UInt8]) {
        var bytes = start + frames.flatMap { $0.bytes }
        if Bool.random(using: &random) { bytes = start + shuffle(frames, &random).flatMap { $0.bytes } }
        if Bool.random(using: &random) { bytes = mutate(bytes, &random) }
        var at = 0
        while at < bytes.count {
            let count = min(Int.random(in: 1...200, using: &random), bytes.count - at)
            probe.raw(Array(bytes[at..<at + count]))
            at += count
            if Int.random(in: 0..<3, using: &random) == 0 {
                _ = probe.drain(limit: Int.random(in: 1...500, using: &random))
            }
        }
        if Bool.random(using: &random) { probe.session.receiveEnd() }
        _ = probe.drain()
        probe.session.close()
        #expect(probe.session.openStreamCount == 0 && probe.session.isFinished)
        for stream in probe.session.streams {
            #expect(stream.events.filter { $0 == "closed" }.count == 1, "\(stream.events)")
            #expect(stream.events.last == "closed", "\(stream.events)")
            #expect(stream.events.filter { $0 == "ended" || $0 == "trailers" }.count <= 1, "\(stream.events)")
        }
    }

    /// How the bytes are cut changes nothing.
    @Test func cutting() {
        var random = Random(seed: 9)
        for _ in 0..<200 {
            let bytes = preface + mutate(Self.toServer.flatMap { $0.bytes }, &random)
            var answers: [[String]] = []
            for step in [60_000, 1, 13] {
                let probe = Probe(handshake: false)
                probe.session.echoes = false
                probe.raw(bytes, step: step)
                answers.append(
                    probe.session.streams.map { stream in
                        let events = stream.events.filter { !$0.hasPrefix("body") }
                        return "\(stream.number) \(events) \(stream.heads) \(stream.received)"
                    } + ["\(String(describing: probe.reason)) \(probe.drain())"])
            }
            #expect(answers[0] == answers[1] && answers[0] == answers[2])
        }
    }

    @Test func scannerFindsEveryFrameHoweverTheBytesAreCut() {
        let bytes = preface + Self.toServer.flatMap { $0.bytes }
        for step in [1, 2, 5, 9, 10, 64, 10_000] {
            var scanner = FrameScanner(expectsPreface: true)
            var found: [Frame] = []
            var dependencies: [Int32] = []
            for start in stride(from: 0, to: bytes.count, by: step) {
                let part = Array(bytes[start..<min(start + step, bytes.count)])
                scanner.begin()
                scan: while true {
                    switch scanner.next(part.span) {
                    case .done: break scan
                    case .badPreface: Issue.record("bad preface")
                    case .dependency(let stream): dependencies.append(stream)
                    case .frame(let frame, let position):
                        #expect(position < part.count && position > -9)
                        found.append(
                            Frame(
                                type: frame.type, flags: frame.flags, stream: UInt32(frame.stream),
                                payload: [UInt8](repeating: 0, count: frame.length)))
                        if frame.type == 2 { scanner.readDependency() }
                    }
                }
            }
            #expect(found.map { $0.type } == Self.toServer.map { $0.type })
            #expect(found.map { $0.stream } == Self.toServer.map { $0.stream })
            #expect(found.map { $0.payload.count } == Self.toServer.map { $0.payload.count })
            #expect(dependencies == [1])
        }
    }
}
