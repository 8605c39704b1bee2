import MeshCore

/// How large a head may be.
public struct HTTP1Limits: Sendable {
    /// Bytes of the request target.
    public var maxTargetBytes = 16 * 1024
    /// Bytes of the whole head, first line included.
    public var maxHeaderBytes = 60 * 1024
    /// Header fields.
    public var maxHeaders = 100

    /// The defaults.
    public init() {}
}

/// What reading a head came to.
public enum HTTP1ParseResult: Sendable, Equatable {
    /// All is well so far; give the same bytes again with more behind them.
    case incomplete
    /// The head is in the `MessageHead`; it took this many bytes.
    case complete(Int)
    /// Answer with this and close: what follows on the connection means nothing.
    case failed(Reason)
}

/// The strict HTTP/1.1 head parser (RFC 9112 §2–§6).
///
/// A proxy that guesses is how requests get smuggled, so that whatever two implementations could read differently is
/// refused: bare CR or LF, folding, white space around names, repeated or listed Content-Length, any transfer coding
/// but one `chunked`, Content-Length beside Transfer-Encoding, a second Host.
public enum HTTP1Parser {
    /// Reads a request head from the start of `input` into `head`, which is reset first.
    public static func parseRequest(
        _ input: Span<UInt8>, into head: MessageHead, limits: HTTP1Limits
    ) -> HTTP1ParseResult {
        finish(input, head, limits) { () throws(Stop) in
            var reader = HeadReader(limits: limits)
            try reader.skipEmptyLine(input)
            let target = try reader.requestLine(input, head)
            try reader.fields(input, head)
            try reader.interpretRequest(input, head, target: target)
            return reader.index
        }
    }

    /// Reads a response head from the start of `input` into `head`, which is reset first. Failures are the
    /// endpoint's: `upstreamMalformedResponse` or `upstreamHeadersTooLarge`.
    public static func parseResponse(
        _ input: Span<UInt8>, into head: MessageHead, limits: HTTP1Limits, requestMethod: Method
    ) -> HTTP1ParseResult {
        let result = finish(input, head, limits) { () throws(Stop) in
            var reader = HeadReader(limits: limits)
            try reader.statusLine(input, head)
            try reader.fields(input, head)
            try reader.interpretResponse(head, requestMethod: requestMethod)
            return reader.index
        }
        guard case .failed(let reason) = result else { return result }
        let tooLarge = reason == .headersTooLarge || reason == .tooManyHeaders
        return .failed(tooLarge ? .upstreamHeadersTooLarge : .upstreamMalformedResponse)
    }

    /// Reads a trailer section with its empty line from the start of `input` into `trailers`, which is reset first.
    /// Fields that would change framing, routing or authentication are dropped (RFC 9110 §6.5.1).
    public static func parseTrailers(
        _ input: Span<UInt8>, into trailers: MessageHead, limits: HTTP1Limits
    ) -> HTTP1ParseResult {
        let result = finish(input, trailers, limits) { () throws(Stop) in
            var reader = HeadReader(limits: limits)
            try reader.trailerFields(input, trailers)
            return reader.index
        }
        guard case .complete = result else { return result }
        for index in 0..<trailers.fieldCount where trailers[index].name.isForbiddenInTrailers {
            trailers.remove(at: index)
        }
        return result
    }

    /// True if `input` may hold a whole head; `scanned` bytes were searched before. Saves a slow sender's head from
    /// being parsed again for every byte.
    public static func hasHeadEnd(_ input: Span<UInt8>, scanned: Int) -> Bool {
        var index = max(scanned &- 3, 0)
        while index &+ 3 < input.count {
            if input[index] == 13, input[index &+ 1] == 10, input[index &+ 2] == 13, input[index &+ 3] == 10 {
                return true
            }
            index &+= 1
        }
        return false
    }

    @inline(__always)
    private static func finish(
        _ input: Span<UInt8>, _ head: MessageHead, _ limits: HTTP1Limits, _ read: () throws(Stop) -> Int
    ) -> HTTP1ParseResult {
        head.reset()
        do throws(Stop) {
            let length = try read()
            if length > limits.maxHeaderBytes {
                head.reset()
                return .failed(.headersTooLarge)
            }
            head.load(input.extracting(first: length))
            return .complete(length)
        } catch {
            // What was read so far points at bytes that the head does not hold.
            head.reset()
            switch error {
            case .failed(let reason): return .failed(reason)
            case .incomplete: return input.count >= limits.maxHeaderBytes ? .failed(.headersTooLarge) : .incomplete
            }
        }
    }
}

/// Why reading a head stopped early.
enum Stop: Error {
    case incomplete
    case failed(Reason)
}

/// What a request target was, until Host is known.
struct RequestTarget {
    /// Authority of an absolute or authority form; empty else.
    var authority = ByteRange.empty
}

/// One pass over a head: where it stands and what the fields said on the way.
struct HeadReader {
    let limits: HTTP1Limits
    var index = 0
    private var host = -1
    private var contentLength = -1
    private var upgradeNamed = false
    private var upgradeField = false
    private var keepAlive = false

    init(limits: HTTP1Limits) { self.limits = limits }

    /// One empty line before the request line is tolerated (RFC 9112 §2.2).
    mutating func skipEmptyLine(_ input: Span<UInt8>) throws(Stop) {
        guard input.count > 0 else { throw .incomplete }
        if input[0] != 13 { return }
        guard input.count > 1 else { throw .incomplete }
        guard input[1] == 10 else { throw .failed(.malformedRequestLine) }
        index = 2
    }

    // MARK: First lines

    mutating func requestLine(_ input: Span<UInt8>, _ head: MessageHead) throws(Stop) -> RequestTarget {
        let method = try token(input)
        head.methodRange = method
        head.method = Self.method(input.extracting(method))
        let start = index
        while index < input.count, Grammar.isTarget(input[index]) { index &+= 1 }
        if index &- start > limits.maxTargetBytes { throw .failed(.uriTooLong) }
        guard index < input.count else { throw .incomplete }
        guard input[index] == 0x20, index > start else { throw .failed(.malformedRequestLine) }
        let range = ByteRange(start, index &- start)
        index &+= 1
        head.version = try version(input, end: 13)
        guard index < input.count else { throw .incomplete }
        guard input[index] == 10 else { throw .failed(.malformedRequestLine) }
        index &+= 1
        return try target(input, range, head)
    }

    mutating func statusLine(_ input: Span<UInt8>, _ head: MessageHead) throws(Stop) {
        head.version = try version(input, end: 0x20)
        guard index &+ 3 < input.count else { throw .incomplete }
        guard let status = Grammar.decimal(input.extracting(ByteRange(index, 3))), status >= 100, status <= 599 else {
            throw .failed(.upstreamMalformedResponse)
        }
        head.status = status
        index &+= 3
        // The reason phrase is optional, its space too in practice; it is never forwarded.
        guard input[index] == 0x20 || input[index] == 13 else { throw .failed(.upstreamMalformedResponse) }
        while index < input.count, Grammar.isFieldValue(input[index]) { index &+= 1 }
        try lineEnd(input)
    }

    private mutating func token(_ input: Span<UInt8>) throws(Stop) -> ByteRange {
        let start = index
        while index < input.count, Grammar.isToken(input[index]) { index &+= 1 }
        if index &- start > 32 { throw .failed(.malformedRequestLine) }
        guard index < input.count else { throw .incomplete }
        guard index > start, input[index] == 0x20 else { throw .failed(.malformedRequestLine) }
        index &+= 1
        return ByteRange(start, index &- 1 &- start)
    }

    /// `HTTP/1.x` followed by `end`.
    private mutating func version(_ input: Span<UInt8>, end: UInt8) throws(Stop) -> Version {
        let expected: StaticString = "HTTP/"
        var offset = 0
        while offset < 5 {
            guard index &+ offset < input.count else { throw .incomplete }
            guard input[index &+ offset] == expected.bytes[offset] else { throw .failed(.malformedRequestLine) }
            offset &+= 1
        }
        guard index &+ 8 < input.count else { throw .incomplete }
        let major = input[index &+ 5] &- 0x30
        let minor = input[index &+ 7] &- 0x30
        guard major < 10, minor < 10, input[index &+ 6] == UInt8(ascii: "."), input[index &+ 8] == end else {
            throw .failed(.malformedRequestLine)
        }
        guard major == 1, minor <= 1 else { throw .failed(.unsupportedHTTPVersion) }
        index &+= 9
        return minor == 1 ? .http11 : .http10
    }

    /// Origin, absolute, authority and asterisk form (RFC 9112 §3.2).
    private func target(
        _ input: Span<UInt8>, _ range: ByteRange, _ head: MessageHead
    ) throws(Stop) -> RequestTarget {
        let text = input.extracting(range)
        var target = RequestTarget()
        if head.method == .connect {
            guard Grammar.isAuthority(text) else { throw .failed(.malformedRequestLine) }
            target.authority = range
        } else if text[0] == UInt8(ascii: "/") {
            head.pathRange = range
        } else if text.count == 1, text[0] == UInt8(ascii: "*"), head.method == .options {
            head.pathRange = range
            head.flags.insert(.absoluteForm)
        } else {
            target.authority = try absoluteForm(text, range, head)
        }
        return target
    }

    private func absoluteForm(
        _ text: Span<UInt8>, _ range: ByteRange, _ head: MessageHead
    ) throws(Stop) -> ByteRange {
        let base = Int(range.offset)
        var scheme = 0
        if text.count > 7, text.extracting(ByteRange(0, 7)).equalsIgnoringCase("http://") { scheme = 4 }
        if text.count > 8, text.extracting(ByteRange(0, 8)).equalsIgnoringCase("https://") { scheme = 5 }
        guard scheme > 0 else { throw .failed(.malformedRequestLine) }
        let start = scheme &+ 3
        var end = start
        while end < text.count, text[end] != UInt8(ascii: "/"), text[end] != UInt8(ascii: "?") { end &+= 1 }
        // "http://host?query" has no path to forward; nobody sends it, and rewriting it is a guess.
        guard end < text.count, text[end] == UInt8(ascii: "/") else { throw .failed(.malformedRequestLine) }
        let authority = ByteRange(start, end &- start)
        guard Grammar.isAuthority(text.extracting(authority)) else { throw .failed(.invalidHost) }
        head.schemeRange = ByteRange(base, scheme)
        head.pathRange = ByteRange(base &+ end, text.count &- end)
        head.flags.insert(.absoluteForm)
        return ByteRange(base &+ start, end &- start)
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

    // MARK: Fields

    /// All field lines and the empty line behind them.
    mutating func fields(_ input: Span<UInt8>, _ head: MessageHead) throws(Stop) {
        while true {
            guard index < input.count else { throw .incomplete }
            if input[index] == 13 { return try lineEnd(input) }
            if head.fieldCount == limits.maxHeaders { throw .failed(.tooManyHeaders) }
            let field = try fieldLine(input)
            if field.name != .other { try note(field, input, head) }
            head.append(field)
        }
    }

    /// Trailer lines and the empty line behind them. Nothing in them is looked at.
    mutating func trailerFields(_ input: Span<UInt8>, _ trailers: MessageHead) throws(Stop) {
        while true {
            guard index < input.count else { throw .incomplete }
            if input[index] == 13 { return try lineEnd(input) }
            if trailers.fieldCount == limits.maxHeaders { throw .failed(.tooManyHeaders) }
            trailers.append(try fieldLine(input))
        }
    }

    private mutating func fieldLine(_ input: Span<UInt8>) throws(Stop) -> HeaderField {
        let nameStart = index
        while index < input.count, Grammar.isToken(input[index]) { index &+= 1 }
        guard index < input.count else { throw .incomplete }
        guard index > nameStart, input[index] == UInt8(ascii: ":") else { throw .failed(.malformedHeader) }
        let name = ByteRange(nameStart, index &- nameStart)
        index &+= 1
        while index < input.count, input[index] == 0x20 || input[index] == 0x09 { index &+= 1 }
        let valueStart = index
        while index < input.count, Grammar.isFieldValue(input[index]) { index &+= 1 }
        var end = index
        while end > valueStart, input[end &- 1] == 0x20 || input[end &- 1] == 0x09 { end &-= 1 }
        try lineEnd(input)
        // A folded line (obs-fold) is one field to some readers and two to others (RFC 9112 §5.2).
        guard index < input.count else { throw .incomplete }
        if input[index] == 0x20 || input[index] == 0x09 { throw .failed(.malformedHeader) }
        return HeaderField(
            name: .intern(input.extracting(name)), nameRange: name,
            valueRange: ByteRange(valueStart, end &- valueStart))
    }

    /// CR LF, nothing else (RFC 9112 §2.2 lets a recipient accept a bare LF; a proxy must not).
    private mutating func lineEnd(_ input: Span<UInt8>) throws(Stop) {
        guard index < input.count else { throw .incomplete }
        guard input[index] == 13 else { throw .failed(.malformedHeader) }
        guard index &+ 1 < input.count else { throw .incomplete }
        guard input[index &+ 1] == 10 else { throw .failed(.malformedHeader) }
        index &+= 2
    }

    /// Remembers what a field means for framing and for the connection.
    private mutating func note(_ field: HeaderField, _ input: Span<UInt8>, _ head: MessageHead) throws(Stop) {
        let value = input.extracting(field.valueRange)
        if field.name == .host {
            guard host < 0 else { throw .failed(.invalidHost) }
            host = head.fieldCount
        } else if field.name == .contentLength {
            guard contentLength < 0, let length = Grammar.decimal(value) else { throw .failed(.invalidContentLength) }
            contentLength = length
        } else if field.name == .transferEncoding {
            guard !head.flags.contains(.chunked), value.equalsIgnoringCase("chunked") else {
                throw .failed(.unsupportedTransferCoding)
            }
            head.flags.insert(.chunked)
        } else if field.name == .connection {
            connection(value, head)
        } else if field.name == .upgrade {
            upgradeField = true
        } else if field.name == .expect {
            guard value.equalsIgnoringCase("100-continue") else { throw .failed(.expectationFailed) }
            head.flags.insert(.expectContinue)
        } else if field.name == .te {
            if TokenList.contains(value, "trailers") { head.flags.insert(.trailersAccepted) }
        } else if field.name == .contentType {
            if Grammar.isGRPC(contentType: value) { head.flags.insert(.grpc) }
        }
    }

    private mutating func connection(_ value: Span<UInt8>, _ head: MessageHead) {
        if TokenList.contains(value, "close") { head.flags.insert(.close) }
        if TokenList.contains(value, "keep-alive") { keepAlive = true }
        if TokenList.contains(value, "upgrade") { upgradeNamed = true }
    }

    // MARK: What it all means

    mutating func interpretRequest(
        _ input: Span<UInt8>, _ head: MessageHead, target: RequestTarget
    ) throws(Stop) {
        try interpretCommon(head)
        if head.flags.contains(.chunked) {
            guard head.version == .http11 else { throw .failed(.conflictingFraming) }
            head.bodyLength = .unknown
        } else if contentLength > 0 {
            head.bodyLength = .known(contentLength)
        }
        if upgradeNamed && upgradeField && head.version == .http11 { head.flags.insert(.upgrade) }
        guard host >= 0 else {
            // RFC 9112 §3.2: 1.1 needs Host even in absolute form.
            guard head.version == .http10 else { throw .failed(.invalidHost) }
            head.authorityRange = target.authority
            return
        }
        let value = head[host].valueRange
        guard Grammar.isAuthority(input.extracting(value)) else { throw .failed(.invalidHost) }
        if !target.authority.isEmpty,
            !input.extracting(target.authority).equalsIgnoringCase(input.extracting(value))
        {
            throw .failed(.hostMismatch)
        }
        head.authorityRange = value
    }

    mutating func interpretResponse(_ head: MessageHead, requestMethod: Method) throws(Stop) {
        try interpretCommon(head)
        let bodiless = head.status < 200 || head.status == 204 || head.status == 304 || requestMethod == .head
        if head.status == 101 && upgradeNamed { head.flags.insert(.upgrade) }
        if bodiless || (requestMethod == .connect && head.status < 300) {
            head.bodyLength = .none
        } else if head.flags.contains(.chunked) {
            guard head.version == .http11 else { throw .failed(.conflictingFraming) }
            head.bodyLength = .unknown
        } else if contentLength >= 0 {
            head.bodyLength = contentLength > 0 ? .known(contentLength) : .none
        } else {
            head.bodyLength = .unknown
            head.flags.insert(.close)
        }
    }

    private func interpretCommon(_ head: MessageHead) throws(Stop) {
        if head.flags.contains(.chunked) && contentLength >= 0 { throw .failed(.conflictingFraming) }
        if head.version == .http10 && !keepAlive { head.flags.insert(.close) }
    }
}
