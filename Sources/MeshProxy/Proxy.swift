import MeshCore
import MeshModel
import MeshNet
import MeshTelemetry
import Synchronization

/// How the data plane runs, beside what it serves.
public struct ProxyOptions: Sendable {
    /// Loops, one thread each; at least 1.
    public var loops: Int
    /// Where the admin endpoint listens; nil: nowhere.
    public var admin: SocketAddress?
    /// How the proxy stands with its control plane, for the admin endpoint; nil outside of a mesh.
    public var control: ControlStatus?

    /// `loops` loops; the admin endpoint at `admin`.
    public init(loops: Int = 1, admin: SocketAddress? = nil, control: ControlStatus? = nil) {
        self.loops = loops
        self.admin = admin
        self.control = control
    }
}

/// The data plane of one process: a loop per thread, each with its own listeners, pools and counters.
public final class Proxy: Sendable {
    private let workers: [WorkerReference]
    private let services: ProcessServices
    private let admin: AdminListener?
    private let loops: Int
    private let trafficBook = TrafficBook()
    private let state: Mutex<State>

    private struct State {
        var snapshot: Snapshot
        /// Where each listener of the snapshot is bound.
        var bound: [ListenerKey: [SocketAddress]]

        var addresses: [SocketAddress] { snapshot.listeners.flatMap { bound[$0.key] ?? [] } }

        mutating func adopt(_ snapshot: Snapshot, new: [ListenerKey: [SocketAddress]]) {
            self.snapshot = snapshot
            let kept = Set(snapshot.listeners.map(\.key))
            bound = bound.filter { kept.contains($0.key) }.merging(new) { _, new in new }
        }
    }

    /// Binds every listener of `model`, then starts the threads: an error leaves nothing running.
    ///
    /// - Throws: one line that says what cannot be served or opened.
    public init(_ model: Model, _ options: ProxyOptions) throws(ProxyError) {
        loops = max(options.loops, 1)
        services = ProcessServices(demand: options.control?.demand ?? DemandCounts())
        var workers: [WorkerReference] = []
        for loop in 0..<loops {
            let seed = Clock.wall() ^ (UInt64(loop) << 32)
            workers.append(WorkerReference(try Worker(process: services, number: loop, seed: seed)))
        }
        self.workers = workers
        services.loops = workers
        admin = options.admin.map { _ in AdminListener(workers: workers, control: options.control) }
        let snapshot = try Snapshot(model, admin: admin)
        let bound = try BoundSockets(of: snapshot, besides: [], loops: loops, admin: options.admin)
        state = Mutex(State(snapshot: snapshot, bound: bound.addresses))
        for warning in snapshot.warnings { services.warnings.say(warning) }
        admin?.adopted(snapshot)
        for (index, reference) in workers.enumerated() {
            // Before the thread starts, nobody else knows the worker.
            reference.worker.adopt(snapshot, sockets: bound.sockets[index])
            try LoopThread.spawn(name: "loop-\(index)") { reference.worker.loop.run() }
        }
    }

    /// The addresses listened on, in the model's order, the admin endpoint aside; ports of 0 are filled in.
    public var addresses: [SocketAddress] { state.withLock { $0.addresses } }

    /// Hands a new model to every loop: listeners that are new are opened before, those that are gone end with their
    /// connections; what is in flight finishes as it began. An error changes nothing.
    public func publish(_ model: Model) throws(ProxyError) {
        let old = state.withLock { $0.snapshot }
        let snapshot = try Snapshot(model, previous: old, admin: admin)
        let bound = try BoundSockets(of: snapshot, besides: old.listeners.map(\.key), loops: loops, admin: nil)
        for warning in snapshot.warnings { services.warnings.say(warning) }
        for (index, reference) in workers.enumerated() {
            let sockets = bound.sockets[index]
            reference.post { $0.adopt(snapshot, sockets: sockets) }
        }
        state.withLock { $0.adopt(snapshot, new: bound.addresses) }
        admin?.adopted(snapshot)
    }

    /// Where the listener of the section called `name` is bound, ports of 0 filled in; nil if there is none. Of several
    /// addresses the IPv4 one: they have one port.
    public func boundAddress(ofSection name: String) -> SocketAddress? {
        state.withLock { state in
            let listener = state.snapshot.listeners.first { $0.sections.contains { $0.name == name } }
            return listener.flatMap { state.bound[$0.key]?.first }
        }
    }

    /// Whether the backend called `name` is ready: it has no health check, or an endpoint that passed it. Before the
    /// first probe has ended it is not. `reason` is for people: what the latest probe found.
    public func readiness(of name: String) -> (ready: Bool, reason: String) {
        let share = state.withLock { state in state.snapshot.backends.first { $0.name == name }?.share }
        guard let readiness = share?.readiness else { return (false, "there is no backend \(name)") }
        return (readiness.isReady, readiness.reason)
    }

    /// Calls `body` with the name of a backend each time that an endpoint of it has become available or unavailable, or
    /// was probed for the first time; nil: no more. It is called on a loop, which must not wait: ask
    /// ``readiness(of:)`` on another thread.
    public func onAvailabilityChange(_ body: (@Sendable (String) -> Void)?) { services.observeAvailability(body) }

    /// Calls `body` with a host that no route takes, and the loop whose requests for it wait for ``ServiceWaits/settle(_:_:)``,
    /// if not for long; nil: no more. It is called on that loop, which must not wait.
    func onUnknownHost(_ body: (@Sendable ([UInt8], WorkerReference) -> Void)?) { services.observeUnknownHosts(body) }

    /// What passed between services since the start, over all loops. Waits for the loops, a second at most: of one that
    /// has not answered by then it is what it said the last time. Not for a loop's thread.
    public func traffic() -> [HopReport] { trafficBook.collect(workers, milliseconds: 1000).hopReports }

    /// The ports that the model's sections are bound to, by the section's name.
    func boundPorts() -> [String: UInt16] {
        state.withLock { state in
            var ports: [String: UInt16] = [:]
            for listener in state.snapshot.listeners {
                guard let port = state.bound[listener.key]?.first?.port else { continue }
                for section in listener.model.sections { ports[section.name] = port }
            }
            return ports
        }
    }

    /// Open connections that came over listeners which are gone, over all loops.
    func retiredConnectionCount() -> Int {
        let census = Census()
        for reference in workers { reference.post { census.add($0.retiredConnectionCount) } }
        _ = census.answers.wait(for: workers.count, seconds: 5)
        return census.total
    }

    /// Counts a change of the configuration that was refused, here or before it became a model.
    public func noteRejection() { admin?.rejected() }

    /// Fails readiness, stops accepting and ends idle connections, without waiting: what is in flight goes on. Nothing if
    /// that was said before.
    public func beginDraining() {
        admin?.beginDraining()
        for reference in workers { reference.post { $0.drain() } }
    }

    /// Fails readiness, stops accepting, ends idle connections, and waits until every exchange is done: true, or false
    /// if `seconds` pass before that.
    public func drain(within seconds: Int) -> Bool {
        beginDraining()
        let done = services.drained.wait(for: workers.count, seconds: seconds)
        services.finish()
        return done
    }
}

/// A worker as other threads know it: only its mailbox may be used.
struct WorkerReference: @unchecked Sendable {
    /// For the loop's own thread, and before that runs.
    let worker: Worker
    private let mailbox: Mailbox

    init(_ worker: Worker) {
        self.worker = worker
        mailbox = worker.loop.mailbox
    }

    /// Runs `job` with the worker on its loop.
    func post(_ job: @escaping @Sendable (Worker) -> Void) {
        let reference = self
        mailbox.post { job(reference.worker) }
    }
}

/// The listening sockets that a snapshot adds, one per loop and address; closed again if one of them cannot be had.
private struct BoundSockets {
    var sockets: [[(listener: Int, fd: Int32, address: SocketAddress)]]
    var addresses: [ListenerKey: [SocketAddress]] = [:]

    init(
        of snapshot: Snapshot, besides known: [ListenerKey], loops: Int, admin: SocketAddress?
    ) throws(ProxyError) {
        sockets = Array(repeating: [], count: loops)
        do throws(ProxyError) {
            for (index, listener) in snapshot.listeners.enumerated() where !known.contains(listener.key) {
                if listener.admin != nil {
                    guard let admin else { continue }
                    try bind(admin, listener: index, loops: 1)
                    if case .unix(let path) = admin { Socket.restrictToOwner(path) }
                    continue
                }
                addresses[listener.key] = try bindAll(Self.addresses(of: listener.model), listener: index, loops: loops)
            }
        } catch {
            for opened in sockets.joined() { Socket.close(opened.fd) }
            throw error
        }
    }

    /// Binds all addresses of a listener. Where the system chooses the port, it is the same one for all of them.
    private mutating func bindAll(
        _ wanted: [SocketAddress], listener: Int, loops: Int
    ) throws(ProxyError) -> [SocketAddress] {
        var tries = 0
        while true {
            let opened = sockets
            var bound: [SocketAddress] = []
            do throws(ProxyError) {
                for address in wanted {
                    let address = address.port == 0 ? address.withPort(bound.first?.port ?? 0) : address
                    bound.append(try bind(address, listener: listener, loops: loops))
                }
                return bound
            } catch {
                // Another has the port on IPv6 that is free on IPv4.
                tries += 1
                guard wanted.count > 1, wanted[0].port == 0, tries < 8 else { throw error }
                for (loop, all) in sockets.enumerated() {
                    for socket in all.dropFirst(opened[loop].count) { Socket.close(socket.fd) }
                }
                sockets = opened
            }
        }
    }

    @discardableResult
    private mutating func bind(_ wanted: SocketAddress, listener: Int, loops: Int) throws(ProxyError) -> SocketAddress {
        if wanted.port != 0 { try Socket.checkIsFree(wanted) }
        var address = wanted
        for loop in 0..<loops {
            // A unix socket cannot be shared: the first loop has it alone.
            if loop > 0, case .unix = wanted { break }
            let fd = try Socket.listen(address, reusePort: loops > 1)
            // A port of 0 is chosen by the first loop; the others join it.
            if loop == 0 { address = Socket.localAddress(fd) ?? wanted }
            sockets[loop].append((listener, fd, address))
        }
        return address
    }

    private static func addresses(of listener: Listener) throws(ProxyError) -> [SocketAddress] {
        switch listener.address {
        case .any(let port): return [.ipv4(0, port: port), .ipv6(0, 0, port: port)]
        case .unix(let path): return [.unix(path)]
        case .ip(let ip, let port):
            guard let address = SocketAddress(ip: ip, port: port) else {
                throw ProxyError("listener \(listener.address): that is not an IP address")
            }
            return [address]
        }
    }
}
