import MeshCore
import MeshHTTP

/// A request as matches see it: the parts of its head, found once. Ranges are of the head's arena.
struct Subject {
    /// The host without port and without a dot at the end; empty in HTTP/1.0 without Host.
    let host: ByteRange
    /// The path without query.
    let path: ByteRange
    /// The query without its question mark.
    let query: ByteRange
    /// Content-Type says gRPC: only such requests are matched by a GRPCRoute.
    let isGRPC: Bool
    /// The port of a request that names none.
    let defaultPort: UInt16

    init(_ head: MessageHead, defaultPort: UInt16 = 80) {
        self.defaultPort = defaultPort
        host = Self.hostRange(of: head)
        let target = head.span(head.pathRange)
        let start = Int(head.pathRange.offset)
        let end = Self.pathLength(target)
        path = ByteRange(start, end)
        query = end < target.count ? ByteRange(start &+ end &+ 1, target.count &- end &- 1) : .empty
        isGRPC = head.flags.contains(.grpc)
    }

    /// The port that the request is for, looked up when a match asks; 0 if what it says is none.
    func port(_ head: MessageHead) -> UInt16 {
        let authority = head.span(head.authorityRange)
        let length = Self.hostLength(authority)
        if length &+ 1 >= authority.count { return defaultPort }
        return Grammar.decimal(authority.extracting(droppingFirst: length &+ 1)).flatMap { UInt16(exactly: $0) } ?? 0
    }

    /// The host alone.
    @_lifetime(borrow head)
    static func host(of head: MessageHead) -> Span<UInt8> { head.span(hostRange(of: head)) }

    private static func hostRange(of head: MessageHead) -> ByteRange {
        let authority = head.span(head.authorityRange)
        var length = hostLength(authority)
        if length > 1, authority[length &- 1] == UInt8(ascii: ".") { length &-= 1 }
        return ByteRange(Int(head.authorityRange.offset), length)
    }

    /// Bytes of the host in `host[:port]`; an IPv6 address keeps its brackets.
    static func hostLength(_ authority: Span<UInt8>) -> Int {
        var index = authority.count
        while index > 0 {
            index &-= 1
            if authority[index] == UInt8(ascii: ":") { return index }
            if authority[index] == UInt8(ascii: "]") { break }
        }
        return authority.count
    }

    /// Bytes before the query.
    static func pathLength(_ target: Span<UInt8>) -> Int {
        var index = 0
        while index < target.count, target[index] != UInt8(ascii: "?") { index &+= 1 }
        return index
    }
}
