import MeshCore
import MeshTelemetry

/// A snapshot with what one loop adds to it: its pools, and where it counts. Exchanges in flight keep theirs.
final class LoopConfiguration {
    let snapshot: Snapshot
    /// By the snapshot's backends.
    let backends: [BackendPool]
    /// By listener, rule and share: the counter slot of a request.
    private let slots: [[[Int]]]
    private let listenerSlots: [Int]
    /// By listener: for what is answered before it has a route.
    private let unroutedSlots: [Int]
    private let streamSlots: [[Int]]
    /// By listener: for what goes on to where it was meant to go.
    private let passthroughSlots: [Int]
    private let hops: HopTable
    /// By listener, section and number in its access table: the counters of a policy.
    private let accessSlots: [[[Int]]]

    /// The slots of `previous` are taken over for listeners that are the same: endpoints change often, routes seldom.
    init(
        _ snapshot: Snapshot, backends: [BackendPool], metrics: LoopMetrics, previous: LoopConfiguration? = nil
    ) {
        self.snapshot = snapshot
        self.backends = backends
        listenerSlots = snapshot.listeners.map { $0.admin == nil ? metrics.listenerSlot($0.name) : -1 }
        unroutedSlots = snapshot.listeners.map {
            $0.admin == nil ? metrics.slot(listener: $0.name, route: "", backend: "") : -1
        }
        slots = snapshot.listeners.enumerated().map { index, listener in
            if let known = previous?.slots(of: listener, at: index) {
                for slots in known { metrics.keepSlots(slots) }
                return known
            }
            return listener.table.rules.map { rule in
                rule.split.shares.map { share in
                    metrics.slot(
                        listener: listener.sections[rule.section].name, route: rule.routeName,
                        backend: share.backend.map { snapshot.backends[$0].name } ?? "")
                }
            }
        }
        // A stream's route is its backend: connections have no rules.
        streamSlots = snapshot.listeners.map { listener in
            listener.sections.allSatisfy { $0.streamRoutes.isEmpty }
                ? []
                : snapshot.backends.map { metrics.slot(listener: listener.name, route: "", backend: $0.name) }
        }
        passthroughSlots = snapshot.listeners.map {
            $0.destinations?.passesUnknown == true
                ? metrics.slot(listener: $0.name, route: "", backend: PassthroughPools.name) : -1
        }
        if passthroughSlots.contains(where: { $0 >= 0 }) { _ = metrics.backendSlot(PassthroughPools.name) }
        hops = HopTable(snapshot, metrics, previous: previous.map { ($0.snapshot, $0.hops) })
        accessSlots = snapshot.listeners.map { listener in
            listener.access.map { $0?.names.map { metrics.accessSlot($0) } ?? [] }
        }
        metrics.configurationAdopted()
    }

    private func slots(of listener: ServedListener, at index: Int) -> [[Int]]? {
        index < slots.count && snapshot.listeners[index] === listener ? slots[index] : nil
    }

    func slot(listener: Int, rule: Int, share: Int) -> Int { slots[listener][rule][share] }

    func unroutedSlot(_ listener: Int) -> Int { listener < 0 ? -1 : unroutedSlots[listener] }

    func streamSlot(listener: Int, backend: Int) -> Int {
        guard listener >= 0, backend < streamSlots[listener].count else { return -1 }
        return streamSlots[listener][backend]
    }

    func passthroughSlot(_ listener: Int) -> Int { listener < 0 ? -1 : passthroughSlots[listener] }

    /// True in a mesh.
    var countsHops: Bool { !hops.isEmpty }

    /// The hop of a request; negative `rule`: it has none. `passes`: it goes on to where it was meant to go.
    func hop(listener: Int, rule: Int, share: Int, passes: Bool) -> HopPlace {
        if listener < 0 { return .none }
        if passes { return hops.passing(listener: listener) }
        let section = rule < 0 ? 0 : snapshot.listeners[listener].table.rules[rule].section
        return hops.place(listener: listener, rule: rule, share: share, section: section)
    }

    /// The hop of a connection to `backend`.
    func streamHop(listener: Int, section: Int, backend: Int) -> HopPlace {
        listener < 0 ? .none : hops.stream(listener: listener, section: section, backend: backend)
    }
    func accessSlot(listener: Int, section: Int, policy: Int) -> Int { accessSlots[listener][section][policy] }

    func listenerSlot(_ listener: Int) -> Int { listener < 0 ? -1 : listenerSlots[listener] }
}
