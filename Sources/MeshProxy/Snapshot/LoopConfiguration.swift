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
    /// By listener, section and number in its access table: the counters of a policy.
    private let accessSlots: [[[Int]]]

    init(_ snapshot: Snapshot, backends: [BackendPool], metrics: LoopMetrics) {
        self.snapshot = snapshot
        self.backends = backends
        listenerSlots = snapshot.listeners.map { $0.admin == nil ? metrics.listenerSlot($0.name) : -1 }
        unroutedSlots = snapshot.listeners.map {
            $0.admin == nil ? metrics.slot(listener: $0.name, route: "", backend: "") : -1
        }
        slots = snapshot.listeners.map { listener in
            listener.table.rules.map { rule in
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
        accessSlots = snapshot.listeners.map { listener in
            listener.access.map { $0?.names.map { metrics.accessSlot($0) } ?? [] }
        }
        metrics.configurationAdopted()
    }

    func slot(listener: Int, rule: Int, share: Int) -> Int { slots[listener][rule][share] }

    func unroutedSlot(_ listener: Int) -> Int { listener < 0 ? -1 : unroutedSlots[listener] }

    func streamSlot(listener: Int, backend: Int) -> Int {
        guard listener >= 0, backend < streamSlots[listener].count else { return -1 }
        return streamSlots[listener][backend]
    }

    func accessSlot(listener: Int, section: Int, policy: Int) -> Int { accessSlots[listener][section][policy] }

    func listenerSlot(_ listener: Int) -> Int { listener < 0 ? -1 : listenerSlots[listener] }
}
