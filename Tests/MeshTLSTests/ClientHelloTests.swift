import MeshCore
import Testing

@testable import MeshTLS

/// A hello as OpenSSL sends it.
private func realHello(_ name: String, alpn: [ALPN] = [.http2, .http1]) throws -> [UInt8] {
    let pools = BufferPools()
    let client = TLSSession(client: try TLSClientContext(trust: .none, alpn: alpn), serverName: name)
    var output = OutputQueue(pools: pools)
    _ = client.handshake(output: &output)
    return output.drain()
}

/// The same handshake message in records of at most `size` bytes.
private func split(_ hello: [UInt8], _ size: Int) -> [UInt8] {
    var records: [UInt8] = []
    let message = hello[5...]
    for start in stride(from: message.startIndex, to: message.endIndex, by: size) {
        let part = message[start..<min(start + size, message.endIndex)]
        records += [22, 3, 1, UInt8(part.count >> 8), UInt8(part.count & 255)] + part
    }
    return records
}

/// A hello with these extensions, written by hand.
private func hello(_ extensions: [(type: UInt16, body: [UInt8])], suites: [UInt8] = [0x13, 1]) -> [UInt8] {
    let two = { (count: Int) in [UInt8(count >> 8), UInt8(count & 255)] }
    var body: [UInt8] = [3, 3] + [UInt8](repeating: 9, count: 32) + [0]
    body += two(suites.count) + suites + [1, 0]
    let list = extensions.flatMap { two(Int($0.type)) + two($0.body.count) + $0.body }
    body += two(list.count) + list
    let message = [1, UInt8(body.count >> 16)] + two(body.count & 0xffff) + body
    return split([0, 0, 0, 0, 0] + message, 16_384)
}

private func name(_ text: String) -> (type: UInt16, body: [UInt8]) {
    let bytes = Array(text.utf8)
    let two = { (count: Int) in [UInt8(count >> 8), UInt8(count & 255)] }
    return (0, two(bytes.count + 3) + [0] + two(bytes.count) + bytes)
}

private func peek(_ bytes: [UInt8]) -> ClientHello { ClientHello.peek(bytes.span) }

@Suite struct ClientHelloTests {
    private let answer = ClientHello.hello(serverName: "shop.example", alpn: ["h2", "http/1.1"])

    @Test func readsWhatOpenSSLSends() throws {
        #expect(peek(try realHello("Shop.example")) == answer)
        #expect(peek(try realHello("127.0.0.1", alpn: [])) == .hello(serverName: nil, alpn: []))
    }

    @Test func everyPrefixIsIncomplete() throws {
        let real = try realHello("shop.example")
        for bytes in [real, split(real, 100), split(real, 1), split(real, 3)] {
            for end in 0..<bytes.count {
                #expect(peek(Array(bytes[..<end])) == .incomplete, "\(end) of \(bytes.count)")
            }
            #expect(peek(bytes) == answer)
            // What follows in records of its own (early data) changes nothing.
            #expect(peek((bytes + [23, 3, 3, 0, 1, 0])) == answer)
        }
    }

    @Test func otherProtocolsAreSeenAtTheFirstByte() {
        for text in ["G", "GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "SSH-2.0-x", "\u{16}x"] {
            #expect(peek(Array(text.utf8)) == .notTLS)
        }
        #expect(peek([22, 3, 1, 0, 0]) == .notTLS)
        #expect(peek([22, 3, 1, 0x40, 1]) == .notTLS)
        #expect(peek([22, 3, 1, 0, 4, 2]) == .notTLS)
        #expect(peek([22, 3, 1, 0, 4, 1, 1, 0, 0]) == .notTLS)
        #expect(peek([]) == .incomplete)
    }

    @Test func strictAboutNames() {
        #expect(peek(hello([name("A.b-c_d.9")])) == .hello(serverName: "a.b-c_d.9", alpn: []))
        #expect(peek(hello([])) == .hello(serverName: nil, alpn: []))
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a\0b", "a/b", "a:1", "ä", String(repeating: "a", count: 256)] {
            #expect(peek(hello([name(bad)])) == .notTLS, "\(bad)")
        }
        #expect(peek(hello([name("a"), name("b")])) == .notTLS)
        #expect(peek(hello([(0, [0, 4, 1, 0, 1, 97])])) == .notTLS)
        #expect(peek(hello([(0, [0, 8, 0, 0, 1, 97, 0, 0, 1, 98])])) == .notTLS)
    }

    @Test func strictAboutLengths() {
        #expect(peek(hello([(16, [0, 3, 2, 104, 50])])) == .hello(serverName: nil, alpn: ["h2"]))
        for bad: [UInt8] in [
            [], [0], [0, 0], [0, 1, 0], [0, 3, 3, 104, 50], [0, 4, 2, 104, 50], [0, 3, 2, 104, 50, 0],
        ] {
            #expect(peek(hello([(16, bad)])) == .notTLS)
        }
        #expect(peek(hello([], suites: [1])) == .notTLS)
        #expect(peek(hello([], suites: [])) == .notTLS)
        var trailing = hello([name("a")])
        trailing += [0]
        trailing[4] += 1
        #expect(peek(trailing) == .notTLS)
    }

    @Test func largeHellosSpanRecords() {
        let padding = [UInt8](repeating: 0, count: 60_000)
        let bytes = hello([(21, padding), name("a.example")])
        #expect(peek(bytes) == .hello(serverName: "a.example", alpn: []))
        #expect(peek(Array(bytes.dropLast())) == .incomplete)
        let tooLarge = hello([(21, padding), (22, Array(padding.prefix(5500)))])
        #expect(peek(tooLarge) == .notTLS)
    }

    @Test func mutationsNeverCrashAndPrefixesAgree() throws {
        let seeds = [try realHello("shop.example"), split(try realHello("shop.example"), 37), hello([name("a.b")])]
        var random = Random(seed: 2026)
        var complete = 0
        for _ in 0..<20_000 {
            var bytes = seeds[Int(random.next() % 3)]
            for _ in 0...Int(random.next() % 4) {
                let at = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 4 {
                case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes[at] ^= 1 << UInt8(random.next() % 8)
                case 2: bytes.remove(at: at)
                default: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: at)
                }
            }
            let whole = peek(bytes)
            let cut = peek(Array(bytes[..<Int(random.next() % UInt64(bytes.count))]))
            // A prefix never says something else than the whole: it may only be undecided.
            #expect(cut == .incomplete || cut == whole)
            if case .hello = whole { complete += 1 }
        }
        #expect(complete > 1000)
    }
}
