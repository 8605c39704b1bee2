import MeshCore
import MeshHTTP
import MeshModel
import MeshNet
import MeshTLS

/// A listening socket on one loop. Outlives configurations: each adoption tells it which listener it now serves.
final class ListenerSource: EventSource {
    let worker: Worker
    let address: SocketAddress
    /// Which listener of a configuration it serves.
    let key: ListenerKey
    /// Index that an adoption in progress has found for it.
    var wanted = -1
    /// The configuration that is served here: the loop's, or the last one that had this listener.
    private(set) var configuration: LoopConfiguration!
    /// Index into its listeners.
    private(set) var index = -1
    /// The listener is gone: what its connections still ask for is answered as before.
    private(set) var isRetired = false
    /// What accepted clear-text connections share.
    private(set) var origin: DownstreamOrigin!

    init(fd: Int32, address: SocketAddress, key: ListenerKey, worker: Worker) {
        self.worker = worker
        self.address = address
        self.key = key
        super.init(fd: fd)
    }

    var isAdmin: Bool { key == .admin }

    /// The proxy's own identity; nil: none.
    var mesh: MeshContexts? { configuration.snapshot.mesh }

    /// Serves listener `index` of `configuration` from here on.
    func adopt(_ index: Int, _ configuration: LoopConfiguration) {
        self.index = index
        self.configuration = configuration
        origin = DownstreamOrigin(self, configuration.snapshot.listeners[index], section: nil, isTLS: false)
    }

    /// The listener is gone: accepts no more. Clients that the kernel has let in already are served, as a close of the
    /// socket would reset them: they may have come because another loop has just sent them away.
    func retire() {
        acceptAll()
        isRetired = true
        worker.loop.close(self)
    }

    override func handle(_ events: Events) { acceptAll() }

    /// Descriptors had run out; perhaps there are some now.
    override func timerFired() { acceptAll() }

    private func acceptAll() {
        while !isClosed {
            // What is left of the descriptors is for answers. The clients wait in the listener's backlog.
            if worker.overload.pausesAccepting && !isAdmin {
                worker.loop.schedule(self, at: worker.loop.now.advanced(byNanoseconds: 50_000_000))
                return
            }
            switch Socket.accept(fd) {
            case .wouldBlock: return
            case .exhausted:
                worker.loop.schedule(self, at: worker.loop.now.advanced(byNanoseconds: 50_000_000))
                return
            case .connection(let fd, let peer): accept(fd, peer)
            }
        }
    }

    private func accept(_ fd: Int32, _ peer: SocketAddress) {
        let served = configuration.snapshot.listeners[index]
        guard served.connections.open(limit: served.limits.maxConnections) else {
            worker.metrics.connectionRejected(.connectionLimit)
            Socket.close(fd)
            return
        }
        let connection = Connection(fd: fd, peer: peer, worker: worker)
        connection.counter = served.connections
        connection.source = self
        connection.listenerSlot = configuration.listenerSlot(index)
        worker.opened(connection)
        if let destinations = served.destinations {
            connection.speak(Redirected.conversation(on: connection, listener: self, served, destinations))
        } else {
            connection.speak(Opening.conversation(on: connection, listener: self, served))
        }
        worker.loop.add(connection, [.readable, .writable, .peerClosed])
    }
}

/// What makes a listener the same one after a reload: its address, or if the system chose that, its first section.
enum ListenerKey: Hashable, Sendable {
    case admin
    case address(ListenAddress)
    case chosen(ListenAddress, section: String)

    init(_ listener: Listener) {
        if listener.address.port == 0, let section = listener.sections.first {
            self = .chosen(listener.address, section: section.name)
        } else {
            self = .address(listener.address)
        }
    }
}

/// Where a client came in: its listener, and in TLS or redirected the section that took it. Shared by what came in the same way.
final class DownstreamOrigin {
    let listener: ListenerSource
    let limits: ListenerLimits
    let codecLimits: HTTP1Limits
    let role: Role
    let trustedHops: Int
    /// The name of the section that took the connection; nil where each request's host chooses.
    let sectionName: String?
    let isTLS: Bool
    /// The section serves the application beside the proxy to the mesh.
    let isOfMesh: Bool
    /// `x-forwarded-client-cert` is the proxy's to write, and nobody else's.
    let ownsClientCertificate: Bool
    private var generation = -1
    private var sectionIndex: Int?

    init(_ listener: ListenerSource, _ served: ServedListener, section: String?, isTLS: Bool) {
        self.isTLS = isTLS
        isOfMesh = section.map { name in served.sections.contains { $0.name == name && $0.mesh != nil } } ?? false
        ownsClientCertificate = served.role == .edge || served.isInMesh
        self.listener = listener
        limits = served.limits
        role = served.role
        trustedHops = served.trustedHops
        sectionName = section
        var codec = HTTP1Limits()
        codec.maxHeaders = limits.maxHeaders
        codec.maxHeaderBytes = limits.maxHeaderBytes
        codec.maxTargetBytes = limits.maxTargetBytes
        codecLimits = codec
    }

    /// The listener is gone: requests on its connections are the last ones.
    var isRetired: Bool { listener.isRetired }

    /// The index of the section among its listener's, nil in clear text. A section that a reload took away, or that
    /// takes no clear text any more, has none that matches: -1.
    func section(in snapshot: Snapshot) -> Int? {
        guard let sectionName else { return snapshot.listeners[listener.index].isTLS ? -1 : nil }
        if generation != snapshot.generation {
            generation = snapshot.generation
            let served = snapshot.listeners[listener.index]
            let takesClearText = served.destinations != nil
            sectionIndex =
                served.sections.firstIndex {
                    $0.name == sectionName && (isTLS || takesClearText || $0.mesh == .permissive)
                } ?? -1
        }
        return sectionIndex
    }
}
