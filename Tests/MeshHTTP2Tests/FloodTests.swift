import MeshCore
import Testing

@testable import MeshHTTP2

private let calm: UInt32 = 11

/// Sends what `frame` makes until the session has enough; returns how often.
private func flood(_ probe: Probe, limit: Int = 20_000, drains: Bool = true, _ frame: (Int) -> [Frame]) -> Int {
    for round in 0..<limit {
        probe.raw(frame(round).flatMap { $0.bytes })
        if drains { _ = probe.drain() }
        if probe.reason != nil { return round }
    }
    return limit
}

private func id(_ round: Int) -> UInt32 { UInt32(2 * round + 1) }

@Suite struct FloodTests {
    @Test func rapidReset() {
        let probe = Probe()
        probe.session.echoes = false
        #expect(flood(probe) { [.headers(id($0), get), .reset(id($0))] } == 200)
        #expect(probe.reason == .http2ResetFlood && probe.session.isFinished)
        #expect(probe.session.resetCount == 201)
    }

    @Test func resetsAtALowRateAreFine() {
        let probe = Probe()
        #expect(
            flood(probe, limit: 1000) {
                probe.now = probe.now.advanced(byNanoseconds: 60_000_000)
                return [.headers(id($0), get, end: false), .reset(id($0))]
            } == 1000)
    }

    /// The client makes us reset ("MadeYouReset").
    @Test(arguments: 0..<5) func provokedResets(kind: Int) {
        let probe = Probe()
        probe.session.echoes = false
        let rounds = flood(probe) { round in
            let stream = id(round)
            return switch kind {
            case 0: [.headers(stream, get + [("X", "y")])]
            case 1: [.headers(stream, post, end: false), .window(stream, .max >> 1), .window(stream, .max >> 1)]
            case 2: [.headers(stream, post + [("content-length", "1")], end: false), .data(stream, "ab")]
            case 3: [.headers(stream, get.map { $0.0 == ":path" ? ($0.0, "x") : $0 })]
            default: [.headers(stream, post, end: false), .headers(stream, [("a", "b")], end: false)]
            }
        }
        #expect(rounds == 200 && probe.reason == .http2ResetFlood)
        #expect(probe.session.isFinished)
    }

    @Test func ourOwnResetsDoNotCount() {
        let probe = Probe()
        probe.session.prepare = { $0.on["head"] = { $0.session.reset($0, code: 2) } }
        #expect(flood(probe, limit: 2000) { [.headers(id($0), get)] } == 2000)
        #expect(probe.session.resetCount == 0)
    }

    @Test func streamsBeyondTheLimit() {
        let probe = Probe(handshake: false) { $0.maxConcurrentStreams = 1 }
        probe.session.echoes = false
        probe.raw(preface)
        probe.send(.settings())
        // One is open, the others are refused until the client acknowledges the limit.
        #expect(flood(probe) { [.headers(id($0), get)] } == 201)
        #expect(probe.reason == .http2ResetFlood)
    }

    @Test(arguments: [Frame.ping(), .settings(), .settings([(4, 1000)])]) func controlFrames(frame: Frame) {
        let probe = Probe()
        let rounds = flood(probe) { _ in [frame] }
        #expect(rounds == 499 || rounds == 500)
        #expect(probe.reason == .http2ControlFlood && probe.session.isFinished)
        #expect(probe.session.failure == .http2ControlFlood)
    }

    @Test func aPeerThatDoesNotRead() {
        let probe = Probe { $0.controlFrames.burst = 1_000_000 }
        #expect(flood(probe, drains: false) { _ in [.ping()] } == 1000)
        #expect(probe.reason == .http2OutputOverflow)
        #expect(probe.drain().goaway == calm && probe.session.isFinished)
    }

    @Test(arguments: 0..<9) func glitches(kind: Int) {
        let probe = Probe()
        probe.session.echoes = false
        _ = probe.ask(.headers(1, post, end: false), .headers(3, post, end: false), .reset(3))
        let rounds = flood(probe) { round in
            switch kind {
            case 0: [.data(1)]
            case 1:
                [
                    .block(UInt32(2 * round + 5), [], endHeaders: false),
                    .continuation(UInt32(2 * round + 5), HPACK.block(get)), .reset(UInt32(2 * round + 5)),
                ]
            case 2: [.priority(1)]
            case 3: [.window(0, 1)]
            case 4: [.window(1, 1)]
            case 5: [Frame(type: 0xee, payload: [1])]
            case 6: [.ping(ack: true)]
            case 7: [.data(3, "x")]
            default: [.priority(UInt32(2 * round + 101), on: 5, exclusive: true)]
            }
        }
        if kind == 1 {
            #expect(probe.reason == .http2ResetFlood)
        } else {
            let free = kind == 3 || kind == 4 ? 104 : 0
            #expect(rounds == 500 + free, "\(kind)")
            #expect(probe.reason == .http2GlitchFlood)
        }
        #expect(probe.session.isFinished && probe.session.glitchCount > 190)
    }

    @Test func windowUpdatesAfterDataAreFine() {
        let probe = Probe(settings: [(4, 1)])
        probe.session.echoes = false
        _ = probe.ask(.headers(1, get))
        let stream = probe.session.streams[0]
        stream.send([UInt8](repeating: 7, count: 3000))
        probe.session.respond(stream, stream.response([]), hasBody: true)
        #expect(flood(probe, limit: 2900) { _ in [.window(1, 1), .window(0, 1)] } == 2900)
        #expect(stream.taken == 2901 && probe.session.glitchCount == 0)
    }

    @Test func continuations() {
        let block = HPACK.block(get)
        let probe = Probe()
        let frames = [Frame.block(1, block, endHeaders: false)]
        let more = Frame.continuation(1, HPACK.block([("a", "b")]), endHeaders: false)
        probe.raw((frames + [Frame](repeating: more, count: 8)).flatMap { $0.bytes })
        #expect(probe.reason == nil)
        #expect(probe.ask(more).goaway == calm)
        #expect(probe.reason == .http2GlitchFlood)
        #expect(probe.session.streams[0].events.isEmpty)
    }

    @Test func hpackBomb() {
        let probe = Probe()
        let value = [UInt8](repeating: 97, count: 3900)
        _ = probe.ask(.block(1, HPACK.block(get) + [0x40] + HPACK.string([98]) + HPACK.string(value)))
        let bomb = [UInt8](repeating: 0xbe, count: 15_000)
        let answer = probe.ask(.block(3, HPACK.block(get) + bomb))
        #expect(answer.goaway == calm && probe.reason == .headersTooLarge && probe.session.isFinished)
        #expect(probe.session.streams[1].headMemory.byteCount < 64_000)
        #expect(probe.session.streams[1].events.isEmpty)
    }

    @Test func bucketsRefill() {
        var bucket = TokenBucket(.init(burst: 2, perSecond: 10))
        var now = Instant(nanoseconds: 5)
        func takes(_ count: Int) -> [Bool] { (0..<count).map { _ in bucket.take(now: now) } }
        #expect(takes(3) == [true, true, false])
        now = now.advanced(byNanoseconds: 100_000_000)
        #expect(takes(2) == [true, false])
        now = now.advanced(byNanoseconds: .max / 2)
        #expect(takes(3) == [true, true, false])
        bucket = TokenBucket(.init(burst: 0, perSecond: 10))
        #expect(takes(1) == [false])
        bucket = TokenBucket(.init(burst: .max, perSecond: .max))
        now = now.advanced(byNanoseconds: .max)
        #expect(takes(2) == [true, true])
    }
}

@Suite struct LimitTests {
    @Test func tooManyFieldsAreAnswered() {
        let probe = Probe { $0.maxHeaders = 10 }
        let many = (0..<11).map { ("x-\($0)", "v") }
        let answer = probe.ask(.headers(1, get + many))
        let stream = probe.session.streams[0]
        #expect(stream.rejection == .tooManyHeaders && answer.answers(1) && stream.heads[0][0].1 == "GET")
        #expect(stream.headMemory["x-9"] == "v" && stream.headMemory["x-10"] == nil)
        _ = probe.ask(.headers(3, get + many.dropLast()))
        #expect(probe.session.streams[1].rejection == nil)
    }

    @Test func largeHeadsAreAnswered() {
        let probe = Probe()
        let value = String(repeating: "v", count: 15_000)
        let fields = (0..<5).map { HPACK.block([("x-\($0)", value)]) }
        let frames =
            [Frame.block(1, HPACK.block(get), endHeaders: false)]
            + fields.enumerated().map { .continuation(1, $0.element, endHeaders: $0.offset == 4) }
        probe.raw(frames.flatMap { $0.bytes })
        #expect(probe.drain().answers(1))
        #expect(probe.session.streams[0].rejection == .headersTooLarge)
        #expect(probe.session.streams[0].headMemory.byteCount < 61_440)
        #expect(probe.session.streams[0].headMemory["x-3"] == value)
        // The HPACK table is still right.
        #expect(probe.ask(.headers(3, get)).answers(3))
    }

    @Test func longTargetsAreAnswered() {
        let probe = Probe { $0.maxTargetBytes = 100 }
        let path = { "/" + String(repeating: "p", count: $0) }
        let answer = probe.ask(.headers(1, get.map { $0.0 == ":path" ? ($0.0, path(100)) : $0 }))
        #expect(probe.session.streams[0].rejection == .uriTooLong && answer.answers(1))
        _ = probe.ask(.headers(3, get.map { $0.0 == ":path" ? ($0.0, path(99)) : $0 }))
        #expect(probe.session.streams[1].rejection == nil)
    }

    @Test func unknownExpectationsAreAnswered() {
        let probe = Probe()
        _ = probe.ask(.headers(1, get + [("expect", "a miracle")]))
        #expect(probe.session.streams[0].rejection == .expectationFailed)
    }

    @Test func largeResponsesAreRejected() {
        let pair = Pair(client: { $0.maxHeaders = 5 })
        pair.server.echoes = false
        let stream = pair.client.request()!
        pair.run()
        let served = pair.server.streams[0]
        pair.server.respond(served, served.response((0..<6).map { ("x-\($0)", "v") }), hasBody: false)
        pair.run()
        #expect(stream.rejection == .upstreamHeadersTooLarge && stream.end == .complete)
    }

    @Test func trailersHaveTheSameLimits() {
        let probe = Probe { $0.maxHeaders = 4 }
        let answer = probe.ask(
            .headers(1, post, end: false), .headers(1, (0..<5).map { ("x-\($0)", "v") }))
        #expect(answer.reset(1) == 1)
        #expect(probe.session.streams[0].end == .failed(.http2ProtocolError))
    }
}
