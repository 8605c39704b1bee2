/// Lines of the access log of one loop, which their owner takes away each turn and has written out.
///
/// Bounded: when whoever writes is slower than what is logged, whole lines are dropped and counted; never is a line cut
/// or a request held up.
public struct LogBuffer: Sendable {
    var bytes: [UInt8] = []
    private var dropped: UInt64 = 0
    private let limit: Int

    /// 1 MiB.
    public static let defaultLimit = 1 << 20

    /// An empty buffer that accepts lines until it holds `limit` bytes; one line may go beyond.
    public init(limit: Int = Self.defaultLimit) { self.limit = limit }

    /// Bytes held.
    public var count: Int { bytes.count }

    /// True if there is nothing to write.
    public var isEmpty: Bool { bytes.isEmpty }

    /// Hands over all lines, and keeps no memory.
    public mutating func take() -> [UInt8] {
        let lines = bytes
        bytes = []
        return lines
    }

    /// Hands over all lines in `spare`, whose memory is used for the next ones: what was in it is gone. Allocates
    /// nothing once both have grown.
    public mutating func swap(with spare: inout [UInt8]) {
        spare.removeAll(keepingCapacity: true)
        Swift.swap(&bytes, &spare)
    }

    /// How many lines were dropped since the last call.
    public mutating func takeDropped() -> UInt64 {
        defer { dropped = 0 }
        return dropped
    }

    /// True if the next line may be appended to ``bytes``; otherwise it is counted as dropped.
    mutating func admitsLine() -> Bool {
        if bytes.count < limit { return true }
        dropped &+= 1
        return false
    }
}
