import MeshCore
import MeshHTTP
import MeshHTTP2
import MeshNet
import MeshTLS

/// An endpoint that speaks HTTP/2: many exchanges share the connection.
final class HTTP2Upstream: Conversation {
    let pool: Link<EndpointPool>
    let session: HTTP2ClientSession
    private var establishing: Reason?
    private var lostReason = Reason.upstreamClosed
    private let began: Instant
    private var isLeaving = false
    private var isBroken = false
    private var hasReceived = false
    private var served = 0
    private let requestLimit: Int
    private var events = HTTP2Events()

    /// A connection that is being established; streams may be submitted at once.
    init(_ connection: Connection, pool: EndpointPool, configuration: HTTP2Configuration) {
        self.pool = Link(pool)
        began = connection.worker.loop.now
        requestLimit = pool.backend.limits.maxRequestsPerConnection ?? .max
        session = HTTP2ClientSession(configuration, pools: connection.worker.pools)
        establishing = .upstreamConnectFailed
        super.init(connection)
        session.upstream = Link(self)
        session.start()
        arm(pool.backend.connectTimeout)
    }

    /// True if it takes another stream.
    var hasRoom: Bool { !isLeaving && !isBroken && served < requestLimit && session.canSubmit }

    /// True if the connection was used before: the next stream may find it dead without anybody's fault.
    var wasUsed: Bool { served > 1 }

    func submit(_ stream: HTTP2UpstreamStream, _ head: MessageHead, hasBody: Bool) -> Bool {
        let scheme: StaticString = connection { $0.tls == nil } ? "http" : "https"
        guard session.submitRequest(stream, head, scheme: scheme, hasBody: hasBody) else { return false }
        served &+= 1
        if establishing == nil { connection { $0.worker.loop.schedule($0, at: .never) } }
        return true
    }

    // MARK: Bytes

    override func received(_ slice: consuming Slice) {
        hasReceived = true
        let now = connection { $0.worker.loop.now }
        if session.receive(slice, now: now) != nil {
            lostReason = .upstreamMalformedResponse
            isBroken = true
        }
        connection { events.report(session, to: $0.worker.metrics, .upstream) }
        connection { $0.setDirty() }
    }

    override var gathersOutput: Bool { true }

    override func produce() {
        // What is sent before the connection is known to be usable could not be sent to another endpoint.
        if establishing != nil { return }
        // Its own queue meanwhile: what the session calls may look at the connection.
        connection { connection in
            var queue = connection.takeOutput()
            session.flush(into: &queue, upTo: Connection.highWatermark)
            connection.giveOutput(&queue)
        }
    }

    override func drained() {
        if isBroken || session.isFinished { return connection { $0.shut() } }
        if session.wantsOutput && establishing == nil { connection { $0.setDirty() } }
    }

    /// A stream ended.
    func streamEnded() {
        // Not before now, with a stream that was reset: its place counts until the frame has left.
        pool { $0.slotFreed() }
        guard session.openStreamCount == 0 else { return }
        if isLeaving || served >= requestLimit { return leaveNow() }
        if establishing == nil { arm(pool { $0.backend.idleTimeout }) }
    }

    private func leaveNow() {
        isLeaving = true
        session.goaway(code: 0)
        connection { $0.setDirty() }
        arm(.milliseconds(100))
    }

    /// The endpoint takes no new streams: those it took go on.
    func goawayReceived() {
        isLeaving = true
        pool { $0.forget(self) }
        connection { $0.setDirty() }
    }

    // MARK: Life

    override func connected() {
        if connection({ $0.tls == nil }) { established() } else { establishing = .upstreamTlsFailed }
    }

    override func secured() { established() }

    private func established() {
        establishing = nil
        let now = connection { $0.worker.loop.now }
        pool { $0.established(now.nanoseconds(since: began)) }
        connection { connection in
            connection.isEstablished = true
            connection.worker.loop.schedule(connection, at: .never)
            connection.setDirty()
        }
        if session.openStreamCount == 0 { arm(pool { $0.backend.idleTimeout }) }
    }

    override func handshakeFailed(_ failure: TLSFailure) {
        establishing = Reason(failure)
        connection { $0.worker.warn("backend \(pool { $0.backend.name }): TLS: \(failure.description)") }
        broke()
    }

    override func peerEnded() {
        session.receiveEnd()
        broke()
    }

    override func broke() {
        if establishing == nil && !hasReceived, let refusal { return handshakeFailed(refusal) }
        if let establishing { lostReason = establishing }
        connection { $0.shut() }
    }

    /// In TLS 1.3 the endpoint looks at our certificate when the handshake is done for us. If it says no, it says so
    /// before its first frame, and has not looked at any request.
    private var refusal: TLSFailure? {
        connection { connection in
            guard let failure = connection.tls?.session.failure, failure.kind == .peerAlert else { return nil }
            return failure
        }
    }

    override func timerFired() {
        if establishing != nil {
            establishing = .upstreamConnectTimeout
            broke()
        } else if session.openStreamCount == 0 {
            if isLeaving { connection { $0.shut() } } else { leaveNow() }
        }
    }

    override func drain() {
        isLeaving = true
        pool { $0.forget(self) }
        if session.openStreamCount == 0 { leaveNow() }
    }

    override func closed() {
        if establishing != nil { pool { $0.connectFailed(lostReason) } }
        pool { $0.forget(self) }
        session.close()
    }

    /// The connection was never usable, for this reason.
    var connectFailure: Reason? { establishing == nil ? nil : lostReason }

    /// Why streams that end with the connection failed.
    func failure(of stream: HTTP2UpstreamStream) -> ExchangeState.Failure {
        establishing == nil && lostReason == .upstreamClosed && wasUsed && !stream.hasAnswered
            ? .staleConnection(.upstreamClosed) : .failed(lostReason)
    }

}

/// The session of an upstream connection: passes on what concerns the whole connection.
final class HTTP2ClientSession: HTTP2Session {
    /// Set once, by the conversation that owns this session.
    var upstream: Link<HTTP2Upstream>?

    override func wantsFlush() { upstream? { $0.connection { $0.setDirty() } } }

    override func goawayReceived(lastStreamID: Int32, code: UInt32) { upstream? { $0.goawayReceived() } }
}

/// One attempt as a stream.
final class HTTP2UpstreamStream: HTTP2Stream {
    private var upstream: Link<HTTP2Upstream>?
    private var exchange: Link<Exchange>?
    private let worker: Link<Worker>
    private(set) var hasAnswered = false
    private var responseIsEnded = false
    private var requestIsSent = false

    init(worker: Worker) {
        self.worker = Link(worker)
        super.init()
    }

    /// Where ``begin(_:)`` is going to send the request.
    func prepare(_ upstream: HTTP2Upstream) { self.upstream = Link(upstream) }

    /// Starts serving `exchange`.
    func begin(_ exchange: Exchange) {
        guard let upstream else { return exchange.upstreamFailed(.failed(.internalError)) }
        self.exchange = Link(exchange)
        hasAnswered = false
        responseIsEnded = false
        requestIsSent = false
        head = Link(exchange.response)
        trailers = Link(exchange.responseTrailers)
        body = Link(exchange.responseBody)
        outgoing = Link(exchange.requestBody)
        outgoingTrailers = Link(exchange.requestTrailers)
        exchange.upgrade.prepareHTTP2(exchange.request)
        let hasBody = !exchange.requestBody.isFinished || exchange.requestTrailers.fieldCount > 0
        guard upstream({ $0.submit(self, exchange.request, hasBody: hasBody) }) else {
            self.exchange = nil
            worker { $0.release(self) }
            return exchange.upstreamFailed(.unprocessed(.upstreamClosed))
        }
        if !hasBody { outgoingEnded() }
    }

    /// Goes on for another exchange with the same request, which has been sent.
    func move(to exchange: Exchange) {
        self.exchange = Link(exchange)
        head = Link(exchange.response)
        trailers = Link(exchange.responseTrailers)
        body = Link(exchange.responseBody)
        outgoing = Link(exchange.requestBody)
        outgoingTrailers = Link(exchange.requestTrailers)
    }

    /// There is more in the request pipe, or it ended.
    func sendBody() {
        guard !requestIsSent else { return }
        upstream? { $0.session.resume(self) }
    }

    /// `count` bytes of the response were handed on.
    func consume(_ count: Int) { if count > 0 { upstream? { $0.session.consume(self, count) } } }

    // MARK: Events

    override func headReceived() {
        hasAnswered = true
        guard let exchange else { return }
        if let rejection { return exchange { $0.upstreamFailed(.failed(rejection)) } }
        exchange { $0.responseReceived(isUpgrade: $0.upgrade.isWanted && $0.response.status / 100 == 2) }
    }

    override func bodyReceived(count: Int) { exchange? { $0.responseArrived(count) } }

    override func ended(hasTrailers: Bool) {
        responseIsEnded = true
        exchange? { $0.responseEnded(hasTrailers: hasTrailers) }
    }

    override func outgoingTaken(count: Int) { exchange? { $0.requestTaken(count) } }

    override func outgoingEnded() {
        requestIsSent = true
        exchange? { $0.requestSent() }
    }

    override func closed(_ end: StreamEnd) {
        let exchange = exchange
        self.exchange = nil
        unlink()
        if let exchange, responseIsEnded {
            // What the client has still to be sent needs no stream: this object is free for another exchange.
            exchange { $0.upstreamCompleted() }
        } else if let exchange {
            if let reason = upstream?({ $0.connectFailure }) ?? nil {
                exchange { $0.connectFailed(reason) }
            } else {
                exchange { $0.upstreamFailed(failure(end, isUpgrade: $0.upgrade.isWanted)) }
            }
        }
        upstream? { $0.streamEnded() }
        upstream = nil
        worker { $0.release(self) }
    }

    private func failure(_ end: StreamEnd, isUpgrade: Bool) -> ExchangeState.Failure {
        switch end {
        case .reset where isUpgrade && !hasAnswered && upstream?({ $0.session.peerAllowsExtendedConnect }) == false:
            .failed(.upgradeRefused)
        case .complete, .reset, .cancelled: .failed(.upstreamReset)
        case .refused: .unprocessed(.upstreamRefusedStream)
        case .failed: .failed(.upstreamMalformedResponse)
        case .lost: upstream?({ $0.failure(of: self) }) ?? .failed(.upstreamClosed)
        }
    }

    /// The exchange lets go; what is left of the stream is cancelled.
    func release() {
        guard exchange != nil else { return }
        exchange = nil
        unlink()
        if !responseIsEnded || !requestIsSent {
            upstream? { $0.session.reset(self, code: responseIsEnded ? HTTP2Code.noError : HTTP2Code.cancel) }
        }
    }

    private func unlink() {
        head = nil
        trailers = nil
        body = nil
        outgoing = nil
        outgoingTrailers = nil
    }
}

/// Error codes that the proxy sends (RFC 9113 §7).
enum HTTP2Code {
    static let noError: UInt32 = 0
    static let internalError: UInt32 = 2
    static let refusedStream: UInt32 = 7
    static let cancel: UInt32 = 8
}
