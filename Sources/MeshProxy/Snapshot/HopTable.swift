import MeshModel
import MeshTelemetry

/// Which hop a request is counted as.
struct HopPlace {
    /// The counters; negative: it is none.
    let slot: Int
    /// The other side is the client, and not the endpoint.
    let isInbound: Bool

    static let none = HopPlace(slot: -1, isInbound: false)
}

/// The hops of one loop, by what requests are known by. Empty outside of a mesh.
struct HopTable {
    private var isInbound: [[Bool]] = []
    private var slots: [[[Int]]] = []
    /// By listener: requests to the application that have no route yet, or are refused before.
    private var unrouted: [Int] = []
    private var passing: [Int] = []
    private var streams: [[Int]] = []

    var isEmpty: Bool { slots.isEmpty }

    /// The hops of `snapshot`; slots of listeners that are as they were in `previous` are taken over.
    init(_ snapshot: Snapshot, _ metrics: LoopMetrics, previous: (snapshot: Snapshot, table: HopTable)?) {
        guard let place = snapshot.model.place else { return }
        let names = snapshot.backends.map(\.model.hopName)
        let old = previous.flatMap {
            $0.snapshot.model.place == place && $0.snapshot.backends.map(\.model.hopName) == names ? $0 : nil
        }
        for (number, listener) in snapshot.listeners.enumerated() {
            if let old, number < old.snapshot.listeners.count, old.snapshot.listeners[number] === listener {
                take(number, of: old.table, metrics)
                continue
            }
            let inbound = listener.sections.map { $0.isInbound(listener.role) }
            let rules = listener.table.rules
            isInbound.append(inbound)
            slots.append(
                rules.map { rule in
                    rule.split.shares.map { share in
                        if inbound[rule.section] { return metrics.hopSlot(.inbound(place, route: rule.routeName)) }
                        guard let index = share.backend else { return -1 }
                        return metrics.hopSlot(.outbound(place, to: names[index], route: rule.routeName))
                    }
                })
            unrouted.append(inbound.contains(true) ? metrics.hopSlot(.inbound(place, route: "")) : -1)
            let passes = listener.destinations?.passesUnknown == true
            passing.append(
                passes ? metrics.hopSlot(.outbound(place, to: PassthroughPools.name, route: "")) : -1)
            let hasStreams = listener.sections.contains { !$0.streamRoutes.isEmpty }
            let outbound = hasStreams && inbound.contains(false)
            streams.append(
                outbound
                    ? names.map { metrics.hopSlot(.outbound(place, to: $0, route: "")) } : [])
        }
    }

    private mutating func take(_ listener: Int, of old: HopTable, _ metrics: LoopMetrics) {
        isInbound.append(old.isInbound[listener])
        slots.append(old.slots[listener])
        unrouted.append(old.unrouted[listener])
        passing.append(old.passing[listener])
        streams.append(old.streams[listener])
        for slots in old.slots[listener] { metrics.keepHopSlots(slots) }
        metrics.keepHopSlots([old.unrouted[listener], old.passing[listener]])
        metrics.keepHopSlots(old.streams[listener])
    }

    func place(listener: Int, rule: Int, share: Int, section: Int) -> HopPlace {
        guard listener < slots.count else { return .none }
        guard rule >= 0 else { return HopPlace(slot: unrouted[listener], isInbound: true) }
        let shares = slots[listener][rule]
        let inbound = isInbound[listener][section]
        return share < shares.count ? HopPlace(slot: shares[share], isInbound: inbound) : .none
    }

    func passing(listener: Int) -> HopPlace {
        listener < passing.count ? HopPlace(slot: passing[listener], isInbound: false) : .none
    }

    func stream(listener: Int, section: Int, backend: Int) -> HopPlace {
        guard listener < streams.count else { return .none }
        if isInbound[listener][section] { return HopPlace(slot: unrouted[listener], isInbound: true) }
        return backend < streams[listener].count
            ? HopPlace(slot: streams[listener][backend], isInbound: false) : .none
    }
}

extension Section {
    /// True if it serves the application beside a sidecar to others.
    func isInbound(_ role: Role) -> Bool {
        if mesh != nil { return true }
        // A service that takes clear text only has no other sign of it.
        return role == .sidecar && (name.split(separator: "/").last?.hasPrefix("inbound-") ?? false)
    }
}

extension Backend {
    /// How hops to it are called.
    fileprivate var hopName: String { service.isEmpty ? name : service }
}

extension HopLabels {
    fileprivate static func inbound(_ place: MeshPlace, route: String) -> HopLabels {
        HopLabels(direction: .inbound, destination: place.service, version: place.version, route: route)
    }

    fileprivate static func outbound(_ place: MeshPlace, to destination: String, route: String) -> HopLabels {
        HopLabels(direction: .outbound, source: place.service, destination: destination, route: route)
    }
}

extension Worker {
    /// The number of an endpoint's side of hops.
    func hopSide(of endpoint: Endpoint) -> Int {
        metrics.hopSide(endpoint.labels["version"] ?? "", isMTLS: endpoint.isMeshed)
    }
}

extension Connection {
    /// `namespace/service` of the verified peer; nil if it showed no identity of the mesh.
    var peerService: String? {
        guard let peer = peerIdentity, let id = SPIFFEID(String(decoding: peer.uri, as: UTF8.self)) else { return nil }
        return id.name
    }
}
