import MeshCore
import MeshModel
import MeshNet
import MeshTraffic
import Synchronization

/// What all loops know of one backend together: how much of its limits is taken, which of its endpoints are fit to serve,
/// how many requests wait for it. Survives reloads.
///
/// Requests touch only atomics, and only those of limits that are configured; the lock is for what changes seldom:
/// endpoints that come and go, ejections, results of probes.
final class BackendShare: Sendable {
    let name: String
    /// Connections to it.
    let connections = ConnectionCounter()
    /// Requests in flight, if they are limited.
    let requests = ConnectionCounter()
    /// Requests that wait, in all loops' queues.
    let waiting = ConnectionCounter()
    /// Finds out how many requests it takes; asked only if that is configured.
    let gate: AdaptiveGate
    /// Half-open endpoints that are well, and so want one request as their probe.
    private let halfOpen = Atomic<Int>(0)
    private let register: Mutex<Register>
    private let rooms = Mutex<[Room]>([])

    private struct Register {
        var endpoints: [SocketAddress: EndpointShare] = [:]
        var byNumber: [Int: EndpointShare] = [:]
        var counted = 0
        var detector: OutlierDetector?
        var check: HealthCheck?
        var ejections: [EjectionCause: UInt64] = [:]
        var probes = (succeeded: UInt64(0), failed: UInt64(0))
    }

    /// A loop whose requests wait here.
    private struct Room {
        let loop: WorkerReference
        var count: Int
    }

    init(_ backend: Backend) {
        name = backend.name
        gate = AdaptiveGate(backend.adaptiveConcurrency ?? AdaptiveConcurrency())
        register = Mutex(Register())
        _ = adopt(backend)
    }

    /// Follows a changed configuration. True if the availability of an endpoint changed by it.
    func adopt(_ backend: Backend) -> Bool {
        if let settings = backend.adaptiveConcurrency { gate.adopt(settings) }
        return register.withLock { register in
            let before = register.byNumber.values.count { $0.isAvailable }
            if let settings = backend.outlierDetection {
                if register.detector == nil {
                    var detector = OutlierDetector(settings)
                    for (number, endpoint) in register.byNumber where endpoint.users > 0 {
                        detector.add(number, endpoint.tally)
                    }
                    register.detector = detector
                }
                register.detector?.settings = settings
            } else {
                register.detector = nil
            }
            if register.check?.probe != backend.healthCheck?.probe {
                for endpoint in register.byNumber.values { endpoint.health = HealthState() }
            }
            register.check = backend.healthCheck
            settle(&register)
            return register.byNumber.values.count { $0.isAvailable } != before
        }
    }

    /// Makes what loops read agree with what the lock guards.
    private func settle(_ register: inout Register) {
        var waiting = 0
        for (number, endpoint) in register.byNumber {
            let state = register.detector?.state(of: number) ?? .available
            endpoint.isEjected = state != .available
            endpoint.settle()
            if state == .halfOpen && endpoint.health.isHealthy { waiting += 1 }
        }
        halfOpen.store(waiting, ordering: .relaxed)
    }

    // MARK: Endpoints

    /// A loop uses the endpoint at `address`, until it says ``leave(_:)``.
    func join(_ address: SocketAddress) -> EndpointShare {
        register.withLock { register in
            let endpoint: EndpointShare
            if let known = register.endpoints[address] {
                endpoint = known
            } else {
                prune(&register)
                endpoint = EndpointShare(address, number: register.counted)
                register.counted += 1
                register.endpoints[address] = endpoint
                register.byNumber[endpoint.number] = endpoint
            }
            endpoint.users += 1
            if endpoint.users == 1 {
                register.detector?.add(endpoint.number, endpoint.tally)
                settle(&register)
            }
            return endpoint
        }
    }

    /// A loop uses the endpoint no more. What is known of it is kept for a while: it may only be moving from one
    /// configuration to the next.
    func leave(_ endpoint: EndpointShare) { register.withLock { _ in endpoint.users -= 1 } }

    /// Forgets endpoints that nobody uses, once they are many.
    private func prune(_ register: inout Register) {
        let unused = register.byNumber.values.filter { $0.users == 0 }
        guard unused.count > 16, unused.count * 2 > register.byNumber.count else { return }
        for endpoint in unused {
            register.endpoints[endpoint.address] = nil
            register.byNumber[endpoint.number] = nil
            register.detector?.remove(endpoint.number)
        }
    }

    // MARK: Outliers

    /// True if an endpoint wants one request as its probe: worth a ``claimProbe()``.
    var wantsProbe: Bool { halfOpen.load(ordering: .relaxed) > 0 }

    /// The endpoint that the next request is to probe; nil if another loop was faster.
    func claimProbe() -> EndpointShare? {
        register.withLock { register in
            let byNumber = register.byNumber
            let number = register.detector?.claimProbe { byNumber[$0].map { $0.health.isHealthy } ?? false }
            settle(&register)
            return number.flatMap { register.byNumber[$0] }
        }
    }

    /// The request of ``claimProbe()`` is over. True if the endpoint's availability changed.
    func probeEnded(_ endpoint: EndpointShare, _ outcome: AttemptOutcome, now: Instant) -> Bool {
        register.withLock { register in
            let isBack = register.detector?.probeEnded(endpoint.number, outcome, now: now) ?? false
            if outcome.isFailure { register.ejections[.probeFailed, default: 0] += 1 }
            settle(&register)
            return isBack || outcome.isFailure
        }
    }

    /// An attempt came to `outcome`. True if that ejected the endpoint.
    func note(_ outcome: AttemptOutcome, _ endpoint: EndpointShare, _ settings: OutlierDetection, now: Instant) -> Bool
    {
        guard let cause = endpoint.tally.note(outcome, settings) else { return false }
        return register.withLock { register in
            guard register.detector?.eject(endpoint.number, cause, now: now) ?? false else { return false }
            register.ejections[cause, default: 0] += 1
            settle(&register)
            return true
        }
    }

    /// Looks at the rates; once per interval. The endpoints that were ejected.
    func sweep(now: Instant) -> [EndpointShare] {
        register.withLock { register in
            for endpoint in register.byNumber.values where endpoint.users == 0 {
                register.detector?.remove(endpoint.number)
            }
            let ejected = register.detector?.sweep(now: now) ?? []
            for (_, cause) in ejected { register.ejections[cause, default: 0] += 1 }
            if !ejected.isEmpty { settle(&register) }
            return ejected.compactMap { register.byNumber[$0.id] }
        }
    }

    /// Lets endpoints whose ejection is over have their probe. Returns when to call this again.
    func reopen(now: Instant) -> Instant {
        register.withLock { register in
            if register.detector?.reopen(now: now) ?? false { settle(&register) }
            return register.detector?.nextReopening ?? .never
        }
    }

    /// Why `endpoint` was ejected last.
    func cause(of endpoint: EndpointShare) -> EjectionCause? {
        register.withLock { $0.detector?.cause(of: endpoint.number) }
    }

    // MARK: Health

    /// A probe of `endpoint` is over at `wallTime`. True if it changed how the endpoint counts.
    func noteHealth(_ endpoint: EndpointShare, success: Bool, detail: String, wallTime: UInt64) -> Bool {
        register.withLock { register in
            if success { register.probes.succeeded += 1 } else { register.probes.failed += 1 }
            endpoint.lastProbe = EndpointShare.LastProbe(success: success, detail: detail, wallTime: wallTime)
            guard let check = register.check, endpoint.health.note(success: success, check) else { return false }
            settle(&register)
            return true
        }
    }

    // MARK: The queue

    /// A request of `loop` waits.
    func startWaiting(_ loop: WorkerReference) {
        rooms.withLock { rooms in
            if let index = rooms.firstIndex(where: { $0.loop.worker === loop.worker }) {
                rooms[index].count += 1
            } else {
                rooms.append(Room(loop: loop, count: 1))
            }
        }
    }

    /// It waits no more.
    func stopWaiting(_ loop: WorkerReference) {
        waiting.close()
        rooms.withLock { rooms in
            guard let index = rooms.firstIndex(where: { $0.loop.worker === loop.worker }) else { return }
            rooms[index].count -= 1
            if rooms[index].count == 0 { rooms.remove(at: index) }
        }
    }

    /// A loop other than `worker` whose requests wait; each time another one, if there are several.
    func loopThatWaits(besides worker: Worker) -> WorkerReference? {
        rooms.withLock { rooms in
            guard let index = rooms.firstIndex(where: { $0.loop.worker !== worker }) else { return nil }
            let room = rooms.remove(at: index)
            rooms.append(room)
            return room.loop
        }
    }
}

// MARK: - For people

extension BackendShare {
    /// How the backend's endpoints stand, for the metrics.
    struct Standing: Sendable {
        var available = 0
        var ejected = 0
        var unhealthy = 0
        var ejections: [EjectionCause: UInt64] = [:]
        var probes = (succeeded: UInt64(0), failed: UInt64(0))
        var detects = false
        var checks = false
    }

    var standing: Standing {
        register.withLock { register in
            var standing = Standing()
            for endpoint in register.byNumber.values where endpoint.users > 0 {
                if endpoint.isEjected { standing.ejected += 1 }
                if !endpoint.health.isHealthy { standing.unhealthy += 1 }
                if endpoint.isAvailable { standing.available += 1 }
            }
            standing.ejections = register.ejections
            standing.probes = register.probes
            standing.detects = register.detector != nil
            standing.checks = register.check != nil
            return standing
        }
    }

    /// Whether it is ready as a whole, and why: one of its endpoints is, by its probes' word if it has any.
    var readiness: (isReady: Bool, reason: String) {
        register.withLock { register in
            guard register.check != nil else { return (true, "no probe is configured") }
            let used = register.byNumber.values.filter { $0.users > 0 }.sorted { $0.number < $1.number }
            if let well = used.first(where: { $0.health.wasProbed && $0.health.isHealthy }) {
                return (true, "\(well.address): \(well.lastProbe?.detail ?? "")")
            }
            guard let ill = used.first(where: \.health.wasProbed) else { return (false, "no probe has ended yet") }
            return (false, "\(ill.address): \(ill.lastProbe?.detail ?? "")")
        }
    }

    /// What is known of `endpoint`.
    func report(_ endpoint: EndpointShare) -> EndpointShare.Report {
        register.withLock { register in
            EndpointShare.Report(
                isAvailable: endpoint.isAvailable, isHealthy: endpoint.health.isHealthy,
                wasProbed: endpoint.health.wasProbed,
                ejection: register.detector?.state(of: endpoint.number) ?? .available,
                cause: register.detector?.cause(of: endpoint.number), lastProbe: endpoint.lastProbe)
        }
    }
}

/// What all loops know of one endpoint together.
final class EndpointShare: @unchecked Sendable {
    // SAFETY of the Sendable claim: `users`, `health`, `isEjected` and `lastProbe` are touched under the lock of the
    // BackendShare that this belongs to; the rest is constant or atomic.

    /// The latest probe.
    struct LastProbe: Sendable {
        let success: Bool
        let detail: String
        let wallTime: UInt64
    }

    /// What people are told.
    struct Report: Sendable {
        let isAvailable: Bool
        let isHealthy: Bool
        let wasProbed: Bool
        let ejection: OutlierDetector.State
        let cause: EjectionCause?
        let lastProbe: LastProbe?
    }

    let address: SocketAddress
    let number: Int
    /// Connections to it, if they are limited.
    let connections = ConnectionCounter()
    /// Requests in flight, if they are limited.
    let requests = ConnectionCounter()
    let tally = OutcomeTally()
    private let wellness = Atomic<Bool>(true)
    private let ejection = Atomic<Bool>(false)
    fileprivate var users = 0
    fileprivate var health = HealthState()
    fileprivate var isEjected = false
    fileprivate var lastProbe: LastProbe?

    fileprivate init(_ address: SocketAddress, number: Int) {
        self.address = address
        self.number = number
    }

    /// Its probes succeed, as far as it has any. Loops are told when this changes.
    var isWell: Bool { wellness.load(ordering: .relaxed) }
    /// It is out for failing requests. Loops are told when this changes.
    var isOut: Bool { ejection.load(ordering: .relaxed) }
    /// True if it gets its share of requests.
    var isAvailable: Bool { isWell && !isOut }

    fileprivate func settle() {
        wellness.store(health.isHealthy, ordering: .relaxed)
        ejection.store(isEjected, ordering: .relaxed)
    }
}
