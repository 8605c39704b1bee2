import MeshCore
import Testing

@testable import MeshNet

@Suite struct ProxyProtocolTests {
    private let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]
    private let client = SocketAddress("192.0.2.1:56324")
    private let server = SocketAddress("198.51.100.2:443")

    private func parse(_ text: String) -> ProxyProtocol.Header { ProxyProtocol.parse(Array(text.utf8).span) }
    private func parse(_ bytes: [UInt8]) -> ProxyProtocol.Header { ProxyProtocol.parse(bytes.span) }

    @Test func linesWithAddresses() {
        let line = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
        #expect(parse(line + "GET /") == .parsed(length: line.utf8.count, source: client, destination: server))
        let six = "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"
        #expect(
            parse(six)
                == .parsed(
                    length: six.utf8.count, source: SocketAddress("[2001:db8::1]:1"),
                    destination: SocketAddress("[::1]:65535")))
        #expect(parse("PROXY UNKNOWN\r\n") == .parsed(length: 15, source: nil, destination: nil))
        #expect(parse("PROXY UNKNOWN what ever 1 2\r\n") == .parsed(length: 29, source: nil, destination: nil))
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\n", "PROXX", "proxy TCP4", "PROXY\tTCP4 ", "PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n", "PROXY TCP4 ::1 ::1 1 2\r\n", "PROXY TCP6 192.0.2.1 ::1 1 2\r\n",
        "PROXY TCP6 fe80::1%1 ::1 1 2\r\n", "PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\rX", "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n\r\n", "PROXY \r\n",
        "PROXY UNKNOWN " + String(repeating: "x", count: 100), "PROXY UNKNOWNX\r\n",
        "PROXY UNKNOWN " + String(repeating: "x", count: 92) + "\r\n",
    ])
    func malformedLines(text: String) { #expect(parse(text) == .invalid) }

    @Test func theLongestLineIs107Bytes() {
        let line = "PROXY UNKNOWN " + String(repeating: "x", count: 91) + "\r\n"
        #expect(line.utf8.count == 107)
        #expect(parse(line) == .parsed(length: 107, source: nil, destination: nil))
    }

    @Test(arguments: [ProxyProtocol.Version.v1, .v2])
    func everyPrefixIsIncomplete(version: ProxyProtocol.Version) {
        for (source, destination) in [
            (client, server), (SocketAddress("[::1]:1"), SocketAddress("[::2]:2")), (nil, nil),
        ] {
            let header = ProxyProtocol.header(version, source: source, destination: destination)
            for count in 0..<header.count { #expect(parse(Array(header.prefix(count))) == .incomplete) }
            #expect(
                parse(header + [1, 2, 3])
                    == .parsed(length: header.count, source: source, destination: destination))
        }
    }

    @Test func binaryAddressesAndSkippedExtensions() {
        let addresses: [UInt8] = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb]
        let extensions: [UInt8] = [0x04, 0, 2, 7, 7]
        let header = signature + [0x21, 0x11, 0, 17] + addresses + extensions
        #expect(parse(header + [9]) == .parsed(length: 33, source: client, destination: server))
        #expect(parse(signature + [0x20, 0x00, 0, 0]) == .parsed(length: 16, source: nil, destination: nil))
        // LOCAL: whatever the addresses are, they are not the connection's.
        #expect(
            parse(signature + [0x20, 0x11, 0, 12] + addresses) == .parsed(length: 28, source: nil, destination: nil))
        #expect(parse(signature + [0x21, 0x00, 0, 1, 0]) == .parsed(length: 17, source: nil, destination: nil))
        var unix = signature + [0x21, 0x31, 0, 216] + [UInt8](repeating: 0, count: 216)
        for (index, byte) in "/run/x".utf8.enumerated() { unix[16 + index] = byte }
        #expect(parse(unix) == .parsed(length: 232, source: .unix("/run/x"), destination: .unix("")))
    }

    @Test func theLongestBinaryHeaderIs536Bytes() {
        let header = signature + [0x20, 0x00, 0x02, 0x08] + [UInt8](repeating: 0, count: 520)
        #expect(parse(header) == .parsed(length: 536, source: nil, destination: nil))
        #expect(parse(signature + [0x20, 0x00, 0x02, 0x09]) == .invalid)
        #expect(parse(signature + [0x21, 0x11, 0xff, 0xff]) == .invalid)
    }

    @Test(
        arguments: [
            [0x11], [0x30], [0x22], [0x21, 0x12], [0x21, 0x22], [0x21, 0x41], [0x21, 0x01], [0x21, 0x10],
            [0x21, 0x11, 0, 11], [0x21, 0x21, 0, 35], [0x21, 0x31, 0, 215],
        ] as [[UInt8]])
    func malformedBinaryHeaders(tail: [UInt8]) { #expect(parse(signature + tail) == .invalid) }

    @Test func arbitraryBytesNeverTrap() {
        var random = Random(seed: 3)
        let seeds: [[UInt8]] = [
            ProxyProtocol.header(.v1, source: client, destination: server),
            ProxyProtocol.header(.v2, source: client, destination: server),
            signature + [0x21, 0x31, 0, 216] + [UInt8](repeating: 0x41, count: 216),
        ]
        for index in 0..<20_000 {
            var bytes = seeds[index % seeds.count]
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
            if case .parsed(let length, _, _) = parse(bytes) { #expect(length <= bytes.count) }
        }
    }

    @Test func familiesThatDifferAreWrittenAsIPv6() {
        let six = SocketAddress("[2001:db8::1]:9")
        for version in [ProxyProtocol.Version.v1, .v2] {
            let header = ProxyProtocol.header(version, source: client, destination: six)
            #expect(parse(header) == .parsed(length: header.count, source: client, destination: six))
        }
        #expect(
            ProxyProtocol.header(.v1, source: client, destination: six)
                == Array("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 56324 9\r\n".utf8))
        #expect(ProxyProtocol.header(.v1, source: .unix("/x"), destination: server) == Array("PROXY UNKNOWN\r\n".utf8))
    }
}

@Suite struct ThisProcessTests {
    @Test func figuresAreThere() throws {
        #expect(ThisProcess.processorCount() >= 1)
        #expect(ThisProcess.residentBytes() > 1 << 20)
        #expect(ThisProcess.openDescriptorCount() >= 3)
        #expect(Clock.wall() > 1_700_000_000_000_000_000)
        #expect(Clock.now() <= Clock.now())
    }
}
