import MeshCore
import MeshHTTP
import MeshModel
import MeshNet
import MeshTelemetry
import MeshTraffic

/// One loop with everything that its connections share: buffers, pools of objects, counters, the configuration.
final class Worker: LoopHooks {
    let loop: EventLoop
    let pools = BufferPools()
    let metrics = LoopMetrics()
    let process: ProcessServices
    /// The services whose proxies have connected.
    let sources = SourceNames()
    var random: Random
    /// The loop that probes endpoints, and ends ejections, for all.
    let isKeeper: Bool
    /// Whether the proxy has too much to do, as this loop sees it.
    var overload = OverloadState()
    /// Mirrored copies that are on their way.
    var mirrorsInFlight = 0
    private var monitor: OverloadMonitor!
    private(set) var configuration: LoopConfiguration!
    private(set) var isDraining = false
    private var isDrained = false
    private(set) var listeners: [ListenerSource] = []

    private var dirty: [Link<Connection>] = []
    private var gathering: [Link<Connection>] = []
    private var resumed: [Link<Connection>] = []
    private var retired: [AnyObject] = []
    private var toWake: [BackendPool] = []
    private var origins: [OriginKey: DownstreamOrigin] = [:]
    private var endpointsInUse: [EndpointPool] = []
    private var names: Resolver?
    /// Ways to where redirected connections were going that no backend knows.
    private(set) lazy var passthrough = PassthroughPools(self)
    /// Requests for services that nobody here knows yet.
    private(set) lazy var serviceWaits = ServiceWaits(self)
    /// Accepted and still open, linked through the connections.
    private var first: Link<Connection>?
    private(set) var downstreamCount = 0
    private var exchanges: [Exchange] = []
    private var downstreamStreams: [HTTP2DownstreamStream] = []
    private var upstreamStreams: [HTTP2UpstreamStream] = []
    private var log = LogBuffer()
    private var logWriter: LogWriter?
    private var wallOffset: UInt64 = 0
    private var wallChecked = Instant(nanoseconds: 0)

    /// Objects of one kind that are kept for reuse; what a burst needed beyond goes back.
    private static let keptObjects = 512
    /// Rounds of writing and resumed reading after one event before the others have their turn.
    private static let roundLimit = 8

    private struct OriginKey: Hashable {
        let listener: ObjectIdentifier
        let section: Int
        let isTLS: Bool
    }

    init(process: ProcessServices, number: Int = 0, seed: UInt64) throws(ProxyError) {
        loop = try EventLoop()
        self.process = process
        isKeeper = number == 0
        random = Random(seed: seed)
        super.init()
        loop.hooks = self
        monitor = OverloadMonitor(self)
    }

    /// This worker as other loops know it.
    var reference: WorkerReference { WorkerReference(self) }

    // MARK: Turns

    /// Marks `connection` to be written after the current event; with `gathers` after all events of the turn.
    func markDirty(_ connection: Connection, gathers: Bool) {
        if gathers { gathering.append(Link(connection)) } else { dirty.append(Link(connection)) }
    }

    /// Lets `connection` go on reading, and with what it holds, after the current event.
    func resume(_ connection: Connection) { if !connection.isClosed { resumed.append(Link(connection)) } }

    /// Keeps `object` to the end of the turn: it may be what is running.
    func retire(_ object: AnyObject) { retired.append(object) }

    /// Lets requests that wait for `pool` go on, if they can, once what is happening is over.
    func wakeLater(_ pool: BackendPool) {
        if pool.isToWake { return }
        pool.isToWake = true
        toWake.append(pool)
    }

    private func wakeWaiters() {
        let pools = toWake
        toWake = []
        for pool in pools {
            pool.isToWake = false
            pool.wakeWaiters()
        }
    }

    override func afterEvent() {
        if !toWake.isEmpty { wakeWaiters() }
        var round = 0
        while !(dirty.isEmpty && resumed.isEmpty), round < Self.roundLimit {
            flushDirty()
            goOn()
            round &+= 1
        }
    }

    private func flushDirty() {
        var index = 0
        // Flushing may make more connections dirty.
        while index < dirty.count {
            let link = dirty[index]
            link { $0.flush() }
            index &+= 1
        }
        dirty.removeAll(keepingCapacity: true)
    }

    private func goOn() {
        if resumed.isEmpty { return }
        var index = 0
        let count = resumed.count
        while index < count {
            let link = resumed[index]
            link { $0.resume() }
            index &+= 1
        }
        resumed.removeFirst(count)
    }

    override func afterTurn() {
        var round = 0
        repeat {
            // What is written now may make more to write, on the other side above all.
            swap(&dirty, &gathering)
            afterEvent()
            round &+= 1
        } while !gathering.isEmpty && round < Self.roundLimit
        // A fast pair of peers can go on for ever: others come in between.
        if !(dirty.isEmpty && resumed.isEmpty && gathering.isEmpty && toWake.isEmpty) {
            keepLinked()
            loop.turnAgain()
        }
        if !retired.isEmpty { retired.removeAll(keepingCapacity: true) }
        if !log.isEmpty, let logWriter { writeLog(logWriter) }
    }

    /// Links to connections that close in this turn do not outlive it.
    private func keepLinked() {
        dirty.append(contentsOf: gathering)
        gathering.removeAll(keepingCapacity: true)
        dirty.removeAll { $0 { $0.isClosed } }
        resumed.removeAll { $0 { $0.isClosed } }
    }

    // MARK: Configuration

    /// Serves `snapshot` from here on. Pools of backends that stay keep their connections; `sockets` are new listening
    /// sockets, by index of the snapshot's listeners.
    func adopt(_ snapshot: Snapshot, sockets: [(listener: Int, fd: Int32, address: SocketAddress)]) {
        var old: [String: BackendPool] = [:]
        for pool in configuration?.backends ?? [] { old[pool.backend.name] = pool }
        let backends = snapshot.backends.map { served in
            guard let pool = old.removeValue(forKey: served.name) else { return BackendPool(served, worker: self) }
            pool.adopt(served)
            return pool
        }
        for pool in old.values { pool.retire() }
        let configuration = LoopConfiguration(
            snapshot, backends: backends, metrics: metrics, previous: self.configuration)
        self.configuration = configuration
        monitor.adopt(snapshot)
        logWriter = snapshot.logFormat.isOff ? nil : process.logWriter()
        origins = [:]
        adoptListeners(configuration, sockets)
    }

    private func adoptListeners(
        _ configuration: LoopConfiguration, _ sockets: [(listener: Int, fd: Int32, address: SocketAddress)]
    ) {
        for source in listeners { source.wanted = -1 }
        for (index, served) in configuration.snapshot.listeners.enumerated() {
            for source in listeners where source.key == served.key { source.wanted = index }
        }
        let gone = listeners.filter { $0.wanted < 0 }
        listeners.removeAll { $0.wanted < 0 }
        for source in gone { source.retire() }
        for source in listeners { source.adopt(source.wanted, configuration) }
        for (listener, fd, address) in sockets {
            let key = configuration.snapshot.listeners[listener].key
            let source = ListenerSource(fd: fd, address: address, key: key, worker: self)
            source.adopt(listener, configuration)
            if isDraining { loop.add(source, [.readable]); source.retire(); continue }
            listeners.append(source)
            loop.add(source, [.readable])
        }
        if !gone.isEmpty { drainConnections { $0.isOfRetiredListener } }
    }

    /// What connections of one section share, in TLS or, at a permissive section, in clear text.
    func origin(
        _ listener: ListenerSource, _ served: ServedListener, section: Int, isTLS: Bool
    ) -> DownstreamOrigin {
        let key = OriginKey(listener: ObjectIdentifier(listener), section: section, isTLS: isTLS)
        if let known = origins[key] { return known }
        let made = DownstreamOrigin(listener, served, section: served.sections[section].name, isTLS: isTLS)
        origins[key] = made
        return made
    }

    /// The loop's resolver, made when the first name needs it; nil if it cannot be made.
    func resolver() -> Resolver? {
        if names == nil { names = try? Resolver(loop: loop) }
        return names
    }

    // MARK: Connections

    /// An accepted connection.
    func opened(_ connection: Connection) {
        connection.next = first
        first? { $0.previous = Link(connection) }
        first = Link(connection)
        downstreamCount &+= 1
        if connection.listenerSlot >= 0 { metrics.downstreamOpened(listener: connection.listenerSlot) }
    }

    /// A connection of either side is closed.
    func closed(_ connection: Connection) {
        connection.counter?.close()
        if connection.isProbe { return }
        if let endpoint = connection.endpoint {
            return endpoint.connectionClosed(wasEstablished: connection.isEstablished)
        }
        if let previous = connection.previous {
            previous { $0.next = connection.next }
        } else {
            first = connection.next
        }
        connection.next? { $0.previous = connection.previous }
        connection.next = nil
        connection.previous = nil
        downstreamCount &-= 1
        if connection.listenerSlot >= 0 { metrics.downstreamClosed(listener: connection.listenerSlot) }
        stopIfDone()
    }

    /// Keeps a retired endpoint's pool until its last connection is closed.
    func keep(_ endpoint: EndpointPool) { endpointsInUse.append(endpoint) }

    func forget(_ endpoint: EndpointPool) {
        retire(endpoint)
        endpointsInUse.removeAll { $0 === endpoint }
    }

    // MARK: Draining

    /// Stops accepting, ends idle connections and lets the others end with their exchange; tells the process when none
    /// is left. The admin endpoint stays: it says how far the draining is.
    func drain() {
        guard !isDraining else { return }
        isDraining = true
        let (admin, serving) = (listeners.filter(\.isAdmin), listeners.filter { !$0.isAdmin })
        listeners = admin
        for listener in serving { listener.retire() }
        drainConnections { !$0.isOfAdmin }
        stopIfDone()
    }

    private func drainConnections(where matches: (Connection) -> Bool) {
        var cursor = first
        while let link = cursor {
            cursor = link { connection in
                let next = connection.next
                if matches(connection) { connection.drain() }
                return next
            }
        }
    }

    /// Open connections that came over listeners which are gone.
    var retiredConnectionCount: Int {
        var count = 0
        var cursor = first
        while let link = cursor {
            if link({ $0.isOfRetiredListener }) { count &+= 1 }
            cursor = link { $0.next }
        }
        return count
    }

    private func stopIfDone() {
        guard isDraining else { return }
        var cursor = first
        while let link = cursor {
            if link({ !$0.isOfAdmin }) { return }
            cursor = link { $0.next }
        }
        if !isDrained { process.drained.add() }
        isDrained = true
    }

    // MARK: Objects for reuse

    func leaseExchange() -> Exchange { exchanges.popLast() ?? Exchange(worker: self) }

    func release(_ exchange: Exchange) {
        if exchanges.count < Self.keptObjects { return exchanges.append(exchange) }
        loop.cancel(exchange)
        retire(exchange)
    }

    func leaseDownstreamStream() -> HTTP2DownstreamStream {
        downstreamStreams.popLast() ?? HTTP2DownstreamStream(worker: self)
    }

    func release(_ stream: HTTP2DownstreamStream) {
        if downstreamStreams.count < Self.keptObjects { downstreamStreams.append(stream) } else { retire(stream) }
    }

    func leaseUpstreamStream() -> HTTP2UpstreamStream {
        upstreamStreams.popLast() ?? HTTP2UpstreamStream(worker: self)
    }

    func release(_ stream: HTTP2UpstreamStream) {
        if upstreamStreams.count < Self.keptObjects { upstreamStreams.append(stream) } else { retire(stream) }
    }

    // MARK: Records

    /// Accounts for an exchange or stream that ended; `fill` adds what only the log needs.
    func record(_ record: consuming ExchangeRecord, _ fill: (inout ExchangeRecord) -> Void) {
        metrics.exchangeFinished(record)
        guard let logWriter else { return }
        record.wallTime = wallTime(of: record.started)
        fill(&record)
        configuration.snapshot.logFormat.append(record, names: metrics, to: &log)
        if log.count > 64 * 1024 { writeLog(logWriter) }
    }

    /// Nanoseconds since 1970-01-01 UTC.
    func wallNow() -> UInt64 { wallTime(of: loop.now) }

    private func wallTime(of instant: Instant) -> UInt64 {
        // Clocks drift and jump: the offset is looked at again every second.
        if loop.now > wallChecked {
            wallOffset = Clock.wall() &- Clock.now().nanoseconds
            wallChecked = loop.now.advanced(byNanoseconds: 1_000_000_000)
        }
        return instant.nanoseconds &+ wallOffset
    }

    private func writeLog(_ writer: LogWriter) {
        writer.write(log.take())
        let dropped = log.takeDropped()
        if dropped > 0 { metrics.logLinesDropped(dropped) }
    }

    /// Says one line to people, no more often than the process allows.
    func warn(_ line: String) { process.warnings.say(line) }
}
