import Foundation
import Logging
import MeshCore
internal import MeshDiscovery
import MeshModel

/// What runs: all resources, who is connected, and what each proxy is to be sent. Documents come from the
/// ``ControlPlane``, already accepted and stored; instances and their endpoints from the proxies themselves.
///
/// A change goes to those whom it concerns. The first goes out at once, further ones are collected
/// (``Debounce``); endpoints have a clock of their own, so that they do not wait for documents. A proxy that is slow to
/// answer gets, when it has answered, only what holds then. Nothing happens while nothing changes.
public actor Distributor {
    typealias Instant = ContinuousClock.Instant

    let metrics: ControlMetrics
    let log: Logger
    private let store: any Store
    private let time: @Sendable () -> ContinuousClock.Instant
    private let setsTimers: Bool

    /// False until documents were accepted: until then nobody is sent anything, so that nobody loses anything.
    private(set) var isReady = false
    private(set) var catalogue = Catalogue()
    var scopes = ScopeBook()
    var registry = Registry()
    var traffic: TrafficBook
    /// The same mesh for clients of Envoy's types.
    let envoy = EnvoyMesh()
    private var isEnvoyBehind = false
    var sessions: [UInt64: ProxySession] = [:]
    /// How streams of reports are ended.
    var reports: [UInt64: ReportStream] = [:]
    /// Of proxies that are no longer connected.
    var former: [StoredInstance.ID: FormerProxy] = [:]
    private var nextStream: UInt64 = 0

    private var documentClock = Debounce()
    private var endpointClock = Debounce()
    private var pendingDocuments = PendingChange()
    private var pendingEndpoints = PendingChange()
    /// Roles whose instances have changed and are not in the catalogue yet.
    private var dirtyRoles: Set<String> = []
    private var instancesOfRoles: [String: Set<StoredInstance.ID>] = [:]
    /// The endpoint sets that a service was last registered in.
    private var setsOfServices: [String: Set<String>] = [:]
    /// Instances that the store remembers otherwise.
    private var unsaved: Set<StoredInstance.ID> = []
    private var saveDue: Instant?
    private var isSaving = false
    private var isStopped = false
    private var timer: Task<Void, Never>?
    private var timerDue: Instant?

    /// How long changes of endpoints are collected before the store is told.
    static let savingInterval = Duration.milliseconds(50)
    /// How long proxies that are gone are still listed.
    static let memory: TimeInterval = 3600

    /// Nobody connected yet. `time` and `setsTimers` are for tests, which call ``advance()`` themselves.
    init(
        store: any Store, metrics: ControlMetrics, log: Logger, setsTimers: Bool = true,
        time: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
    ) {
        self.store = store
        self.metrics = metrics
        self.log = log
        self.time = time
        self.setsTimers = setsTimers
        traffic = TrafficBook(at: time())
    }

    /// Takes over what the store remembers of endpoints. To be called before anybody connects.
    func remember(_ instances: [StoredInstance]) {
        registry.remember(instances, at: time())
        collectRegistryChanges()
        unsaved = []
        saveDue = nil
        settle()
    }

    /// Ends every stream, and what is done in the background. What is connected now stays remembered.
    func stop() async {
        isStopped = true
        timer?.cancel()
        timer = nil
        await save()
        for session in sessions.values { session.end() }
        for report in reports.values { report.end() }
    }

    var now: Instant { time() }

    func makeStream() -> UInt64 {
        nextStream += 1
        return nextStream
    }

    // MARK: What changes

    /// Tells clients of Envoy's types what is new, if such clients are served.
    func updateEnvoy() {
        guard isEnvoyBehind, envoy.isServed else { return }
        isEnvoyBehind = false
        envoy.update(catalogue.resources.all)
    }

    /// Documents have been accepted: all of their resources. Throws, and changes nothing, if one cannot be encoded.
    func adopt(_ resources: [MeshResource]) throws(ProxyError) {
        let change = try catalogue.adopt(resources)
        let isFirst = !isReady
        isReady = true
        isEnvoyBehind = true
        let moved = change.keys.contains { $0.type == .workload || $0.type == .service || $0.type == .backend }
        if moved || isFirst { dirtyRoles.formUnion(instancesOfRoles.keys) }
        if !dirtyRoles.isEmpty { try registerDirty() }
        if isFirst {
            for session in sessions.values { begin(session) }
        } else {
            note(change, &pendingDocuments, &documentClock)
        }
        settle()
    }

    /// Whom everybody believes from now on, PEM.
    func adopt(trustBundle: [UInt8]) throws(ProxyError) {
        note(try catalogue.adopt(trustBundle: trustBundle), &pendingDocuments, &documentClock)
        settle()
    }

    private func note(_ change: Catalogue.Change, _ pending: inout PendingChange, _ clock: inout Debounce) {
        guard !change.isEmpty else { return }
        isEnvoyBehind = true
        let now = now
        pending.add(change, at: now)
        _ = clock.change(at: now)
    }

    /// Takes over what has happened to instances.
    func collectRegistryChanges() {
        let changes = registry.takeChanges()
        guard !changes.isEmpty else { return }
        for id in changes {
            if registry.instances[id] == nil {
                instancesOfRoles[id.role]?.remove(id)
            } else {
                instancesOfRoles[id.role, default: []].insert(id)
            }
            dirtyRoles.insert(id.role)
            unsaved.insert(id)
        }
        if saveDue == nil { saveDue = now.advanced(by: Self.savingInterval) }
        pendingEndpoints.begin(at: now)
        _ = endpointClock.change(at: now)
    }

    /// Brings the endpoints of the services of roles that have changed into the catalogue.
    private func registerDirty() throws(ProxyError) {
        var services: Set<String> = []
        for role in dirtyRoles {
            guard case .workload(let name)? = ProxyRole(role), let workload = catalogue.resources.workloads[name]
            else { continue }
            services.insert(workload.service)
        }
        // Services of workloads that moved elsewhere, or are no more.
        for service in setsOfServices.keys where catalogue.workloadsOfServices[service]?.isEmpty != false {
            services.insert(service)
        }
        dirtyRoles = []
        for service in services {
            let sets = endpoints(of: service)
            for gone in (setsOfServices[service] ?? []).subtracting(sets.keys) { try register([], in: gone) }
            for (set, endpoints) in sets { try register(endpoints, in: set) }
            setsOfServices[service] = sets.isEmpty ? nil : Set(sets.keys)
        }
    }

    private func register(_ endpoints: [MeshModel.Endpoint], in set: String) throws(ProxyError) {
        let change = try catalogue.register(endpoints, in: set)
        guard !change.isEmpty else { return }
        metrics.count(.endpointChanges)
        note(change, &pendingEndpoints, &endpointClock)
    }

    /// What the instances of a service serve, by the name of the set.
    private func endpoints(of service: String) -> [String: [MeshModel.Endpoint]] {
        var sets: [String: [MeshModel.Endpoint]] = [:]
        for name in catalogue.workloadsOfServices[service] ?? [] {
            guard let workload = catalogue.resources.workloads[name] else { continue }
            for id in instancesOfRoles[ProxyRole.workload(name).description] ?? [] {
                guard let instance = registry.instances[id] else { continue }
                for port in instance.serving {
                    sets[catalogue.setName(service, port.port), default: []]
                        .append(instance.endpoint(port, workload))
                }
            }
        }
        return sets
    }

    // MARK: Time

    /// Does what is due.
    func advance() async {
        registry.advance(to: now)
        collectRegistryChanges()
        settle()
        if let saveDue, saveDue <= now { await save() }
        schedule()
    }

    /// Sends out what is due, and sets the timer for what is not.
    func settle() {
        let now = now
        if endpointClock.flush(at: now) {
            do {
                try registerDirty()
            } catch {
                log.error("endpoints cannot be encoded: \(error)")
            }
            // Registering them is part of the same change.
            endpointClock.absorb()
            push(&pendingEndpoints)
        }
        if documentClock.flush(at: now) { push(&pendingDocuments) }
        updateEnvoy()
        metrics.set(.resources, catalogue.count)
        metrics.set(.scopes, scopes.count)
        metrics.set(.discoveryStreams, sessions.count)
        metrics.set(.instances, registry.connectedCount)
        schedule()
    }

    private func push(_ pending: inout PendingChange) {
        let (change, since) = pending.take()
        guard isReady, !change.isEmpty else { return }
        for (scope, users) in scopes.apply(change, catalogue) {
            let discovery = scope.discovery
            for id in users {
                guard let session = sessions[id] else { continue }
                session.discovery.update(discovery)
                unsettle(session, since: since)
            }
        }
    }

    private func schedule() {
        guard setsTimers, !isStopped else { return }
        let deadlines = [
            registry.nextDeadline, endpointClock.deadline, documentClock.deadline, isSaving ? nil : saveDue,
        ]
        guard let due = deadlines.compactMap({ $0 }).min() else {
            timer?.cancel()
            timer = nil
            timerDue = nil
            return
        }
        if timerDue == due, timer != nil { return }
        timer?.cancel()
        timerDue = due
        timer = Task { [weak self] in
            do {
                try await Task.sleep(until: due, clock: .continuous)
            } catch {
                return
            }
            await self?.timerFired(due)
        }
    }

    private func timerFired(_ due: Instant) async {
        if timerDue == due {
            timerDue = nil
            timer = nil
        }
        await advance()
    }

    // MARK: The store

    /// Tells the store which instances are endpoints. What fails is tried again.
    private func save() async {
        guard !isSaving else { return }
        saveDue = nil
        let ids = unsaved
        guard !ids.isEmpty else { return }
        unsaved = []
        isSaving = true
        let present = ids.compactMap { registry.instances[$0] }.filter { !$0.serving.isEmpty }.map(\.stored)
        let gone = ids.subtracting(present.map(\.id))
        do {
            try await store.save(present, removing: Array(gone))
        } catch {
            metrics.count(.storeErrors, error.kind.rawValue)
            log.error("last known endpoints are not saved: \(error)")
            unsaved.formUnion(ids)
            saveDue = now.advanced(by: Self.savingInterval * 600)
        }
        isSaving = false
        if saveDue == nil, !unsaved.isEmpty { saveDue = now.advanced(by: Self.savingInterval) }
        let limit = Date().addingTimeInterval(-Self.memory)
        registry.forget(before: limit)
        former = former.filter { $0.value.closed >= limit }
    }
}

/// Changes that have not gone out yet.
struct PendingChange {
    private var change = Catalogue.Change()
    /// When the oldest was made.
    private var since: ContinuousClock.Instant?

    mutating func begin(at now: ContinuousClock.Instant) {
        if since == nil { since = now }
    }

    mutating func add(_ other: Catalogue.Change, at now: ContinuousClock.Instant) {
        begin(at: now)
        change.keys.formUnion(other.keys)
        change.formerRoutes += other.formerRoutes
        change.formerPolicies += other.formerPolicies
    }

    mutating func take() -> (change: Catalogue.Change, since: ContinuousClock.Instant?) {
        defer { self = PendingChange() }
        return (change, since)
    }
}

extension Catalogue {
    /// The endpoint set of a port of a service.
    func setName(_ service: String, _ port: UInt16) -> String {
        guard let backend = resources.services[service]?.ports.first(where: { $0.port == port })?.backend else {
            let parts = service.split(separator: "/", maxSplits: 1)
            return "\(parts.first ?? "")/Service/\(parts.last ?? ""):\(port)"
        }
        return resources.backends[backend]?.endpoints ?? backend
    }
}

extension RegisteredInstance {
    /// The endpoint that it is by a port.
    fileprivate func endpoint(_ port: StoredInstance.Port, _ workload: Workload) -> MeshModel.Endpoint {
        let isNumeric =
            hello.address.utf8.allSatisfy {
                (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".")
            } || hello.address.utf8.contains(UInt8(ascii: ":"))
        let address: EndpointAddress =
            isNumeric ? .ip(hello.address, port: port.inbound) : .name(hello.address, port: port.inbound)
        return MeshModel.Endpoint(
            address, weight: workload.weight, zone: hello.zone.isEmpty ? nil : hello.zone, labels: workload.labels,
            isMeshed: port.isMeshed)
    }
}
