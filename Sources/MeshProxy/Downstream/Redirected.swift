import MeshCore
import MeshModel
import MeshNet

/// The first bytes of a connection that the kernel redirected to where HTTP is served: HTTP/1.1, HTTP/2, or TLS that the
/// client speaks with whom it meant, which is none of the proxy's business.
final class Redirected: Conversation {
    private let listener: ListenerSource
    private let served: ServedListener
    private let section: Int
    private let meant: SocketAddress
    private var input = InputBuffer()
    private var isLeaving = false

    /// What a redirected connection begins with, by the address that its client meant.
    static func conversation(
        on connection: Connection, listener: ListenerSource, _ served: ServedListener, _ destinations: DestinationTable
    ) -> Conversation {
        // Without a redirection the kernel says nothing, or the proxy's own address: passed on, it would come back.
        guard let meant = Socket.originalDestination(connection.fd), meant != Socket.localAddress(connection.fd) else {
            return Refused(connection, .notRedirected)
        }
        guard let section = destinations.section(for: meant) else {
            return destinations.passesUnknown
                ? StreamTunnel.passing(on: connection, served, to: meant, listener: listener)
                : Refused(connection, .destinationUnknown)
        }
        switch served.sections[section].protocol {
        case .tcp, .tls:
            return StreamTunnel.downstream(on: connection, served, section: section, serverName: "", listener: listener)
        case .http, .https: return Redirected(connection, listener, served, section: section, meant)
        }
    }

    private init(
        _ connection: Connection, _ listener: ListenerSource, _ served: ServedListener, section: Int,
        _ meant: SocketAddress
    ) {
        self.listener = listener
        self.served = served
        self.section = section
        self.meant = meant
        super.init(connection)
        arm(served.limits.headerTimeout)
    }

    override func received(_ slice: consuming Slice) {
        guard let bytes = join(slice, &input) else { return connection { $0.shut() } }
        read(bytes)
    }

    private func read(_ bytes: consuming Slice) {
        // The type of a TLS record that carries a handshake (RFC 8446 §5.1), and no letter of a method.
        let isTLS = bytes.count > 0 && bytes.span[0] == 0x16
        if isTLS { return passAsBytes(bytes) }
        let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        let count = min(bytes.count, preface.utf8CodeUnitCount)
        let isPreface = bytes.span.extracting(first: count).equals(preface.bytes.extracting(first: count))
        if isPreface && count < preface.utf8CodeUnitCount { return keep(bytes, &input) }
        speakHTTP(bytes, isPreface: isPreface)
    }

    private func speakHTTP(_ bytes: consuming Slice, isPreface: Bool) {
        connection { connection in
            let origin = connection.worker.origin(listener, served, section: section, isTLS: false)
            connection.speak(
                isPreface ? HTTP2Downstream(connection, origin: origin) : HTTP1Downstream(connection, origin: origin))
        }
        pass(bytes)
    }

    private func passAsBytes(_ bytes: consuming Slice) {
        guard served.destinations?.passesUnknown == true else {
            return connection { connection in
                connection.worker.metrics.connectionRejected(.destinationUnknown)
                connection.shut()
            }
        }
        disarm()
        connection { $0.speak(StreamTunnel.passing(on: $0, served, to: meant, listener: listener)) }
        pass(bytes)
    }

    private func pass(_ bytes: consuming Slice) {
        var box: Slice? = consume bytes
        connection { $0.hand(box.take()!) }
    }

    override func peerEnded() {
        // What was sent before the end may still be a whole request.
        if let bytes = input.take() { speakHTTP(bytes, isPreface: false) }
        connection { $0.shut() }
    }

    override func broke() { connection { $0.shut() } }

    override func timerFired() {
        if isLeaving {
            return connection { connection in
                connection.worker.metrics.connectionRejected(.draining)
                connection.shut()
            }
        }
        guard let bytes = input.take() else { return connection { $0.shut() } }
        speakHTTP(bytes, isPreface: false)
    }

    /// What was accepted may be on the point of asking something.
    override func drain() {
        isLeaving = true
        arm(HTTP1Downstream.drainGrace)
    }
}

/// A connection that is closed unheard.
final class Refused: Conversation {
    init(_ connection: Connection, _ reason: Reason) {
        super.init(connection)
        connection.worker.metrics.connectionRejected(reason)
        connection.worker.resume(connection)
    }

    override var wantsInput: Bool { false }

    override func resumed() { connection { $0.shut() } }

    override func broke() { connection { $0.shut() } }
}
