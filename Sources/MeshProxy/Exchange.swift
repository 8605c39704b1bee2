import MeshCore
import MeshHTTP
import MeshModel
import MeshNet

/// One request with all its attempts, from head to last byte. Reads top to bottom in the order in which things happen;
/// the only place that knows that order. Reused by its loop for exchange after exchange.
final class Exchange {
    private let worker: Worker
    let request = MessageHead()
    let requestTrailers = MessageHead()
    let requestBody: BodyPipe
    let response = MessageHead()
    let responseTrailers = MessageHead()
    let responseBody: BodyPipe

    private var downstream: DownstreamConnection?
    private var upstream: UpstreamConnection?
    private var pool: BackendPool?
    private var requestIsComplete = false
    private var responseStarted = false
    private var responseIsChunked = false
    private var replays = 0
    private var upgradeRange: ByteRange?
    var upstreamIsReusable = true

    init(worker: Worker) {
        self.worker = worker
        requestBody = BodyPipe(pools: worker.pools)
        responseBody = BodyPipe(pools: worker.pools)
    }

    // MARK: Request

    /// The head is in ``request``: finds a backend and forwards it, or answers.
    func begin(on downstream: DownstreamConnection) {
        self.downstream = downstream
        worker.counters.requests &+= 1
        if request.method == .connect { return answer(.connectRefused) }
        if !PathRules.isSafe(request) { return answer(.invalidPath) }
        prepareHead(downstream)
        let snapshot = worker.snapshot
        let routes = snapshot.routes[downstream.listener]
        guard let rule = routes.table.match(request) else { return answer(.routeNotFound) }
        switch routes.splits[rule].choose(worker.random.next()) {
        case .none: answer(.backendNotConfigured)
        case .notValid: answer(.backendNotValid)
        case .backend(let index, _):
            pool = worker.backends[index]
            startAttempt(fresh: false)
        }
    }

    /// Takes off what belonged to the client's connection, and says who asked (edge: nothing is believed).
    private func prepareHead(_ downstream: DownstreamConnection) {
        if request.flags.contains(.upgrade), let index = request.firstIndex(of: .upgrade) {
            upgradeRange = request[index].valueRange
        }
        request.removeHopByHop()
        for name in Self.overwritten { request.removeAll(name) }
        let client = downstream.clientHost
        request.append(.xForwardedFor, value: client.span)
        request.append(.xForwardedProto, value: ("http" as StaticString).bytes)
        request.append(.xForwardedHost, value: request.authorityRange)
        if request.firstIndex(of: .xRequestID) == nil {
            let id = HexID(worker.random.next(), worker.random.next())
            unsafe request.append(.xRequestID, value: request.store(upTo: 32) { unsafe id.write(to: $0) })
        }
    }

    private static let overwritten: [HeaderName] = [
        .xForwardedFor, .xForwardedProto, .xForwardedHost, .xForwardedPort, .xForwardedClientCert, .forwarded, .xRealIp,
    ]

    private func startAttempt(fresh: Bool) {
        switch pool!.lease(fresh: fresh) {
        case .failure(let error): answer(error.reason)
        case .success(let connection):
            upstream = connection
            upstreamIsReusable = true
            HTTP1Encoder.request(
                request, chunked: request.bodyLength == .unknown, upgrade: upgradeRange, into: &connection.output)
            connection.begin(self)
            forwardRequestBody()
            connection.setDirty()
        }
    }

    /// True while the client may be read on.
    var requestHasRoom: Bool {
        requestBody.byteCount + (upstream?.output.byteCount ?? 0) < Connection.highWatermark
    }

    /// Bytes were added to ``requestBody``.
    func requestArrived() {
        forwardRequestBody()
        upstream?.setDirty()
    }

    /// The last byte of the request is in ``requestBody``.
    func requestEnded(trailers: Bool) {
        requestBody.end()
        if !trailers { requestTrailers.reset() }
        requestArrived()
    }

    private func forwardRequestBody() {
        guard let upstream, !requestIsComplete else { return }
        let chunked = request.bodyLength == .unknown
        while !requestBody.isEmpty && upstream.output.byteCount < Connection.highWatermark {
            send(requestBody.takeFirst(upTo: 65_536), chunked: chunked, to: upstream)
        }
        guard requestBody.isFinished else { return }
        requestIsComplete = true
        if chunked { HTTP1Encoder.lastChunk(trailers: requestTrailers, into: &upstream.output) }
    }

    /// The endpoint took what was queued for it.
    func upstreamDrained() {
        forwardRequestBody()
        if let upstream, !upstream.output.isEmpty { upstream.setDirty() }
        downstream?.readAll()
    }

    private func send(_ slice: consuming Slice, chunked: Bool, to connection: Connection) {
        if chunked { HTTP1Encoder.chunkHeader(slice.count, into: &connection.output) }
        connection.output.append(slice)
        if chunked { HTTP1Encoder.chunkEnd(into: &connection.output) }
    }

    // MARK: Response

    /// True while the endpoint may be read on.
    var responseHasRoom: Bool {
        responseBody.byteCount + (downstream?.output.byteCount ?? 0) < Connection.highWatermark
    }

    /// A 1xx head is in ``response``; HTTP/1.0 clients do not know it.
    func informed() {
        guard let downstream, request.version == .http11 else { return }
        response.removeHopByHop()
        HTTP1Encoder.response(response, .init(), into: &downstream.output)
        downstream.setDirty()
    }

    /// The final head is in ``response``.
    func responseBegan(reusable: Bool) {
        guard let downstream else { return }
        responseStarted = true
        if !reusable { upstreamIsReusable = false }
        if upgradeRange != nil { upstreamIsReusable = false }
        response.removeHopByHop()
        var options = HTTP1Encoder.ResponseOptions()
        if response.bodyLength == .unknown {
            if request.version == .http10 { downstream.endAfterExchange() } else { responseIsChunked = true }
        }
        if !requestIsComplete && !requestBody.isEnded { downstream.endAfterExchange() }
        options.chunked = responseIsChunked
        options.close = downstream.endsAfterExchange
        options.keepAlive10 = request.version == .http10
        HTTP1Encoder.response(response, options, into: &downstream.output)
        downstream.setDirty()
    }

    /// Bytes were added to ``responseBody``.
    func responseArrived() { forwardResponseBody() }

    /// The last byte of the response is in ``responseBody``.
    func responseEnded(trailers: Bool) {
        responseBody.end()
        if !trailers { responseTrailers.reset() }
        responseArrived()
    }

    private func forwardResponseBody() {
        guard let downstream else { return }
        while !responseBody.isEmpty && downstream.output.byteCount < Connection.highWatermark {
            send(responseBody.takeFirst(upTo: 65_536), chunked: responseIsChunked, to: downstream)
        }
        let isFinished = responseBody.isFinished
        if isFinished && responseIsChunked {
            HTTP1Encoder.lastChunk(trailers: responseTrailers, into: &downstream.output)
        }
        if !downstream.output.isEmpty { downstream.setDirty() }
        if isFinished { finish() }
    }

    /// The client took what was queued for it.
    func downstreamDrained() {
        forwardResponseBody()
        upstream?.readAll()
    }

    // MARK: Upgrade

    /// The endpoint answered 101: from here on bytes go both ways as they come.
    func upgraded() {
        guard let downstream, upgradeRange != nil, response.flags.contains(.upgrade) else {
            return upstreamFailed(.upstreamMalformedResponse)
        }
        responseStarted = true
        upstreamIsReusable = false
        let protocolName = response.firstIndex(of: .upgrade).map { response[$0].valueRange }
        response.removeHopByHop()
        if let protocolName {
            response.append(.connection, value: ("upgrade" as StaticString).bytes)
            response.append(.upgrade, value: protocolName)
        }
        HTTP1Encoder.response(response, .init(), into: &downstream.output)
        downstream.setDirty()
        downstream.becomeTunnel()
    }

    func tunnelFromUpstream(_ slice: consuming Slice) {
        downstream?.output.append(slice)
        downstream?.setDirty()
    }

    func tunnelFromDownstream(_ slice: consuming Slice) {
        upstream?.output.append(slice)
        upstream?.setDirty()
    }

    // MARK: End

    /// The attempt failed. The one retry decision: a reused connection that died before any response byte says nothing
    /// about the endpoint, and a request without a body can be sent again.
    func upstreamFailed(_ reason: Reason) {
        if let failed = upstream {
            upstream = nil
            failed.finish(reusable: false)
            if reason == .upstreamClosed, failed.isReused, replays == 0, !responseStarted, request.bodyLength == .none {
                replays += 1
                return startAttempt(fresh: true)
            }
        }
        if responseStarted {
            let downstream = downstream
            finish()
            downstream?.shut()
        } else {
            answer(reason)
        }
    }

    /// Answers the client itself, and says why.
    private func answer(_ reason: Reason) {
        guard let downstream else { return }
        responseStarted = true
        if !requestBody.isEnded { downstream.endAfterExchange() }
        LocalAnswer.write(
            reason, into: response, method: request.method, close: downstream.endsAfterExchange,
            output: &downstream.output)
        worker.counters.answers[reason, default: 0] &+= 1
        downstream.setDirty()
        finish()
    }

    /// The client is gone.
    func downstreamLost() {
        if !responseStarted { worker.counters.answers[.downstreamClosed, default: 0] &+= 1 }
        upstreamIsReusable = false
        finish()
    }

    private func finish() {
        let (downstream, upstream) = (downstream, upstream)
        self.downstream = nil
        self.upstream = nil
        let reusable = upstreamIsReusable && requestIsComplete && responseBody.isFinished
        pool = nil
        requestBody.reset()
        responseBody.reset()
        requestIsComplete = false
        responseStarted = false
        responseIsChunked = false
        replays = 0
        upgradeRange = nil
        upstream?.finish(reusable: reusable)
        downstream?.exchangeEnded()
        worker.release(self)
    }
}
