import MeshCore
import MeshHTTP
import MeshModel
import MeshNet

/// A client that speaks HTTP/1.1: one exchange at a time, pipelined requests wait in their buffer (RFC 9112).
final class HTTP1Downstream: Conversation {
    private enum State {
        /// Between requests, or inside a head.
        case head
        /// The request's body is being received.
        case body
        /// The request is complete, the response is not.
        case waiting
        /// After 101: bytes both ways.
        case tunnel
        /// The last answer is on its way out; what comes in means nothing.
        case closing
    }

    let origin: DownstreamOrigin
    /// The connection ends when the exchange does.
    private(set) var endsAfterExchange = false
    private var state = State.head
    private var input = InputBuffer()
    private var decoder: HTTP1BodyDecoder?
    private var owner: Exchange?
    private var exchange: Link<Exchange>?
    private var isHalfClosed = false
    /// The client said that it sends no other request (RFC 9112 §9.6).
    private var clientEnds = false
    private var responseIsChunked = false
    /// The response's last byte is queued.
    private var responseIsSent = false
    private var requestCount = 0

    /// What a draining connection has for another request to arrive.
    static let drainGrace = Duration.seconds(1)

    init(_ connection: Connection, origin: DownstreamOrigin) {
        self.origin = origin
        super.init(connection)
        arm(origin.limits.headerTimeout)
        if origin.isRetired || connection.worker.isDraining { drain() }
    }

    // MARK: Reading

    override var wantsInput: Bool {
        switch state {
        case .head, .closing: !isHalfClosed
        case .body, .tunnel: !isHalfClosed && (exchange?({ $0.requestHasRoom }) ?? false)
        // One read ahead notices a client that leaves, and holds pipelined requests.
        case .waiting: input.isEmpty && !isHalfClosed
        }
    }

    override func received(_ slice: consuming Slice) {
        if state == .closing { return }
        guard let bytes = join(slice, &input) else { return reject(.headersTooLarge) }
        advance(bytes)
    }

    /// Works through `bytes` as far as the state allows, and keeps the rest.
    private func advance(_ bytes: consuming Slice) {
        var rest: Slice? = consume bytes
        while let bytes = rest.take() {
            if bytes.count == 0 || connection({ $0.isClosed }) { return }
            switch state {
            case .head: rest = readHead(bytes)
            case .body: rest = readBody(bytes)
            case .waiting: return keep(bytes, &input)
            case .tunnel:
                exchange? { $0.requestBody.append(bytes.sub(0, bytes.count)) }
                exchange? { $0.requestArrived(bytes.count) }
            case .closing: return
            }
        }
    }

    /// What is left behind the head; nil if it is not complete or not valid.
    private func readHead(_ bytes: consuming Slice) -> Slice? {
        if input.scanned > 0 && !HTTP1Parser.hasHeadEnd(bytes.span, scanned: input.scanned)
            && bytes.count < origin.limits.maxHeaderBytes
        {
            return wait(bytes)
        }
        let owner = self.owner ?? connection { $0.worker.leaseExchange() }
        self.owner = owner
        switch HTTP1Parser.parseRequest(bytes.span, into: owner.request, limits: origin.codecLimits) {
        case .incomplete:
            // A slow sender holds its bytes, and nothing else.
            connection { $0.worker.release(owner) }
            self.owner = nil
            return wait(bytes)
        case .failed(let reason):
            reject(reason)
            return nil
        case .complete(let length):
            bytes.dropPrefix(length)
            begin(owner)
            return bytes
        }
    }

    /// The head timer runs from the first byte of a request.
    private func wait(_ bytes: consuming Slice) -> Slice? {
        if input.scanned == 0 { arm(endsAfterExchange ? Self.drainGrace : origin.limits.headerTimeout) }
        let count = bytes.count
        keep(bytes, &input)
        input.scanned = count
        return nil
    }

    private func begin(_ owner: Exchange) {
        let decoder = HTTP1BodyDecoder(owner.request)
        self.decoder = decoder
        exchange = Link(owner)
        responseIsSent = false
        requestCount &+= 1
        clientEnds = owner.request.flags.contains(.close)
        if clientEnds || connection({ $0.worker.isDraining }) || origin.isRetired
            || requestCount >= origin.limits.maxRequestsPerConnection ?? .max
        {
            endsAfterExchange = true
        }
        // An upgrade's bytes are no tunnel before the endpoint agreed: they wait.
        state = decoder.isComplete ? .waiting : .body
        connection { $0.worker.loop.schedule($0, at: .never) }
        owner.begin(on: .http1(Link(self)), bodyFollows: !decoder.isComplete)
    }

    private func readBody(_ bytes: consuming Slice) -> Slice? {
        guard let exchange else { return nil }
        var received = 0
        while bytes.count > 0 {
            let step = exchange { exchange in
                decoder!.next(bytes.span, trailers: exchange.requestTrailers, limits: origin.codecLimits)
            }
            switch step {
            case .data(let skip, let count):
                bytes.dropPrefix(skip)
                received &+= count
                exchange { $0.requestBody.append(bytes.takePrefix(count)) }
                if decoder!.isComplete { return endBody(bytes, received, trailers: false) }
            case .needsMore(let consumed):
                bytes.dropPrefix(consumed)
                keep(bytes, &input)
                exchange { $0.requestArrived(received) }
                return nil
            case .end(let consumed, let hasTrailers):
                bytes.dropPrefix(consumed)
                return endBody(bytes, received, trailers: hasTrailers)
            case .failed(let reason):
                reject(reason)
                return nil
            }
        }
        exchange { $0.requestArrived(received) }
        return nil
    }

    private func endBody(_ rest: consuming Slice, _ received: Int, trailers: Bool) -> Slice? {
        state = .waiting
        exchange? { $0.requestArrived(received) }
        exchange? { $0.requestEnded(hasTrailers: trailers) }
        return rest
    }

    override func peerEnded() {
        isHalfClosed = true
        switch state {
        case .tunnel: exchange? { $0.requestEnded(hasTrailers: false) }
        // Whoever leaves before the answer does not want it: waiting for it would hold the endpoint for nobody.
        case .head, .body, .waiting, .closing: abandon()
        }
    }

    override func broke() { abandon() }

    // MARK: What the exchange sends

    /// A 1xx head.
    func inform(_ head: MessageHead) {
        connection {
            HTTP1Encoder.response(head, .init(), into: &$0.output)
            $0.setDirty()
        }
    }

    /// The final head; a body follows in the exchange's response pipe if `hasBody`.
    func respond(_ head: MessageHead, to request: MessageHead, hasBody: Bool) {
        var options = HTTP1Encoder.ResponseOptions()
        if !hasBody { sayEmpty(head, request) }
        if hasBody && head.bodyLength == .unknown {
            if request.version == .http10 { endsAfterExchange = true } else { options.chunked = true }
        }
        responseIsChunked = options.chunked
        if state == .body { endsAfterExchange = true }
        options.close = endsAfterExchange
        options.keepAlive10 = request.version == .http10
        connection {
            HTTP1Encoder.response(head, options, into: &$0.output)
            $0.setDirty()
        }
    }

    /// A stream of HTTP/2 that ends with its head needs no length. Here the body would last as long as the connection,
    /// but for statuses and methods that never have one (RFC 9112 §6.3).
    private func sayEmpty(_ head: MessageHead, _ request: MessageHead) {
        guard request.method != .head, head.status != 204, head.status != 304,
            head.firstIndex(of: .contentLength) == nil
        else { return }
        head.append(.contentLength, value: ("0" as StaticString).bytes)
    }

    /// The endpoint agreed to the upgrade, and its 101 is in `head`.
    func upgrade(_ head: MessageHead) {
        state = .tunnel
        responseIsChunked = false
        endsAfterExchange = true
        inform(head)
        if let early = input.take() { advance(early) }
    }

    /// Moves the response pipe into the output, as far as there is room.
    func sendBody() {
        guard let exchange, !responseIsSent else { return }
        let finished = exchange { exchange in
            connection { connection in
                let sent = connection.sendBody(
                    exchange.responseBody, trailers: exchange.responseTrailers, chunked: responseIsChunked)
                if sent.taken > 0 { exchange.responseTaken(sent.taken) }
                return sent.finished
            }
        }
        guard finished else { return }
        responseIsSent = true
        // In a tunnel the client may still have something to say.
        if state == .tunnel { connection { connection in if connection.isDrained { connection.endOutput() } } }
        exchange { $0.responseSent() }
    }

    override var endsOutput: Bool { state == .closing }

    override func drained() {
        if state == .closing { return clientEnds ? abandon() : linger() }
        guard let exchange else { return }
        if state == .tunnel && responseIsSent { return connection { $0.endOutput() } }
        exchange { $0.responseDrained() }
    }

    // MARK: Ending

    /// The exchange's last byte is queued, and it is over.
    func exchangeEnded() {
        exchange = nil
        if let owner { connection { $0.worker.release(owner) } }
        owner = nil
        guard connection({ !$0.isClosed }) else { return }
        if endsAfterExchange || state != .waiting { return close() }
        state = .head
        arm(origin.limits.idleTimeout)
        if !input.isEmpty { connection { $0.worker.resume($0) } }
    }

    /// Goes on with what was pipelined.
    override func resumed() {
        if state == .head, let bytes = input.take() { advance(bytes) }
    }

    /// The connection is not used for another request.
    func endAfterExchange() { endsAfterExchange = true }

    /// The response cannot be completed: the client must see that it is cut off.
    func abort() {
        endsAfterExchange = true
        let unsent = connection { !$0.isDrained }
        if unsent { connection { $0.flush() } }
        abandon()
    }

    /// Sends what is queued, then closes.
    private func close() {
        // With nothing more to come there is nothing that the close could turn into a reset.
        clientEnds = clientEnds && state == .waiting && input.isEmpty
        state = .closing
        _ = input.take()
        connection { $0.setDirty() }
    }

    override func drain() {
        endsAfterExchange = true
        // A client may be about to send: it is answered, with `Connection: close`. One that is silent is not waited for.
        if state == .head && exchange == nil { arm(Self.drainGrace) }
    }

    /// Answers what is not valid and closes: what follows on the connection means nothing.
    private func reject(_ reason: Reason) {
        endsAfterExchange = true
        let owner = self.owner ?? connection { $0.worker.leaseExchange() }
        self.owner = owner
        if state == .head {
            exchange = Link(owner)
            responseIsSent = false
            state = .body
            owner.reject(on: .http1(Link(self)), reason)
        } else {
            owner.requestFailed(reason)
        }
    }

    /// Closes after the peer has had a second to read the answer: a close with unread input would be a reset, which may
    /// take the answer away from the client.
    private func linger() {
        if isHalfClosed { return abandon() }
        connection { $0.endOutput() }
        arm(.seconds(1))
    }

    private func abandon() {
        connection { $0.shut() }
    }

    override func closed() {
        guard let exchange else {
            if let owner { connection { $0.worker.release(owner) } }
            owner = nil
            return
        }
        exchange { $0.downstreamLost(.downstreamClosed) }
    }

    override func timerFired() {
        switch state {
        case .head:
            // Only a drain ends the connection while no exchange is on it.
            if !input.isEmpty { return reject(endsAfterExchange ? .draining : .headerTimeout) }
            let reason = endsAfterExchange ? Reason.draining : .connectionIdle
            connection { $0.worker.metrics.connectionRejected(reason) }
            abandon()
        case .closing: abandon()
        case .body, .waiting, .tunnel: break
        }
    }

}
