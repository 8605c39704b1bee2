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
            let copy = worker.leaseExchange()
            mirrors.append(copy)
            copy.beginMirror(of: self, target: target.backend)
        }
    }

    private func beginMirror(of original: Exchange, target: Int) {
        keepsItself = self
        state.begin()
        serial &+= 1
        account.begin(at: worker.loop.now)
        configuration = original.configuration
        listener = original.listener
        backend = target
        request.copy(from: original.request)
        served = original.served
        if let served { deadlines.begin(served.limits, isPaced: false, now: worker.loop.now) }
        rearm()
        if original.state.requestEnded { requestEnded(hasTrailers: false) }
        startAttempt(fresh: false)
    }

    /// The bytes that were just added to the original's pipe, shared. A mirror that is too slow is given up.
    func mirrorBody(of original: Exchange, _ count: Int) {
        guard state.phase == .choosing || state.phase == .awaiting || state.phase == .responding else { return }
        guard requestBody.byteCount &+ count <= Connection.highWatermark else { return mirroredEnded() }
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
        if !state.requestEnded { perform(state.lose()) }
    }
}
