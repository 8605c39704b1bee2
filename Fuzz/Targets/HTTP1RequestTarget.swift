import MeshCore
import MeshHTTP

/// Request heads: accepted ones have one reading, and stay what they are when they are forwarded.
enum HTTP1RequestTarget {
    static func run(_ input: [UInt8]) throws(Finding) {
        let head = MessageHead()
        let length = try progress(input, into: head, limits: HTTP1Limits())
        var tight = HTTP1Limits()
        (tight.maxTargetBytes, tight.maxHeaderBytes, tight.maxHeaders) = (16, 128, 4)
        let tightLength = try progress(input, into: MessageHead(), limits: tight)
        if let tightLength { try require(tightLength == length, "tighter limits changed the length") }
        guard let length else { return }
        try requireWellFormed(head)
        try requireOneReading(Array(input[..<length]), head)
        try requireSameWhenForwarded(head)
    }

    /// The length of the head in `input`, nil if there is none.
    private static func progress(
        _ input: [UInt8], into head: MessageHead, limits: HTTP1Limits
    ) throws(Finding) -> Int? {
        let scratch = MessageHead()
        let whole = Progress(HTTP1Parser.parseRequest(input.span, into: head, limits: limits))
        try requireSteadyProgress(input, whole) {
            Progress(HTTP1Parser.parseRequest($0, into: scratch, limits: limits))
        }
        guard case .complete(let length) = whole else { return nil }
        try require(length <= limits.maxHeaderBytes && head.fieldCount <= limits.maxHeaders, "limits were passed")
        try require(head.pathRange.count <= limits.maxTargetBytes, "the limit of the target was passed")
        for count in cuts(input) + [input.count] {
            let hasEnd = HTTP1Parser.hasHeadEnd(input.span.extracting(first: count), scanned: min(count, length) - 1)
            try require(count < length || hasEnd, "the end of the head was not found")
        }
        return length
    }

    private static func requireWellFormed(_ head: MessageHead) throws(Finding) {
        try requireFieldsWellFormed(head)
        let path = head.span(head.pathRange)
        if head.method == .connect {
            try require(path.count == 0 && Grammar.isAuthority(head.span(head.authorityRange)), "CONNECT to where?")
        } else {
            try require(Grammar.isPath(path) || head.method == .options && path.equals("*"), "the path is none")
        }
        let authority = head.span(head.authorityRange)
        try require(authority.count > 0 || head.version == .http10, "no Host")
        try require(authority.count == 0 || Grammar.isAuthority(authority), "Host is none")
        try require(head.method == .connect || HTTP1Encoder.isWritable(head), "a parsed head cannot be written")
    }

    /// The first line, and what the fields say, as somebody else would read them.
    private static func requireOneReading(_ bytes: [UInt8], _ head: MessageHead) throws(Finding) {
        var message = try LenientMessage(bytes)
        if message.firstLine.isEmpty { try message.takeFirstLineAgain() }
        let words = message.firstLine.split(omittingEmptySubsequences: false) { $0 <= 0x20 }
        try require(words.count == 3, "the request line has \(words.count) words")
        try require(words[0].elementsEqual(array(head.span(head.methodRange))), "another method")
        try require(words[2].starts(with: Array("HTTP/1.".utf8)) && words[2].count == 8, "another version")
        try message.requireSameFields(head)
        let framing = try message.framing()
        switch head.bodyLength {
        case .none: try require(framing == .length(0) || framing == .none, "a body was overlooked")
        case .known(let count): try require(framing == .length(count), "another length")
        case .unknown: try require(framing == .chunked, "chunks were made up")
        }
        let hosts = message.values("host")
        try require(hosts.count <= 1, "two hosts")
        if let host = hosts.first { try require(host == array(head.span(head.authorityRange)), "another host") }
    }

    private static func requireSameWhenForwarded(_ head: MessageHead) throws(Finding) {
        guard head.method != .connect, !head.authorityRange.isEmpty else { return }
        let sent = MessageHead()
        sent.copy(from: head)
        sent.removeHopByHop()
        let bytes = forwarded(sent)
        let read = MessageHead()
        var generous = HTTP1Limits()
        (generous.maxHeaderBytes, generous.maxHeaders) = (1 << 20, 200)
        let result = HTTP1Parser.parseRequest(bytes.span, into: read, limits: generous)
        try require(result == .complete(bytes.count), "what was forwarded is \(result)")
        try require(read.bodyLength == sent.bodyLength, "another body: \(read.bodyLength) and \(sent.bodyLength)")
        try require(array(read.span(read.pathRange)) == array(sent.span(sent.pathRange)), "another path")
        try require(
            array(read.span(read.authorityRange)) == array(sent.span(sent.authorityRange)), "another authority")
        read.removeHopByHop()
        try require(fields(read) == fields(sent), "other fields")
        try require(forwarded(read) == bytes, "forwarding twice makes a difference")
    }

    private static func forwarded(_ head: MessageHead) -> [UInt8] {
        written { HTTP1Encoder.request(head, chunked: head.bodyLength == .unknown, into: &$0) }
    }

    private static func fields(_ head: MessageHead) -> [[UInt8]] {
        (0..<head.fieldCount).filter { head[$0].name != .removed && head[$0].name != .host }.map {
            array(head.span(head[$0].nameRange)) + [0x3A] + array(head.span(head[$0].valueRange))
        }
    }
}

extension Progress {
    init(_ result: HTTP1ParseResult) {
        self =
            switch result {
            case .incomplete: .incomplete
            case .complete(let length): .complete(length)
            case .failed: .failed
            }
    }
}

/// Checks every field of a parsed head against the grammar.
func requireFieldsWellFormed(_ head: MessageHead) throws(Finding) {
    for index in 0..<head.fieldCount {
        let field = head[index]
        let (name, value) = (head.span(field.nameRange), head.span(field.valueRange))
        try require(Grammar.isToken(name), "a field name is no token")
        try require(Grammar.isFieldValue(value), "a field value holds control characters")
        let isTrimmed = value.count == 0 || value[0] > 0x20 && value[value.count - 1] > 0x20
        try require(isTrimmed, "white space around a value")
        try require(HeaderName.intern(name) == field.name, "another name was interned")
        if field.name != .other { try require(name.equalsIgnoringCase(field.name.text), "a name means another") }
    }
}
