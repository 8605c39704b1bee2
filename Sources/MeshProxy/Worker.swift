import MeshCore
import MeshHTTP
import MeshNet

/// One loop with everything that its connections share: buffers, pools, counters, the snapshot.
final class Worker: LoopHooks {
    let loop: EventLoop
    let pools = BufferPools()
    var snapshot: Snapshot
    var random: Random
    var dirty: [Connection] = []
    private var resumed: [DownstreamConnection] = []
    var counters = Counters()
    private(set) var backends: [BackendPool] = []
    private var idleExchanges: [Exchange] = []
    private(set) var isDraining = false
    /// Everything accepted and still open, by descriptor; touched once per connection, never per request.
    private var connections: [Int32: DownstreamConnection] = [:]
    var listeners: [ListenerSource] = []

    init(snapshot: Snapshot, seed: UInt64) throws(ProxyError) {
        loop = try EventLoop()
        self.snapshot = snapshot
        random = Random(seed: seed)
        super.init()
        loop.hooks = self
        backends = snapshot.backends.map { BackendPool($0, worker: self) }
    }

    override func afterEvent() {
        var index = 0
        // Flushing may make more connections dirty.
        while index < dirty.count {
            dirty[index].flush()
            index &+= 1
        }
        if index > 0 { dirty.removeAll(keepingCapacity: true) }
    }

    override func afterTurn() {
        // Pipelined requests take turns with other connections' events.
        while let connection = resumed.popLast() {
            connection.received()
            afterEvent()
        }
    }

    /// Lets `connection` go on with input that it holds, after the events of this turn.
    func resume(_ connection: DownstreamConnection) { resumed.append(connection) }

    /// Takes the new snapshot; pools of backends that stay as they are keep their connections.
    func adopt(_ snapshot: Snapshot) {
        let old = backends
        backends = snapshot.backends.map { fresh in
            if let kept = old.first(where: { $0.backend.model == fresh.model }) { return kept }
            return BackendPool(fresh, worker: self)
        }
        self.snapshot = snapshot
        for pool in old where !backends.contains(where: { $0 === pool }) { pool.closeIdle() }
    }

    /// Stops accepting, ends idle connections and lets the others end with their exchange; stops the loop when none is
    /// left.
    func drain() {
        guard !isDraining else { return }
        isDraining = true
        for listener in listeners { loop.close(listener) }
        for connection in connections.values { connection.drain() }
        if connections.isEmpty { loop.stop() }
    }

    func opened(_ connection: DownstreamConnection) { connections[connection.fd] = connection }

    func closed(_ connection: DownstreamConnection) {
        connections[connection.fd] = nil
        if isDraining && connections.isEmpty { loop.stop() }
    }

    func leaseExchange() -> Exchange { idleExchanges.popLast() ?? Exchange(worker: self) }

    func release(_ exchange: Exchange) { if idleExchanges.count < 1024 { idleExchanges.append(exchange) } }
}

/// What a loop has counted.
struct Counters: Sendable {
    var requests: UInt64 = 0
    var answers: [Reason: UInt64] = [:]
}
