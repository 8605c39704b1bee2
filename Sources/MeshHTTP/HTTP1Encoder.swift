import Glibc
import MeshCore

/// Writes HTTP/1.1 messages into an output queue, a whole head in one piece.
public enum HTTP1Encoder {
    /// What the first line and the connection fields of a response depend on.
    public struct ResponseOptions: Sendable {
        /// The body is sent in chunks.
        public var chunked = false
        /// The connection ends with this response.
        public var close = false
        /// The client speaks HTTP/1.0 and asked to keep the connection.
        public var keepAlive10 = false

        /// No chunks, and the connection stays.
        public init() {}
    }

    /// True if a head that came over HTTP/2 can be written as HTTP/1.1 without changing its meaning: no byte of it
    /// can end a line or a word early. nghttp2 has checked already; a downgrade is worth checking twice.
    public static func isWritable(_ head: MessageHead) -> Bool {
        if head.status == 0 {
            guard Grammar.isToken(head.span(head.methodRange)) else { return false }
            let path = head.span(head.pathRange)
            guard Grammar.isPath(path) || path.equals("*") else { return false }
            guard head.authorityRange.isEmpty || Grammar.isAuthority(head.span(head.authorityRange)) else {
                return false
            }
        }
        for index in 0..<head.fieldCount where head[index].name != .removed {
            guard Grammar.isToken(head.span(head[index].nameRange)),
                Grammar.isFieldValue(head.span(head[index].valueRange))
            else { return false }
        }
        return true
    }

    /// Writes a request head. Hop-by-hop fields must be gone (``MessageHead/removeHopByHop()``).
    ///
    /// - Parameters:
    ///   - chunked: the body is sent in chunks.
    ///   - upgrade: the value of the Upgrade field, or nil.
    public static func request(
        _ head: MessageHead, chunked: Bool, upgrade: ByteRange? = nil, into output: inout OutputQueue
    ) {
        let size = head.methodRange.count + head.pathRange.count + head.authorityRange.count + fieldBytes(head) + 192
        unsafe output.write(upTo: size + (upgrade?.count ?? 0)) { start in
            var writer = unsafe ByteWriter(start)
            unsafe writer.put(head, head.methodRange)
            unsafe writer.put(" ")
            unsafe writer.put(head, head.pathRange)
            unsafe writer.put(" HTTP/1.1\r\nhost: ")
            unsafe writer.put(head, head.authorityRange)
            unsafe writer.put("\r\n")
            unsafe writer.putFields(head, skipHost: true)
            if chunked { unsafe writer.put("transfer-encoding: chunked\r\n") }
            if let upgrade {
                unsafe writer.put("connection: upgrade\r\nupgrade: ")
                unsafe writer.put(head, upgrade)
                unsafe writer.put("\r\n")
            } else if head.flags.contains(.trailersAccepted) {
                unsafe writer.put("connection: te\r\nte: trailers\r\n")
            }
            unsafe writer.put("\r\n")
            return unsafe writer.count(from: start)
        }
    }

    /// Writes a response head; 1xx too.
    public static func response(_ head: MessageHead, _ options: ResponseOptions, into output: inout OutputQueue) {
        unsafe output.write(upTo: fieldBytes(head) + 192) { start in
            var writer = unsafe ByteWriter(start)
            unsafe writer.put("HTTP/1.1 ")
            unsafe writer.putStatus(head.status)
            unsafe writer.put(" ")
            unsafe writer.put(reasonPhrase(head.status))
            unsafe writer.put("\r\n")
            unsafe writer.putFields(head, skipHost: false)
            if options.chunked { unsafe writer.put("transfer-encoding: chunked\r\n") }
            if options.close {
                unsafe writer.put("connection: close\r\n")
            } else if options.keepAlive10 {
                unsafe writer.put("connection: keep-alive\r\n")
            }
            unsafe writer.put("\r\n")
            return unsafe writer.count(from: start)
        }
    }

    /// Writes body bytes, as a chunk of their own if `chunked`.
    public static func body(_ slice: consuming Slice, chunked: Bool, into output: inout OutputQueue) {
        if chunked { chunkHeader(slice.count, into: &output) }
        output.append(slice)
        if chunked { chunkEnd(into: &output) }
    }

    /// Writes the size line of a chunk of `count` bytes, at least 1.
    public static func chunkHeader(_ count: Int, into output: inout OutputQueue) {
        precondition(count > 0)
        unsafe output.write(upTo: 18) { start in
            var writer = unsafe ByteWriter(start)
            unsafe writer.putHex(count)
            unsafe writer.put("\r\n")
            return unsafe writer.count(from: start)
        }
    }

    /// Writes the line end behind a chunk's bytes.
    public static func chunkEnd(into output: inout OutputQueue) {
        output.append(copying: ("\r\n" as StaticString).bytes)
    }

    /// Writes the last chunk, with trailers if there are any.
    public static func lastChunk(trailers: MessageHead?, into output: inout OutputQueue) {
        unsafe output.write(upTo: 8 + (trailers.map(fieldBytes) ?? 0)) { start in
            var writer = unsafe ByteWriter(start)
            unsafe writer.put("0\r\n")
            if let trailers { unsafe writer.putFields(trailers, skipHost: true) }
            unsafe writer.put("\r\n")
            return unsafe writer.count(from: start)
        }
    }

    private static func fieldBytes(_ head: MessageHead) -> Int {
        var total = 0
        var index = 0
        while index < head.fieldCount {
            let field = head[index]
            total &+= field.nameRange.count &+ field.valueRange.count &+ 4
            index &+= 1
        }
        return total
    }

    /// The standard phrase; clients ignore it, people read it.
    static func reasonPhrase(_ status: Int) -> StaticString {
        switch status {
        case 100: "Continue"
        case 101: "Switching Protocols"
        case 103: "Early Hints"
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 206: "Partial Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Status"
        }
    }
}

/// A cursor over memory that was reserved large enough by the encoder above.
@unsafe
struct ByteWriter {
    private var next: UnsafeMutablePointer<UInt8>

    init(_ start: UnsafeMutablePointer<UInt8>) { unsafe next = unsafe start }

    /// Bytes written since `start`.
    func count(from start: UnsafeMutablePointer<UInt8>) -> Int { unsafe next - start }

    // SAFETY, for all below: the caller reserved what it writes; see the size computed at each call of `write(upTo:)`.

    @inline(__always)
    mutating func put(_ text: StaticString) {
        unsafe memcpy(next, text.utf8Start, text.utf8CodeUnitCount)
        unsafe next += text.utf8CodeUnitCount
    }

    @inline(__always)
    mutating func put(_ head: MessageHead, _ range: ByteRange) {
        unsafe memcpy(next, head.pointer(range), range.count)
        unsafe next += range.count
    }

    /// Every field line that is not removed. A line that stands in the arena as it should be written is one copy.
    mutating func putFields(_ head: MessageHead, skipHost: Bool) {
        var index = 0
        while index < head.fieldCount {
            let field = head[index]
            index &+= 1
            if field.name == .removed || (skipHost && field.name == .host) { continue }
            if field.valueRange.offset == field.nameRange.offset &+ field.nameRange.length &+ 2 {
                unsafe put(
                    head, ByteRange(Int(field.nameRange.offset), field.nameRange.count &+ 2 &+ field.valueRange.count))
            } else {
                unsafe put(head, field.nameRange)
                unsafe put(": ")
                unsafe put(head, field.valueRange)
            }
            unsafe put("\r\n")
        }
    }

    mutating func putStatus(_ status: Int) {
        unsafe next[0] = UInt8(truncatingIfNeeded: 48 &+ status / 100)
        unsafe next[1] = UInt8(truncatingIfNeeded: 48 &+ status / 10 % 10)
        unsafe next[2] = UInt8(truncatingIfNeeded: 48 &+ status % 10)
        unsafe next += 3
    }

    mutating func putHex(_ value: Int) {
        var shift = (63 &- value.leadingZeroBitCount) & ~3
        while shift >= 0 {
            let digit = UInt8(truncatingIfNeeded: value >> shift & 15)
            unsafe next.pointee = digit < 10 ? 48 &+ digit : 87 &+ digit
            unsafe next += 1
            shift &-= 4
        }
    }
}
