import MeshCore
import MeshHTTP
import MeshHTTP2

/// A stream that records its events and owns its memory.
final class TestStream: HTTP2Stream {
    unowned let session: TestSession
    /// Outlives what the pipes hold.
    private let pools: BufferPools
    let headMemory = MessageHead()
    let trailerMemory = MessageHead()
    let bodyMemory: BodyPipe
    let outgoingMemory: BodyPipe
    let outgoingTrailerMemory = MessageHead()

    var events: [String] = []
    var heads: [[(String, String)]] = []
    var received: [UInt8] = []
    var taken = 0
    /// How often our own direction ended.
    var ownEnds = 0
    var end: StreamEnd?
    var number: Int32 = 0
    /// Runs inside the event of this name.
    var on: [String: (TestStream) -> Void] = [:]

    init(_ session: TestSession) {
        self.session = session
        pools = session.pools
        bodyMemory = BodyPipe(pools: session.pools)
        outgoingMemory = BodyPipe(pools: session.pools)
        super.init()
        head = Link(headMemory)
        trailers = Link(trailerMemory)
        body = Link(bodyMemory)
        outgoing = Link(outgoingMemory)
    }

    deinit {
        bodyMemory.reset()
        outgoingMemory.reset()
    }

    override func headReceived() {
        number = id
        heads.append(headMemory.list)
        event("head")
        if session.echoes && rejection == nil && headMemory.status == 0 { session.answer(self) }
        if let rejection { session.answer(self, status: rejection.status) }
    }

    override func bodyReceived(count: Int) {
        event("body \(count)")
        while !bodyMemory.isEmpty {
            let slice = bodyMemory.takeFirst(upTo: .max)
            for index in 0..<slice.count { received.append(slice.span[index]) }
        }
        if session.consumes { session.consume(self, count) }
    }

    override func ended(hasTrailers: Bool) { event(hasTrailers ? "trailers" : "ended") }

    override func outgoingTaken(count: Int) {
        taken += count
        event("taken")
    }

    override func outgoingEnded() { ownEnds += 1 }

    override func closed(_ end: StreamEnd) {
        self.end = end
        event("closed")
        session.closedStreams.append(self)
    }

    /// Adds to the body to send.
    func send(_ bytes: [UInt8], end: Bool = false) {
        for start in stride(from: 0, to: bytes.count, by: 60_000) {
            let part = Array(bytes[start..<min(start + 60_000, bytes.count)])
            outgoingMemory.append(Slice.copy(of: part.span, in: session.pools.medium))
        }
        if end { outgoingMemory.end() }
        session.resume(self)
    }

    private func event(_ name: String) {
        events.append(name)
        on[String(name.prefix { $0 != " " })]?(self)
    }
}

/// A session that records its events.
final class TestSession: HTTP2Session {
    let pools: BufferPools
    /// Answers every request with 200 and two bytes as soon as its head is there.
    var echoes = true
    /// Gives windows back at once.
    var consumes = true
    var refuses = false
    var streams: [TestStream] = []
    var closedStreams: [TestStream] = []
    var flushWishes = 0
    var goaways: [(Int32, UInt32)] = []
    var settingsSeen = 0
    /// Prepares each new stream.
    var prepare: (TestStream) -> Void = { _ in }

    override init(_ configuration: HTTP2Configuration, pools: BufferPools = BufferPools()) {
        self.pools = pools
        super.init(configuration, pools: pools)
    }

    override func openStream() -> HTTP2Stream? {
        if refuses { return nil }
        let stream = TestStream(self)
        streams.append(stream)
        prepare(stream)
        return stream
    }

    override func wantsFlush() { flushWishes += 1 }
    override func goawayReceived(lastStreamID: Int32, code: UInt32) { goaways.append((lastStreamID, code)) }
    override func settingsReceived() { settingsSeen += 1 }

    func answer(_ stream: TestStream, status: Int = 200, body: String? = "hi") {
        let head = MessageHead()
        head.status = status
        if let body { stream.send(Array(body.utf8), end: true) }
        respond(stream, head, hasBody: body != nil)
    }

    func request(
        _ fields: [(String, String)] = [], method: String = "GET", path: String = "/", hasBody: Bool = false,
        prepare: (MessageHead) -> Void = { _ in }
    ) -> TestStream? {
        let stream = TestStream(self)
        let head = MessageHead()
        head.method = method == "HEAD" ? .head : method == "POST" ? .post : method == "CONNECT" ? .connect : .get
        head.methodRange = head.store(Array(method.utf8).span)
        head.pathRange = head.store(Array(path.utf8).span)
        head.authorityRange = head.store(Array("shop.example".utf8).span)
        for (name, value) in fields { head.append(name: Array(name.utf8).span, value: Array(value.utf8).span) }
        prepare(head)
        guard submitRequest(stream, head, scheme: "http", hasBody: hasBody) else { return nil }
        stream.number = stream.id
        streams.append(stream)
        return stream
    }
}

extension MessageHead {
    func text(_ range: ByteRange) -> String {
        let bytes = span(range)
        return String(decoding: (0..<bytes.count).map { bytes[$0] }, as: UTF8.self)
    }

    /// Pseudo-headers and fields.
    var list: [(String, String)] {
        var list: [(String, String)] = []
        if status > 0 { list.append((":status", "\(status)")) }
        if !methodRange.isEmpty { list.append((":method", text(methodRange))) }
        if !schemeRange.isEmpty { list.append((":scheme", text(schemeRange))) }
        if !pathRange.isEmpty { list.append((":path", text(pathRange))) }
        if !authorityRange.isEmpty { list.append((":authority", text(authorityRange))) }
        if !protocolRange.isEmpty { list.append((":protocol", text(protocolRange))) }
        for index in 0..<fieldCount where self[index].name != .removed {
            list.append((text(self[index].nameRange), text(self[index].valueRange)))
        }
        return list
    }

    subscript(_ name: String) -> String? { list.first { $0.0 == name }?.1 }
}

/// One session, spoken to in raw frames.
final class Probe {
    let session: TestSession
    var reason: Reason?
    var now = Instant(nanoseconds: 1_000_000_000)
    private var output: OutputQueue

    /// A server or client that has exchanged settings, unless `handshake` is false.
    init(
        _ role: HTTP2Configuration.Role = .server, handshake: Bool = true,
        settings: [(UInt16, UInt32)] = [], _ configure: (inout HTTP2Configuration) -> Void = { _ in }
    ) {
        var configuration = HTTP2Configuration(role: role)
        configure(&configuration)
        session = TestSession(configuration)
        output = OutputQueue(pools: session.pools)
        session.start()
        guard handshake else { return }
        if role == .server { raw(preface) }
        send(.settings(settings), .settingsAck)
        _ = drain()
    }

    deinit {
        session.close()
        output.removeAll()
    }

    /// Sends bytes in pieces of `step`.
    func raw(_ bytes: [UInt8], step: Int = 60_000) {
        for start in stride(from: 0, to: bytes.count, by: step) {
            let part = Array(bytes[start..<min(start + step, bytes.count)])
            let failure = session.receive(Slice.copy(of: part.span, in: session.pools.medium), now: now)
            if reason == nil { reason = failure }
        }
    }

    func send(_ frames: Frame...) { raw(frames.flatMap { $0.bytes }) }

    /// What the session has to say.
    func drain(limit: Int = .max) -> [Frame] { Frame.parse(drainBytes(limit: limit)) }

    func drainBytes(limit: Int = .max) -> [UInt8] {
        session.flush(into: &output, upTo: limit)
        if reason == nil { reason = session.failure }
        var bytes: [UInt8] = []
        while !output.isEmpty {
            let slice = output.takeFirst(upTo: .max)
            for index in 0..<slice.count { bytes.append(slice.span[index]) }
        }
        return bytes
    }

    /// Sends frames and returns the answer.
    func ask(_ frames: Frame...) -> [Frame] {
        raw(frames.flatMap { $0.bytes })
        return drain()
    }
}

extension [Frame] {
    /// The code of the GOAWAY in it.
    var goaway: UInt32? { first { $0.type == 7 }?.code }

    /// The code of the RST_STREAM of `stream` in it.
    func reset(_ stream: UInt32) -> UInt32? { first { $0.type == 3 && $0.stream == stream }?.code }

    /// True if a response head of `stream` is in it.
    func answers(_ stream: UInt32) -> Bool { contains { $0.type == 1 && $0.stream == stream } }

    /// The body of `stream` in it.
    func body(_ stream: UInt32) -> [UInt8] { filter { $0.type == 0 && $0.stream == stream }.flatMap { $0.payload } }
}

/// A client and a server session, joined in memory.
final class Pair {
    let client: TestSession
    let server: TestSession
    var now = Instant(nanoseconds: 1_000_000_000)
    var limit = 1 << 20
    private var toServer: OutputQueue
    private var toClient: OutputQueue

    init(
        client: (inout HTTP2Configuration) -> Void = { _ in }, server: (inout HTTP2Configuration) -> Void = { _ in }
    ) {
        var clientSide = HTTP2Configuration(role: .client)
        var serverSide = HTTP2Configuration(role: .server)
        client(&clientSide)
        server(&serverSide)
        self.client = TestSession(clientSide)
        self.server = TestSession(serverSide)
        toServer = OutputQueue(pools: self.client.pools)
        toClient = OutputQueue(pools: self.server.pools)
        self.client.start()
        self.server.start()
        run()
    }

    deinit {
        client.close()
        server.close()
        toServer.removeAll()
        toClient.removeAll()
    }

    /// Carries bytes until both are silent.
    func run() {
        for _ in 0..<10_000 {
            client.flush(into: &toServer, upTo: limit)
            server.flush(into: &toClient, upTo: limit)
            if toServer.isEmpty && toClient.isEmpty { return }
            while !toServer.isEmpty {
                let slice = Self.copy(toServer.takeFirst(upTo: 65_536), server.pools)
                _ = server.receive(slice, now: now)
            }
            while !toClient.isEmpty {
                let slice = Self.copy(toClient.takeFirst(upTo: 65_536), client.pools)
                _ = client.receive(slice, now: now)
            }
        }
        fatalError("the sessions never fall silent")
    }

    private static func copy(_ slice: borrowing Slice, _ pools: BufferPools) -> Slice {
        Slice.copy(of: slice.span, in: pools.medium)
    }
}
