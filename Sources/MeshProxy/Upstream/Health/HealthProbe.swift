import MeshCore
import MeshHTTP
import MeshHTTP2
import MeshTLS

/// One probe on a connection of its own. This one is content with the connection itself; the others ask.
class HealthProbe: Conversation {
    private let prober: Link<HealthProber>
    private(set) final var isOver = false

    init(_ connection: Connection, _ prober: HealthProber) {
        self.prober = Link(prober)
        super.init(connection)
    }

    /// True if TLS comes first, should the backend want it.
    var usesTLS: Bool { false }

    /// Bytes may be sent.
    func established() { end(true, "connected") }

    /// The probe is over. Not inside an event of a session.
    final func end(_ success: Bool, _ detail: String) {
        guard !isOver else { return }
        isOver = true
        prober { $0.ended(success, detail) }
        connection { $0.shut() }
    }

    override final func connected() { if connection({ $0.tls == nil }) { established() } }

    override final func secured() { established() }

    override final func handshakeFailed(_ failure: TLSFailure) {
        end(false, "TLS: \(failure.description)")
        connection { $0.shut() }
    }

    override func peerEnded() { end(false, "the endpoint closed the connection") }

    override final func broke() {
        end(false, "the connection failed")
        connection { $0.shut() }
    }

    override final func timerFired() { end(false, "no answer in time") }

    override func closed() {
        // Closed by the prober, which wants no more answer.
        isOver = true
    }
}

/// A probe over HTTP/1.1.
final class HTTP1Probe: HealthProbe {
    private let question: HealthQuestion
    private let response = MessageHead()
    private var input = InputBuffer()

    init(_ connection: Connection, _ prober: HealthProber, _ question: HealthQuestion) {
        self.question = question
        super.init(connection, prober)
    }

    override var usesTLS: Bool { true }

    override func established() {
        let head = MessageHead()
        question.write(head, isHTTP2: false)
        connection {
            HTTP1Encoder.request(head, chunked: false, into: &$0.output)
            $0.setDirty()
        }
    }

    override var wantsInput: Bool { !isOver }

    override func received(_ slice: consuming Slice) {
        guard var bytes = join(slice, &input) else { return end(false, "the answer's head is too large") }
        while !isOver && bytes.count > 0 {
            let result = HTTP1Parser.parseResponse(
                bytes.span, into: response, limits: HTTP1Limits(), requestMethod: .get)
            switch result {
            case .incomplete: return keep(bytes, &input)
            case .failed: return end(false, "the answer is not valid HTTP/1.1")
            case .complete(let length):
                bytes.dropPrefix(length)
                if response.status < 200 { continue }
                let (isWell, detail) = question.judge(response, body: [], trailers: nil)
                return end(isWell, detail)
            }
        }
    }
}

/// A probe over HTTP/2: plain or gRPC.
final class HTTP2Probe: HealthProbe {
    private let question: HealthQuestion
    private let session: ProbeSession
    private let stream: ProbeStream
    private let request = MessageHead()
    private let outgoing: BodyPipe

    init(_ connection: Connection, _ prober: HealthProber, _ question: HealthQuestion) {
        self.question = question
        let pools = connection.worker.pools
        session = ProbeSession(HTTP2Configuration(role: .client), pools: pools)
        stream = ProbeStream(pools: pools)
        outgoing = BodyPipe(pools: pools)
        super.init(connection, prober)
        session.probe = Link(self)
        session.start()
    }

    override var usesTLS: Bool { true }

    override func established() {
        question.write(request, isHTTP2: true)
        if let body = question.grpcBody {
            connection { outgoing.append(Slice.copy(of: body.span, in: $0.worker.pools.small)) }
        }
        outgoing.end()
        stream.prepare(outgoing)
        let scheme: StaticString = connection { $0.tls == nil } ? "http" : "https"
        if !session.submitRequest(stream, request, scheme: scheme, hasBody: question.grpcBody != nil) {
            return end(false, "the stream could not be opened")
        }
        connection { $0.setDirty() }
    }

    override func received(_ slice: consuming Slice) {
        let failure = session.receive(slice, now: connection { $0.worker.loop.now })
        settle()
        if isOver { return }
        if failure != nil { return end(false, "the endpoint does not speak HTTP/2") }
        connection { $0.setDirty() }
    }

    override func produce() {
        connection { connection in
            var queue = connection.takeOutput()
            session.flush(into: &queue, upTo: Connection.highWatermark)
            connection.giveOutput(&queue)
        }
    }

    override func drained() { settle() }

    /// Looks at what the session's events left: they may not end the connection themselves.
    private func settle() {
        guard !isOver, stream.isEnded else { return }
        guard stream.isComplete else { return end(false, "the endpoint reset the stream") }
        let (isWell, detail) = question.judge(
            stream.response, body: stream.content, trailers: stream.hasTrailers ? stream.responseTrailers : nil)
        end(isWell, detail)
    }

    override func closed() {
        super.closed()
        session.close()
    }
}

/// The session of a probe.
private final class ProbeSession: HTTP2Session {
    var probe: Link<HTTP2Probe>?

    override func wantsFlush() { probe? { $0.connection { $0.setDirty() } } }
}

/// The one stream of a probe. Only the beginning of the body is of interest.
private final class ProbeStream: HTTP2Stream {
    let response = MessageHead()
    let responseTrailers = MessageHead()
    private let pipe: BodyPipe
    private(set) var content: [UInt8] = []
    private(set) var hasTrailers = false
    private(set) var isComplete = false
    private(set) var isEnded = false

    private static let contentLimit = 1024

    init(pools: BufferPools) {
        pipe = BodyPipe(pools: pools)
        super.init()
    }

    func prepare(_ body: BodyPipe) {
        head = Link(response)
        trailers = Link(responseTrailers)
        self.body = Link(pipe)
        outgoing = Link(body)
    }

    override func headReceived() { if rejection != nil { isEnded = true } }

    override func bodyReceived(count: Int) {
        while !pipe.isEmpty {
            let slice = pipe.takeFirst(upTo: Self.contentLimit)
            var index = 0
            while index < slice.count, content.count < Self.contentLimit {
                content.append(slice.span[index])
                index &+= 1
            }
        }
    }

    override func ended(hasTrailers: Bool) {
        self.hasTrailers = hasTrailers
        isComplete = rejection == nil
        isEnded = true
    }

    override func closed(_ end: StreamEnd) { isEnded = true }
}
