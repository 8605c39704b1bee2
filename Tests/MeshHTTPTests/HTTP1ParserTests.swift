import MeshCore
import MeshHTTP
import Testing

/// Parses `text` and returns the result beside the head.
func parse(_ text: String, limits: HTTP1Limits = HTTP1Limits()) -> (HTTP1ParseResult, MessageHead) {
    let head = MessageHead()
    let bytes = Array(text.utf8)
    return (HTTP1Parser.parseRequest(bytes.span, into: head, limits: limits), head)
}

func text(_ head: MessageHead, _ range: ByteRange) -> String {
    var bytes: [UInt8] = []
    let span = head.span(range)
    for index in 0..<span.count { bytes.append(span[index]) }
    return String(decoding: bytes, as: UTF8.self)
}

@Suite struct HTTP1ParserTests {
    @Test func requestIsTakenApart() {
        let message = "POST /a/b?c=d HTTP/1.1\r\nHost: Example.com:80\r\nContent-Length: 5\r\nX-A:  b c \r\n\r\n"
        let (result, head) = parse(message + "hello")
        #expect(result == .complete(message.utf8.count))
        #expect(head.method == .post)
        #expect(text(head, head.pathRange) == "/a/b?c=d")
        #expect(text(head, head.authorityRange) == "Example.com:80")
        #expect(head.bodyLength == .known(5))
        #expect(head.fieldCount == 3)
        #expect(text(head, head[2].valueRange) == "b c")
    }

    @Test func everyPrefixOfAHeadIsIncomplete() {
        let message = Array("\r\nGET http://h/p HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".utf8)
        let head = MessageHead()
        for count in 0..<message.count {
            let result = HTTP1Parser.parseRequest(
                message.span.extracting(first: count), into: head, limits: HTTP1Limits())
            #expect(result == .incomplete, "after \(count) bytes")
        }
        #expect(HTTP1Parser.parseRequest(message.span, into: head, limits: HTTP1Limits()) == .complete(message.count))
        #expect(text(head, head.pathRange) == "/p")
        #expect(head.flags.contains(.close))
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\n\r\n", Reason.invalidHost),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", .invalidHost),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", .invalidHost),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", .invalidHost),
        ("GET / HTTP/1.1\r\nHost: a:70000\r\n\r\n", .invalidHost),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", .hostMismatch),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", .conflictingFraming),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", .invalidContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", .invalidContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", .invalidContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", .invalidContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", .unsupportedTransferCoding),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            .unsupportedTransferCoding
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{0B}chunked\r\n\r\n", .malformedHeader),
        ("GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", .conflictingFraming),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", .malformedHeader),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", .malformedHeader),
        ("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", .malformedHeader),
        ("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", .malformedHeader),
        ("GET / HTTP/1.1\r\n: a\r\n\r\n", .malformedHeader),
        ("GET / HTTP/1.1\nHost: a\n\n", .malformedRequestLine),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", .malformedRequestLine),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", .malformedRequestLine),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", .malformedRequestLine),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", .malformedRequestLine),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", .unsupportedHTTPVersion),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: other\r\n\r\n", .expectationFailed),
    ])
    func whatTwoReadersCouldReadDifferentlyIsRefused(message: String, reason: Reason) {
        #expect(parse(message).0 == .failed(reason))
    }

    @Test func limitsHoldBeforeTheHeadIsComplete() {
        var limits = HTTP1Limits()
        limits.maxTargetBytes = 10
        limits.maxHeaders = 2
        limits.maxHeaderBytes = 100
        #expect(parse("GET /" + String(repeating: "a", count: 20), limits: limits).0 == .failed(.uriTooLong))
        #expect(parse("GET / HTTP/1.1\r\na: 1\r\nb: 2\r\nc:", limits: limits).0 == .failed(.tooManyHeaders))
        let long = "GET / HTTP/1.1\r\na: " + String(repeating: "b", count: 100)
        #expect(parse(long, limits: limits).0 == .failed(.headersTooLarge))
    }

    @Test func connectionFieldsStayBehindAndProtectedOnesDoNot() {
        let (_, head) = parse(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a, authorization, keep-alive\r\nX-A: 1\r\nAuthorization: s\r\nTE: trailers\r\n\r\n"
        )
        head.removeHopByHop()
        #expect(head.firstIndex(named: "x-a".utf8Span.span) == nil)
        #expect(head.firstIndex(of: .connection) == nil)
        #expect(head.firstIndex(of: .authorization) != nil)
        #expect(head.flags.contains(.trailersAccepted))
    }

    @Test func mutatedHeadsNeverTrapAndWhatParsesSurvivesARoundTrip() {
        let seed = Array(
            "POST http://h/p?q HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nConnection: upgrade, a\r\nUpgrade: x\r\n\r\n"
                .utf8)
        let alphabet = Array("\r\n:, \t/#%\u{0}AZaz09;=\"".utf8)
        var random = Random(seed: 7)
        let head = MessageHead()
        let again = MessageHead()
        let pools = BufferPools()
        var parsed = 0
        for _ in 0..<20_000 {
            var bytes = seed
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = alphabet.randomElement(using: &random)!
            }
            guard case .complete = HTTP1Parser.parseRequest(bytes.span, into: head, limits: HTTP1Limits()) else {
                continue
            }
            guard head.method != .connect, !head.authorityRange.isEmpty else { continue }
            parsed += 1
            head.removeHopByHop()
            var output = OutputQueue(pools: pools)
            HTTP1Encoder.request(head, chunked: head.bodyLength == .unknown, into: &output)
            let written = output.takeFirst(upTo: .max)
            let result = HTTP1Parser.parseRequest(written.span, into: again, limits: HTTP1Limits())
            #expect(result == .complete(written.count))
            #expect(again.bodyLength == head.bodyLength)
            #expect(text(again, again.pathRange) == text(head, head.pathRange))
        }
        #expect(parsed > 1000)
    }
}

@Suite struct HTTP1BodyDecoderTests {
    /// Feeds `body` in pieces of `step` bytes; the body bytes found, and how it ended.
    private func decode(_ body: String, step: Int) -> (String, HTTP1BodyDecoder.Step) {
        let head = MessageHead()
        head.bodyLength = .unknown
        head.flags = [.chunked]
        var decoder = HTTP1BodyDecoder(head)
        let bytes = Array(body.utf8)
        let trailers = MessageHead()
        var found: [UInt8] = []
        var start = 0
        var end = min(step, bytes.count)
        while true {
            switch decoder.next(bytes.span.extracting(start..<end), trailers: trailers, limits: HTTP1Limits()) {
            case .data(let skip, let count):
                found += bytes[(start + skip)..<(start + skip + count)]
                start += skip + count
            case .needsMore(let consumed):
                start += consumed
                if end == bytes.count { return (String(decoding: found, as: UTF8.self), .needsMore(consumed: 0)) }
                end = min(end + step, bytes.count)
            case .end(let consumed, let hasTrailers):
                #expect(start + consumed == bytes.count)
                return (String(decoding: found, as: UTF8.self), .end(consumed: 0, hasTrailers: hasTrailers))
            case .failed(let reason): return ("", .failed(reason))
            }
        }
    }

    @Test func chunksAreFoundHoweverTheyAreCut() {
        let body = "5\r\nhello\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nx-sum: 1\r\nhost: evil\r\n\r\n"
        for step in 1...body.utf8.count {
            let (found, end) = decode(body, step: step)
            #expect(found == "hello0123456789")
            #expect(end == .end(consumed: 0, hasTrailers: true))
        }
    }

    @Test(arguments: [
        "5\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "g\r\n", "-1\r\n", "\r\n", " 5\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "5 \r\nhello\r\n", "5\r\nhello\n\n0\r\n\r\n", "fffffffffffffffff\r\n",
        "1;" + String(repeating: "e", count: 300) + "\r\na\r\n",
    ])
    func oddChunkFramingIsRefused(body: String) {
        #expect(decode(body, step: 1).1 == .failed(.malformedChunk))
        #expect(decode(body, step: 100).1 == .failed(.malformedChunk))
    }
}
