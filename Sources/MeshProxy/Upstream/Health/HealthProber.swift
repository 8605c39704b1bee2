import MeshCore
import MeshModel
import MeshNet
import MeshTLS
import MeshTraffic

/// Asks one endpoint whether it is well, again and again, on connections of its own. The first time at once.
final class HealthProber: TimerNode {
    private let endpoint: EndpointShare
    private let worker: Worker
    private var check: HealthCheck?
    private var backend: ServedBackend?
    private var isMeshed = false
    private var connection: Connection?

    init(_ endpoint: EndpointShare, _ worker: Worker) {
        self.endpoint = endpoint
        self.worker = worker
        super.init()
    }

    /// Asks in this way from here on.
    func adopt(_ check: HealthCheck, _ backend: ServedBackend, isMeshed: Bool) {
        let isOther = self.check != check || self.backend?.tls !== backend.tls || self.isMeshed != isMeshed
        self.isMeshed = isMeshed
        self.check = check
        self.backend = backend
        // Not from here: whoever adopts has not finished.
        if isOther { worker.loop.schedule(self, at: worker.loop.now) }
    }

    /// The endpoint is gone.
    func stop() {
        check = nil
        worker.loop.cancel(self)
        connection?.shut()
        connection = nil
    }

    override func timerFired() {
        guard let check, let backend else { return }
        // Nothing is known of an endpoint that could not be asked: the proxy itself is not ready for it.
        if isMeshed && backend.mesh == nil {
            return worker.loop.schedule(self, at: worker.loop.now.advanced(byNanoseconds: 1_000_000_000))
        }
        let delay = HealthState.delay(check, random: worker.random.next())
        worker.loop.schedule(self, at: worker.loop.now.advanced(byNanoseconds: delay))
        if connection == nil { start(check, backend) }
    }

    private func start(_ check: HealthCheck, _ backend: ServedBackend) {
        let address = check.port.map(endpoint.address.withPort) ?? endpoint.address
        let connection: Connection
        switch Socket.connect(address) {
        case .failed(let code): return ended(false, Socket.text(code))
        case .connected(let fd): connection = Connection(fd: fd, peer: address, worker: worker)
        case .inProgress(let fd): connection = Connection(fd: fd, peer: address, worker: worker, connecting: true)
        }
        connection.isProbe = true
        self.connection = connection
        let probe = probe(check, backend, connection)
        connection.speak(probe)
        sendProxyHeader(backend, connection)
        if probe.usesTLS { secure(connection, backend, "health \(address.description)") }
        probe.arm(check.timeout)
        guard worker.loop.add(connection, [.readable, .writable, .peerClosed]) else {
            self.connection = nil
            return ended(false, "the system refuses to watch another descriptor")
        }
        if !connection.isConnecting && connection.tls == nil { probe.connected() }
    }

    private func secure(_ connection: Connection, _ backend: ServedBackend, _ address: String) {
        if isMeshed, let mesh = backend.mesh, let peer = backend.model.mesh {
            connection.secure(
                TLSSession(mesh: mesh, identities: peer.identities, address: address, isHTTP2: true))
        } else if let context = backend.tls, let tls = backend.model.tls {
            connection.secure(TLSSession(client: context, serverName: tls.hostname, address: address))
        }
    }

    private func probe(_ check: HealthCheck, _ backend: ServedBackend, _ connection: Connection) -> HealthProbe {
        let host = backend.model.tls?.hostname ?? connection.peer.authority
        switch check.probe {
        case .tcp: return HealthProbe(connection, self)
        case .http(let path, let wanted, let statuses):
            let question = HealthQuestion(path: path, host: wanted ?? host, statuses: statuses)
            return isMeshed || backend.model.protocol == .http2
                ? HTTP2Probe(connection, self, question) : HTTP1Probe(connection, self, question)
        case .grpc(let service):
            return HTTP2Probe(connection, self, HealthQuestion(grpcService: service, host: host))
        }
    }

    private func sendProxyHeader(_ backend: ServedBackend, _ connection: Connection) {
        guard backend.proxyProtocol.isSent, !isMeshed else { return }
        let version: ProxyProtocol.Version = backend.proxyProtocol == .v1 ? .v1 : .v2
        connection.output.append(copying: ProxyProtocol.header(version, source: nil, destination: nil).span)
        connection.setDirty()
    }

    /// The probe is over: `detail` says what came back, for people.
    func ended(_ success: Bool, _ detail: String) {
        connection = nil
        guard check != nil, let share = backend?.share else { return }
        let isFirst = !share.report(endpoint).wasProbed
        guard share.noteHealth(endpoint, success: success, detail: detail, wallTime: Clock.wall()) else {
            // Well as it was taken to be; who waits for a first answer has it now.
            if isFirst { worker.process.availabilityChanged(share.name) }
            return
        }
        let state = success ? "healthy" : "unhealthy"
        worker.warn("backend \(share.name): endpoint \(endpoint.address) is \(state): \(detail)")
        worker.tellAvailability(share)
    }
}

extension SocketAddress {
    /// The same host at `port`; a unix socket stays as it is.
    func withPort(_ port: UInt16) -> SocketAddress {
        switch self {
        case .ipv4(let address, _): .ipv4(address, port: port)
        case .ipv6(let high, let low, _, let scope): .ipv6(high, low, port: port, scope: scope)
        case .unix: self
        }
    }

    /// What stands in Host if nothing else is said.
    fileprivate var authority: String {
        switch self {
        case .ipv4, .ipv6: description
        case .unix: "localhost"
        }
    }
}
