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
    private let backend: BackendPool?
    /// Where the latest attempt to connect went.
    private var pool: EndpointPool?
    private var tried = TriedEndpoints()
    private var attempts = 0
    private var attemptStarted = Instant.never
    /// What outlier detection is to learn of the attempt.
    private var admission: Admission = []
    /// The endpoint's balancer counts the tunnel.
    private var isCounted = false
    /// What the client sent before there was a connection to send it on.
    private var early: OutputQueue
    private let listenerSlot: Int
    private let slot: Int
    /// The hop that the connection is counted as.
    private var hop = HopPlace.none
    /// Who the client is, as hops tell it; known while it is there.
    private var hopSide = 0
    private let started: Instant
    private let idle: UInt64
    private var reason: Reason?
    private var requestBytes = 0
    private var responseBytes = 0
    private var isOver = false
    private let client: [UInt8]
    private var policy: [UInt8] = []

    /// The client's end on `connection`; the endpoint's is connected at once. Failure closes the client.
    static func downstream(
        on connection: Connection, _ served: ServedListener, section: Int, serverName: String, listener: ListenerSource
    ) -> Conversation {
        let worker = connection.worker
        // What was accepted under a configuration that is gone goes where the present one says.
        let name = served.sections[section].name
        let served = listener.configuration.snapshot.listeners[listener.index]
        let section = served.sections.firstIndex { $0.name == name }
        var backend: BackendPool?
        var backendIndex: Int?
        var slot = -1
        var reason: Reason?
        let denied = section.flatMap { deniedPolicy(served, connection, section: $0, listener) }
        if denied?.isAudit == false {
            reason = .accessDenied
        } else if let section,
            let split = served.table.streamRoute(section: section, serverName: Array(serverName.utf8).span)
        {
            switch split.choose(worker.random.next()) {
            case .none: reason = .backendNotConfigured
            case .notValid: reason = .backendNotValid
            case .backend(let index, _):
                backend = listener.configuration.backends[index]
                backendIndex = index
                slot = listener.configuration.streamSlot(listener: listener.index, backend: index)
            }
        } else {
            reason = .routeNotFound
        }
        let tunnel = StreamTunnel(connection, served, backend, slot: slot)
        tunnel.reason = reason
        tunnel.policy = denied?.policy ?? []
        if let index = backendIndex, let section, listener.configuration.countsHops {
            tunnel.hop = listener.configuration.streamHop(listener: listener.index, section: section, backend: index)
        }
        return tunnel.begin(connection)
    }

    /// The client's end on `connection`, whose other end is at `address`: nobody here knows what is there.
    static func passing(
        on connection: Connection, _ served: ServedListener, to address: SocketAddress, listener: ListenerSource
    ) -> Conversation {
        let configuration: LoopConfiguration = listener.configuration
        let tunnel = StreamTunnel(
            connection, served, connection.worker.passthrough.pool(to: address, .tcp),
            slot: configuration.passthroughSlot(listener.index))
        if configuration.countsHops {
            tunnel.hop = configuration.hop(listener: listener.index, rule: -1, share: 0, passes: true)
        }
        return tunnel.begin(connection)
    }

    private func begin(_ connection: Connection) -> Conversation {
        let end = TunnelEnd(connection, self, isDownstream: true)
        downstream = Link(end)
        worker.metrics.exchangeStarted(listener: listenerSlot)
        if !connect(client: connection) { worker.resume(connection) }
        return end
    }

    /// The access policy that refuses `connection`, or would if it were in force; nil: none.
    private static func deniedPolicy(
        _ served: ServedListener, _ connection: Connection, section: Int, _ listener: ListenerSource
    ) -> (policy: [UInt8], isAudit: Bool)? {
        guard let table = served.access[section] else { return nil }
        let peer = connection.peerIdentity
        let (identity, namespace) = (peer?.uri ?? [], peer?.namespace ?? [])
        let caller = AccessCaller(
            identity: identity.span, namespace: namespace.span, address: connection.peer.ipv6Halves)
        let verdict = table.judge(caller, nil, path: .empty)
        guard let policy = verdict.denied ?? verdict.audited else { return nil }
        let isAudit = verdict.denied == nil
        let slot = listener.configuration.accessSlot(listener: listener.index, section: section, policy: policy)
        connection.worker.metrics.accessDenied(slot, isAudit: isAudit)
        return (Array(table.names[policy].utf8), isAudit)
    }

    private init(_ connection: Connection, _ served: ServedListener, _ backend: BackendPool?, slot: Int) {
        worker = connection.worker
        self.backend = backend
        early = OutputQueue(pools: worker.pools)
        self.slot = slot
        listenerSlot = connection.listenerSlot
        started = worker.loop.now
        client = connection.peerText
        idle = served.limits.streamIdleTimeout.nanoseconds
    }

    // MARK: Connecting

    /// How many endpoints are asked for a connection, those that are full aside.
    private static let attemptLimit = 2

    /// Begins a connection to an endpoint; if one refuses at once or has as many as it may have, to another. False if
    /// there is none.
    private func connect(client: Connection) -> Bool {
        guard let backend else { return false }
        var full: [Int] = []
        defer { backend.setFull(full, false) }
        while attempts < Self.attemptLimit {
            let chosen: EndpointPool
            switch backend.placeTunnel(key: backend.key(of: client), avoiding: tried, probes: full.isEmpty) {
            case .failure(let failure):
                reason = reason ?? failure.reason
                return false
            case .success(let place):
                if tried.contains(place.endpoint.index) {
                    place.endpoint.giveBack(place.admission, AttemptResult())
                    return false
                }
                chosen = place.endpoint
                admission = place.admission
            }
            pool = chosen
            attemptStarted = worker.loop.now
            switch chosen.connect(client: client) {
            case .connection(let connection):
                attempts &+= 1
                reason = nil
                begin(connection, chosen)
                return true
            case .failed(let failure):
                reason = failure
                settle(AttemptOutcome(failure))
                if failure.isLimit {
                    full.append(chosen.index)
                    backend.setFull([chosen.index], true)
                } else {
                    attempts &+= 1
                    tried.insert(chosen.index)
                }
            }
        }
        return false
    }

    private func begin(_ connection: Connection, _ pool: EndpointPool) {
        pool.count()
        isCounted = true
        let end = TunnelEnd(connection, self, isDownstream: false)
        upstream = Link(end)
        end.isEstablishing = true
        connection.speak(end)
        pool.secure(connection, isHTTP2: false)
        worker.loop.schedule(
            connection, at: worker.loop.now.advanced(byNanoseconds: pool.backend.connectTimeout.nanoseconds))
        worker.loop.add(connection, [.readable, .writable, .peerClosed])
        if !connection.isConnecting && connection.tls == nil { end.connected() }
    }

    /// The attempt to connect came to `outcome`.
    private func settle(_ outcome: AttemptOutcome) {
        if admission.isEmpty { return }
        let taken = admission
        admission = []
        pool?.giveBack(taken, AttemptResult(outcome: outcome, started: attemptStarted))
    }

    private func uncount() {
        guard isCounted else { return }
        isCounted = false
        pool?.detach()
    }

    /// The connection to the endpoint can be used: sends what the client said in the meantime.
    func established(_ connection: Connection) {
        pool?.observe(latency: worker.loop.now.nanoseconds(since: attemptStarted), failed: false)
        settle(.success)
        if early.isEmpty { return }
        while !early.isEmpty { connection.output.append(early.takeFirst(upTo: .max)) }
        connection.setDirty()
    }

    /// The connection to the endpoint could not be made: `end` is to be closed, and another endpoint is asked.
    func failed(_ reason: Reason, _ end: TunnelEnd) {
        self.reason = reason
        pool?.connectFailed(reason)
        pool?.observe(latency: worker.loop.now.nanoseconds(since: attemptStarted), failed: true)
        settle(AttemptOutcome(reason))
        uncount()
        if let pool { tried.insert(pool.index) }
        // A client that is gone needs none; one that has only said its last byte does.
        guard upstream?.points(to: end) ?? false, let client = downstream else { return }
        guard client({ $0.connection { connect(client: $0) } }) else { return }
        upstream? { $0.takePlace(of: end) }
    }

    /// Bytes that wait for `end`.
    func queuedBytes(for end: TunnelEnd) -> Int {
        end.isEstablishing ? early.byteCount : end.connection { $0.queuedBytes }
    }

    /// Sends `slice` on its way to `end`.
    func send(_ slice: consuming Slice, to end: TunnelEnd) {
        if end.isEstablishing { return early.append(slice) }
        var box: Slice? = consume slice
        end.connection {
            $0.output.append(box.take()!)
            $0.setDirty()
        }
    }

    // MARK: Moving

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

    /// `end` is closed: so is the other, after what is queued for it.
    func closed(_ end: TunnelEnd, reason: Reason?) {
        // Another endpoint was asked in the place of this one.
        if !end.isDownstream && upstream?.points(to: end) != true { return }
        self.reason = self.reason ?? reason
        if end.isDownstream && hop.isInbound { hopSide = end.connection { $0.hopSide } }
        let other = peer(of: end)
        if end.isDownstream { downstream = nil } else { upstream = nil }
        other? { $0.peerIsGone() }
        if downstream == nil && upstream == nil { finish() }
    }

    private func finish() {
        guard !isOver else { return }
        isOver = true
        settle(.none)
        uncount()
        var record = ExchangeRecord(
            slot: slot, listener: listenerSlot, started: started, ended: worker.loop.now, version: nil)
        record.reason = reason
        record.requestBytes = UInt64(requestBytes)
        record.responseBytes = UInt64(responseBytes)
        record.wasCutOff = reason != nil
        record.hopSlot = hop.slot
        record.hopSide = hop.isInbound ? hopSide : pool?.hopSide ?? 0
        worker.record(record) { record in
            record.endpoint = pool?.text ?? []
            record.attempts = pool == nil ? 0 : max(attempts, 1)
            record.client = client
            record.policy = policy
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
        return peer { tunnel.queuedBytes(for: $0) } < Connection.highWatermark
    }

    override func received(_ slice: consuming Slice) {
        let count = slice.count
        guard let peer = tunnel.peer(of: self) else { return }
        var box: Slice? = consume slice
        peer { tunnel.send(box.take()!, to: $0) }
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

    /// This end is connected to another endpoint, because `other` could not be.
    func takePlace(of other: TunnelEnd) { if other.outputEnded { endOutput() } }

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
        connection { tunnel.established($0) }
        connection { $0.worker.loop.schedule($0, at: .never) }
        tunnel.peer(of: self)? { peer in peer.connection { $0.worker.resume($0) } }
        if outputEnded { connection { $0.setDirty() } }
    }

    override func handshakeFailed(_ failure: TLSFailure) {
        if isEstablishing { tunnel.failed(Reason(failure), self) }
        connection { $0.shut() }
    }

    override func broke() {
        if isEstablishing { tunnel.failed(.upstreamConnectFailed, self) }
        reason = isDownstream ? .downstreamClosed : .upstreamClosed
        connection { $0.shut() }
    }

    override func timerFired() {
        if isEstablishing {
            tunnel.failed(.upstreamConnectTimeout, self)
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
