import MeshCore
import Testing

@testable import MeshHTTP2

// Case by case what h2spec asks of a server (github.com/summerwind/h2spec), where RFC 9113 has not withdrawn it.

/// The codes of RFC 9113 §7.
private let (protocolError, flowControl, streamClosed, frameSize, refused, compression):
    (
        UInt32, UInt32, UInt32, UInt32, UInt32, UInt32
    ) = (1, 3, 5, 6, 7, 9)

/// Frames sent to a fresh server end the connection with this code, and everything after is ignored.
private func connectionError(
    _ codes: UInt32..., by frames: [Frame], handshake: Bool = true, sourceLocation: SourceLocation = #_sourceLocation
) {
    for step in [60_000, 1, 7] {
        let probe = Probe()
        probe.raw(frames.flatMap { $0.bytes }, step: step)
        let answer = probe.drain()
        #expect(answer.goaway.map(codes.contains) == true, "\(answer)", sourceLocation: sourceLocation)
        #expect(probe.reason != nil && probe.session.isFinished, sourceLocation: sourceLocation)
        #expect(
            probe.session.receive(
                Slice.copy(of: Frame.ping().bytes.span, in: probe.session.pools.small),
                now: probe.now) != nil, sourceLocation: sourceLocation)
        #expect(probe.drain().isEmpty, sourceLocation: sourceLocation)
    }
}

/// Frames sent to a fresh server reset stream 1, and the connection goes on.
private func streamError(
    _ code: UInt32, by frames: [Frame], stream: UInt32 = 1, sourceLocation: SourceLocation = #_sourceLocation
) {
    for step in [60_000, 1] {
        let probe = Probe()
        probe.raw(frames.flatMap { $0.bytes }, step: step)
        let answer = probe.drain()
        #expect(answer.reset(stream) == code, "\(answer)", sourceLocation: sourceLocation)
        #expect(answer.goaway == nil && probe.reason == nil, sourceLocation: sourceLocation)
        #expect(probe.ask(.headers(101, get)).answers(101), sourceLocation: sourceLocation)
    }
}

/// Frames sent to a fresh server are taken; the streams in `answered` get their response.
private func accepted(
    _ frames: [Frame], answered: [UInt32] = [1], sourceLocation: SourceLocation = #_sourceLocation
) {
    for step in [60_000, 1, 7] {
        let probe = Probe()
        probe.raw(frames.flatMap { $0.bytes }, step: step)
        let answer = probe.drain()
        #expect(probe.reason == nil && answer.goaway == nil, "\(answer)", sourceLocation: sourceLocation)
        #expect(!answer.contains { $0.type == 3 }, "\(answer)", sourceLocation: sourceLocation)
        for stream in answered { #expect(answer.answers(stream), "\(answer)", sourceLocation: sourceLocation) }
        #expect(probe.ask(.ping()) == [.ping(ack: true)], sourceLocation: sourceLocation)
    }
}

private let block = HPACK.block(get)
private let open1 = Frame.headers(1, post, end: false)
private let get1 = Frame.headers(1, get)

@Suite struct StartTests {
    @Test func settingsComeFirst() {
        let probe = Probe(handshake: false)
        let frames = probe.drain()
        #expect(frames.map { $0.type } == [4, 8])
        #expect(frames[1] == .window(0, 1024 * 1024 - 65_535))
        let values = stride(from: 0, to: frames[0].payload.count, by: 6).map {
            [UInt32(frames[0].payload[$0 + 1]), number(frames[0].payload, $0 + 2)]
        }
        #expect(values == [[3, 100], [9, 1], [4, 65_536], [6, 61_440]])
    }

    @Test(arguments: [1, 5, 60_000]) func badPreface(step: Int) {
        for bad in [
            "INVALID CONNECTION PREFACE\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
        ] {
            let probe = Probe(handshake: false)
            _ = probe.drain()
            probe.raw(Array(bad.utf8), step: step)
            #expect(probe.drain().goaway == protocolError)
            #expect(probe.reason == .http2ProtocolError && probe.session.isFinished)
        }
    }

    @Test func firstFrameMustBeSettings() {
        for frame in [Frame.ping(), get1, .settingsAck] {
            let probe = Probe(handshake: false)
            _ = probe.drain()
            probe.raw(preface + frame.bytes)
            #expect(probe.drain().goaway == protocolError && probe.session.isFinished)
        }
        let client = Probe(.client, handshake: false)
        _ = client.drain()
        client.raw(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8))
        _ = client.drain()
        #expect(client.reason != nil && client.session.isFinished)
    }

    @Test func prefaceInPieces() {
        let probe = Probe(handshake: false)
        _ = probe.drain()
        probe.raw(preface + Frame.settings().bytes + get1.bytes, step: 1)
        #expect(probe.drain().answers(1))
    }
}

@Suite struct FrameTests {
    @Test func unknownThingsAreIgnored() {
        accepted([Frame(type: 0xff, flags: 0xff, stream: 0, payload: [0, 0, 0]), get1])
        accepted([Frame(type: 0x16, flags: 0xff, stream: 77, payload: []), get1])
        accepted([Frame(type: 6, flags: 0xfe, payload: [1, 2, 3, 4, 5, 6, 7, 8]), get1])
        accepted([Frame(type: 6, stream: 1 << 31, payload: [1, 2, 3, 4, 5, 6, 7, 8]), get1])
        accepted([.settings([(0xff, 1)]), get1])
        let probe = Probe()
        #expect(probe.ask(get1, .goaway(0, 0xff)).answers(1))
        #expect(probe.reason == nil && probe.session.isFinished && probe.session.goaways[0] == (0, 0xff))
    }

    @Test func sizes() {
        accepted([open1, .data(1, [UInt8](repeating: 1, count: 16_384), end: true)])
        connectionError(frameSize, by: [open1, .data(1, [UInt8](repeating: 1, count: 16_385))])
        connectionError(
            frameSize, by: [Frame(type: 1, flags: 5, stream: 1, payload: .init(repeating: 0, count: 16_385))])
        connectionError(frameSize, by: [Frame(type: 0x40, payload: .init(repeating: 0, count: 16_385))])
        connectionError(frameSize, by: [open1, Frame(type: 3, stream: 1, payload: [0, 0, 0])])
        connectionError(frameSize, by: [Frame(type: 4, flags: 1, payload: [0, 3, 0, 0, 0, 1])])
        connectionError(frameSize, by: [Frame(type: 4, payload: [0, 3, 0])])
        connectionError(frameSize, by: [Frame(type: 6, payload: [1, 2, 3, 4, 5, 6])])
        connectionError(frameSize, by: [Frame(type: 8, payload: [0, 0, 1])])
        connectionError(frameSize, by: [Frame(type: 7, payload: [0, 0, 1])])
        connectionError(frameSize, by: [Frame(type: 2, stream: 1, payload: [0, 0, 0, 0])])
        connectionError(frameSize, by: [Frame(type: 1, flags: 0x25, stream: 1, payload: [0, 0, 0])])
    }

    @Test func headerBlocksAreNotInterrupted() {
        let begun = Frame.block(1, block, end: true, endHeaders: false)
        for other in [
            Frame.priority(1), .headers(3, get), .data(1, "x"), .ping(), .settings(), .window(0, 1), .reset(1),
            Frame(type: 0xff), .continuation(3, []), .continuation(0, []), .goaway(),
        ] {
            connectionError(protocolError, by: [begun, other])
            connectionError(
                protocolError, by: [begun, .continuation(1, HPACK.block([("a", "b")]), endHeaders: false), other])
        }
    }

    @Test func continuations() {
        let (a, b) = (Array(block[..<10]), Array(block[10...]))
        accepted([.block(1, a, endHeaders: false), .continuation(1, b)])
        accepted([.block(1, a, endHeaders: false), .continuation(1, b, endHeaders: false), .continuation(1, [])])
        accepted([.block(1, [], endHeaders: false), .continuation(1, block)])
        connectionError(protocolError, by: [.continuation(1, block)])
        connectionError(protocolError, by: [.continuation(0, block)])
        connectionError(protocolError, streamClosed, by: [get1, .continuation(1, block)])
        connectionError(
            protocolError, streamClosed,
            by: [.block(1, a, endHeaders: false), .continuation(1, b), .continuation(1, b)])
        connectionError(protocolError, streamClosed, by: [open1, .data(1, "x"), .continuation(1, block)])
        connectionError(protocolError, streamClosed, by: [open1, .reset(1), .continuation(1, block)])
    }

    @Test func stringsOfOneStream() {
        connectionError(protocolError, by: [.data(0, "x")])
        connectionError(protocolError, by: [.headers(0, get)])
        connectionError(protocolError, by: [.priority(0)])
        connectionError(protocolError, by: [.reset(0)])
        connectionError(protocolError, by: [Frame(type: 4, stream: 1)])
        connectionError(protocolError, by: [Frame(type: 6, stream: 1, payload: [1, 2, 3, 4, 5, 6, 7, 8])])
        connectionError(protocolError, by: [.goaway(0, 0, stream: 1)])
        connectionError(
            protocolError, by: [open1, Frame(type: 5, flags: 4, stream: 1, payload: big(2) + block)])
    }

    @Test func padding() {
        accepted([open1, Frame(type: 0, flags: 9, stream: 1, payload: [3, 1, 2, 0, 0, 0])])
        accepted([Frame(type: 1, flags: 13, stream: 1, payload: [2] + block + [0, 0])])
        accepted([Frame(type: 1, flags: 0x2d, stream: 1, payload: [2] + big(0) + [7] + block + [0, 0])])
        connectionError(protocolError, by: [open1, Frame(type: 0, flags: 9, stream: 1, payload: [5, 1, 2, 3, 4])])
        connectionError(protocolError, by: [open1, Frame(type: 0, flags: 9, stream: 1, payload: [])])
        connectionError(
            protocolError, by: [Frame(type: 1, flags: 13, stream: 1, payload: [UInt8(block.count + 2)] + block)])
    }

    @Test func pingIsAnswered() {
        let probe = Probe()
        #expect(probe.ask(.ping([8, 7, 6, 5, 4, 3, 2, 1])) == [.ping([8, 7, 6, 5, 4, 3, 2, 1], ack: true)])
        #expect(probe.ask(.ping(ack: true)).isEmpty)
        #expect(probe.ask(.settings([(4, 100)])) == [.settingsAck])
    }

    @Test func settingsValues() {
        connectionError(protocolError, by: [.settings([(2, 2)])])
        connectionError(flowControl, by: [.settings([(4, 1 << 31)])])
        connectionError(protocolError, by: [.settings([(5, 16_383)])])
        connectionError(protocolError, by: [.settings([(5, 1 << 24)])])
        connectionError(protocolError, by: [.settingsAck])
        accepted([.settings([(1, 0), (1, 1 << 31), (2, 0), (3, 0), (5, 16_384), (6, 1)]), get1])
    }

    @Test func priorities() {
        accepted([.priority(1), .priority(3, weight: 255), .priority(5, on: 1, exclusive: true), get1])
        accepted([.priority(9), .headers(3, get), .priority(3)], answered: [3])
        accepted([.priority(1, on: 7), get1, .priority(1)])
        connectionError(protocolError, by: [.priority(5, on: 5)])
        connectionError(
            protocolError, by: [Frame(type: 1, flags: 0x25, stream: 1, payload: big(1) + [0] + block)])
    }
}

@Suite struct StreamStateTests {
    @Test func idle() {
        connectionError(protocolError, by: [.data(1, "x")])
        connectionError(protocolError, by: [.reset(1)])
        connectionError(protocolError, by: [.window(1, 100)])
        connectionError(protocolError, by: [.headers(5, get), .data(7, "x")])
        connectionError(protocolError, by: [.data(2, "x")])
    }

    @Test func halfClosed() {
        for end in [true, false] {
            let probe = Probe()
            probe.session.echoes = false
            #expect(probe.ask(get1, .data(1, "x", end: end)).goaway == streamClosed)
            #expect(probe.session.isFinished)
            let other = Probe()
            other.session.echoes = false
            #expect(other.ask(get1, .headers(1, get, end: end)).goaway == streamClosed)
        }
        accepted([get1, .window(1, 10), .priority(1)])
        let probe = Probe()
        probe.session.echoes = false
        #expect(probe.ask(get1, .reset(1), .ping()) == [.ping(ack: true)])
        #expect(probe.session.streams[0].end == .reset(code: 8))
    }

    /// The response is out, so that the stream is gone from nghttp2's books.
    @Test func closedByItsEnd() {
        for frames in [[Frame.data(1, "x", end: true)], [.headers(1, get)], [.headers(1, get, end: false)]] {
            for between in [[], [Frame.headers(3, get)]] {
                let probe = Probe()
                #expect(probe.ask(get1).body(1) == [104, 105])
                _ = probe.ask(.ping())
                probe.raw(between.flatMap { $0.bytes })
                _ = probe.drain()
                probe.raw(frames.flatMap { $0.bytes })
                #expect(probe.drain().goaway == streamClosed && probe.session.isFinished)
            }
        }
        let probe = Probe()
        _ = probe.ask(get1)
        #expect(probe.ask(.window(1, 10), .priority(1), .reset(1), .ping()) == [.ping(ack: true)])
    }

    @Test func closedByReset() {
        streamError(streamClosed, by: [open1, .reset(1), .data(1, "test", end: true)])
        streamError(streamClosed, by: [open1, .reset(1), .headers(1, get)])
        streamError(streamClosed, by: [get1, .headers(3, post, end: false), .reset(3), .data(3, "x")], stream: 3)
        accepted([get1, open3, .reset(3), .window(3, 1), .priority(3), .reset(3)])
    }

    private var open3: Frame { .headers(3, post, end: false) }

    /// What crosses our own reset is no fault of the client's.
    @Test func closedByUs() {
        let probe = Probe()
        probe.session.echoes = false
        _ = probe.ask(open1)
        probe.session.reset(probe.session.streams[0], code: 8)
        #expect(probe.drain() == [.reset(1, 8)])
        #expect(probe.session.streams[0].end == .cancelled)
        #expect(probe.ask(.data(1, "x"), .headers(1, [("a", "b")]), .reset(1), .ping()) == [.ping(ack: true)])
        #expect(probe.reason == nil)
        #expect(probe.session.resetCount == 1)
    }

    @Test func refusedStreamsAreIgnored() {
        let probe = Probe()
        probe.session.refuses = true
        #expect(probe.ask(open1, .data(1, "x")).reset(1) == refused)
        #expect(probe.ask(.data(1, "y", end: true), .ping()) == [.ping(ack: true)])
        probe.session.refuses = false
        #expect(probe.ask(.headers(3, get)).answers(3) && probe.reason == nil)
    }

    @Test func identifiers() {
        connectionError(protocolError, by: [.headers(2, get)])
        connectionError(protocolError, by: [.headers(5, get), .headers(3, get)])
        connectionError(protocolError, by: [get1, .headers(101, get), .headers(3, get)])
        connectionError(protocolError, by: [get1, .headers(101, get), .headers(99, get)])
        connectionError(streamClosed, by: [get1, .headers(101, get), .data(99, "x")])
    }

    @Test func concurrency() {
        let probe = Probe { $0.maxConcurrentStreams = 2 }
        probe.session.echoes = false
        let answer = probe.ask(get1, .headers(3, get), .headers(5, get))
        #expect(answer.goaway == protocolError || answer.reset(5) == refused)
        // Before our settings are acknowledged it is no fault.
        let early = Probe(handshake: false) { $0.maxConcurrentStreams = 1 }
        early.session.echoes = false
        early.raw(preface)
        let frames = early.ask(.settings(), get1, .headers(3, post, end: false), .data(3, "x"))
        #expect(frames.reset(3) == refused && frames.goaway == nil)
        #expect(early.ask(.data(3, "y"), .settingsAck, .ping()).goaway == nil && early.reason == nil)
    }

    @Test func afterGoaway() {
        let probe = Probe()
        _ = probe.ask(get1)
        probe.session.announceShutdown()
        #expect(probe.drain() == [.goaway(0x7fff_ffff)])
        #expect(probe.ask(.headers(3, get)).answers(3))
        probe.session.echoes = false
        _ = probe.ask(.headers(5, get))
        probe.session.goaway(code: 0)
        #expect(probe.drain() == [.goaway(5)])
        #expect(!probe.session.isFinished)
        #expect(probe.ask(.headers(7, post, end: false), .data(7, "x"), .ping()).goaway == nil)
        #expect(probe.ask(.data(7, "x", end: true)).isEmpty && probe.reason == nil)
        probe.session.answer(probe.session.streams[2])
        #expect(probe.drain().answers(5) && probe.session.isFinished)
    }
}

@Suite struct FlowControlTests {
    @Test func windowsAreKept() {
        let probe = Probe(settings: [(4, 1)])
        #expect(probe.ask(get1).body(1) == [104])
        #expect(probe.ask(.window(1, 1)).body(1) == [105])
        let multiple = Probe(settings: [(4, 100), (4, 1)])
        #expect(multiple.ask(get1).body(1) == [104])
    }

    @Test func theWindowMayBecomeNegative() {
        let probe = Probe(settings: [(4, 3)])
        probe.session.echoes = false
        _ = probe.ask(get1)
        probe.session.answer(probe.session.streams[0], body: "abcdef")
        #expect(probe.drain().body(1) == Array("abc".utf8))
        #expect(probe.ask(.settings([(4, 2)])).body(1).isEmpty)
        #expect(probe.ask(.window(1, 1)).body(1).isEmpty)
        #expect(probe.ask(.window(1, 1)).body(1) == [100])
        #expect(probe.ask(.settings([(4, 4)])).body(1) == Array("ef".utf8))
    }

    @Test func updates() {
        connectionError(protocolError, by: [.window(0, 0)])
        connectionError(protocolError, by: [open1, .window(1, 0)])
        connectionError(flowControl, by: [.window(0, 0x7fff_ffff), .window(0, 0x7fff_ffff)])
        streamError(flowControl, by: [open1, .window(1, 0x7fff_ffff), .window(1, 0x7fff_ffff)])
        accepted([.window(0, 1), open1, .window(1, 1), .data(1, "x", end: true)])
    }

    @Test func theConnectionWindowIsEnforced() {
        let probe = Probe { $0.connectionWindow = 65_535 }
        probe.session.consumes = false
        probe.session.echoes = false
        let chunk = [UInt8](repeating: 0, count: 16_384)
        for id: UInt32 in [1, 3, 5, 7] { _ = probe.ask(.headers(id, post, end: false), .data(id, chunk)) }
        #expect(probe.drain().isEmpty && probe.reason == nil || probe.reason == .http2ProtocolError)
        #expect(probe.ask(.data(1, [1])).goaway == flowControl || probe.session.isFinished)
        #expect(probe.reason == .http2ProtocolError)
    }
}

@Suite struct MessageTests {
    private func malformed(
        _ fields: [(String, String)], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        streamError(protocolError, by: [.headers(1, fields)], sourceLocation: sourceLocation)
        let probe = Probe()
        _ = probe.ask(.headers(1, fields, end: false), .data(1, "x"))
        #expect(probe.session.streams[0].events == ["closed"], sourceLocation: sourceLocation)
        #expect(probe.session.streams[0].end == .failed(.http2ProtocolError), sourceLocation: sourceLocation)
    }

    private func with(_ name: String, _ value: String) -> [(String, String)] {
        get.map { $0.0 == name ? (name, value) : $0 }
    }

    @Test func pseudoHeaders() {
        malformed(get + [(":test", "ok")])
        malformed(get + [(":status", "200")])
        malformed([("x-a", "b")] + get)
        for index in 0..<3 { malformed(get.enumerated().filter { $0.offset != index }.map { $0.element }) }
        for index in 0..<4 { malformed(get[...index] + [get[index]] + get[(index + 1)...]) }
        malformed(Array(get.dropLast()))
        malformed(get + [(":protocol", "websocket")])
        malformed([(":method", "CONNECT"), (":scheme", "http"), (":path", "/"), (":authority", "a")])
    }

    @Test func pseudoHeaderValues() {
        for path in ["", "x", "*", "/a b", "/a#b", "/ä", "http://a/", "/\u{7f}", " /"] {
            malformed(with(":path", path))
        }
        for method in ["", "G T", "GET\u{0}", "G\r\nT", String(repeating: "G", count: 33)] {
            malformed(with(":method", method))
        }
        for authority in ["", "a b", "user@a", "a:", "a:99999", "a/b", "[::1", "a,b"] {
            malformed(with(":authority", authority))
        }
        malformed(with(":scheme", ""))
        malformed(with(":scheme", "h ttp"))
        accepted([.headers(1, with(":method", "OPTIONS").map { $0.0 == ":path" ? (":path", "*") : $0 })])
        accepted(
            [.headers(1, with(":authority", "[::1]:8080")), .headers(3, with(":method", "PURGE"))], answered: [1, 3])
    }

    @Test func fields() {
        for name in ["X-Test", "", "a b", "a:b", "ä", "a\u{0}", "a\u{7f}", "a(b)"] { malformed(get + [(name, "v")]) }
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
            malformed(get + [(name, "close")])
        }
        malformed(get + [("te", "trailers, deflate")])
        malformed(get + [("te", "gzip")])
        accepted([.headers(1, get + [("te", "trailers")])])
        malformed(get + [("host", "a b")])
        malformed(get + [("host", "shop.example"), ("host", "shop.example")])
    }

    @Test func everyByteOfAValue() {
        for byte in UInt8.min...UInt8.max {
            let probe = Probe()
            let block = HPACK.block(get) + HPACK.literal(Array("x-a".utf8), [97, byte, 98])
            let answer = probe.ask(.block(1, block))
            let allowed = byte == 9 || (byte >= 32 && byte != 127)
            #expect(answer.answers(1) == allowed, "\(byte)")
            #expect((answer.reset(1) == protocolError) == !allowed, "\(byte)")
        }
        for value in [" a", "a ", "\ta", "a\t", " "] { malformed(get + [("x-a", value)]) }
        accepted([.headers(1, get + [("x-a", "")])])
    }

    @Test func contentLength() {
        let with5 = Frame.headers(1, post + [("content-length", "5")], end: false)
        accepted([with5, .data(1, "ab"), .data(1, "cde", end: true)])
        streamError(protocolError, by: [with5, .data(1, "abcd", end: true)])
        streamError(protocolError, by: [with5, .data(1, "ab"), .data(1, "cd", end: true)])
        streamError(protocolError, by: [with5, .data(1, "abcdef")])
        streamError(protocolError, by: [with5, .data(1, "abc"), .headers(1, [("a", "b")])])
        streamError(protocolError, by: [.headers(1, post + [("content-length", "5")])])
        for value in ["-1", "+1", "1, 1", "x", "", "99999999999999999999", "0x1"] {
            malformed(post + [("content-length", value)])
        }
        malformed(post + [("content-length", "1"), ("content-length", "1")])
    }

    @Test func trailers() {
        accepted([open1, .data(1, "x"), .headers(1, [("x-trailer", "a")])])
        streamError(protocolError, by: [open1, .data(1, "x"), .headers(1, [("x-trailer", "a")], end: false)])
        streamError(protocolError, by: [open1, .data(1, "x"), .headers(1, [(":method", "GET")])])
        streamError(protocolError, by: [open1, .data(1, "x"), .headers(1, [("X-Trailer", "a")])])
        let probe = Probe()
        _ = probe.ask(open1, .data(1, "x"), .headers(1, [("x-ok", "1"), ("host", "a"), ("authorization", "b")]))
        let stream = probe.session.streams[0]
        #expect(stream.trailerMemory.list.map { $0.0 } == ["x-ok"])
        #expect(stream.events == ["head", "body 1", "trailers", "taken", "closed"])
        #expect(stream.bodyMemory.isEnded)
    }
}

@Suite struct HPACKTests {
    private func decodingError(_ block: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) {
        connectionError(compression, by: [.block(1, block)], sourceLocation: sourceLocation)
    }

    @Test func errors() {
        decodingError(block + [0x80])
        decodingError(block + [0xff, 0x00])
        decodingError(block + [0xc6])
        decodingError(block + [0x7f, 0x09, 0x01, 0x61])
        decodingError(block + [0x20])
        decodingError([0x3f, 0xe2, 0x1f] + block)
        decodingError([0x00, 0x01])
        decodingError(block + [0x40])
        // Huffman: padding of more than 7 bits, of zeros, and the EOS symbol.
        decodingError(block + [0x00, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x84, 0x49, 0x50, 0x9f, 0xff])
        decodingError(block + [0x00, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x83, 0x49, 0x50, 0x90])
        decodingError(
            block + [0x00, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x87, 0x49, 0x51, 0xff, 0xff, 0xff, 0xfa, 0x7f])
        // Also in blocks that nobody wants.
        connectionError(compression, by: [open1, .reset(1), .block(1, [0xff, 0x00])])
        connectionError(compression, by: [.headers(1, get + [("X", "y")]), .block(3, [0x80])])
    }

    @Test func representations() {
        let huffman: [UInt8] = [
            0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ]
        accepted([.block(1, huffman)])
        accepted([.block(1, [0x20, 0x3f, 0xe1, 0x1f] + block)])
        accepted([.block(1, block + [0x40, 0x01, 0x61, 0x01, 0x62]), .block(3, block + [0xbe])], answered: [1, 3])
        accepted([.block(1, block + [0x00, 0x01, 0x61, 0x01, 0x62, 0x10, 0x01, 0x61, 0x01, 0x63])])
        let probe = Probe()
        _ = probe.ask(.block(1, huffman))
        #expect(probe.session.streams[0].headMemory[":authority"] == "www.example.com")
    }

    /// A block that is not used is decoded all the same.
    @Test func theTableSurvivesRefusedStreams() {
        let probe = Probe()
        probe.session.refuses = true
        _ = probe.ask(.block(1, block + [0x40, 0x01, 0x61, 0x01, 0x62]))
        _ = probe.ask(.block(3, HPACK.block([("X", "y")]) + [0x40, 0x01, 0x63, 0x01, 0x64]))
        probe.session.refuses = false
        _ = probe.ask(.block(5, block + [0xbe, 0xbf]))
        #expect(probe.session.streams[0].headMemory["a"] == "b" && probe.session.streams[0].headMemory["c"] == "d")
    }

    /// The peer may allow more; our encoder's memory stays.
    @Test func ourTableIsCapped() {
        let probe = Probe(settings: [(1, 1 << 20)])
        probe.session.echoes = false
        for id in stride(from: UInt32(1), to: 200, by: 2) {
            _ = probe.ask(.headers(id, get))
            let stream = probe.session.streams.last!
            probe.session.respond(
                stream, stream.response([("x-unique", String(repeating: "v", count: 300) + "\(id)")]), hasBody: false)
            _ = probe.drain()
        }
        #expect(probe.session.encoderTableBytes <= 4096)
    }
}
