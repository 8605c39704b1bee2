import MeshCore
import MeshHTTP
import MeshHTTP2

/// A stream that writes down its events, and what is wrong with their order.
final class RecordedStream: HTTP2Stream {
    private unowned let session: RecordedSession
    private let headMemory = MessageHead()
    private let trailerMemory = MessageHead()
    private let bodyMemory: BodyPipe
    private let outgoingMemory: BodyPipe
    private var number: Int32 = 0
    private var hasHead = false
    private var hasEnded = false
    private var isClosed = false
    private var announced: Int?
    private var bodyBytes = 0

    init(_ session: RecordedSession) {
        self.session = session
        bodyMemory = BodyPipe(pools: session.pools)
        outgoingMemory = BodyPipe(pools: session.pools)
        super.init()
        head = Link(headMemory)
        trailers = Link(trailerMemory)
        body = Link(bodyMemory)
        outgoing = Link(outgoingMemory)
    }

    override func headReceived() {
        number = id
        if isClosed || hasEnded { session.wrong("a head after the end") }
        let isFinal = session.configuration.role == .server || headMemory.status >= 200
        if hasHead { session.wrong("two heads") }
        hasHead = isFinal
        if isFinal, case .known(let count) = headMemory.bodyLength, rejection == nil { announced = count }
        session.note("\(number) head \(rejection.map { "\($0)" } ?? "") \(headMemory.bodyLength)", headMemory)
        if rejection == nil { session.check(headMemory, isHead: true) }
        if session.configuration.role == .server { respond() }
    }

    /// Of four streams two are answered with a body, one with a head only, one never.
    private func respond() {
        let response = MessageHead()
        response.status = rejection?.status ?? 200
        switch number % 8 {
        case 1: return
        case 3: session.respond(self, response, hasBody: false)
        default:
            outgoingMemory.append(Slice.copy(of: ("hello" as StaticString).bytes, in: session.pools.small))
            outgoingMemory.end()
            session.respond(self, response, hasBody: true)
        }
    }

    override func bodyReceived(count: Int) {
        if isClosed || hasEnded || !hasHead { session.wrong("body where none can be") }
        var taken = 0
        while !bodyMemory.isEmpty {
            let slice = bodyMemory.takeFirst(upTo: .max)
            taken += slice.count
            session.bodyBytes(number, slice.span)
        }
        if taken != count { session.wrong("\(taken) body bytes, \(count) announced") }
        bodyBytes += taken
        if bodyBytes > session.configuration.streamWindow && !session.consumes { session.wrong("window exceeded") }
        if session.consumes { session.consume(self, count) }
    }

    override func ended(hasTrailers: Bool) {
        if isClosed || hasEnded || !hasHead { session.wrong("an end where none can be") }
        hasEnded = true
        if let announced, announced != bodyBytes { session.wrong("\(bodyBytes) bytes of \(announced), and the end") }
        session.note("\(number) end", trailerMemory)
        if hasTrailers { session.check(trailerMemory, isHead: false) }
    }

    override func closed(_ end: StreamEnd) {
        if isClosed { session.wrong("closed twice") }
        isClosed = true
        session.note("\(number) closed \(end)", nil)
    }
}

/// A session that writes down what happens, for comparison.
final class RecordedSession: HTTP2Session {
    let pools: BufferPools
    let consumes: Bool
    private(set) var events: [[UInt8]] = []
    private(set) var mistake: String?
    /// Kept until the session is closed: the session has references, the links have none.
    private var streams: [RecordedStream] = []

    /// - Parameter pools: must outlive the session and its streams.
    init(_ configuration: HTTP2Configuration, consumes: Bool, pools: BufferPools) {
        self.pools = pools
        self.consumes = consumes
        super.init(configuration, pools: pools)
    }

    override func openStream() -> HTTP2Stream? {
        let stream = RecordedStream(self)
        streams.append(stream)
        return stream
    }

    override func goawayReceived(lastStreamID: Int32, code: UInt32) { note("goaway \(lastStreamID) \(code)", nil) }
    override func settingsReceived() { note("settings", nil) }

    /// Client: asks for something.
    func request() {
        let stream = RecordedStream(self)
        let head = MessageHead()
        head.method = .get
        head.methodRange = head.store(("GET" as StaticString).bytes)
        head.pathRange = head.store(("/" as StaticString).bytes)
        head.authorityRange = head.store(("a.example" as StaticString).bytes)
        if submitRequest(stream, head, scheme: "http", hasBody: false) { streams.append(stream) }
    }

    func note(_ event: String, _ head: MessageHead?) {
        var bytes = Array(event.utf8)
        if let head {
            for range in [head.methodRange, head.schemeRange, head.authorityRange, head.pathRange, head.protocolRange] {
                bytes += [0x20] + array(head.span(range))
            }
            for index in 0..<head.fieldCount where head[index].name != .removed {
                bytes += [0x0A] + array(head.span(head[index].nameRange)) + [0x3A]
                bytes += array(head.span(head[index].valueRange))
            }
        }
        events.append(bytes)
    }

    /// Body bytes of one stream that follow each other are one event, however they arrived.
    func bodyBytes(_ number: Int32, _ bytes: Span<UInt8>) {
        let start = Array("\(number) body ".utf8)
        if let last = events.last, last.starts(with: start) {
            events[events.count - 1] += array(bytes)
        } else {
            events.append(start + array(bytes))
        }
    }

    func wrong(_ what: String) { if mistake == nil { mistake = what } }

    /// What must hold of the fields that a peer sent, accepted as they are.
    func check(_ head: MessageHead, isHead: Bool) {
        do throws(Finding) {
            for index in 0..<head.fieldCount where head[index].name != .removed {
                let (name, value) = (head.span(head[index].nameRange), head.span(head[index].valueRange))
                try require(Grammar.isToken(name) && Grammar.isFieldValue(value), "a malformed field")
                try require(!array(name).contains { (0x41...0x5A).contains($0) }, "a name in upper case")
                try require(!head[index].name.isHopByHop || head[index].name == .te, "a field of a connection")
            }
            if isHead && head.status == 0 { try requireSameAsHTTP1(head) }
        } catch {
            wrong(error.description)
        }
    }

    /// A request that is forwarded over HTTP/1.1 is read there as it was meant here.
    private func requireSameAsHTTP1(_ head: MessageHead) throws(Finding) {
        guard head.method != .connect, HTTP1Encoder.isWritable(head), !head.authorityRange.isEmpty else { return }
        let sent = MessageHead()
        sent.copy(from: head)
        sent.removeHopByHop()
        let bytes = written { HTTP1Encoder.request(sent, chunked: sent.bodyLength == .unknown, into: &$0) }
        let read = MessageHead()
        var limits = HTTP1Limits()
        (limits.maxHeaderBytes, limits.maxHeaders) = (1 << 20, 200)
        let result = HTTP1Parser.parseRequest(bytes.span, into: read, limits: limits)
        if case .failed(.expectationFailed) = result { return }
        try require(result == .complete(bytes.count), "over HTTP/1.1 it is \(result)")
        try require(array(read.span(read.pathRange)) == array(sent.span(sent.pathRange)), "another path over HTTP/1.1")
        try require(
            array(read.span(read.authorityRange)) == array(sent.span(sent.authorityRange)), "another host over HTTP/1.1"
        )
        try require(read.bodyLength == sent.bodyLength, "\(sent.bodyLength) is \(read.bodyLength) over HTTP/1.1")
    }
}
