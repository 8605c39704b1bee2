import MeshCore
import MeshModel
import MeshNet
import MeshTLS

/// The first bytes of a connection, until it is known what is spoken: PROXY header, ClientHello, HTTP/2 preface.
final class Opening: Conversation {
    private enum Phase { case proxyHeader, clientHello, handshake, firstBytes }

    private let listener: ListenerSource
    private let served: ServedListener
    private var phase: Phase
    private var input = InputBuffer()
    private var section = 0
    private var isLeaving = false

    /// What a new connection begins with.
    static func conversation(
        on connection: Connection, listener: ListenerSource, _ served: ServedListener
    ) -> Conversation {
        switch (served.kind, served.expectsProxyHeader) {
        case (.tcp, false):
            return StreamTunnel.downstream(on: connection, served, section: 0, serverName: "", listener: listener)
        case (_, true): return Opening(connection, listener, served, .proxyHeader)
        case (.tls, false): return Opening(connection, listener, served, .clientHello)
        case (.clear, false): return Opening(connection, listener, served, .firstBytes)
        }
    }

    private init(_ connection: Connection, _ listener: ListenerSource, _ served: ServedListener, _ phase: Phase) {
        self.listener = listener
        self.served = served
        self.phase = phase
        super.init(connection)
        let limit = phase == .firstBytes ? served.limits.headerTimeout : served.limits.handshakeTimeout
        let loop = connection.worker.loop
        loop.schedule(connection, at: loop.now.advanced(byNanoseconds: limit.nanoseconds))
    }

    override func received(_ slice: consuming Slice) {
        guard let bytes = join(slice, &input) else { return refuse(.tlsClientHelloMalformed) }
        switch phase {
        case .proxyHeader: readProxyHeader(bytes)
        case .clientHello: readClientHello(bytes)
        case .handshake, .firstBytes: readFirstBytes(bytes)
        }
    }

    // MARK: PROXY protocol

    private func readProxyHeader(_ bytes: consuming Slice) {
        switch ProxyProtocol.parse(bytes.span) {
        case .incomplete: keep(bytes, &input)
        case .invalid: refuse(.proxyProtocolMalformed)
        case .parsed(let length, let source, _):
            if let source { connection { $0.peer = source } }
            bytes.dropPrefix(length)
            afterProxyHeader(bytes)
        }
    }

    private func afterProxyHeader(_ bytes: consuming Slice) {
        switch served.kind {
        case .tcp:
            become { StreamTunnel.downstream(on: $0, served, section: 0, serverName: "", listener: listener) }
            pass(bytes)
        case .tls:
            phase = .clientHello
            if bytes.count > 0 { readClientHello(bytes) }
        case .clear:
            phase = .firstBytes
            if bytes.count > 0 { readFirstBytes(bytes) }
        }
    }

    // MARK: TLS

    private func readClientHello(_ bytes: consuming Slice) {
        switch ClientHello.peek(bytes.span) {
        case .incomplete: keep(bytes, &input)
        case .notTLS: refuse(.tlsClientHelloMalformed)
        case .hello(let serverName, _):
            guard let found = served.table.section(serverName: Array((serverName ?? "").utf8).span) else {
                return refuse(.sniNotFound)
            }
            section = found
            guard let context = served.contexts[found] else {
                return passThrough(bytes, serverName: serverName ?? "")
            }
            phase = .handshake
            var box: Slice? = consume bytes
            connection { $0.secure(TLSSession(server: context), box.take()!) }
        }
    }

    private func passThrough(_ bytes: consuming Slice, serverName: String) {
        let exists = served.table.streamRoute(section: section, serverName: Array(serverName.utf8).span) != nil
        guard exists else { return refuse(.sniNotFound) }
        become {
            StreamTunnel.downstream(on: $0, served, section: section, serverName: serverName, listener: listener)
        }
        pass(bytes)
    }

    override func secured() {
        let slot = connection { $0.listenerSlot }
        let (alpn, resumed, name) = connection { connection in
            let session = connection.tls!.session
            return (session.alpn, session.isResumed, session.serverName ?? "")
        }
        connection { $0.worker.metrics.handshakeSucceeded(listener: slot, resumed: resumed) }
        if served.sections[section].protocol == .tls {
            return become {
                StreamTunnel.downstream(on: $0, served, section: section, serverName: name, listener: listener)
            }
        }
        let origin = connection { $0.worker.origin(listener, served, section: section) }
        switch alpn {
        case .http2: become { HTTP2Downstream($0, origin: origin) }
        case .http1: become { HTTP1Downstream($0, origin: origin) }
        case .none: phase = .firstBytes
        }
    }

    override func handshakeFailed(_ failure: TLSFailure) {
        let reason: Reason = failure.kind == .certificateRequired ? .clientCertificateRequired : .tlsHandshakeFailed
        connection { connection in
            connection.worker.metrics.handshakeFailed(listener: connection.listenerSlot, reason)
            connection.shut()
        }
    }

    // MARK: HTTP

    private func readFirstBytes(_ bytes: consuming Slice) {
        let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        let count = min(bytes.count, preface.utf8CodeUnitCount)
        let isPreface = bytes.span.extracting(first: count).equals(preface.bytes.extracting(first: count))
        if isPreface && count < preface.utf8CodeUnitCount { return keep(bytes, &input) }
        let origin = connection { connection in
            connection.tls == nil ? listener.origin! : connection.worker.origin(listener, served, section: section)
        }
        if isPreface {
            become { HTTP2Downstream($0, origin: origin) }
        } else {
            become { HTTP1Downstream($0, origin: origin) }
        }
        pass(bytes)
    }

    /// Changes what is spoken; this conversation ends.
    private func become(_ make: (Connection) -> Conversation) { connection { $0.speak(make($0)) } }

    private func pass(_ bytes: consuming Slice) {
        if bytes.count == 0 { return }
        var box: Slice? = consume bytes
        connection { $0.hand(box.take()!) }
    }

    // MARK: Ending

    private func refuse(_ reason: Reason) {
        connection { connection in
            switch reason {
            case .tlsHandshakeTimeout, .tlsClientHelloMalformed, .sniNotFound:
                connection.worker.metrics.handshakeFailed(listener: connection.listenerSlot, reason)
            default: connection.worker.metrics.connectionRejected(reason)
            }
            connection.shut()
        }
    }

    override func peerEnded() {
        // What was sent before the end may still be a whole request.
        if phase == .firstBytes, let bytes = input.take() {
            become { HTTP1Downstream($0, origin: listener.origin) }
            pass(bytes)
        }
        connection { $0.shut() }
    }

    override func broke() { connection { $0.shut() } }

    override func timerFired() {
        if isLeaving { return refuse(.draining) }
        switch phase {
        case .proxyHeader: refuse(.proxyProtocolMalformed)
        case .clientHello, .handshake: refuse(.tlsHandshakeTimeout)
        case .firstBytes:
            guard let bytes = input.take() else { return connection { $0.shut() } }
            become { HTTP1Downstream($0, origin: listener.origin) }
            pass(bytes)
        }
    }

    /// What was accepted may be on the point of asking something.
    override func drain() {
        isLeaving = true
        arm(HTTP1Downstream.drainGrace)
    }
}
