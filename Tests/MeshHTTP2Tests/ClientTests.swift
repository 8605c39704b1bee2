import MeshCore
import MeshHTTP
import Testing

@testable import MeshHTTP2

@Suite struct ClientTests {
    private func response(_ stream: UInt32, _ fields: [(String, String)] = [], status: String = "200", end: Bool = true)
        -> Frame
    { .headers(stream, [(":status", status)] + fields, end: end) }

    @Test func whatGoesOut() {
        let probe = Probe(.client, handshake: false)
        let bytes = probe.drainBytes()
        #expect(Array(bytes[..<24]) == preface)
        let frames = Frame.parse(Array(bytes[24...]))
        #expect(frames.map { $0.type } == [4, 8])
        #expect(frames[0].payload.prefix(6) == [0, 2, 0, 0, 0, 0])
    }

    @Test func peerLimitsAreKept() {
        let probe = Probe(.client, settings: [(3, 2)])
        #expect(probe.session.peerMaxConcurrentStreams == 2)
        #expect(probe.session.canSubmit)
        _ = probe.session.request()
        _ = probe.session.request()
        #expect(!probe.session.canSubmit && probe.session.request() == nil)
        #expect(probe.drain().filter { $0.type == 1 }.count == 2)
        probe.send(response(1))
        #expect(probe.session.canSubmit && probe.session.request() != nil)
    }

    @Test func ownLimitIsKept() {
        let probe = Probe(.client, settings: [(3, 1000)]) { $0.maxConcurrentStreams = 3 }
        for _ in 0..<3 { #expect(probe.session.request() != nil) }
        #expect(probe.session.request() == nil && probe.session.openStreamCount == 3)
    }

    @Test func goawayRefusesWhatWasNotProcessed() {
        let probe = Probe(.client)
        let first = probe.session.request()!
        let second = probe.session.request()!
        _ = probe.drain()
        let third = probe.session.request()!
        probe.send(.goaway(1, 0))
        #expect(second.end == .refused && first.end == nil)
        #expect(!probe.session.canSubmit && probe.session.goaways.count == 1)
        #expect(!probe.drain().contains { $0.type == 1 })
        #expect(third.end == .refused)
        probe.send(response(1))
        #expect(first.end == .complete && probe.session.isFinished)
    }

    @Test func shutdownNoticeStopsNewStreamsOnly() {
        let probe = Probe(.client)
        let stream = probe.session.request()!
        _ = probe.drain()
        probe.send(.goaway(.max >> 1))
        #expect(!probe.session.canSubmit && stream.end == nil && probe.session.goawayWasReceived)
        probe.send(.goaway(1), response(1))
        #expect(stream.end == .complete)
    }

    @Test func resets() {
        let probe = Probe(.client)
        let (a, b, c) = (probe.session.request()!, probe.session.request()!, probe.session.request()!)
        _ = probe.drain()
        probe.send(.reset(1, 7), .reset(3, 2))
        #expect(a.end == .refused && b.end == .reset(code: 2))
        probe.session.reset(c, code: 8)
        #expect(c.end == nil)
        #expect(probe.drain() == [.reset(5, 8)] && c.end == .cancelled)
        // The answer crosses our reset.
        #expect(probe.ask(response(5, end: false), .data(5, "late", end: true), .ping()) == [.ping(ack: true)])
    }

    @Test func resetBeforeItWasSent() {
        let probe = Probe(.client)
        let stream = probe.session.request()!
        probe.session.reset(stream, code: 8)
        #expect(!probe.drain().contains { $0.type == 1 })
        #expect(stream.end == .cancelled && probe.session.openStreamCount == 0)
    }

    @Test func completeResponseThenReset() {
        let probe = Probe(.client)
        let stream = probe.session.request(method: "POST", hasBody: true)!
        _ = probe.drain()
        probe.send(response(1), .reset(1, 0))
        #expect(stream.events == ["head", "ended", "closed"] && stream.end == .reset(code: 0))
    }

    @Test func malformedResponses() {
        for fields in [
            [(":status", "20")], [(":status", "099")], [(":status", "600")], [("x", "y")],
            [(":status", "200"), (":path", "/")],
            [(":status", "200"), ("connection", "close")], [(":status", "200"), ("X", "y")],
            [(":status", "200"), ("content-length", "5")],
        ] {
            let probe = Probe(.client)
            let stream = probe.session.request()!
            _ = probe.drain()
            #expect(probe.ask(.headers(1, fields)).reset(1) == 1, "\(fields)")
            #expect(stream.end == .failed(.upstreamMalformedResponse) && stream.events == ["closed"])
            #expect(probe.reason == nil && probe.session.canSubmit)
        }
    }

    @Test func aServerMayNotPushOrOpen() {
        let push = Probe(.client)
        _ = push.session.request()
        _ = push.drain()
        #expect(push.ask(Frame(type: 5, flags: 4, stream: 1, payload: big(2) + HPACK.block(get))).goaway == 1)
        let open = Probe(.client)
        #expect(open.ask(response(2)).goaway == 1)
        let enable = Probe(.client)
        #expect(enable.ask(.settings([(2, 1)])).goaway == 1)
        #expect(enable.reason == .http2ProtocolError)
    }

    @Test func interimResponsesAreNotAnEnd() {
        let probe = Probe(.client)
        let stream = probe.session.request()!
        _ = probe.drain()
        #expect(probe.ask(response(1, status: "100")).reset(1) == 1)
        #expect(stream.end == .failed(.upstreamMalformedResponse))
    }

    @Test func pings() {
        let probe = Probe(.client)
        probe.session.ping()
        #expect(probe.drain() == [Frame.ping([0, 0, 0, 0, 0, 0, 0, 0])])
        #expect(probe.session.unansweredPings == 1)
        probe.send(.ping([0, 0, 0, 0, 0, 0, 0, 0], ack: true))
        #expect(probe.session.unansweredPings == 0 && probe.session.glitchCount == 0)
    }

    @Test func manyHeadersGoOut() {
        let pair = Pair(server: { $0.maxHeaders = 1000 })
        let fields = (0..<300).map { ("X-Field-\($0)", "value") }
        _ = pair.client.request(fields)
        pair.run()
        #expect(pair.server.streams[0].heads[0].count == 304)
        #expect(pair.server.streams[0].headMemory["x-field-299"] == "value")
    }
}

@Suite struct EndTests {
    @Test func closeEndsEveryStream() {
        let pair = Pair()
        pair.server.echoes = false
        let sent = pair.client.request()!
        pair.run()
        let unsent = pair.client.request()!
        pair.client.close()
        pair.server.close()
        #expect(sent.end == .lost && unsent.end == .refused)
        #expect(pair.server.streams[0].end == .lost && pair.server.openStreamCount == 0)
        #expect(pair.client.isFinished && !pair.client.wantsOutput && !pair.client.canSubmit)
        // Everything is still legal, and does nothing.
        pair.client.reset(sent, code: 8)
        pair.client.consume(sent, 0)
        pair.client.resume(sent)
        pair.client.ping()
        pair.client.goaway(code: 0)
        pair.client.receiveEnd()
        pair.client.close()
        pair.server.respond(pair.server.streams[0], sent.response([]), hasBody: false)
        pair.server.announceShutdown()
        #expect(pair.client.request() == nil)
    }

    @Test func verbsInsideClosed() {
        let pair = Pair()
        pair.server.echoes = false
        var streams: [TestStream] = []
        for _ in 0..<3 { streams.append(pair.client.request()!) }
        for stream in streams {
            stream.on["closed"] = { stream in
                for other in streams { stream.session.reset(other, code: 8) }
                _ = stream.session.request()
            }
        }
        pair.run()
        pair.client.close()
        #expect(streams.allSatisfy { $0.end == .lost })
    }

    @Test func peerClosesItsSide() {
        let probe = Probe()
        probe.session.echoes = false
        _ = probe.ask(.headers(1, get), .headers(3, post, end: false))
        probe.session.receiveEnd()
        _ = probe.drain()
        #expect(probe.session.streams[1].end == .lost && probe.session.streams[0].end == nil)
        #expect(!probe.session.isFinished)
        probe.session.answer(probe.session.streams[0])
        #expect(probe.drain().answers(1) && probe.session.isFinished)
    }

    @Test func ownersGoawayIsNoFailure() {
        let probe = Probe()
        probe.session.goaway(code: 11)
        #expect(probe.drain() == [.goaway(0, 11)])
        #expect(probe.session.failure == nil && probe.session.isFinished)
    }

    @Test func verbsInsideEvents() {
        let probe = Probe()
        probe.session.echoes = false
        probe.session.prepare = { stream in
            stream.on["head"] = { $0.session.ping() }
            stream.on["body"] = { stream in
                stream.session.answer(stream, body: "early")
                stream.session.answer(stream, body: "twice")
            }
            stream.on["taken"] = { $0.session.reset($0, code: 0) }
            stream.on["closed"] = { $0.session.goaway(code: 0) }
        }
        let answer = probe.ask(.headers(1, post, end: false), .data(1, "x"))
        #expect(answer.answers(1) && answer.reset(1) == 0 && answer.goaway == 0)
        #expect(Array(answer.body(1).prefix(5)) == Array("early".utf8))
        #expect(probe.session.streams[0].end == .cancelled)
    }

    @Test func streamsAreReleased() {
        weak var stream: TestStream?
        weak var session: TestSession?
        do {
            let pair = Pair()
            stream = pair.client.request()
            session = pair.client
            pair.run()
            pair.client.streams = []
            pair.client.closedStreams = []
            #expect(stream == nil)
        }
        #expect(session == nil)
    }

    /// More sessions than the allocator keeps places for, ended in another order than they began.
    @Test func manySessions() {
        var probes = (0..<200).map { _ in Probe() }
        var random = Random(seed: 11)
        for round in 0..<400 {
            let at = Int.random(in: 0..<probes.count, using: &random)
            #expect(probes[at].ask(.headers(1, get)).body(1) == [104, 105])
            if round % 3 == 0 { probes.removeLast(min(5, probes.count - 1)) }
            probes.remove(at: min(at, probes.count - 1))
            probes.append(contentsOf: [Probe(), Probe(handshake: false)])
            _ = probes.popLast()
        }
    }

    /// A stream object serves one stream after another.
    @Test func streamsAreReused() {
        let pair = Pair()
        let stream = pair.client.request()!
        pair.run()
        for round in 0..<3 {
            stream.end = nil
            stream.events = []
            let head = MessageHead()
            head.methodRange = head.store("GET".bytes)
            head.pathRange = head.store("/\(round)".bytes)
            head.authorityRange = head.store("a".bytes)
            #expect(pair.client.submitRequest(stream, head, scheme: "https", hasBody: false))
            pair.run()
            #expect(stream.events == ["head", "body 2", "ended", "closed"] && stream.end == .complete)
        }
        #expect(pair.server.streams[3].headMemory[":path"] == "/2")
        #expect(pair.server.streams[3].headMemory[":scheme"] == "https")
    }
}
