import MeshCore
import MeshHTTP

/// One header block on its way into a `MessageHead`: the checks and meanings that nghttp2 does not know.
///
/// nghttp2 has checked by then: names in lower case and made of token characters, values without control characters
/// or white space at the ends, no pseudo-header twice, unknown or behind a field, no connection-specific field, `te`
/// only `trailers`, one plain Content-Length.
struct HeadReceiver {
    enum Kind {
        case request, response, trailers
    }

    /// What came of a field.
    enum Outcome {
        case taken
        /// The message is malformed (RFC 9113 §8.1.1).
        case malformed
        /// Far more than the limit: the connection must go, decoding costs too much.
        case bomb
    }

    private(set) var kind = Kind.request
    /// Set when something does not fit, or cannot be served.
    private(set) var rejection: Reason?

    private let maxHeaders: Int
    private let maxBytes: Int
    private let maxTarget: Int
    private static let maxCrumbs = 256
    private var bytes = 0
    private var host = -1
    private var cookie = -1
    private var cookies = 0
    private var contentLength = -1

    init(_ configuration: HTTP2Configuration) {
        maxHeaders = configuration.maxHeaders
        maxBytes = configuration.maxHeaderBytes
        maxTarget = configuration.maxTargetBytes
    }

    /// Starts a block.
    mutating func begin(_ kind: Kind) {
        self.kind = kind
        rejection = nil
        bytes = 0
        host = -1
        cookie = -1
        cookies = 0
        contentLength = -1
    }

    // MARK: Fields

    /// Takes one field of the block.
    mutating func field(_ name: Span<UInt8>, _ value: Span<UInt8>, into head: MessageHead) -> Outcome {
        let isPseudo = name.count > 0 && name[0] == UInt8(ascii: ":")
        bytes &+= name.count &+ value.count &+ 4
        if bytes > maxBytes {
            if bytes > 4 &* maxBytes { return .bomb }
            reject(.headersTooLarge)
            // The head still needs its pseudo-headers, to be answered and logged.
            if !isPseudo || bytes > 2 &* maxBytes { return .taken }
        }
        if isPseudo { return pseudo(name, value, head) }
        // A cookie may come in many crumbs; together they are one field.
        if head.fieldCount &- min(max(cookies &- 1, 0), Self.maxCrumbs) >= maxHeaders {
            reject(.tooManyHeaders)
            return .taken
        }
        let interned = HeaderName.intern(name)
        if kind == .trailers {
            if !interned.isForbiddenInTrailers { append(interned, name, value, head) }
            return .taken
        }
        if interned != .other && !note(interned, value, head) { return .malformed }
        append(interned, name, value, head)
        return .taken
    }

    /// Takes one field that nobody wants.
    mutating func skip(_ name: Span<UInt8>, _ value: Span<UInt8>) -> Outcome {
        bytes &+= name.count &+ value.count &+ 4
        return bytes > 4 &* maxBytes ? .bomb : .taken
    }

    /// The field as an HTTP/1 line, so that writing it out as one is a single copy.
    private func append(_ interned: HeaderName, _ name: Span<UInt8>, _ value: Span<UInt8>, _ head: MessageHead) {
        let start = head.byteCount
        _ = head.store(name)
        _ = head.store((": " as StaticString).bytes)
        _ = head.store(value)
        head.append(
            HeaderField(
                name: interned, nameRange: ByteRange(start, name.count),
                valueRange: ByteRange(start &+ name.count &+ 2, value.count)))
    }

    private mutating func pseudo(_ name: Span<UInt8>, _ value: Span<UInt8>, _ head: MessageHead) -> Outcome {
        switch name.count {
        case 5 where name.equals(":path"):
            if value.count > maxTarget {
                reject(.uriTooLong)
            } else {
                head.pathRange = head.store(value)
            }
        case 7 where name.equals(":method"):
            guard value.count <= 32, Grammar.isToken(value) else { return .malformed }
            head.methodRange = head.store(value)
            head.method = Self.method(value)
        case 7 where name.equals(":scheme"):
            guard value.count <= 32 else { return .malformed }
            head.schemeRange = head.store(value)
        case 7 where name.equals(":status"):
            guard let status = Grammar.decimal(value), value.count == 3, status >= 100, status <= 599 else {
                return .malformed
            }
            head.status = status
        case 9 where name.equals(":protocol"):
            guard value.count <= 64, Grammar.isToken(value) else { return .malformed }
            head.protocolRange = head.store(value)
            head.flags.insert(.extendedConnect)
        case 10 where name.equals(":authority"):
            guard Grammar.isAuthority(value) else { return .malformed }
            head.authorityRange = head.store(value)
        default:
            return .malformed
        }
        return .taken
    }

    /// Remembers what a field means; false if the message is malformed.
    private mutating func note(_ name: HeaderName, _ value: Span<UInt8>, _ head: MessageHead) -> Bool {
        if name == .cookie {
            if cookie < 0 { cookie = head.fieldCount }
            cookies &+= 1
        } else if name == .contentLength {
            guard contentLength < 0, let length = Grammar.decimal(value) else { return false }
            contentLength = length
        } else if name == .host && kind == .request {
            guard host < 0, Grammar.isAuthority(value) else { return false }
            host = head.fieldCount
        } else if name == .te {
            guard value.equalsIgnoringCase("trailers") else { return false }
            head.flags.insert(.trailersAccepted)
        } else if name == .expect && kind == .request {
            if value.equalsIgnoringCase("100-continue") {
                head.flags.insert(.expectContinue)
            } else {
                reject(.expectationFailed)
            }
        } else if name == .contentType {
            if Grammar.isGRPC(contentType: value) { head.flags.insert(.grpc) }
        }
        return true
    }

    private mutating func reject(_ reason: Reason) {
        if rejection == nil {
            let isLarge = reason != .expectationFailed
            rejection = kind == .response && isLarge ? .upstreamHeadersTooLarge : reason
        }
    }

    private static func method(_ text: Span<UInt8>) -> Method {
        switch text.count {
        case 3: text.equals("GET") ? .get : text.equals("PUT") ? .put : .other
        case 4: text.equals("POST") ? .post : text.equals("HEAD") ? .head : .other
        case 5: text.equals("PATCH") ? .patch : text.equals("TRACE") ? .trace : .other
        case 6: text.equals("DELETE") ? .delete : .other
        case 7: text.equals("OPTIONS") ? .options : text.equals("CONNECT") ? .connect : .other
        default: .other
        }
    }

    // MARK: The whole head

    /// The block is complete: what all fields mean together. False if the message is malformed.
    mutating func finish(_ head: MessageHead, endStream: Bool, headRequest: Bool) -> Bool {
        head.version = .http2
        if cookies > 1 { joinCookies(head) }
        if kind == .trailers { return true }
        if kind == .request && !finishRequest(head) { return false }
        if kind == .response && (head.status < 200 || head.status == 204 || head.status == 304 || headRequest) {
            head.bodyLength = .none
        } else if endStream {
            head.bodyLength = .none
        } else if contentLength > 0 {
            head.bodyLength = .known(contentLength)
        } else {
            // Content-Length: 0 with the end still to come: trailers may follow. Forwarded as a body of unknown
            // length, which must not carry the field.
            head.bodyLength = .unknown
            if contentLength == 0 { head.removeAll(.contentLength) }
        }
        return true
    }

    private func finishRequest(_ head: MessageHead) -> Bool {
        if host >= 0 {
            let value = head[host].valueRange
            if head.authorityRange.isEmpty {
                head.authorityRange = value
            } else if !head.span(head.authorityRange).equalsIgnoringCase(head.span(value)) {
                return false
            }
        }
        if head.pathRange.isEmpty {
            return head.method == .connect && !head.flags.contains(.extendedConnect) || rejection != nil
        }
        let path = head.span(head.pathRange)
        if head.method == .options && path.equals("*") {
            head.flags.insert(.absoluteForm)
            return true
        }
        return Grammar.isPath(path)
    }

    /// Cookie crumbs become one field again (RFC 9113 §8.2.3), in the place of the first.
    private func joinCookies(_ head: MessageHead) {
        var total = 0
        var index = cookie
        while index < head.fieldCount {
            if head[index].name == .cookie { total &+= head[index].valueRange.count &+ 2 }
            index &+= 1
        }
        let name: StaticString = "cookie: "
        var nameRange = head.store(name.bytes)
        let first = cookie
        let joined = unsafe head.store(upTo: total) { start in
            // SAFETY: `store` reserved `total` bytes, which is what all values with their separators take. The values
            // are read through the head after that reservation, so that the arena does not move under them.
            var written = 0
            var index = first
            while index < head.fieldCount {
                let field = head[index]
                if field.name == .cookie {
                    if index > first {
                        unsafe start[written] = UInt8(ascii: ";")
                        unsafe start[written &+ 1] = UInt8(ascii: " ")
                        written &+= 2
                        head.remove(at: index)
                    }
                    unsafe (start + written).update(
                        from: head.pointer(field.valueRange), count: field.valueRange.count)
                    written &+= field.valueRange.count
                }
                index &+= 1
            }
            return written
        }
        nameRange.length = 6
        head[first] = HeaderField(name: .cookie, nameRange: nameRange, valueRange: joined)
    }
}
