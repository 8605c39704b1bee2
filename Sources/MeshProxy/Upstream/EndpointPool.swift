import MeshCore
import MeshHTTP2
import MeshModel
import MeshNet
import MeshTLS

/// One loop's connections to one endpoint: idle HTTP/1.1 ones, last used first, and HTTP/2 ones that are shared.
final class EndpointPool {
    let address: SocketAddress
    /// The address as text, for the log.
    let text: [UInt8]
    var backend: ServedBackend
    /// What all loops know of it together.
    let share: EndpointShare
    /// Position in the backend's list; negative once it is not there any more.
    var index = -1
    /// The configured one.
    var weight = 1
    /// Its version, and whether it is in the mesh, as hops tell it.
    var hopSide = 0
    /// What the balancer and sessions call it.
    let identity: UInt64
    /// The backend's pool, until this endpoint is retired.
    private var owner: Link<BackendPool>?
    let worker: Worker
    /// A proxy of the mesh serves it: spoken to in mutual TLS, in HTTP/2 whatever the application speaks.
    let isMeshed: Bool
    private let metricsSlot: Int
    private var idle: Link<HTTP1Upstream>?
    private(set) var idleCount = 0
    private var shared: [HTTP2Upstream] = []
    private(set) var connectionCount = 0
    private var isRetired = false

    init(_ address: SocketAddress, isMeshed: Bool = false, _ backend: ServedBackend, owner: BackendPool) {
        self.address = address
        self.isMeshed = isMeshed
        self.backend = backend
        self.owner = Link(owner)
        share = backend.share.join(address)
        worker = owner.worker
        metricsSlot = owner.metricsSlot
        let text = Array(address.description.utf8)
        self.text = text
        identity = owner.balancer.identity(text.span)
    }

    // MARK: Attempts

    /// A connection or stream for one attempt.
    func attach(_ exchange: Exchange, fresh: Bool) -> BackendPool.Attachment {
        let attachment = isMeshed || backend.model.protocol == .http2 ? stream() : connection(exchange, fresh)
        if case .failed = attachment { return attachment }
        exchange.attached(to: self)
        owner? { $0.count(1, at: index) }
        return attachment
    }

    /// A tunnel begins, to end with ``detach()``.
    func count() { owner? { $0.count(1, at: index) } }

    /// The attempt is over.
    func detach() { owner? { $0.count(-1, at: index) } }

    private func connection(_ exchange: Exchange, _ fresh: Bool) -> BackendPool.Attachment {
        while !fresh, let link = idle {
            unlink(link)
            if link({ $0.wake() }) {
                worker.metrics.upstreamReused(backend: metricsSlot)
                return link { .http1($0) }
            }
        }
        let client = exchange.downstream.withOrigin { _, connection in connection }
        switch connect(client: client) {
        case .failed(let reason): return .failed(reason, endpoint: index)
        case .connection(let connection):
            let upstream = HTTP1Upstream(connection, pool: self, isSecure: backend.tls != nil)
            open(connection, upstream)
            return .http1(upstream)
        }
    }

    private func stream() -> BackendPool.Attachment {
        var found: HTTP2Upstream?
        var at = 0
        while at < shared.count {
            if shared[at].hasRoom {
                found = shared[at]
                break
            }
            at &+= 1
        }
        if found == nil {
            switch connect(client: nil) {
            case .failed(let reason): return .failed(reason, endpoint: index)
            case .connection(let connection):
                let upstream = HTTP2Upstream(connection, pool: self, configuration: configuration)
                shared.append(upstream)
                open(connection, upstream)
                found = upstream
            }
        } else {
            worker.metrics.upstreamReused(backend: metricsSlot)
        }
        let stream = worker.leaseUpstreamStream()
        stream.prepare(found!)
        return .http2(stream)
    }

    private var configuration: HTTP2Configuration {
        var made = HTTP2Configuration(role: .client)
        made.maxConcurrentStreams = backend.limits.maxConcurrentStreams
        return made
    }

    // MARK: Connecting

    /// What connecting came to.
    enum Connecting {
        case connection(Connection)
        case failed(Reason)
    }

    /// A connection on its way, not watched by the loop yet. `client` is whom a PROXY header names.
    func connect(client: Connection?) -> Connecting {
        // Never in clear text instead.
        if isMeshed && backend.mesh == nil { return refused(.meshIdentityMissing) }
        guard backend.connections.open(limit: backend.limits.maxConnections) else {
            return .failed(.upstreamConnectionLimit)
        }
        guard share.connections.open(limit: backend.limits.endpoint.maxConnections) else {
            backend.connections.close()
            return .failed(.upstreamConnectionLimit)
        }
        let connection: Connection
        switch Socket.connect(address) {
        case .connected(let fd): connection = Connection(fd: fd, peer: address, worker: worker)
        case .inProgress(let fd): connection = Connection(fd: fd, peer: address, worker: worker, connecting: true)
        case .failed:
            backend.connections.close()
            share.connections.close()
            worker.metrics.upstreamConnectFailed(backend: metricsSlot, .upstreamConnectFailed)
            observe(latency: 0, failed: true)
            return .failed(.upstreamConnectFailed)
        }
        connection.counter = backend.connections
        connectionCount &+= 1
        connection.endpoint = self
        sendProxyHeader(client, on: connection)
        return .connection(connection)
    }

    private func refused(_ reason: Reason) -> Connecting {
        worker.metrics.upstreamConnectFailed(backend: metricsSlot, reason)
        return .failed(reason)
    }

    private func open(_ connection: Connection, _ conversation: Conversation) {
        connection.speak(conversation)
        secure(connection, isHTTP2: isMeshed)
        worker.loop.add(connection, [.readable, .writable, .peerClosed])
        if !connection.isConnecting && connection.tls == nil { conversation.connected() }
    }

    /// Starts TLS on `connection`, if the backend wants it; in a mesh with HTTP/2 in it, or with bytes.
    func secure(_ connection: Connection, isHTTP2: Bool) {
        if isMeshed, let mesh = backend.mesh, let peer = backend.model.mesh {
            return connection.secure(
                TLSSession(
                    mesh: mesh, identities: peer.identities, address: address.description, isHTTP2: isHTTP2))
        }
        guard let context = backend.tls, let tls = backend.model.tls else { return }
        let session = TLSSession(client: context, serverName: tls.hostname, address: address.description)
        connection.secure(session)
    }

    private func sendProxyHeader(_ client: Connection?, on connection: Connection) {
        guard backend.proxyProtocol.isSent, !isMeshed else { return }
        let version: ProxyProtocol.Version = backend.proxyProtocol == .v1 ? .v1 : .v2
        let header = ProxyProtocol.header(
            version, source: client?.peer, destination: client.flatMap { Socket.localAddress($0.fd) })
        connection.output.append(copying: header.span)
    }

    // MARK: The pool

    /// True if there is room for `connection` among the idle ones.
    func keeps(_ connection: HTTP1Upstream) -> Bool {
        !isRetired && idleCount < backend.limits.maxIdleConnections && !worker.isDraining
            && connection.served < backend.limits.maxRequestsPerConnection ?? .max && !isWantedElsewhere
    }

    /// Connections are limited, and only requests of other loops wait for one.
    private var isWantedElsewhere: Bool {
        guard owner?({ $0.isGuarded && $0.queue.count == 0 }) ?? false else { return false }
        return backend.share.waiting.current > 0
    }

    /// Closes an idle connection, because others need one; false if there is none.
    func closeOneIdle() -> Bool {
        guard let link = idle else { return false }
        link { $0.drain() }
        return true
    }

    /// Something that is limited has become free.
    func slotFreed() {
        if let owner { return owner { if $0.isGuarded { $0.slotFreed() } } }
        // The endpoint is gone from its backend, but was counted there to its last connection.
        guard backend.share.waiting.current > 0 else { return }
        for pool in worker.pools(of: backend.share) { pool.slotFreed() }
    }

    /// Takes an idle connection back.
    func rest(_ connection: HTTP1Upstream) {
        connection.next = idle
        connection.previous = nil
        idle? { $0.previous = Link(connection) }
        idle = Link(connection)
        idleCount &+= 1
    }

    private func unlink(_ link: Link<HTTP1Upstream>) {
        link { connection in
            if let previous = connection.previous {
                previous { $0.next = connection.next }
            } else {
                idle = connection.next
            }
            connection.next? { $0.previous = connection.previous }
            connection.next = nil
            connection.previous = nil
        }
        idleCount &-= 1
    }

    /// `connection` is closed.
    func closed(_ connection: HTTP1Upstream, isIdle: Bool) {
        let isLinked = connection.previous != nil || idle?.points(to: connection) == true
        if isIdle && isLinked { unlink(Link(connection)) }
    }

    /// `connection` takes no new streams.
    func forget(_ connection: HTTP2Upstream) { shared.removeAll { $0 === connection } }

    /// One of its connections is closed, whatever was spoken on it.
    func connectionClosed(wasEstablished: Bool) {
        connectionCount &-= 1
        share.connections.close()
        slotFreed()
        if wasEstablished { worker.metrics.upstreamClosed(backend: metricsSlot) }
        if isRetired && connectionCount == 0 { worker.forget(self) }
    }

    // MARK: Metrics

    func established(_ nanoseconds: UInt64) {
        worker.metrics.upstreamOpened(backend: metricsSlot, connectNanoseconds: nanoseconds)
    }

    /// An attempt is over, with the status of its final head, 0 if none came.
    func attemptFinished(status: Int, nanoseconds: UInt64) {
        worker.metrics.attemptFinished(backend: metricsSlot, status: status, nanoseconds: nanoseconds)
    }

    /// Tells the balancer how quickly the endpoint answered, or that it failed.
    func observe(latency: UInt64, failed: Bool) {
        owner? { $0.balancer.observe(index, latency: latency, failed: failed, now: worker.loop.now) }
    }

    func connectFailed(_ reason: Reason) { worker.metrics.upstreamConnectFailed(backend: metricsSlot, reason) }

    // MARK: Ending

    /// The endpoint is gone: what is idle ends now, the rest with its exchange.
    func retire() {
        guard !isRetired else { return }
        isRetired = true
        owner = nil
        backend.share.leave(share)
        index = -1
        // Kept until its last connection is closed: connections point here.
        if connectionCount > 0 { worker.keep(self) }
        closeIdle()
    }

    /// Ends what is not in use.
    func closeIdle() {
        while let link = idle { link { $0.drain() } }
        for connection in shared { connection.drain() }
    }

    var summary: (idle: Int, connections: Int, active: Int) {
        (idleCount, connectionCount, owner?({ $0.balancer.activeCount(at: index) }) ?? 0)
    }
}
