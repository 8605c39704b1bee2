import MeshCore
import MeshHTTP
import MeshHTTP2
import MeshModel
import MeshNet

/// A client that speaks HTTP/2: each stream is an exchange.
final class HTTP2Downstream: Conversation {
    let origin: DownstreamOrigin
    let session: HTTP2ServerSession
    private var isLeaving = false
    private var isBroken = false
    private var requestCount = 0
    private var isSaidGoodbye = false
    private var events = HTTP2Events()
    /// Streams to be reset once what they have sent so far is on its way.
    private var cut: [(stream: Link<HTTP2DownstreamStream>, id: Int32)] = []

    init(_ connection: Connection, origin: DownstreamOrigin) {
        self.origin = origin
        session = HTTP2ServerSession(origin.limits.configuration, pools: connection.worker.pools)
        super.init(connection)
        session.downstream = Link(self)
        session.start()
        connection.setDirty()
        arm(origin.limits.idleTimeout)
        if origin.isRetired || connection.worker.isDraining { drain() }
    }

    // MARK: Bytes

    /// Unread output of a client that does not read is bounded: what makes more of it is not read.
    override var wantsInput: Bool { !isBroken && connection { $0.queuedBytes } < 2 * Connection.highWatermark }

    override func received(_ slice: consuming Slice) {
        let now = connection { $0.worker.loop.now }
        if let reason = session.receive(slice, now: now) { fail(reason) }
        connection { events.report(session, to: $0.worker.metrics, .downstream) }
        connection { $0.setDirty() }
    }

    private func fail(_ reason: Reason) {
        isBroken = true
        connection { $0.worker.metrics.connectionRejected(reason) }
        // A peer that reads nothing does not read the GOAWAY either.
        arm(.seconds(1))
    }

    override var gathersOutput: Bool { true }

    override func produce() {
        // Its own queue meanwhile: what the session calls may look at the connection.
        connection { connection in
            var queue = connection.takeOutput()
            session.flush(into: &queue, upTo: Connection.highWatermark)
            if !cut.isEmpty {
                resetCutStreams()
                session.flush(into: &queue, upTo: Connection.highWatermark)
            }
            connection.giveOutput(&queue)
        }
        // What only nghttp2 sees shows here.
        if let reason = session.failure, !isBroken { fail(reason) }
    }

    /// nghttp2 drops what a stream has queued when it is reset: the client would not see how far the response came.
    func resetAfterOutput(_ stream: HTTP2DownstreamStream) {
        cut.append((Link(stream), stream.id))
        connection { $0.setDirty() }
    }

    /// The stream is gone, and with it what was to be reset.
    fileprivate func forget(_ stream: HTTP2DownstreamStream) {
        if !cut.isEmpty { cut.removeAll { $0.id == stream.id } }
    }

    private func resetCutStreams() {
        for (link, id) in cut { link { if $0.id == id { session.reset($0, code: HTTP2Code.internalError) } } }
        cut.removeAll()
    }

    override func drained() {
        if isBroken || session.isFinished { return close() }
        if session.wantsOutput { connection { $0.setDirty() } }
    }

    private func close() {
        connection {
            $0.endOutput()
            $0.shut()
        }
    }

    // MARK: Streams

    /// A stream for a request that begins; nil if there are to be no more.
    func openStream() -> HTTP2Stream? {
        requestCount &+= 1
        if requestCount == origin.limits.maxRequestsPerConnection ?? .max { drain() }
        return connection { connection in
            connection.worker.loop.schedule(connection, at: .never)
            let stream = connection.worker.leaseDownstreamStream()
            stream.open(on: self, connection.worker.leaseExchange())
            return stream
        }
    }

    /// A stream ended.
    func streamEnded() {
        guard session.openStreamCount == 0, !isBroken else { return }
        if isLeaving { goaway() } else { arm(origin.limits.idleTimeout) }
    }

    // MARK: Ending

    override func peerEnded() {
        session.receiveEnd()
        connection { $0.shut() }
    }

    override func broke() { connection { $0.shut() } }

    /// GOAWAY in two steps (RFC 9113 §6.8): the client learns of the end before it is refused anything.
    override func drain() {
        guard !isLeaving else { return }
        isLeaving = true
        session.announceShutdown()
        connection { connection in
            let isDraining = connection.worker.isDraining || origin.isRetired
            if isDraining && session.openStreamCount == 0 { connection.worker.metrics.connectionRejected(.draining) }
            connection.setDirty()
        }
        arm(.milliseconds(session.openStreamCount == 0 ? 20 : 1000))
    }

    private func goaway() {
        session.goaway(code: HTTP2Code.noError)
        connection { $0.setDirty() }
        arm(.seconds(1))
        isSaidGoodbye = true
    }

    override func timerFired() {
        if isBroken || (isSaidGoodbye && session.openStreamCount == 0) { return connection { $0.shut() } }
        if isLeaving {
            if !isSaidGoodbye { goaway() }
        } else if session.openStreamCount == 0 {
            connection { $0.worker.metrics.connectionRejected(.connectionIdle) }
            drain()
        }
    }

    override func closed() { session.close() }

}

/// The session of a downstream connection: passes on what concerns the whole connection.
final class HTTP2ServerSession: HTTP2Session {
    /// Set once, by the conversation that owns this session.
    var downstream: Link<HTTP2Downstream>?

    override func openStream() -> HTTP2Stream? { downstream?({ $0.openStream() }) ?? nil }

    override func wantsFlush() { downstream? { $0.connection { $0.setDirty() } } }
}

/// A request on a client's HTTP/2 connection.
final class HTTP2DownstreamStream: HTTP2Stream {
    private var owner: Exchange?
    private var exchange: Link<Exchange>?
    private var link: Link<HTTP2Downstream>?
    private let worker: Link<Worker>
    private var responseIsSent = false
    private var requestIsEnded = false

    init(worker: Worker) {
        self.worker = Link(worker)
        super.init()
    }

    /// The connection; valid from `open` to `closed`.
    func downstream<Result>(_ body: (HTTP2Downstream) -> Result) -> Result { link!(body) }

    func open(on downstream: HTTP2Downstream, _ exchange: Exchange) {
        link = Link(downstream)
        owner = exchange
        self.exchange = nil
        responseIsSent = false
        requestIsEnded = false
        head = Link(exchange.request)
        trailers = Link(exchange.requestTrailers)
        body = Link(exchange.requestBody)
        outgoing = nil
        outgoingTrailers = nil
    }

    // MARK: Events

    override func headReceived() {
        guard let owner else { return }
        exchange = Link(owner)
        if let rejection { return owner.reject(on: .http2(Link(self)), rejection) }
        owner.begin(on: .http2(Link(self)), bodyFollows: owner.request.bodyLength != .none)
    }

    override func bodyReceived(count: Int) { exchange? { $0.requestArrived(count) } }

    override func ended(hasTrailers: Bool) {
        requestIsEnded = true
        exchange? { $0.requestEnded(hasTrailers: hasTrailers) }
    }

    override func outgoingTaken(count: Int) { exchange? { $0.responseTaken(count) } }

    override func outgoingEnded() {
        responseIsSent = true
        exchange? { $0.responseSent() }
    }

    override func closed(_ end: StreamEnd) {
        if let exchange {
            switch end {
            case .complete: exchange { $0.responseSent() }
            case .reset, .refused, .cancelled: exchange { $0.downstreamLost(.downstreamReset) }
            case .failed(let reason): exchange { $0.downstreamLost(reason) }
            // Why the connection ended is counted once, for the connection.
            case .lost: exchange { $0.downstreamLost(.downstreamClosed) }
            }
        }
        exchangeEnded()
        downstream {
            $0.forget(self)
            $0.streamEnded()
        }
        link = nil
        worker { $0.release(self) }
    }

    // MARK: What the exchange sends

    func inform(_ head: MessageHead) { downstream { $0.session.inform(self, head) } }

    func respond(_ head: MessageHead, hasBody: Bool) {
        if hasBody { exchange? { outgoing = Link($0.responseBody) } }
        downstream { $0.session.respond(self, head, hasBody: hasBody) }
    }

    func sendBody() {
        guard let exchange, outgoing != nil else { return }
        exchange { exchange in
            if exchange.responseBody.isEnded && exchange.responseTrailers.fieldCount > 0 {
                outgoingTrailers = Link(exchange.responseTrailers)
            }
        }
        downstream { $0.session.resume(self) }
    }

    func consume(_ count: Int) { if count > 0 { downstream { $0.session.consume(self, count) } } }

    func abort() { if link != nil && id != 0 { downstream { $0.resetAfterOutput(self) } } }

    /// The exchange is over. A client that still sends is told that nobody listens (RFC 9113 §8.1).
    func exchangeEnded() {
        guard let owner else { return }
        exchange = nil
        self.owner = nil
        head = nil
        trailers = nil
        body = nil
        outgoing = nil
        outgoingTrailers = nil
        if responseIsSent && !requestIsEnded && id != 0 {
            downstream { $0.session.reset(self, code: HTTP2Code.noError) }
        }
        worker { $0.release(owner) }
    }
}

extension ListenerLimits {
    /// What the HTTP/2 codec is told.
    var configuration: HTTP2Configuration {
        var made = HTTP2Configuration(role: .server)
        made.maxConcurrentStreams = http2.maxConcurrentStreams
        made.streamWindow = http2.streamWindow
        made.connectionWindow = http2.connectionWindow
        made.maxHeaders = maxHeaders
        made.maxHeaderBytes = maxHeaderBytes
        made.maxTargetBytes = maxTargetBytes
        made.resets = .init(burst: http2.resets.burst, perSecond: http2.resets.perSecond)
        made.glitches = .init(burst: http2.glitches.burst, perSecond: http2.glitches.perSecond)
        made.controlFrames = .init(burst: http2.controlFrames.burst, perSecond: http2.controlFrames.perSecond)
        made.maxQueuedFrames = http2.maxQueuedFrames
        made.maxContinuations = http2.maxContinuations
        made.extendedConnect = true
        return made
    }
}
