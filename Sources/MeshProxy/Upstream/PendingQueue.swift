import MeshCore
import MeshNet
import MeshTraffic

/// One exchange's place in the queue of its backend, on its loop: first come, first served. The exchange keeps it for
/// the next time.
final class PendingTicket: TimerNode {
    fileprivate let exchange: Link<Exchange>
    fileprivate var pool: Link<BackendPool>?
    fileprivate var next: Link<PendingTicket>?
    fileprivate var previous: Link<PendingTicket>?
    /// What it waits for.
    fileprivate(set) var limit = Reason.upstreamRequestLimit
    fileprivate var since = Instant.never
    /// How the attempt was to be made.
    private(set) var fresh = false
    private(set) var tried = TriedEndpoints()

    init(_ exchange: Exchange) {
        self.exchange = Link(exchange)
        super.init()
    }

    fileprivate func prepare(_ pool: BackendPool, _ limit: Reason, fresh: Bool, avoiding tried: TriedEndpoints) {
        self.pool = Link(pool)
        self.limit = limit
        self.fresh = fresh
        self.tried = tried
        since = pool.worker.loop.now
    }

    /// It waits for `limit` from here on; false if it did before.
    fileprivate func changes(to limit: Reason) -> Bool {
        defer { self.limit = limit }
        return self.limit != limit
    }

    /// It is in a queue.
    var isQueued: Bool { pool != nil }

    /// Leaves the queue, because the attempt starts or nobody wants it any more.
    func leave() { pool? { $0.queue.remove(self, from: $0) } }

    override func timerFired() {
        guard let pool else { return }
        leave()
        pool { $0.worker.metrics.upstreamRefused(backend: $0.metricsSlot, .upstreamPendingTimeout) }
        exchange { $0.waitEnded(.upstreamPendingTimeout) }
    }
}

/// The requests of one loop that wait for one backend.
struct PendingQueue {
    private(set) var first: Link<PendingTicket>?
    private var last: Link<PendingTicket>?
    private(set) var count = 0

    fileprivate mutating func append(_ ticket: PendingTicket) {
        ticket.previous = last
        ticket.next = nil
        if let last { last { $0.next = Link(ticket) } } else { first = Link(ticket) }
        last = Link(ticket)
        count += 1
    }

    fileprivate mutating func remove(_ ticket: PendingTicket, from pool: BackendPool) {
        if let previous = ticket.previous { previous { $0.next = ticket.next } } else { first = ticket.next }
        if let next = ticket.next { next { $0.previous = ticket.previous } } else { last = ticket.previous }
        ticket.next = nil
        ticket.previous = nil
        ticket.pool = nil
        count -= 1
        let worker = pool.worker
        worker.loop.cancel(ticket)
        pool.share.stopWaiting(worker.reference)
        worker.metrics.upstreamWaited(
            backend: pool.metricsSlot, nanoseconds: worker.loop.now.nanoseconds(since: ticket.since))
    }
}

extension BackendPool {
    /// Lets `exchange` wait for `limit`, if so many may. One that waits already keeps its place.
    func wait(_ exchange: Exchange, _ limit: Reason, fresh: Bool, avoiding tried: TriedEndpoints) -> Attachment {
        if exchange.isWaiting {
            // The one limit has let it through, now it is the other.
            if limit == .upstreamConnectionLimit, exchange.ticketForQueue().changes(to: limit) {
                askForIdleConnections()
            }
            return .waiting
        }
        // A copy takes no place that a request could have.
        let most = exchange.isMirror ? 0 : backend.limits.maxPendingRequests
        guard most > 0, share.waiting.open(limit: most) else {
            let reason = most > 0 ? Reason.upstreamPendingLimit : limit
            worker.metrics.upstreamRefused(backend: metricsSlot, reason)
            return .failed(reason, endpoint: -1)
        }
        share.startWaiting(worker.reference)
        let ticket = exchange.ticketForQueue()
        ticket.prepare(self, limit, fresh: fresh, avoiding: tried)
        queue.append(ticket)
        worker.metrics.upstreamWaits(backend: metricsSlot)
        let deadline = worker.loop.now.advanced(byNanoseconds: backend.limits.pendingTimeout.nanoseconds)
        worker.loop.schedule(ticket, at: deadline)
        // Once is enough: what becomes idle later is not kept while somebody waits.
        if limit == .upstreamConnectionLimit && queue.count == 1 { askForIdleConnections() }
        // A slot that became free just before this loop was known to wait was offered to nobody.
        worker.wakeLater(self)
        return .waiting
    }

    /// Other loops may keep connections of the backend idle.
    private func askForIdleConnections() {
        let share = share
        worker.process.tellOthers(than: worker) { worker in
            for pool in worker.pools(of: share) { pool.giveUpIdleConnection() }
        }
    }

    /// Closes an idle connection, of another endpoint than `wanted`; false if there is none.
    @discardableResult
    func giveUpIdleConnection(besides wanted: EndpointPool? = nil) -> Bool {
        for endpoint in endpoints where endpoint !== wanted && endpoint.closeOneIdle() { return true }
        return false
    }

    /// Something that is limited has become free. Another loop's turn comes at least every other time.
    func slotFreed() {
        let total = share.waiting.current
        guard total > 0 else { return }
        wakesOthers = total > queue.count && (queue.count == 0 || !wakesOthers)
        if wakesOthers, let loop = share.loopThatWaits(besides: worker) {
            let share = share
            loop.post { worker in
                // Who waited may have left meanwhile: then it is handed on.
                for pool in worker.pools(of: share) {
                    if pool.queue.count > 0 { pool.wakeWaiters() } else { pool.slotFreed() }
                }
            }
            // A request's slot is theirs; a connection stays with this loop as long as somebody here waits.
            if backend.limits.maxConnections == nil && backend.limits.endpoint.maxConnections == nil { return }
        }
        if queue.count > 0 { worker.wakeLater(self) }
    }

    /// Starts attempts that wait, as far as there is room.
    func wakeWaiters() {
        var left = queue.count
        while left > 0, let ticket = queue.first {
            left -= 1
            let isAdmitted = ticket { ticket in ticket.exchange { $0.waitIsOver(ticket, self) } }
            if !isAdmitted { return }
        }
    }

    /// The backend is gone: nobody needs to wait for it.
    func refuseWaiters() {
        while let ticket = queue.first {
            ticket { ticket in
                ticket.leave()
                ticket.exchange { $0.waitEnded(.noEndpoint) }
            }
        }
    }
}
