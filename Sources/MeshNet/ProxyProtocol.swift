import Glibc
import MeshCore

/// The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): who really opened a connection that a load
/// balancer passed on. Reading needs no socket: bytes in, result out.
public enum ProxyProtocol {
    /// The form of a header.
    public enum Version: Sendable {
        /// One line of text.
        case v1
        /// Binary.
        case v2
    }

    /// What the first bytes of a connection are.
    public enum Header: Sendable, Equatable {
        /// Perhaps a header, once there are more bytes.
        case incomplete
        /// No header, whatever follows.
        case invalid
        /// A header of `length` bytes; the rest of the bytes is the connection's. Without addresses if the sender speaks
        /// for itself (LOCAL) or does not know them (UNKNOWN, unspecified): then the connection's own count.
        case parsed(length: Int, source: SocketAddress?, destination: SocketAddress?)
    }

    /// The longest header that is taken; a longer one is invalid. Version 1 allows 107 bytes.
    public static let lengthLimit = 536
    private static let lineLimit = 107

    /// What `bytes`, the first ones of a connection, are. Extensions (TLVs) of version 2 are skipped.
    public static func parse(_ bytes: Span<UInt8>) -> Header {
        if bytes.isEmpty { return .incomplete }
        return bytes[0] == signature[0] ? parseBinary(bytes) : parseLine(bytes)
    }

    // MARK: Version 1

    /// `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n`, single spaces, at most 107 bytes.
    private static func parseLine(_ bytes: Span<UInt8>) -> Header {
        let known: [UInt8] = Array("PROXY ".utf8)
        for index in 0..<min(known.count, bytes.count) where bytes[index] != known[index] { return .invalid }
        var end = 0
        let limit = min(bytes.count, lineLimit)
        while end < limit && bytes[end] != 0x0d { end += 1 }
        // The line must end within the limit, so that a sender cannot make us wait for it for ever.
        if end + 1 >= bytes.count { return bytes.count < lineLimit ? .incomplete : .invalid }
        guard end + 1 < lineLimit, bytes[end + 1] == 0x0a else { return .invalid }
        let line = String(decoding: (known.count..<max(end, known.count)).map { bytes[$0] }, as: UTF8.self)
        let words = line.split(separator: " ", omittingEmptySubsequences: false)
        // What follows UNKNOWN must be ignored (§2.1).
        if words[0] == "UNKNOWN" { return .parsed(length: end + 2, source: nil, destination: nil) }
        guard words.count == 5, words[0] == "TCP4" || words[0] == "TCP6",
            let source = endpoint(words[1], words[3], isIPv6: words[0] == "TCP6"),
            let destination = endpoint(words[2], words[4], isIPv6: words[0] == "TCP6")
        else { return .invalid }
        return .parsed(length: end + 2, source: source, destination: destination)
    }

    private static func endpoint(_ ip: Substring, _ port: Substring, isIPv6: Bool) -> SocketAddress? {
        guard port.utf8.count > 0, port.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), port == "0" || port.first != "0",
            let number = UInt16(port), ip.contains(":") == isIPv6, !ip.contains("%")
        else { return nil }
        return SocketAddress(ip: String(ip), port: number)
    }

    // MARK: Version 2

    private static let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]

    /// 12 bytes of signature, version and command, family and transport, 16 bits of length, addresses, extensions.
    private static func parseBinary(_ bytes: Span<UInt8>) -> Header {
        for index in 0..<min(signature.count, bytes.count) where bytes[index] != signature[index] { return .invalid }
        if bytes.count > 12 && bytes[12] != 0x20 && bytes[12] != 0x21 { return .invalid }
        // Only streams and "unspecified": a datagram does not come over a connection.
        if bytes.count > 13, ![0x00, 0x11, 0x21, 0x31].contains(bytes[13]) { return .invalid }
        guard bytes.count >= 16 else { return .incomplete }
        let rest = Int(bytes[14]) << 8 | Int(bytes[15])
        let length = 16 + rest
        let isLocal = bytes[12] == 0x20
        let family = bytes[13]
        guard length <= lengthLimit, isLocal || rest >= addressLength(family) else { return .invalid }
        guard bytes.count >= length else { return .incomplete }
        if isLocal || family == 0 { return .parsed(length: length, source: nil, destination: nil) }
        switch family {
        case 0x11:
            return .parsed(
                length: length,
                source: .ipv4(UInt32(number(bytes, 16, 4)), port: UInt16(number(bytes, 24, 2))),
                destination: .ipv4(UInt32(number(bytes, 20, 4)), port: UInt16(number(bytes, 26, 2))))
        case 0x21:
            return .parsed(
                length: length, source: ipv6(bytes, 16, port: 48), destination: ipv6(bytes, 32, port: 50))
        default:
            return .parsed(length: length, source: path(bytes, 16), destination: path(bytes, 124))
        }
    }

    private static func addressLength(_ family: UInt8) -> Int {
        switch family {
        case 0x11: 12
        case 0x21: 36
        case 0x31: 216
        default: 0
        }
    }

    /// `count` bytes from `offset` on, in network order; the caller has checked that they are there.
    private static func number(_ bytes: Span<UInt8>, _ offset: Int, _ count: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in offset..<offset + count { value = value << 8 | UInt64(bytes[index]) }
        return value
    }

    private static func ipv6(_ bytes: Span<UInt8>, _ offset: Int, port: Int) -> SocketAddress {
        let (high, low) = (number(bytes, offset, 8), number(bytes, offset + 8, 8))
        return SocketAddress(high: high, low: low, port: UInt16(number(bytes, port, 2)))
    }

    private static func path(_ bytes: Span<UInt8>, _ offset: Int) -> SocketAddress {
        var path: [UInt8] = []
        for index in offset..<offset + 107 {
            if bytes[index] == 0 && index > offset { break }
            path.append(bytes[index] == 0 ? UInt8(ascii: "@") : bytes[index])
        }
        return .unix(path == [UInt8(ascii: "@")] ? "" : String(decoding: path, as: UTF8.self))
    }

    // MARK: Writing

    /// The header that tells a server about a connection from `source` to `destination`.
    ///
    /// Without both addresses, or with a unix socket among them, it says that they are not known; an IPv4 address beside
    /// an IPv6 one is written as `::ffff:1.2.3.4`.
    public static func header(
        _ version: Version, source: SocketAddress?, destination: SocketAddress?
    ) -> [UInt8] {
        switch version {
        case .v1: line(source, destination)
        case .v2: binary(source, destination)
        }
    }

    /// Queues ``header(_:source:destination:)``.
    public static func append(
        _ version: Version, source: SocketAddress?, destination: SocketAddress?, to queue: inout OutputQueue
    ) {
        queue.append(copying: header(version, source: source, destination: destination).span)
    }

    private static func line(_ source: SocketAddress?, _ destination: SocketAddress?) -> [UInt8] {
        guard let source, let destination, source.family != AF_UNIX, destination.family != AF_UNIX else {
            return Array("PROXY UNKNOWN\r\n".utf8)
        }
        let isIPv4 = source.family == AF_INET && destination.family == AF_INET
        let hosts = [source, destination].map { isIPv4 || $0.family == AF_INET6 ? $0.host : "::ffff:\($0.host)" }
        let family = isIPv4 ? "TCP4" : "TCP6"
        return Array("PROXY \(family) \(hosts[0]) \(hosts[1]) \(source.port) \(destination.port)\r\n".utf8)
    }

    private static func binary(_ source: SocketAddress?, _ destination: SocketAddress?) -> [UInt8] {
        var header = signature
        guard let source, let destination, source.family != AF_UNIX, destination.family != AF_UNIX else {
            return header + [0x21, 0x00, 0, 0]
        }
        if case .ipv4(let from, _) = source, case .ipv4(let to, _) = destination {
            header += [0x21, 0x11, 0, 12]
            for address in [from, to] { append(UInt64(address), bytes: 4, to: &header) }
        } else {
            header += [0x21, 0x21, 0, 36]
            for address in [source, destination] {
                let (high, low) = address.ipv6Halves
                append(high, bytes: 8, to: &header)
                append(low, bytes: 8, to: &header)
            }
        }
        append(UInt64(source.port), bytes: 2, to: &header)
        append(UInt64(destination.port), bytes: 2, to: &header)
        return header
    }

    private static func append(_ number: UInt64, bytes: Int, to header: inout [UInt8]) {
        for index in (0..<bytes).reversed() { header.append(UInt8(truncatingIfNeeded: number >> UInt64(index * 8))) }
    }
}
