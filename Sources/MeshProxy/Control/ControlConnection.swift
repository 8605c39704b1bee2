import MeshCore
import MeshHTTP2
import MeshNet
import MeshTLS

/// The connection to the control plane: one HTTP/2 session on the proxy's own codecs, and the calls on it.
final class ControlConnection: Conversation {
    /// How the server is known.
    enum Trust {
        /// The TLS context has checked its identity.
        case identity
        /// Its chain ends at the certificate with this SHA-256, which remains to be checked.
        case root([UInt8])
    }

    let session: ControlSession
    private let driver: Link<ControlDriver>
    private let trust: Trust
    private let authority: String
    private var calls: [ControlCall] = []
    private var keepalive = Keepalive(now: Instant(nanoseconds: 0))
    private var isOpen = false
    private var problem: String?

    /// Time for TCP and TLS: 5 s.
    private static let establishTime = Duration.seconds(5)

    init(_ connection: Connection, _ driver: ControlDriver, _ trust: Trust, authority: String) {
        self.driver = Link(driver)
        self.trust = trust
        self.authority = authority
        session = ControlSession(HTTP2Configuration(role: .client), pools: connection.worker.pools)
        super.init(connection)
        session.control = Link(self)
        session.start()
        arm(Self.establishTime)
    }

    /// Opens a call; nil if the connection takes none.
    func call(_ method: ControlCall.Method) -> ControlCall? {
        let call = connection { ControlCall(method, session: session, pools: $0.worker.pools) }
        guard call.open(authority: authority) else { return nil }
        calls.append(call)
        return call
    }

    /// Ends the connection, for this reason. Not inside an event of the session.
    func end(_ reason: String) {
        if problem == nil { problem = reason }
        connection { $0.shut() }
    }

    // MARK: Life

    override func secured() {
        var certificate: CertificateFacts?
        if case .root(let root) = trust {
            do throws(ProxyError) {
                certificate = try connection { $0.tls?.session }?.serverCertificate(underRoot: root)
            } catch {
                return end(error.description)
            }
        } else {
            certificate = connection { $0.tls?.session.peerCertificate?.facts }
        }
        guard connection({ $0.tls?.session.alpn == .http2 }), let certificate else {
            return end("the server does not speak HTTP/2")
        }
        isOpen = true
        keepalive = Keepalive(now: connection { $0.worker.loop.now })
        lookAlive()
        driver { $0.connectionOpened(self, server: certificate) }
        connection { $0.setDirty() }
    }

    override func handshakeFailed(_ failure: TLSFailure) {
        end("TLS: \(failure.description)")
        connection { $0.shut() }
    }

    override func peerEnded() {
        session.receiveEnd()
        settle()
        end(isOpen ? "the server closed the connection" : "the server closed the connection during the TLS handshake")
    }

    override func broke() {
        let failure = connection { $0.tls?.session.failure }
        end(failure.map { "TLS: \($0.description)" } ?? (isOpen ? "the connection broke" : "no connection"))
        connection { $0.shut() }
    }

    override func closed() {
        session.close()
        driver { $0.connectionClosed(self, problem ?? "closed") }
    }

    override func timerFired() {
        if !isOpen { return end("no answer within 5 s") }
        lookAlive()
    }

    private func lookAlive() {
        let next: Instant
        switch keepalive.look(now: connection { $0.worker.loop.now }) {
        case .wait(let instant): next = instant
        case .ping(let instant):
            session.ping()
            next = instant
        case .dead: return end("the server does not answer any more")
        }
        connection { $0.worker.loop.schedule($0, at: next) }
    }

    // MARK: Bytes

    override func received(_ slice: consuming Slice) {
        let now = connection { $0.worker.loop.now }
        keepalive.received(now: now)
        let failure = session.receive(slice, now: now)
        settle()
        if connection({ $0.isClosed }) { return }
        if let failure { return end("the server breaks HTTP/2: \(failure.rawValue)") }
        connection { $0.setDirty() }
    }

    override func produce() {
        connection { connection in
            var queue = connection.takeOutput()
            session.flush(into: &queue, upTo: Connection.highWatermark)
            connection.giveOutput(&queue)
        }
    }

    override func drained() {
        settle()
        if connection({ $0.isClosed }) { return }
        if session.goawayWasReceived { return end("the server is going away") }
        if session.isFinished { return end("the server ended the session") }
        if session.wantsOutput { connection { $0.setDirty() } }
    }

    /// Hands on what the session's events left: they may not end the connection themselves.
    private func settle() {
        for call in calls {
            let messages = call.takeMessages()
            if !messages.isEmpty { driver { $0.received(messages, on: call) } }
            if connection({ $0.isClosed }) { return }
        }
        let ended = calls.filter { $0.end != nil }
        calls.removeAll { $0.end != nil }
        for call in ended {
            driver { $0.ended(call, call.end ?? CallEnd(code: CallEnd.unavailable, message: "")) }
            if connection({ $0.isClosed }) { return }
        }
    }
}

/// The session of the connection to the control plane.
final class ControlSession: HTTP2Session {
    /// Set once, by the conversation that owns this session.
    var control: Link<ControlConnection>?

    override func wantsFlush() { control? { $0.connection { $0.setDirty() } } }
}
