import MeshCore
import MeshHTTP
import MeshNet
import MeshTLS

/// An endpoint that speaks HTTP/1.1: one exchange at a time, idle in its pool between.
final class HTTP1Upstream: Conversation {
    private enum State {
        /// In the pool, or on the way into it.
        case idle
        /// The response's head is awaited.
        case head
        /// The response's body is being received.
        case body
        /// The response is complete.
        case complete
        /// After 101: bytes both ways.
        case tunnel
    }

    private let pool: Link<EndpointPool>
    private var exchange: Link<Exchange>?
    private var state = State.idle
    private var input = InputBuffer()
    private var decoder: HTTP1BodyDecoder?
    private var requestIsChunked = false
    private var isReusable = true
    private var requestIsSent = false
    private var hasAnswered = false
    private var establishing: Reason?
    private let began: Instant
    private(set) var served = 0
    /// Neighbours in the pool's list of idle connections.
    var next: Link<HTTP1Upstream>?
    var previous: Link<HTTP1Upstream>?

    /// A connection that is being established.
    init(_ connection: Connection, pool: EndpointPool, isSecure: Bool) {
        self.pool = Link(pool)
        began = connection.worker.loop.now
        establishing = isSecure || connection.isConnecting ? .upstreamConnectFailed : nil
        super.init(connection)
        if establishing != nil { arm(pool.backend.connectTimeout) }
    }

    // MARK: An exchange's life

    /// Starts serving `exchange`: sends its head, and its body as it comes.
    func begin(_ exchange: Exchange) {
        self.exchange = Link(exchange)
        state = .head
        isReusable = !pool { $0.backend.proxyProtocol.isSent }
        requestIsSent = false
        hasAnswered = false
        let upgrade = exchange.upgrade.prepareHTTP1(exchange.request, exchange.worker)
        requestIsChunked = exchange.request.bodyLength == .unknown && upgrade == nil
        connection {
            HTTP1Encoder.request(exchange.request, chunked: requestIsChunked, upgrade: upgrade, into: &$0.output)
            $0.setDirty()
        }
        // The tunnel's bytes wait for the endpoint's agreement.
        if upgrade == nil || exchange.state.requestEnded { sendBody() }
    }

    /// Goes on for another exchange with the same request.
    func move(to exchange: Exchange) { self.exchange = Link(exchange) }

    /// Moves the request pipe into the output, as far as there is room.
    func sendBody() {
        // Before there is a connection nothing leaves: should it fail, the request can go elsewhere as it is.
        guard let exchange, !requestIsSent, establishing == nil else { return }
        let finished = exchange { exchange in
            if exchange.upgrade.isWanted && state != .tunnel && !exchange.state.requestEnded { return false }
            return connection { connection in
                let sent = connection.sendBody(
                    exchange.requestBody, trailers: exchange.requestTrailers, chunked: requestIsChunked)
                if sent.taken > 0 { exchange.requestTaken(sent.taken) }
                return sent.finished
            }
        }
        guard finished else { return }
        requestIsSent = true
        if state == .tunnel { connection { connection in if connection.isDrained { connection.endOutput() } } }
        exchange { $0.requestSent() }
    }

    override func drained() {
        guard let exchange else { return }
        if state == .tunnel && requestIsSent { return connection { $0.endOutput() } }
        exchange { $0.requestDrained() }
    }

    // MARK: Reading

    override var wantsInput: Bool { exchange?({ $0.responseHasRoom }) ?? true }

    override func received(_ slice: consuming Slice) {
        hasAnswered = true
        guard let bytes = join(slice, &input) else { return fail(.failed(.upstreamHeadersTooLarge)) }
        var rest: Slice? = consume bytes
        while let bytes = rest.take() {
            if bytes.count == 0 || connection({ $0.isClosed }) { return }
            switch state {
            // An idle connection has nothing to say, and bytes behind a response belong to nobody.
            case .idle: return connection { $0.shut() }
            case .complete:
                isReusable = false
                return
            case .head: rest = readHead(bytes)
            case .body: rest = readBody(bytes)
            case .tunnel:
                exchange? { $0.responseBody.append(bytes.sub(0, bytes.count)) }
                exchange? { $0.responseArrived(bytes.count) }
            }
        }
    }

    private func readHead(_ bytes: consuming Slice) -> Slice? {
        guard let exchange else { return nil }
        let result = exchange {
            HTTP1Parser.parseResponse(
                bytes.span, into: $0.response, limits: HTTP1Limits(), requestMethod: $0.request.method)
        }
        switch result {
        case .incomplete: keep(bytes, &input)
        case .failed(let reason): fail(.failed(reason))
        case .complete(let length):
            bytes.dropPrefix(length)
            take(exchange)
            return bytes
        }
        return nil
    }

    /// The head is in the exchange's `response`.
    private func take(_ exchange: Link<Exchange>) {
        let (status, flags) = exchange { ($0.response.status, $0.response.flags) }
        let upgrades = status == 101 && flags.contains(.upgrade) && exchange { $0.upgrade.isWanted }
        if upgrades {
            state = .tunnel
            isReusable = false
        } else if status >= 200 {
            let decoder = exchange { HTTP1BodyDecoder($0.response) }
            self.decoder = decoder
            state = decoder.isComplete ? .complete : .body
            if flags.contains(.close) || decoder.isUntilClose { isReusable = false }
        }
        exchange { $0.responseReceived(isUpgrade: upgrades) }
        // The exchange may be another by now.
        if state == .complete { self.exchange? { $0.responseEnded(hasTrailers: false) } }
    }

    private func readBody(_ bytes: consuming Slice) -> Slice? {
        guard let exchange else { return nil }
        var received = 0
        while bytes.count > 0 {
            let step = exchange { decoder!.next(bytes.span, trailers: $0.responseTrailers, limits: HTTP1Limits()) }
            switch step {
            case .data(let skip, let count):
                bytes.dropPrefix(skip)
                received &+= count
                exchange { $0.responseBody.append(bytes.takePrefix(count)) }
                if decoder!.isComplete { return endBody(exchange, bytes, received, trailers: false) }
            case .needsMore(let consumed):
                bytes.dropPrefix(consumed)
                keep(bytes, &input)
                exchange { $0.responseArrived(received) }
                return nil
            case .end(let consumed, let hasTrailers):
                bytes.dropPrefix(consumed)
                return endBody(exchange, bytes, received, trailers: hasTrailers)
            case .failed:
                fail(.failed(.upstreamMalformedResponse))
                return nil
            }
        }
        exchange { $0.responseArrived(received) }
        return nil
    }

    private func endBody(
        _ exchange: Link<Exchange>, _ rest: consuming Slice, _ received: Int, trailers: Bool
    ) -> Slice? {
        state = .complete
        if rest.count > 0 { isReusable = false }
        // Head and last bytes leave together: the end is told with the bytes.
        exchange { $0.lastResponseBytes(received, hasTrailers: trailers) }
        return nil
    }

    // MARK: Ending

    override func peerEnded() {
        guard let exchange else { return connection { $0.shut() } }
        if state == .tunnel {
            exchange { $0.responseEnded(hasTrailers: false) }
        } else if state == .body, decoder?.isUntilClose == true {
            state = .complete
            isReusable = false
            exchange { $0.responseEnded(hasTrailers: false) }
        } else {
            broke()
        }
    }

    override func broke() {
        if let establishing { return failConnecting(establishing) }
        fail(served > 0 && !hasAnswered ? .staleConnection(.upstreamClosed) : .failed(.upstreamClosed))
    }

    private func fail(_ failure: ExchangeState.Failure) {
        guard let exchange else { return connection { $0.shut() } }
        exchange { $0.upstreamFailed(failure) }
    }

    private func failConnecting(_ reason: Reason) {
        pool { $0.connectFailed(reason) }
        guard let exchange else { return connection { $0.shut() } }
        exchange { $0.connectFailed(reason) }
    }

    /// The exchange lets go: back into the pool, or closed.
    func release(reusable: Bool) {
        guard exchange != nil else { return }
        exchange = nil
        served &+= 1
        let keeps =
            reusable && isReusable && state == .complete && input.isEmpty
            && connection { !$0.isClosed && $0.isDrained } && pool { $0.keeps(self) }
        guard keeps else { return connection { $0.shut() } }
        state = .idle
        decoder = nil
        pool { $0.rest(self) }
        arm(pool { $0.backend.idleTimeout })
    }

    /// Out of the pool again. False if the endpoint has closed it meanwhile, or said something.
    func wake() -> Bool {
        let alive = connection { connection in
            connection.worker.loop.schedule(connection, at: .never)
            return !connection.isClosed && Socket.isIdleAndAlive(connection.fd)
        }
        if !alive { connection { $0.shut() } }
        return alive
    }

    override func closed() {
        pool { $0.closed(self, isIdle: state == .idle) }
        exchange? { $0.upstreamFailed(.failed(.upstreamClosed)) }
    }

    // MARK: Time

    override func connected() {
        if connection({ $0.tls == nil }) { established() } else { establishing = .upstreamTlsFailed }
    }

    override func secured() { established() }

    private func established() {
        establishing = nil
        let now = connection { connection in
            connection.isEstablished = true
            connection.worker.loop.schedule(connection, at: .never)
            return connection.worker.loop.now
        }
        let took = now.nanoseconds(since: began)
        pool { $0.established(took) }
        exchange? { $0.account.upstreamConnect = took }
        sendBody()
    }

    override func handshakeFailed(_ failure: TLSFailure) {
        establishing = .upstreamTlsFailed
        connection { $0.worker.warn("backend \(pool { $0.backend.name }): TLS: \(failure.description)") }
        broke()
        connection { $0.shut() }
    }

    override func timerFired() {
        if establishing != nil {
            failConnecting(.upstreamConnectTimeout)
        } else if state == .idle {
            connection { $0.shut() }
        }
    }

    override func drain() { if state == .idle { connection { $0.shut() } } }

}
