import MeshCore
import MeshHTTP
import MeshTraffic

/// Copies of a request: fire and forget.
extension Exchange {
    /// Sends copies to `targets`, by their percentage: fire and forget, never felt by the caller.
    func mirror(_ targets: [Mirror]) {
        // Copies are of no use to anybody who waits.
        if worker.overload.level > 0 { return }
        for target in targets where UInt64(target.numerator) > worker.random.next() % UInt64(target.denominator) {
            guard worker.mirrorsInFlight < Self.mirrorLimit else {
                if let pool = configuration?.backends[target.backend] {
                    worker.metrics.upstreamRefused(backend: pool.metricsSlot, .overloaded)
                }
                continue
            }
            worker.mirrorsInFlight &+= 1
            let copy = worker.leaseExchange()
            copy.beginMirror(of: self, target: target.backend)
            mirrors.append(MirroredCopy(copy))
            copy.startAttempt(fresh: false)
        }
    }

    /// Copies of one loop that are on their way; above that none are made: targets that hang cost no more.
    static let mirrorLimit = 1024
    /// Nanoseconds of silence after which a copy is given up.
    static let mirrorSilence: UInt64 = 15_000_000_000

    private func beginMirror(of original: Exchange, target: Int) {
        keepsItself = self
        isMirror = true
        state.begin()
        serial &+= 1
        account.begin(at: worker.loop.now)
        configuration = original.configuration
        listener = original.listener
        backend = target
        request.copy(from: original.request)
        served = original.served
        if let served { deadlines.begin(served.limits, isPaced: false, now: worker.loop.now) }
        deadlines.limitSilence(to: Self.mirrorSilence)
        let left = original.deadlines.left(now: worker.loop.now)
        if left != .max { deadlines.limitRequest(to: left) }
        rearm()
        if original.state.requestEnded { requestEnded(hasTrailers: false) }
    }

    /// The bytes that were just added to the original's pipe, shared. A mirror that is too slow is given up.
    func mirrorBody(of original: Exchange, _ count: Int) {
        guard state.phase == .choosing || state.phase == .awaiting || state.phase == .responding else { return }
        guard requestBody.byteCount &+ count <= Connection.highWatermark else { return mirroredEnded() }
        deadlines.moved(now: worker.loop.now)
        original.requestBody.shareLast(count, with: requestBody)
        upstream.sendBody()
    }

    /// Nobody reads the answer to a copy; its connection is for others once it has come to its end.
    func dropResponse(_ count: Int) {
        responseBody.reset()
        deadlines.moved(now: worker.loop.now)
        upstream.responseTaken(count)
    }

    /// The original is over. The copy goes on if it has its whole request.
    func mirroredEnded() {
        if state.phase == .done || state.phase == .idle { return }
        if !state.requestEnded { giveUp() }
    }
}

/// A copy as its original knows it: the copy's object may serve another request long before the original is over.
struct MirroredCopy {
    private let exchange: Exchange
    private let serial: Int

    init(_ exchange: Exchange) {
        self.exchange = exchange
        serial = exchange.serial
    }

    /// The copy, if it is still on its way.
    var current: Exchange? { exchange.serial == serial && exchange.keepsItself != nil ? exchange : nil }
}
