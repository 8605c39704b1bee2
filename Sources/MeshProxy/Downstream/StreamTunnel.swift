import MeshCore
import MeshModel
import MeshNet
import MeshTLS
import MeshTelemetry
import MeshTraffic

/// Bytes both ways between a client and an endpoint, as they come: TCP routes, TLS passed through or ended here.
///
/// A direction ends when its sender says so (half-close), the connection when both have.
final class StreamTunnel {
    private var downstream: Link<TunnelEnd>?
    private var upstream: Link<TunnelEnd>?
    private let worker: Worker
    private let pool: EndpointPool?
    private let listenerSlot: Int
    private let slot: Int
    private let started: Instant
    private let idle: UInt64
    private var reason: Reason?
    private var requestBytes = 0
    private var responseBytes = 0
    private var isOver = false
    private let client: [UInt8]

    /// The client's end on `connection`; the endpoint's is connected at once. Failure closes the client.
    static func downstream(
        on connection: Connection, _ served: ServedListener, section: Int, serverName: String, listener: ListenerSource
    ) -> Conversation {
        let worker = connection.worker
        var pool: EndpointPool?
        var slot = -1
        var reason: Reason?
        if let split = served.table.streamRoute(section: section, serverName: Array(serverName.utf8).span) {
            switch split.choose(worker.random.next()) {
            case .none: reason = .backendNotConfigured
            case .notValid: reason = .backendNotValid
            case .backend(let index, let share):
                let backend = listener.configuration.backends[index]
                slot = listener.configuration.streamSlot(listener: listener.index, backend: index)
                _ = share
                switch backend.pick(key: backend.requestHash == nil ? nil : connection.peer.placementKey) {
                case .success(let endpoint): pool = endpoint
                case .failure(let failure): reason = failure.reason
                }
            }
        } else {
            reason = .routeNotFound
        }
        let tunnel = StreamTunnel(connection, served, pool, slot: slot)
        let end = TunnelEnd(connection, tunnel, isDownstream: true)
        tunnel.downstream = Link(end)
        tunnel.reason = reason
        worker.metrics.exchangeStarted(listener: tunnel.listenerSlot)
        tunnel.connect(client: connection)
        return end
    }

    private init(_ connection: Connection, _ served: ServedListener, _ pool: EndpointPool?, slot: Int) {
        worker = connection.worker
        self.pool = pool
        self.slot = slot
        listenerSlot = connection.listenerSlot
        started = worker.loop.now
        client = connection.peerText
        idle = served.limits.streamIdleTimeout.nanoseconds
    }

    private func connect(client: Connection) {
        guard let pool else { return worker.resume(client) }
        switch pool.connect(client: client) {
        case .failed(let failure):
            reason = failure
            worker.resume(client)
        case .connection(let connection):
            let end = TunnelEnd(connection, self, isDownstream: false)
            upstream = Link(end)
            end.isEstablishing = true
            connection.speak(end)
            pool.secure(connection)
            worker.loop.schedule(
                connection, at: worker.loop.now.advanced(byNanoseconds: pool.backend.connectTimeout.nanoseconds))
            worker.loop.add(connection, [.readable, .writable, .peerClosed])
            if !connection.isConnecting && connection.tls == nil { end.connected() }
        }
    }

    /// True if there was no way to an endpoint: the client is to be closed.
    var isHopeless: Bool { upstream == nil }

    /// The other end of `end`, if it is still there.
    func peer(of end: TunnelEnd) -> Link<TunnelEnd>? { end.isDownstream ? upstream : downstream }

    /// `count` bytes came in at `end`.
    func moved(_ count: Int, from end: TunnelEnd) {
        if end.isDownstream { requestBytes &+= count } else { responseBytes &+= count }
        downstream? {
            $0.connection { connection in
                connection.worker.loop.schedule(connection, at: worker.loop.now.advanced(byNanoseconds: idle))
            }
        }
    }

    /// The connection to the endpoint could not be made.
    func failed(_ reason: Reason) {
        self.reason = reason
        pool?.connectFailed(reason)
    }

    /// `end` is closed: so is the other, after what is queued for it.
    func closed(_ end: TunnelEnd, reason: Reason?) {
        self.reason = self.reason ?? reason
        let other = peer(of: end)
        if end.isDownstream { downstream = nil } else { upstream = nil }
        other? { $0.peerIsGone() }
        if downstream == nil && upstream == nil { finish() }
    }

    private func finish() {
        guard !isOver else { return }
        isOver = true
        var record = ExchangeRecord(
            slot: slot, listener: listenerSlot, started: started, ended: worker.loop.now, version: nil)
        record.reason = reason
        record.requestBytes = UInt64(requestBytes)
        record.responseBytes = UInt64(responseBytes)
        record.wasCutOff = reason != nil
        worker.record(record) { record in
            record.endpoint = pool?.text ?? []
            record.attempts = pool == nil ? 0 : 1
            record.client = client
        }
    }
}

/// One end of a tunnel.
final class TunnelEnd: Conversation {
    let tunnel: StreamTunnel
    let isDownstream: Bool
    /// The connection to the endpoint is not usable yet.
    var isEstablishing = false
    private var inputEnded = false
    private var outputEnded = false
    private var peerGone = false
    private var reason: Reason?

    init(_ connection: Connection, _ tunnel: StreamTunnel, isDownstream: Bool) {
        self.tunnel = tunnel
        self.isDownstream = isDownstream
        super.init(connection)
    }

    override var wantsInput: Bool {
        guard !inputEnded, let peer = tunnel.peer(of: self) else { return !inputEnded && peerGone }
        return peer { $0.connection { $0.queuedBytes } } < Connection.highWatermark
    }

    override func received(_ slice: consuming Slice) {
        let count = slice.count
        guard let peer = tunnel.peer(of: self) else { return }
        var box: Slice? = consume slice
        peer {
            $0.connection {
                $0.output.append(box.take()!)
                $0.setDirty()
            }
        }
        tunnel.moved(count, from: self)
    }

    override func peerEnded() {
        inputEnded = true
        tunnel.peer(of: self)? { $0.endOutput() }
        if outputEnded { connection { $0.shut() } }
    }

    /// The other side has said its last byte.
    private func endOutput() {
        outputEnded = true
        if isEstablishing { return }
        connection { connection in if connection.isDrained { finishOutput(connection) } else { connection.setDirty() } }
    }

    private func finishOutput(_ connection: Connection) {
        connection.endOutput()
        if inputEnded || peerGone { connection.shut() }
    }

    /// The other connection is closed.
    func peerIsGone() {
        peerGone = true
        endOutput()
        if isEstablishing { connection { $0.shut() } }
    }

    override func drained() {
        if outputEnded { return connection { finishOutput($0) } }
        tunnel.peer(of: self)? { peer in peer.connection { $0.worker.resume($0) } }
    }

    override func connected() {
        if connection({ $0.tls == nil }) { established() }
    }

    override func secured() { if !isDownstream { established() } }

    private func established() {
        isEstablishing = false
        connection { $0.worker.loop.schedule($0, at: .never) }
        tunnel.peer(of: self)? { peer in peer.connection { $0.worker.resume($0) } }
        if outputEnded { connection { $0.setDirty() } }
    }

    override func handshakeFailed(_ failure: TLSFailure) {
        tunnel.failed(.upstreamTlsFailed)
        connection { $0.shut() }
    }

    override func broke() {
        if isEstablishing { tunnel.failed(.upstreamConnectFailed) }
        reason = isDownstream ? .downstreamClosed : .upstreamClosed
        connection { $0.shut() }
    }

    override func timerFired() {
        if isEstablishing {
            tunnel.failed(.upstreamConnectTimeout)
        } else {
            reason = .idleTimeout
        }
        connection { $0.shut() }
    }

    override func resumed() {
        if isDownstream && tunnel.isHopeless { connection { $0.shut() } }
    }

    override func closed() { tunnel.closed(self, reason: reason) }
}
