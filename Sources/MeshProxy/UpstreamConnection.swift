import MeshCore
import MeshHTTP
import MeshNet

/// An HTTP/1.1 connection to an endpoint: one exchange at a time, idle in its pool between.
final class UpstreamConnection: Connection {
    private enum State { case idle, head, body, complete, tunnel }

    let endpoint: Int
    private unowned let pool: BackendPool
    private(set) var exchange: Exchange?
    private var state = State.idle
    private var decoder: HTTP1BodyDecoder?
    private var isConnecting: Bool
    /// It has served an exchange before: the next may find it dead without anybody's fault.
    private(set) var isReused = false

    init(fd: Int32, pool: BackendPool, worker: Worker, endpoint: Int, connecting: Bool) {
        self.pool = pool
        self.endpoint = endpoint
        isConnecting = connecting
        super.init(fd: fd, worker: worker, connecting: connecting)
    }

    /// Starts serving `exchange`, whose head is queued here by the caller.
    func begin(_ exchange: Exchange) {
        self.exchange = exchange
        state = .head
        if isConnecting {
            let timeout = pool.backend.model.connectTimeout.nanoseconds
            worker.loop.schedule(self, at: worker.loop.now.advanced(byNanoseconds: timeout))
        }
    }

    // MARK: In the pool

    func rest(for nanoseconds: UInt64) {
        exchange = nil
        state = .idle
        decoder = nil
        isReused = true
        worker.loop.schedule(self, at: worker.loop.now.advanced(byNanoseconds: nanoseconds))
    }

    func leave() { worker.loop.cancel(self) }

    override func timerFired() {
        if state == .idle {
            pool.remove(self)
            shut()
        } else if isConnecting {
            exchange?.upstreamFailed(.upstreamConnectTimeout)
        }
    }

    // MARK: Bytes

    override var wantsInput: Bool { exchange?.responseHasRoom ?? true }

    override func handle(_ events: Events) {
        if isConnecting {
            guard Socket.error(fd) == 0, events.isDisjoint(with: [.error, .hangup]) else {
                exchange?.upstreamFailed(.upstreamConnectFailed)
                shut()
                return
            }
            if events.contains(.writable) {
                isConnecting = false
                worker.loop.cancel(self)
            }
        }
        super.handle(events)
    }

    override func received() {
        guard let exchange else {
            // An idle connection has nothing to say.
            lost()
            return
        }
        while !isClosed, self.exchange === exchange {
            switch state {
            case .idle: return
            case .head: if !readHead(exchange) { return }
            case .body: if !readBody(exchange) { return }
            case .complete: return
            case .tunnel:
                if let slice = input.take() { exchange.tunnelFromUpstream(slice) }
                return
            }
        }
    }

    /// True: go on with what follows.
    private func readHead(_ exchange: Exchange) -> Bool {
        guard var bytes = input.take() else { return false }
        let result = HTTP1Parser.parseResponse(
            bytes.span, into: exchange.response, limits: HTTP1Limits(), requestMethod: exchange.request.method)
        switch result {
        case .incomplete:
            input = consume bytes
            return false
        case .failed(let reason):
            exchange.upstreamFailed(reason)
            return false
        case .complete(let length):
            bytes.dropPrefix(length)
            if bytes.count > 0 { input = consume bytes }
            return accept(exchange)
        }
    }

    private func accept(_ exchange: Exchange) -> Bool {
        let head = exchange.response
        if head.status == 101 {
            state = .tunnel
            exchange.upgraded()
            return true
        }
        if head.status < 200 {
            exchange.informed()
            return true
        }
        let decoder = HTTP1BodyDecoder(head)
        self.decoder = decoder
        state = decoder.isComplete ? .complete : .body
        let keep = !head.flags.contains(.close) && !decoder.isUntilClose
        exchange.responseBegan(reusable: keep)
        if state == .complete { exchange.responseEnded(trailers: false) }
        return self.exchange === exchange
    }

    private func readBody(_ exchange: Exchange) -> Bool {
        guard var bytes = input.take() else { return false }
        // Body bytes go to the exchange as slices of the chunk that they were read into.
        while bytes.count > 0 {
            switch decoder!.next(bytes.span, trailers: exchange.responseTrailers, limits: HTTP1Limits()) {
            case .data(let skip, let count):
                bytes.dropPrefix(skip)
                exchange.responseBody.append(bytes.takePrefix(count))
                if decoder!.isComplete { return finishBody(exchange, bytes, trailers: false) }
            case .needsMore(let consumed):
                bytes.dropPrefix(consumed)
                if bytes.count > 0 { input = consume bytes }
                exchange.responseArrived()
                return false
            case .end(let consumed, let hasTrailers):
                bytes.dropPrefix(consumed)
                return finishBody(exchange, bytes, trailers: hasTrailers)
            case .failed:
                exchange.upstreamFailed(.upstreamMalformedResponse)
                return false
            }
        }
        exchange.responseArrived()
        return false
    }

    private func finishBody(_ exchange: Exchange, _ rest: consuming Slice, trailers: Bool) -> Bool {
        // Bytes behind the response belong to nobody: the connection is not used again.
        if rest.count > 0 { exchange.upstreamIsReusable = false }
        state = .complete
        exchange.responseEnded(trailers: trailers)
        return false
    }

    override func lost() {
        guard let exchange else {
            pool.remove(self)
            shut()
            return
        }
        if state == .body, decoder?.isUntilClose == true {
            state = .complete
            exchange.upstreamIsReusable = false
            exchange.responseEnded(trailers: false)
        } else {
            exchange.upstreamFailed(.upstreamClosed)
        }
        shut()
    }

    override func drained() { exchange?.upstreamDrained() }

    /// The exchange is over: back to the pool, or gone.
    func finish(reusable: Bool) {
        guard exchange != nil else { return }
        exchange = nil
        if reusable && !isClosed && state == .complete && output.isEmpty && input == nil {
            pool.giveBack(self)
        } else {
            shut()
        }
    }
}
