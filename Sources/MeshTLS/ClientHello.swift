/// The first message of a TLS client, read without taking part in the handshake: for routing by server name and
/// passing the connection through untouched.
///
/// Strict: a hello that is not exactly what RFC 8446 §4.1.2 says is not routed by guesswork. Bounded: at most 64 KiB.
public enum ClientHello: Sendable, Equatable {
    /// Right so far; more bytes are needed.
    case incomplete
    /// Not a TLS client hello, or a malformed one.
    case notTLS
    /// A complete hello. The name is in lower case, nil if the client named no server; `alpn` in the client's order.
    case hello(serverName: String?, alpn: [String])

    /// Bytes of handshake message that are looked at, and so the most that a caller must hold (records add 5 each).
    public static let limit = 65_536

    /// Looks at the first bytes of a connection.
    public static func peek(_ bytes: Span<UInt8>) -> ClientHello {
        var message: [UInt8] = []
        var wanted: Int?
        var at = 0
        while true {
            if let wanted, message.count >= wanted {
                // Nothing may follow in the same record: the client waits for our answer.
                return message.count == wanted ? parse(message.span) : .notTLS
            }
            guard let record = Record(bytes, at: at) else { return .incomplete }
            guard record.isValid else { return .notTLS }
            let available = min(record.count, bytes.count - record.start)
            for index in record.start..<(record.start + available) { message.append(bytes[index]) }
            if message.count >= 1 && message[0] != 1 { return .notTLS }
            if message.count >= 4 {
                let length = Int(message[1]) << 16 | Int(message[2]) << 8 | Int(message[3])
                if length > limit - 4 { return .notTLS }
                wanted = length + 4
                if message.count > length + 4 { return .notTLS }
            }
            if available < record.count { return .incomplete }
            at = record.start + record.count
        }
    }

    /// A record header (RFC 8446 §5.1), possibly the first bytes of one.
    private struct Record {
        var isValid = true
        var start = 0
        var count = 0

        /// Nil if the header is incomplete and right so far.
        init?(_ bytes: Span<UInt8>, at index: Int) {
            let left = bytes.count - index
            if left > 0 && bytes[index] != 22 || left > 1 && bytes[index + 1] != 3 {
                isValid = false
                return
            }
            guard left >= 5 else { return nil }
            start = index + 5
            count = Int(bytes[index + 3]) << 8 | Int(bytes[index + 4])
            isValid = count > 0 && count <= 16_384
        }
    }

    private static func parse(_ message: Span<UInt8>) -> ClientHello {
        var hello = Reader(message)
        hello.skip(4 + 2 + 32)  // Header, legacy version, random.
        guard hello.vector8(0...32) != nil,  // Session id.
            let suites = hello.vector16(2...65_534), suites.count % 2 == 0,
            hello.vector8(1...255) != nil  // Compression methods.
        else { return .notTLS }
        if hello.isAtEnd { return hello.failed ? .notTLS : .hello(serverName: nil, alpn: []) }
        guard var extensions = hello.vector16(0...65_535), hello.isAtEnd else { return .notTLS }
        var serverName: String?
        var protocols: [String] = []
        var seenName = false
        var seenProtocols = false
        while !extensions.isAtEnd {
            guard let type = extensions.number16(), var body = extensions.vector16(0...65_535) else { return .notTLS }
            switch type {
            case 0:
                guard !seenName, let name = self.serverName(&body) else { return .notTLS }
                seenName = true
                serverName = name
            case 16:
                guard !seenProtocols, let list = self.protocols(&body) else { return .notTLS }
                seenProtocols = true
                protocols = list
            default: break
            }
        }
        return .hello(serverName: serverName, alpn: protocols)
    }

    /// RFC 6066 §3: exactly one host name, ASCII, without a trailing dot.
    private static func serverName(_ body: inout Reader) -> String? {
        guard var list = body.vector16(1...65_535), body.isAtEnd, list.number8() == 0,
            let name = list.vector16(1...255), list.isAtEnd
        else { return nil }
        var text: [UInt8] = []
        for index in 0..<name.count {
            let byte = name[index]
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): text.append(byte | 0x20)
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"),
                UInt8(ascii: "_"):
                text.append(byte)
            case UInt8(ascii: "."):
                if text.isEmpty || text.last == byte || index == name.count - 1 { return nil }
                text.append(byte)
            default: return nil
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// RFC 7301 §3.1.
    private static func protocols(_ body: inout Reader) -> [String]? {
        guard var list = body.vector16(2...65_535), body.isAtEnd else { return nil }
        var names: [String] = []
        while !list.isAtEnd {
            guard let name = list.vector8(1...255) else { return nil }
            names.append(String(decoding: (0..<name.count).map { name[$0] }, as: UTF8.self))
        }
        return names
    }
}

/// Reads numbers and length-prefixed vectors, never beyond its end.
private struct Reader: ~Escapable {
    private let bytes: Span<UInt8>
    private var at = 0
    private(set) var failed = false

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>) { self.bytes = bytes }

    var count: Int { bytes.count }

    var isAtEnd: Bool { at >= bytes.count || failed }

    subscript(index: Int) -> UInt8 { bytes[index] }

    mutating func skip(_ count: Int) {
        if bytes.count - at < count { failed = true } else { at += count }
    }

    mutating func number8() -> Int? {
        guard !failed, at < bytes.count else { return nil }
        at += 1
        return Int(bytes[at - 1])
    }

    mutating func number16() -> Int? {
        guard let high = number8(), let low = number8() else { return nil }
        return high << 8 | low
    }

    @_lifetime(copy self)
    mutating func vector8(_ bounds: ClosedRange<Int>) -> Reader? {
        guard let count = number8() else { return nil }
        return vector(count, bounds)
    }

    @_lifetime(copy self)
    mutating func vector16(_ bounds: ClosedRange<Int>) -> Reader? {
        guard let count = number16() else { return nil }
        return vector(count, bounds)
    }

    @_lifetime(copy self)
    private mutating func vector(_ count: Int, _ bounds: ClosedRange<Int>) -> Reader? {
        guard bounds.contains(count), bytes.count - at >= count else { return nil }
        let part = bytes.extracting(at..<(at + count))
        at += count
        return Reader(part)
    }
}
