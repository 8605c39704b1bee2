import MeshCore
import MeshHTTP
import MeshTelemetry

/// Services that the Workload does not declare: the first request for one waits until the control plane has answered.
extension Exchange {
    /// No route takes the request.
    func missed() {
        guard let reason = demand == .none ? wantService() : afterDemand() else { return }
        if served?.destinations != nil && passesOn() { return admit([], []) }
        answer(reason)
    }

    /// Waits for the control plane: nil. Otherwise, why the request has no route.
    private func wantService() -> Reason? {
        guard let served, served.isInMesh, served.role == .sidecar, worker.process.asksForHosts,
            let host = wantedHost()
        else { return .routeNotFound }
        let now = worker.loop.now
        switch worker.serviceWaits.wait(self, host, now: now) {
        case .remembered:
            worker.process.demand.add(.remembered)
            return .routeNotFound
        case .full:
            worker.process.demand.add(.refused)
            return .serviceNotDiscovered
        case .ask, .wait:
            demand = .waiting
            deadlines.pause(until: now.advanced(byNanoseconds: DemandBook.patience))
            rearm()
            return nil
        }
    }

    /// There was an answer, or none in time, and still no route takes the request.
    private func afterDemand() -> Reason {
        switch demand {
        case .none, .waiting, .answered:
            worker.process.demand.add(.missing)
            if let host = wantedHost() { worker.serviceWaits.remember(host, now: worker.loop.now) }
            return .routeNotFound
        case .unavailable: worker.process.demand.add(.unavailable)
        case .late: worker.process.demand.add(.late)
        }
        return .serviceNotDiscovered
    }

    /// The control loop has an answer, and what it knows is served on this loop.
    func serviceAnswered(_ answer: DemandAnswer) {
        switch answer {
        case .known: demand = .answered
        case .unavailable: demand = .unavailable
        }
        routeAgain()
    }

    /// There was no answer in time.
    func serviceIsLate() {
        worker.serviceWaits.leave(self)
        demand = .late
        routeAgain()
    }

    /// Takes the configuration that is served where the client came in.
    func readConfiguration() {
        downstream.withOrigin { origin, _ in
            let configuration: LoopConfiguration = origin.listener.configuration
            self.configuration = configuration
            listener = origin.listener.index
            served = configuration.snapshot.listeners[listener]
        }
    }

    /// Begins anew with the configuration of now.
    private func routeAgain() {
        // The request may have been answered meanwhile: its body was too large, say.
        guard state.phase == .choosing else { return }
        deadlines.alarm(at: .never)
        readConfiguration()
        account.slot = configuration?.unroutedSlot(listener) ?? -1
        route()
    }

    /// The exchange ends.
    func leaveDemand() {
        if demand == .waiting { worker.serviceWaits.leave(self) }
        demand = .none
    }

    /// The host that the request is for, in lower case and without port; nil if no service can be called so.
    private func wantedHost() -> [UInt8]? {
        let head = request
        let authority = head.span(head.authorityRange)
        var host: [UInt8] = []
        for index in authority.indices {
            let byte = authority[index]
            if byte == UInt8(ascii: ":") { break }
            if host.count == 253 { return nil }
            host.append(byte &- 0x41 < 26 ? byte | 0x20 : byte)
        }
        return ServiceHost.isPossible(host) ? host : nil
    }
}
