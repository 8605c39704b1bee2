import MeshCore
import MeshModel
import MeshNet

/// Looks after a backend's endpoints for all loops, on one of them: looks at rates, ends ejections, sends probes.
final class EndpointKeeper: TimerNode {
    private let pool: Link<BackendPool>
    private let worker: Worker
    private var probers: [SocketAddress: HealthProber] = [:]
    private var nextSweep = Instant.never
    private var interval: UInt64 = 0

    init(_ pool: BackendPool) {
        self.pool = Link(pool)
        worker = pool.worker
        super.init()
        adopt()
    }

    /// Follows a changed backend.
    func adopt() {
        let (backend, share) = pool { ($0.backend, $0.share) }
        if share.adopt(backend.model) { worker.tellAvailability(share) }
        let wanted = backend.model.outlierDetection?.interval.nanoseconds ?? 0
        if wanted != interval {
            interval = wanted
            nextSweep = wanted > 0 ? worker.loop.now.advanced(byNanoseconds: wanted) : .never
        }
        reschedule()
    }

    /// Probes these endpoints from here on, if that is configured.
    func follow(_ endpoints: [EndpointPool]) {
        let backend = pool { $0.backend }
        var gone = probers
        probers = [:]
        if let check = backend.model.healthCheck {
            for endpoint in endpoints {
                let known = gone.removeValue(forKey: endpoint.address)
                let prober = known ?? HealthProber(endpoint.share, worker)
                probers[endpoint.address] = prober
                prober.adopt(check, backend, isMeshed: endpoint.isMeshed)
            }
        }
        for prober in gone.values { prober.stop() }
    }

    /// The backend is gone.
    func retire() {
        worker.loop.cancel(self)
        for prober in probers.values { prober.stop() }
        probers = [:]
    }

    /// An endpoint was ejected, or came back.
    func reschedule() {
        let reopening = interval > 0 ? pool { $0.share.reopen(now: worker.loop.now) } : .never
        worker.loop.schedule(self, at: min(nextSweep, reopening))
    }

    override func timerFired() {
        let now = worker.loop.now
        let share = pool { $0.share }
        if now >= nextSweep {
            nextSweep = now.advanced(byNanoseconds: max(interval, 1_000_000))
            let ejected = share.sweep(now: now)
            for endpoint in ejected { worker.warnOfEjection(share, endpoint) }
            if !ejected.isEmpty { worker.tellAvailability(share) }
        }
        reschedule()
    }
}
