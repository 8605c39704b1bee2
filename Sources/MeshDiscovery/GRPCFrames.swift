import MeshCore

/// The framing of gRPC messages in a body: in front of each a flag, 0, and the length in 4 bytes, big-endian. Compression
/// is not spoken: a peer that was not offered it must not use it.
public struct GRPCFrames: Sendable {
    private let maxMessageBytes: Int
    private var bytes: [UInt8] = []
    /// Where in ``bytes`` the next message begins.
    private var start = 0

    /// A reader that refuses messages of more than `maxMessageBytes`.
    public init(maxMessageBytes: Int = Self.defaultMaxMessageBytes) { self.maxMessageBytes = maxMessageBytes }

    /// 4 MiB, as other implementations have it.
    public static let defaultMaxMessageBytes = 4 << 20

    private static let prefixBytes = 5

    /// Takes the next bytes of the body, however they were cut.
    public mutating func append(_ more: Span<UInt8>) {
        if start > 0 {
            bytes.removeFirst(start)
            start = 0
        }
        bytes.reserveCapacity(bytes.count + more.count)
        for index in more.indices { bytes.append(more[index]) }
    }

    /// The next message; nil: more bytes are needed. Throws what the peer did wrong: the call cannot go on.
    public mutating func next() throws(ProxyError) -> [UInt8]? {
        let held = bytes.count - start
        guard held > 0 else { return nil }
        guard bytes[start] != 1 else { throw ProxyError("a gRPC message is compressed, which was not offered") }
        guard bytes[start] == 0 else { throw ProxyError("a gRPC message begins with \(bytes[start]), not with 0") }
        guard held >= Self.prefixBytes else { return nil }
        let length = bytes[start + 1..<start + Self.prefixBytes].reduce(0) { $0 << 8 | Int($1) }
        guard length <= maxMessageBytes else {
            throw ProxyError("a gRPC message has \(length) bytes; no more than \(maxMessageBytes) are taken")
        }
        guard held - Self.prefixBytes >= length else { return nil }
        let message = Array(bytes[start + Self.prefixBytes..<start + Self.prefixBytes + length])
        start += Self.prefixBytes + length
        if start == bytes.count {
            bytes.removeAll(keepingCapacity: bytes.capacity <= 1 << 16)
            start = 0
        }
        return message
    }

    /// True if no part of a message is held: where a body may end.
    public var isEmpty: Bool { start == bytes.count }

    /// `message`, which has less than 4 GiB, with its prefix.
    public static func frame(_ message: [UInt8]) -> [UInt8] {
        let length = UInt32(message.count)
        var frame: [UInt8] = [0]
        frame.reserveCapacity(message.count + prefixBytes)
        for shift: UInt32 in [24, 16, 8, 0] { frame.append(UInt8(truncatingIfNeeded: length >> shift)) }
        frame += message
        return frame
    }
}
