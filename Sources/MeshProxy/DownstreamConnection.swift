import MeshCore
import MeshHTTP
import MeshModel
import MeshNet

/// A client's HTTP/1.1 connection: one exchange at a time, pipelined requests wait in their buffer.
final class DownstreamConnection: Connection {
    private enum State { case head, body, waiting, tunnel, closing }

    /// Index into the snapshot's listeners.
    let listener: Int
    /// The client's address in text form, for `x-forwarded-for`.
    let clientHost: [UInt8]
    /// The connection ends when the exchange does.
    private(set) var endsAfterExchange = false
    private let limits: ListenerLimits
    private var state = State.head
    private var exchange: Exchange?
    private var decoder: HTTP1BodyDecoder?
    private var isHalfClosed = false

    init(fd: Int32, peer: SocketAddress, listener: Int, limits: ListenerLimits, worker: Worker) {
        self.listener = listener
        self.limits = limits
        clientHost = Array(peer.host.utf8)
        super.init(fd: fd, worker: worker)
        arm(limits.headerTimeout.nanoseconds)
    }

    private var codecLimits: HTTP1Limits {
        var codec = HTTP1Limits()
        codec.maxHeaders = limits.maxHeaders
        codec.maxHeaderBytes = limits.maxHeaderBytes
        codec.maxTargetBytes = limits.maxTargetBytes
        return codec
    }

    override func handle(_ events: Events) {
        super.handle(events)
        // Both directions are gone: nobody is left to read an answer.
        if !isClosed && !events.isDisjoint(with: [.error, .hangup]) { abandon() }
    }

    // MARK: Reading

    override var wantsInput: Bool {
        switch state {
        case .head, .closing: !isHalfClosed
        case .body, .tunnel: exchange?.requestHasRoom ?? false
        case .waiting: input == nil && !isHalfClosed
        }
    }

    override func received() {
        while !isClosed, input != nil {
            switch state {
            case .head: if !readHead() { return }
            case .body: if !readBody() { return }
            case .waiting: return
            case .tunnel:
                if let slice = input.take() { exchange?.tunnelFromDownstream(slice) }
            case .closing: input = nil
            }
        }
    }

    /// True: go on with what follows.
    private func readHead() -> Bool {
        guard var bytes = input.take() else { return false }
        let exchange = exchange ?? worker.leaseExchange()
        self.exchange = exchange
        switch HTTP1Parser.parseRequest(bytes.span, into: exchange.request, limits: codecLimits) {
        case .incomplete:
            input = consume bytes
            return false
        case .failed(let reason):
            reject(reason)
            return false
        case .complete(let length):
            bytes.dropPrefix(length)
            if bytes.count > 0 { input = consume bytes }
            begin(exchange)
            return true
        }
    }

    private func begin(_ exchange: Exchange) {
        let decoder = HTTP1BodyDecoder(exchange.request)
        self.decoder = decoder
        if exchange.request.flags.contains(.close) || worker.isDraining { endsAfterExchange = true }
        if decoder.isComplete {
            state = .waiting
            exchange.requestEnded(trailers: false)
        } else {
            state = .body
        }
        exchange.begin(on: self)
    }

    private func readBody() -> Bool {
        guard var bytes = input.take(), let exchange else { return false }
        while bytes.count > 0 {
            switch decoder!.next(bytes.span, trailers: exchange.requestTrailers, limits: codecLimits) {
            case .data(let skip, let count):
                bytes.dropPrefix(skip)
                exchange.requestBody.append(bytes.takePrefix(count))
                if decoder!.isComplete { return endBody(bytes, trailers: false) }
            case .needsMore(let consumed):
                bytes.dropPrefix(consumed)
                if bytes.count > 0 { input = consume bytes }
                exchange.requestArrived()
                return false
            case .end(let consumed, let hasTrailers):
                bytes.dropPrefix(consumed)
                return endBody(bytes, trailers: hasTrailers)
            case .failed(let reason):
                reject(reason)
                return false
            }
        }
        exchange.requestArrived()
        return false
    }

    private func endBody(_ rest: consuming Slice, trailers: Bool) -> Bool {
        if rest.count > 0 { input = consume rest }
        state = .waiting
        exchange?.requestEnded(trailers: trailers)
        return true
    }

    override func tooMuchInput() {
        if state == .waiting { return }
        reject(.headersTooLarge)
    }

    /// The client closed its side. What it asked for completely is still answered.
    override func lost() {
        isHalfClosed = true
        if state == .waiting {
            endsAfterExchange = true
            return
        }
        abandon()
    }

    // MARK: Exchange

    func endAfterExchange() { endsAfterExchange = true }

    func becomeTunnel() {
        state = .tunnel
        received()
    }

    /// The exchange's last byte is queued.
    func exchangeEnded() {
        exchange = nil
        guard !isClosed else { return }
        if endsAfterExchange || state != .waiting {
            state = .closing
            input = nil
            setDirty()
            return
        }
        state = .head
        arm(limits.idleTimeout.nanoseconds)
        if input != nil { worker.resume(self) }
    }

    override func drained() {
        if state == .closing { return linger() }
        exchange?.downstreamDrained()
    }

    // MARK: Ending

    /// The proxy shuts down: an idle connection ends now, a busy one with its exchange.
    func drain() {
        endsAfterExchange = true
        if state == .head && exchange == nil { close() }
    }

    /// Answers a request that is not valid and closes: what follows on the connection means nothing.
    private func reject(_ reason: Reason) {
        endsAfterExchange = true
        let head = MessageHead()
        LocalAnswer.write(reason, into: head, method: .get, close: true, output: &output)
        worker.counters.answers[reason, default: 0] &+= 1
        input = nil
        if state == .head { exchange = nil }
        state = .closing
        if let exchange { exchange.downstreamLost() }
        setDirty()
    }

    /// Closes after the peer has had a second to read the answer: a close with unread input would be a reset, which
    /// may take the answer away from the client.
    private func linger() {
        if isHalfClosed { return abandon() }
        Socket.shutdownWrite(fd)
        arm(1_000_000_000)
    }

    private func abandon() {
        let exchange = exchange
        self.exchange = nil
        let began = state != .head
        close()
        if began { exchange?.downstreamLost() }
    }

    private func close() {
        guard !isClosed else { return }
        worker.closed(self)
        shut()
    }

    override func timerFired() {
        switch state {
        case .head:
            if input == nil && exchange == nil { close() } else { reject(.headerTimeout) }
        case .closing: abandon()
        case .body, .waiting, .tunnel: break
        }
    }

    private func arm(_ nanoseconds: UInt64) {
        worker.loop.schedule(self, at: worker.loop.now.advanced(byNanoseconds: nanoseconds))
    }
}
