import MeshCore
import MeshModel
import MeshNet
import MeshTLS

/// The first bytes of a connection, until it is known what is spoken: PROXY header, ClientHello, HTTP/2 preface.
final class Opening: Conversation {
    private enum Phase {
        case proxyHeader
        /// TLS or clear text.
        case either
        case clientHello, handshake, firstBytes
    }

    private let listener: ListenerSource
    private let served: ServedListener
    private var phase: Phase
    private var input = InputBuffer()
    private var section = 0
    private var isLeaving = false

    /// What a client of bytes has to say something, at a section that takes TLS and clear text: in protocols where the
    /// server speaks first it says nothing. A ClientHello follows its connection at once; this is enough for one that
    /// was lost on the way and sent again.
    private static let silence = Duration.milliseconds(500)

    /// What a new connection begins with.
    static func conversation(
        on connection: Connection, listener: ListenerSource, _ served: ServedListener
    ) -> Conversation {
        switch (served.kind, served.expectsProxyHeader) {
        case (.tcp, false):
            return StreamTunnel.downstream(on: connection, served, section: 0, serverName: "", listener: listener)
        case (_, true): return Opening(connection, listener, served, .proxyHeader)
        case (.tls, false):
            let phase = served.permissiveSection == nil ? Phase.clientHello : .either
            return Opening(connection, listener, served, phase)
        case (.clear, false): return Opening(connection, listener, served, .firstBytes)
        }
    }

    private init(_ connection: Connection, _ listener: ListenerSource, _ served: ServedListener, _ phase: Phase) {
        self.listener = listener
        self.served = served
        self.phase = phase
        super.init(connection)
        let limit =
            switch phase {
            case .firstBytes: served.limits.headerTimeout
            case .either: timeForEither
            case .proxyHeader, .clientHello, .handshake: served.limits.handshakeTimeout
            }
        let loop = connection.worker.loop
        loop.schedule(connection, at: loop.now.advanced(byNanoseconds: limit.nanoseconds))
    }

    override func received(_ slice: consuming Slice) {
        guard let bytes = join(slice, &input) else { return refuse(.tlsClientHelloMalformed) }
        switch phase {
        case .proxyHeader: readProxyHeader(bytes)
        case .either: readEither(bytes)
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
        case .tls where served.permissiveSection != nil:
            phase = .either
            arm(timeForEither)
            if bytes.count > 0 { readEither(bytes) }
        case .tls:
            phase = .clientHello
            if bytes.count > 0 { readClientHello(bytes) }
        case .clear:
            phase = .firstBytes
            if bytes.count > 0 { readFirstBytes(bytes) }
        }
    }

    // MARK: TLS or clear text

    private var timeForEither: Duration {
        let isOfBytes = served.permissiveSection.map { served.sections[$0].protocol == .tls } ?? false
        return isOfBytes ? Self.silence : served.limits.headerTimeout
    }

    /// The first byte tells: a TLS handshake record has type 22 (RFC 8446 §5.1), which begins no text.
    private func readEither(_ bytes: consuming Slice) {
        if bytes.count == 0 { return }
        if bytes.span[0] == 22 {
            phase = .clientHello
            arm(served.limits.handshakeTimeout)
            return readClientHello(bytes)
        }
        takeClearText(bytes)
    }

    private func takeClearText(_ bytes: consuming Slice) {
        section = served.permissiveSection ?? 0
        if served.sections[section].protocol == .tls {
            disarm()
            become { StreamTunnel.downstream(on: $0, served, section: section, serverName: "", listener: listener) }
            return pass(bytes)
        }
        phase = .firstBytes
        readFirstBytes(bytes)
    }

    // MARK: TLS

    private func readClientHello(_ bytes: consuming Slice) {
        switch ClientHello.peek(bytes.span) {
        case .incomplete: keep(bytes, &input)
        case .notTLS:
            let isClearText = bytes.span[0] != 22 && served.sections.contains { $0.mesh != nil }
            refuse(isClearText ? .clearTextRefused : .tlsClientHelloMalformed)
        case .hello(let serverName, _):
            guard let found = served.table.section(serverName: Array((serverName ?? "").utf8).span) else {
                return refuse(.sniNotFound)
            }
            section = found
            if served.sections[found].mesh != nil && served.contexts[found] == nil {
                return refuse(.meshIdentityMissing)
            }
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
        if served.sections[section].mesh != nil && !hasIdentity { return refuse(.clientCertificateRequired) }
        let slot = connection { $0.listenerSlot }
        let (alpn, resumed, name) = connection { connection in
            let session = connection.tls!.session
            return (session.alpn, session.isResumed, session.serverName ?? "")
        }
        connection { $0.worker.metrics.handshakeSucceeded(listener: slot, resumed: resumed) }
        if served.sections[section].protocol == .tls {
            disarm()
            return become {
                StreamTunnel.downstream(on: $0, served, section: section, serverName: name, listener: listener)
            }
        }
        let origin = self.origin
        switch alpn {
        case .http2: become { HTTP2Downstream($0, origin: origin) }
        case .http1: become { HTTP1Downstream($0, origin: origin) }
        case .none: phase = .firstBytes
        }
    }

    /// A session that was resumed may be older than the end of the certificate that it was made with.
    private var hasIdentity: Bool {
        connection { connection in
            guard let peer = connection.peerIdentity else { return false }
            return !peer.isExpired(atWallTime: connection.worker.wallNow())
        }
    }

    override func handshakeFailed(_ failure: TLSFailure) {
        if served.sections[section].mesh != nil {
            let name = served.sections[section].name
            connection { $0.worker.warn("section \(name): TLS with \($0.peer): \(failure.description)") }
        }
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
        let origin = self.origin
        if isPreface {
            become { HTTP2Downstream($0, origin: origin) }
        } else {
            become { HTTP1Downstream($0, origin: origin) }
        }
        pass(bytes)
    }

    private var origin: DownstreamOrigin {
        if served.kind == .clear { return listener.origin }
        return connection { connection in
            connection.worker.origin(listener, served, section: section, isTLS: connection.tls != nil)
        }
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
            case .tlsHandshakeTimeout, .tlsClientHelloMalformed, .sniNotFound, .clearTextRefused,
                .meshIdentityMissing, .clientCertificateRequired:
                connection.worker.metrics.handshakeFailed(listener: connection.listenerSlot, reason)
            default: connection.worker.metrics.connectionRejected(reason)
            }
            connection.shut()
        }
    }

    override func peerEnded() {
        // What was sent before the end may still be a whole request.
        if phase == .firstBytes, let bytes = input.take() {
            let origin = self.origin
            become { HTTP1Downstream($0, origin: origin) }
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
        case .either:
            guard let found = served.permissiveSection, served.sections[found].protocol == .tls else {
                return connection { $0.shut() }
            }
            section = found
            become { StreamTunnel.downstream(on: $0, served, section: found, serverName: "", listener: listener) }
        case .firstBytes:
            guard let bytes = input.take() else { return connection { $0.shut() } }
            let origin = self.origin
            become { HTTP1Downstream($0, origin: origin) }
            pass(bytes)
        }
    }

    /// What was accepted may be on the point of asking something.
    override func drain() {
        isLeaving = true
        arm(HTTP1Downstream.drainGrace)
    }
}
