import MeshCore
import MeshModel
import MeshNet
import MeshTraffic

/// One loop's way to one backend: which endpoints there are, and which is next.
///
/// Outlives configurations: a changed backend moves only what must move, endpoints that stay keep their connections.
final class BackendPool {
    private(set) var backend: ServedBackend
    let worker: Worker
    let metricsSlot: Int
    private(set) var endpoints: [EndpointPool] = []
    let balancer: Balancer
    /// What sessions with its endpoints are sealed with.
    let sessionKey: SipKey
    /// What requests are placed by; nil unless the balancer hashes.
    private(set) var requestHash: RequestHash?
    /// Requests that wait for one of its limits.
    var queue = PendingQueue()
    /// The next thing that becomes free is offered to another loop.
    var wakesOthers = false
    /// It is on the worker's list of those to be woken.
    var isToWake = false
    /// Attempts have to be admitted.
    private(set) var isGuarded = false
    private var keeper: EndpointKeeper?
    private var names: [ResolvedName] = []
    private var hasUnresolvedNames = false
    /// This loop's share of the retry budget.
    var retryGate = RetryGate()

    /// What an attempt got.
    enum Attachment {
        case http1(HTTP1Upstream)
        case http2(HTTP2UpstreamStream)
        /// Nothing, at this endpoint; negative: there is none to try.
        case failed(Reason, endpoint: Int)
        /// It waits for a limit: ``Exchange/waitIsOver(_:_:)`` or ``Exchange/waitEnded(_:)`` comes later.
        case waiting
    }

    init(_ backend: ServedBackend, worker: Worker) {
        self.backend = backend
        self.worker = worker
        metricsSlot = worker.metrics.backendSlot(backend.name)
        balancer = Balancer(backend: backend.name)
        sessionKey = SipKey(naming: backend.name)
        isGuarded = backend.isGuarded
        if worker.isKeeper { keeper = EndpointKeeper(self) }
        refresh()
    }

    /// What all loops know of the backend together.
    var share: BackendShare { backend.share }

    /// Follows a changed backend.
    func adopt(_ backend: ServedBackend) {
        if backend === self.backend { return }
        let connectionsStay = backend.sharesConnections(with: self.backend)
        self.backend = backend
        isGuarded = backend.isGuarded
        keeper?.adopt()
        if !connectionsStay {
            for endpoint in endpoints { endpoint.retire() }
            endpoints = []
            // Their requests are not counted out any more: the new ones begin at none.
            updateBalancer([])
        }
        for endpoint in endpoints { endpoint.backend = backend }
        refresh()
    }

    /// The backend is gone.
    func retire() {
        keeper?.retire()
        keeper = nil
        refuseWaiters()
        for name in names { name.cancel() }
        names = []
        for endpoint in endpoints { endpoint.retire() }
        endpoints = []
        updateBalancer([])
    }

    // MARK: Endpoints

    /// Makes the list of endpoints anew from the model and from what names resolved to.
    private func refresh() {
        var wanted: [(address: SocketAddress, endpoint: Endpoint)] = []
        var kept: [ResolvedName] = []
        for endpoint in backend.model.endpoints {
            switch endpoint.address {
            case .ip(let ip, let port):
                if let address = SocketAddress(ip: ip, port: port) { wanted.append((address, endpoint)) }
            case .unix(let path): wanted.append((.unix(path), endpoint))
            case .name(let host, let port):
                let name = names.first { $0.host == host && $0.port == port } ?? ResolvedName(host, port, self)
                kept.append(name)
                for address in name.addresses { wanted.append((address, endpoint)) }
            }
        }
        for name in names where !kept.contains(where: { $0 === name }) { name.cancel() }
        names = kept
        hasUnresolvedNames = kept.contains { $0.addresses.isEmpty }
        replaceEndpoints(wanted)
        for name in kept where !name.isStarted { name.start() }
    }

    /// A name has other addresses now.
    func namesChanged() { refresh() }

    private func replaceEndpoints(_ wanted: [(address: SocketAddress, endpoint: Endpoint)]) {
        var seen: Set<SocketAddress> = []
        var old: [SocketAddress: EndpointPool] = [:]
        for endpoint in endpoints { old[endpoint.address] = endpoint }
        var fresh: [EndpointPool] = []
        var balanced: [BalancedEndpoint] = []
        // Two names may lead to one address, which is one endpoint: the first that is written counts.
        for (address, model) in wanted where model.weight > 0 && seen.insert(address).inserted {
            let isMeshed = model.isMeshed && backend.model.mesh != nil
            var known = old[address]
            if known?.isMeshed == isMeshed { old[address] = nil } else { known = nil }
            let endpoint = known ?? EndpointPool(address, isMeshed: isMeshed, backend, owner: self)
            endpoint.weight = model.weight
            endpoint.hopSide = worker.hopSide(of: model)
            balanced.append(
                BalancedEndpoint(
                    identity: endpoint.identity, weight: model.weight, zone: model.zone, isBackup: model.isBackup))
            fresh.append(endpoint)
        }
        for endpoint in old.values { endpoint.retire() }
        for (index, endpoint) in fresh.enumerated() { endpoint.index = index }
        endpoints = fresh
        updateBalancer(balanced)
        availabilityChanged()
        // There may be room now: limits may have been raised, and endpoints added.
        if queue.count > 0 { worker.wakeLater(self) }
        keeper?.follow(fresh)
    }

    private func updateBalancer(_ endpoints: [BalancedEndpoint]) {
        let settings = backend.model.loadBalancer
        requestHash = settings.algorithm.hashes ? RequestHash(settings.hash) : nil
        balancer.update(
            settings, zone: backend.zone, endpoints: endpoints, random: worker.random.next(), now: worker.loop.now)
    }

    /// The endpoint for the next request, placed by `key` if it has one.
    func pick(key: UInt64? = nil, avoiding tried: TriedEndpoints = TriedEndpoints()) -> Result<
        EndpointPool, ReasonError
    > {
        let random = worker.random.next()
        if let index = balancer.pick(random: random, now: worker.loop.now, key: key, avoiding: tried) {
            return .success(endpoints[index])
        }
        return .failure(ReasonError(reason: hasUnresolvedNames ? .endpointNameNotResolved : .noEndpoint))
    }

    /// A connection or stream for one attempt of `exchange`, if wanted none that may have gone stale
    /// (`fresh`), at another endpoint than number `avoided` if there is one.
    func attach(_ exchange: Exchange, fresh: Bool, avoiding tried: TriedEndpoints) -> Attachment {
        if isGuarded { return attachGuarded(exchange, fresh: fresh, avoiding: tried) }
        switch pick(for: exchange, avoiding: tried) {
        case .failure(let failure): return .failed(failure.reason, endpoint: -1)
        case .success(let endpoint): return endpoint.attach(exchange, fresh: fresh)
        }
    }

    /// Endpoints were ejected, became unhealthy, or are back.
    func availabilityChanged() {
        let now = worker.loop.now
        for endpoint in endpoints {
            balancer.setAvailable(endpoint.share.isWell, of: endpoint.index, .health, now: now)
            balancer.setAvailable(!endpoint.share.isOut, of: endpoint.index, .ejection, now: now)
        }
        keeper?.reschedule()
    }

    /// A request begins or ends at endpoint `index`.
    func count(_ change: Int32, at index: Int) {
        if change > 0 { balancer.begin(index) } else { balancer.end(index) }
    }
}

/// A reason as an error value.
struct ReasonError: Error { let reason: Reason }

/// A DNS name whose addresses are endpoints, resolved again when the answer has aged.
final class ResolvedName: TimerNode {
    let host: String
    let port: UInt16
    private(set) var addresses: [SocketAddress] = []
    private(set) var isStarted = false
    private weak var pool: BackendPool?
    private let worker: Worker

    init(_ host: String, _ port: UInt16, _ pool: BackendPool) {
        self.host = host
        self.port = port
        self.pool = pool
        worker = pool.worker
        super.init()
    }

    func start() {
        isStarted = true
        guard let resolver = worker.resolver() else { return retry(after: 5_000_000_000) }
        resolver.resolve(host, port: port) { [weak self] answer in self?.take(answer) }
    }

    func cancel() {
        pool = nil
        worker.loop.cancel(self)
    }

    override func timerFired() { start() }

    private func take(_ answer: ResolverAnswer) {
        guard let pool else { return }
        let longest = pool.backend.resolutionInterval.nanoseconds
        switch answer {
        case .addresses(let found, let timeToLive):
            // No faster than once a second, whatever a server says.
            retry(after: min(longest, UInt64(max(timeToLive, timeToLive == 0 ? 5 : 1)) &* 1_000_000_000))
            if found != addresses {
                addresses = found
                pool.namesChanged()
            }
        case .failed(let text, let isNegative):
            retry(after: min(longest, 2_000_000_000))
            if addresses.isEmpty || isNegative {
                worker.warn("backend \(pool.backend.name): \(host) does not resolve: \(text)")
            }
            // The name is gone by its server's word; if nobody could be asked, the old answer is the best there is.
            if isNegative && !addresses.isEmpty {
                addresses = []
                pool.namesChanged()
            }
        }
    }

    private func retry(after nanoseconds: UInt64) {
        worker.loop.schedule(self, at: worker.loop.now.advanced(byNanoseconds: nanoseconds))
    }
}
