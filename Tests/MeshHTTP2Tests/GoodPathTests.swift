import MeshCore
import MeshHTTP
import MeshHTTP2
import Testing

private func noise(_ count: Int, seed: UInt64) -> [UInt8] {
    var random = Random(seed: seed)
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
}

@Suite struct GoodPathTests {
    @Test func requestAndResponse() {
        let pair = Pair()
        let stream = pair.client.request([("X-Thing", "a value"), ("Host", "other"), ("Connection", "x-thing")])!
        pair.run()
        let served = pair.server.streams[0]
        #expect(served.events == ["head", "ended", "taken", "closed"])
        #expect(
            served.heads[0].map { "\($0.0)=\($0.1)" } == [
                ":method=GET", ":scheme=http", ":path=/", ":authority=shop.example", "x-thing=a value",
            ])
        #expect(served.headMemory.method == .get && served.headMemory.version == .http2)
        #expect(served.headMemory.bodyLength == .none)
        #expect(served.end == .complete)
        #expect(stream.events == ["head", "body 2", "ended", "closed"])
        #expect(stream.heads[0].map { $0.1 } == ["200"] && stream.headMemory.bodyLength == .unknown)
        #expect(stream.received == Array("hi".utf8) && stream.end == .complete)
        #expect(pair.client.openStreamCount == 0 && pair.server.openStreamCount == 0)
        #expect(pair.client.settingsSeen == 1 && pair.server.settingsSeen == 1)
        #expect(stream.id == 0)
    }

    @Test func bodiesAndTrailersBothWays() {
        let pair = Pair()
        pair.server.echoes = false
        let up = noise(300_000, seed: 1)
        let down = noise(700_000, seed: 2)
        pair.server.prepare = { stream in
            stream.on["trailers"] = { stream in
                stream.outgoingTrailerMemory.append(name: "grpc-status".bytes, value: "0".bytes)
                stream.outgoingTrailers = Link(stream.outgoingTrailerMemory)
                stream.send(down, end: true)
                stream.session.respond(stream, stream.response([("content-length", "700000")]), hasBody: true)
            }
        }
        let stream = pair.client.request([("te", "trailers")], method: "POST", hasBody: true) {
            $0.flags.insert(.trailersAccepted)
        }!
        stream.outgoingTrailerMemory.append(name: "x-sum".bytes, value: "1".bytes)
        stream.outgoingTrailerMemory.append(name: "content-length".bytes, value: "1".bytes)
        stream.outgoingTrailers = Link(stream.outgoingTrailerMemory)
        stream.send(Array(up[..<1000]))
        pair.run()
        stream.send(Array(up[1000...]), end: true)
        pair.run()
        let served = pair.server.streams[0]
        #expect(served.received == up)
        #expect(served.headMemory.flags.contains(.trailersAccepted) && served.headMemory["te"] == "trailers")
        #expect(served.headMemory.bodyLength == .unknown)
        #expect(served.trailerMemory.list.map { $0.0 } == ["x-sum"])
        #expect(stream.received == down && stream.headMemory.bodyLength == .known(700_000))
        #expect(stream.trailerMemory["grpc-status"] == "0")
        #expect(stream.events.suffix(2) == ["trailers", "closed"])
        #expect(stream.taken == up.count && served.taken == down.count)
        #expect(stream.end == .complete && served.end == .complete)
    }

    @Test func trailersWithoutBodyBytesNeedNoDataFrame() {
        let probe = Probe()
        probe.session.echoes = false
        _ = probe.ask(.headers(1, get))
        let stream = probe.session.streams[0]
        probe.session.respond(stream, stream.response([]), hasBody: true)
        #expect(probe.drain().map { $0.type } == [1])
        stream.outgoingTrailerMemory.append(name: "grpc-status".bytes, value: "0".bytes)
        stream.outgoingTrailers = Link(stream.outgoingTrailerMemory)
        stream.send([], end: true)
        let frames = probe.drain()
        #expect(frames.map { $0.type } == [1] && frames[0].flags & Frame.endStream != 0)
        #expect(stream.end == .complete)
    }

    /// Every request with a body has cost its connection a glitch, until the peer closed it for too many.
    @Test func trailersWithoutFieldsAreNotSent() {
        let probe = Probe(.client)
        let stream = probe.session.request(method: "POST", hasBody: true)!
        stream.outgoingTrailers = Link(stream.outgoingTrailerMemory)
        stream.send([1, 2, 3], end: true)
        let frames = probe.drain().filter { $0.stream == 1 }
        #expect(frames.map { $0.type } == [1, 0] && frames[1].flags & Frame.endStream != 0)
    }

    /// With the last body byte, with trailers, with a head alone; and not before.
    @Test func ownDirectionEndsOnce() {
        let probe = Probe()
        probe.session.echoes = false
        for id: UInt32 in [1, 3, 5] { _ = probe.ask(.headers(id, post, end: false)) }
        let (body, trailers, head) = (probe.session.streams[0], probe.session.streams[1], probe.session.streams[2])
        body.send([1])
        probe.session.respond(body, body.response([]), hasBody: true)
        probe.session.respond(trailers, trailers.response([]), hasBody: true)
        _ = probe.drain()
        #expect(body.ownEnds == 0 && trailers.ownEnds == 0)
        body.send([2], end: true)
        trailers.outgoingTrailers = Link(trailers.outgoingTrailerMemory)
        trailers.outgoingTrailerMemory.append(name: "a".bytes, value: "b".bytes)
        trailers.send([3], end: true)
        probe.session.respond(head, head.response([]), hasBody: false)
        _ = probe.drain()
        #expect(body.ownEnds == 1 && trailers.ownEnds == 1 && head.ownEnds == 1)
        #expect(probe.session.openStreamCount == 3)
    }

    @Test func interimResponses() {
        let pair = Pair()
        pair.server.echoes = false
        pair.server.prepare = { stream in
            stream.on["head"] = { stream in
                let head = MessageHead()
                head.status = 103
                head.append(name: "link".bytes, value: "</a>".bytes)
                stream.session.inform(stream, head)
                head.status = 100
                stream.session.inform(stream, head)
                pair.server.answer(stream, status: 204, body: nil)
                stream.session.inform(stream, head)
            }
        }
        let stream = pair.client.request()!
        pair.run()
        #expect(stream.heads.map { $0[0].1 } == ["103", "100", "204"])
        #expect(stream.heads[0].count == 2 && stream.headMemory.bodyLength == .none)
        #expect(stream.events == ["head", "head", "head", "ended", "closed"])
    }

    @Test func headHasNoBodyWhateverItsLength() {
        let pair = Pair()
        pair.server.echoes = false
        pair.server.prepare = {
            $0.on["ended"] = { stream in
                stream.session.respond(stream, stream.response([("content-length", "7")]), hasBody: false)
            }
        }
        let stream = pair.client.request(method: "HEAD")!
        pair.run()
        #expect(stream.headMemory.bodyLength == .none && stream.headMemory["content-length"] == "7")
        #expect(stream.end == .complete)
        #expect(pair.server.streams[0].headMemory.method == .head)
    }

    @Test func largeBodiesGoByReference() {
        let probe = Probe()
        probe.session.echoes = false
        _ = probe.ask(.headers(1, get))
        let stream = probe.session.streams[0]
        stream.send(noise(16_384, seed: 3), end: true)
        probe.session.respond(stream, stream.response([]), hasBody: true)
        var output = OutputQueue(pools: probe.session.pools)
        probe.session.flush(into: &output, upTo: .max)
        // Heads copied, the body one run of its own.
        #expect(output.runCount == 2)
        #expect(output.byteCount > 16_384)
    }

    @Test func flushStopsAtTheLimit() {
        let pair = Pair(client: { $0.streamWindow = 1 << 20 })
        pair.server.echoes = false
        _ = pair.client.request()
        pair.run()
        let stream = pair.server.streams[0]
        stream.send(noise(200_000, seed: 4), end: true)
        pair.server.respond(stream, stream.response([]), hasBody: true)
        var output = OutputQueue(pools: pair.server.pools)
        pair.server.flush(into: &output, upTo: 40_000)
        #expect(output.byteCount >= 40_000 && output.byteCount < 40_000 + 16_384 + 100)
        #expect(pair.server.wantsOutput)
        output.removeAll()
        pair.server.flush(into: &output, upTo: 400_000)
        #expect(!pair.server.wantsOutput && stream.taken == 200_000)
    }

    @Test func windowsOpenOnlyAsBytesAreConsumed() {
        let probe = Probe { $0.streamWindow = 10_000 }
        probe.session.echoes = false
        probe.session.consumes = false
        _ = probe.ask(.headers(1, post, end: false))
        #expect(probe.ask(.data(1, noise(10_000, seed: 5))).isEmpty)
        let stream = probe.session.streams[0]
        #expect(stream.received.count == 10_000)
        probe.session.consume(stream, 10_000)
        #expect(probe.drain() == [.window(1, 10_000)])
        #expect(probe.ask(.data(1, noise(10_001, seed: 5))).reset(1) == 3)
        #expect(stream.end == .failed(.http2ProtocolError))
    }

    @Test func bytesOfClosedStreamsComeBackToTheConnection() {
        let probe = Probe { $0.connectionWindow = 65_535 }
        probe.session.consumes = false
        for id in stride(from: UInt32(1), to: 21, by: 2) {
            _ = probe.ask(.headers(id, post, end: false), .data(id, noise(16_000, seed: 6), end: true))
        }
        #expect(probe.session.openStreamCount == 0 && probe.reason == nil)
    }

    @Test func cookieCrumbsBecomeOneField() {
        let probe = Probe()
        let crumbs = (0..<150).map { ("cookie", "c\($0)=\($0)") }
        _ = probe.ask(.headers(1, get + crumbs[..<75] + [("x-a", "b")] + crumbs[75...]))
        let stream = probe.session.streams[0]
        #expect(stream.rejection == nil)
        #expect(stream.heads[0].count == 6)
        #expect(stream.headMemory["cookie"] == crumbs.map { $0.1 }.joined(separator: "; "))
        #expect(stream.heads[0][4].0 == "cookie")
        _ = probe.ask(.headers(3, get + [("cookie", "a=b")]))
        #expect(probe.session.streams[1].headMemory["cookie"] == "a=b")
    }

    @Test func whatFieldsMean() {
        let probe = Probe()
        _ = probe.ask(
            .headers(
                1, post + [("content-type", "application/grpc+proto"), ("te", "trailers"), ("expect", "100-Continue")],
                end: false))
        let head = probe.session.streams[0].headMemory
        #expect(head.flags == [.grpc, .trailersAccepted, .expectContinue] && head.bodyLength == .unknown)
        _ = probe.ask(.headers(3, post + [("content-length", "5")], end: false))
        #expect(probe.session.streams[1].headMemory.bodyLength == .known(5))
        _ = probe.ask(.headers(5, post + [("content-length", "0")], end: false))
        let empty = probe.session.streams[2].headMemory
        #expect(empty.bodyLength == .unknown && empty["content-length"] == nil)
        _ = probe.ask(.headers(7, post + [("content-length", "0")]))
        let none = probe.session.streams[3].headMemory
        #expect(none.bodyLength == .none && none["content-length"] == "0")
    }

    @Test func hostStandsInForAuthority() {
        let probe = Probe()
        _ = probe.ask(.headers(1, Array(get.dropLast()) + [("host", "a.example:80")]))
        #expect(probe.session.streams[0].headMemory[":authority"] == "a.example:80")
        _ = probe.ask(.headers(3, get + [("host", "SHOP.example")]))
        #expect(probe.session.streams[1].events.first == "head")
        #expect(probe.ask(.headers(5, get + [("host", "other.example")])).reset(5) == 1)
        #expect(probe.session.streams[2].events == ["closed"])
    }

    @Test func extendedConnect() {
        let fields = [
            (":method", "CONNECT"), (":scheme", "http"), (":path", "/chat"), (":authority", "a"),
            (":protocol", "websocket"),
        ]
        let probe = Probe { $0.extendedConnect = true }
        _ = probe.ask(.headers(1, fields, end: false))
        let head = probe.session.streams[0].headMemory
        #expect(head.method == .connect && head.flags == .extendedConnect && head[":protocol"] == "websocket")
        #expect(Probe().ask(.headers(1, fields, end: false)).reset(1) == 1)
    }

    @Test func extendedConnectAsClient() {
        let pair = Pair(server: { $0.extendedConnect = true })
        #expect(pair.client.peerAllowsExtendedConnect)
        let stream = pair.client.request(method: "CONNECT", path: "/chat", hasBody: true) {
            $0.flags.insert(.extendedConnect)
            $0.protocolRange = $0.store("websocket".bytes)
        }!
        stream.send(Array("ping".utf8))
        pair.run()
        #expect(pair.server.streams[0].headMemory[":protocol"] == "websocket")
        #expect(pair.server.streams[0].received == Array("ping".utf8))
        #expect(stream.heads[0][0].1 == "200" && !Pair().client.peerAllowsExtendedConnect)
    }

    @Test func plainConnectIsPassedUp() {
        let probe = Probe()
        _ = probe.ask(.headers(1, [(":method", "CONNECT"), (":authority", "a:443")], end: false))
        #expect(probe.session.streams[0].headMemory.method == .connect)
        #expect(probe.session.streams[0].headMemory.pathRange.isEmpty)
    }

    @Test func flushIsAskedForOnce() {
        let probe = Probe(handshake: false)
        #expect(probe.session.flushWishes == 1)
        probe.raw(preface)
        probe.send(.settings(), .ping(), .ping())
        #expect(probe.session.flushWishes == 1)
        _ = probe.drain()
        probe.send(.ping())
        probe.send(.ping())
        #expect(probe.session.flushWishes == 2)
    }

    @Test func streamsOfOneConnectionTakeTurns() {
        let pair = Pair(client: { $0.streamWindow = 1 << 20 })
        pair.server.echoes = false
        _ = pair.client.request()
        _ = pair.client.request()
        pair.run()
        for stream in pair.server.streams {
            stream.send(noise(100_000, seed: 8), end: true)
            pair.server.respond(stream, stream.response([]), hasBody: true)
        }
        var output = OutputQueue(pools: pair.server.pools)
        pair.server.flush(into: &output, upTo: 70_000)
        #expect(pair.server.streams.allSatisfy { $0.taken > 20_000 })
    }
}

extension String {
    /// The UTF-8 bytes, kept for the process: tests are short.
    var bytes: Span<UInt8> {
        @_lifetime(immortal)
        get {
            let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: utf8.count)
            _ = unsafe copy.initialize(from: utf8)
            // SAFETY: never freed.
            return unsafe _overrideLifetime(Span(_unsafeElements: UnsafeBufferPointer(copy)), borrowing: ())
        }
    }
}

extension TestStream {
    /// A head of 200 with these fields.
    func response(_ fields: [(String, String)]) -> MessageHead {
        let head = MessageHead()
        head.status = 200
        for (name, value) in fields { head.append(name: name.bytes, value: value.bytes) }
        return head
    }
}
