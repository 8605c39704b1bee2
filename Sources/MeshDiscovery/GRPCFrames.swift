import MeshCore

/// The framing of gRPC messages in a body (5 bytes in front of each: a flag, and the length).
public struct GRPCFrames: Sendable {
    private let maxMessageBytes: Int
    private var bytes: [UInt8] = []
    private var start = 0

    /// A reader that refuses messages of more than `maxMessageBytes`.
    public init(maxMessageBytes: Int = Self.defaultMaxMessageBytes) { self.maxMessageBytes = maxMessageBytes }

    /// 4 MiB, as other implementations have it.
    public static let defaultMaxMessageBytes = 4 << 20

    /// Takes the next bytes of the body, however they were cut.
    public mutating func append(_ bytes: Span<UInt8>) {}

    /// The next message; nil: more bytes are needed. Throws what the peer did wrong: the call cannot go on.
    public mutating func next() throws(ProxyError) -> [UInt8]? { nil }

    /// True if no part of a message is held: where a body may end.
    public var isEmpty: Bool { true }

    /// `message` with its prefix.
    public static func frame(_ message: [UInt8]) -> [UInt8] { message }
}
