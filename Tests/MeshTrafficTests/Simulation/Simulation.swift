import Glibc
import MeshCore
import MeshModel
import MeshTraffic

/// Clients, one ``Balancer`` and its endpoints on a virtual clock: the same numbers for the same seed, no sleeping.
///
/// ```swift
/// let simulation = Simulation(
///     endpoints: Array(repeating: SimulatedEndpoint(milliseconds: 10, capacity: 8), count: 4),
///     balancer: LoadBalancer(algorithm: .leastRequest), arrivals: .open(perSecond: 1000), seed: 1)
/// simulation.attemptTimeout = 100_000_000
/// simulation.retry = { _, request, outcome in outcome != .answered && request.attempts < 3 ? 5_000_000 : nil }
/// simulation.at(10) { $0.endpoints[0].failure = .hangs }
/// let report = simulation.run(seconds: 30)
/// ```
///
/// A request: arrives → ``admit`` → the balancer picks → the endpoint serves, or lets it wait → the attempt ends →
/// ``attemptEnded`` → ``retry`` decides → the request ends → ``requestEnded``. Policies (budgets, limits, ejection) are
/// put into these hooks; they are given the simulation, whose ``now``, ``random`` and ``balancer`` they may use.
final class Simulation {
    /// Who sends requests.
    enum Arrivals {
        /// Requests come whatever happens to the ones before: a Poisson process of this rate.
        case open(perSecond: Double)
        /// So many clients, each of which sends its next request `think` nanoseconds (mean, exponential) after the end of
        /// its last.
        case closed(clients: Int, think: UInt64)
    }

    private struct Event {
        let time: UInt64
        let number: Int
        let action: (Simulation) -> Void
    }

    private struct Attempt {
        let request: Int
        let endpoint: Int
        let began: Instant
    }

    private struct Work {
        var busy = 0
        var waiting: [Int] = []
    }

    // MARK: What is simulated

    /// Settings of the endpoints. A changed weight, zone or backup needs ``endpointsChanged()``.
    var endpoints: [SimulatedEndpoint]
    let balancer = Balancer(backend: "ns/Service/simulated:80")
    var settings: LoadBalancer
    var zone: String?
    var arrivals: Arrivals
    /// Nanoseconds that one attempt may take; nil: no limit.
    var attemptTimeout: UInt64?
    /// The key of a request by its number; nil: none.
    var key: (Int) -> UInt64? = { _ in nil }
    /// Whether a request, or its next attempt, may go on.
    var admit: (Simulation, SimulatedRequest) -> Bool = { _, _ in true }
    /// Nanoseconds until the next attempt after one that did not answer; nil: there is none.
    var retry: (Simulation, SimulatedRequest, SimulatedOutcome) -> UInt64? = { _, _, _ in nil }
    /// An attempt at an endpoint ended, after so many nanoseconds.
    var attemptEnded: (Simulation, _ endpoint: Int, SimulatedOutcome, UInt64) -> Void = { _, _, _, _ in }
    /// A request ended.
    var requestEnded: (Simulation, SimulatedRequest, SimulatedOutcome) -> Void = { _, _, _ in }
    /// Requests that arrive earlier are not in the report, seconds.
    var warmUp = 0.0

    // MARK: How it stands

    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    var random: Random
    /// Requests that are under way.
    private(set) var requests: [Int: SimulatedRequest] = [:]
    private(set) var report = SimulationReport()
    private var events: [Event] = []
    private var eventCount = 0
    private var attempts: [Int: Attempt] = [:]
    private var attemptCount = 0
    private var requestCount = 0
    private var work: [Work]
    private let started = Instant(nanoseconds: 1_000_000_000)
    private var end = Instant.never

    init(
        endpoints: [SimulatedEndpoint], balancer settings: LoadBalancer, zone: String? = nil, arrivals: Arrivals,
        seed: UInt64
    ) {
        self.endpoints = endpoints
        self.settings = settings
        self.zone = zone
        self.arrivals = arrivals
        random = Random(seed: seed)
        work = endpoints.map { _ in Work() }
        report.attempts = endpoints.map { _ in 0 }
        endpointsChanged()
    }

    /// Seconds since the simulation began.
    var seconds: Double { Double(now.nanoseconds(since: started)) / 1e9 }

    /// Attempts that are with endpoint `index`, waiting or served, those that timed out included.
    func load(of index: Int) -> Int { work[index].busy + work[index].waiting.count }

    /// Tells the balancer of the endpoints as they are now.
    func endpointsChanged() {
        let list = endpoints.enumerated().map { number, endpoint in
            BalancedEndpoint(
                identity: endpoint.identity ?? Hashing.mix(UInt64(number)), weight: endpoint.weight,
                zone: endpoint.zone, isBackup: endpoint.isBackup)
        }
        balancer.update(settings, zone: zone, endpoints: list, random: random.next(), now: now)
    }

    // MARK: Running

    /// Runs for so many seconds of virtual time, then lets what is under way end, for at most 60 s.
    func run(seconds: Double) -> SimulationReport {
        end = started.advanced(byNanoseconds: UInt64(seconds * 1e9))
        switch arrivals {
        case .open: arriveOpen()
        case .closed(let clients, let think):
            for _ in 0..<clients { after(exponential(think)) { $0.arrive() } }
        }
        let last = end.advanced(byNanoseconds: 60_000_000_000)
        while let event = nextEvent(), event.time <= last.nanoseconds {
            now = Instant(nanoseconds: event.time)
            event.action(self)
        }
        return report
    }

    /// Does `action` at so many seconds from the beginning.
    func at(_ seconds: Double, _ action: @escaping (Simulation) -> Void) {
        add(started.advanced(byNanoseconds: UInt64(seconds * 1e9)), action)
    }

    /// Does `action` in so many nanoseconds.
    func after(_ nanoseconds: UInt64, _ action: @escaping (Simulation) -> Void) {
        add(now.advanced(byNanoseconds: nanoseconds), action)
    }

    /// A random time with this mean.
    func exponential(_ mean: UInt64) -> UInt64 {
        let unit = (Double(random.next() >> 11) + 0.5) / 9_007_199_254_740_992
        return UInt64(-log(unit) * Double(mean))
    }

    // MARK: A request, in the order of its life

    private func arriveOpen() {
        guard case .open(let rate) = arrivals else { return }
        after(exponential(UInt64(1e9 / rate))) { simulation in
            guard simulation.now < simulation.end else { return }
            simulation.arrive()
            simulation.arriveOpen()
        }
    }

    private func arrive() {
        guard now < end else { return }
        requestCount += 1
        requests[requestCount] = SimulatedRequest(number: requestCount, arrived: now, key: key(requestCount))
        attempt(requestCount)
    }

    private func attempt(_ number: Int) {
        guard var request = requests[number] else { return }
        guard admit(self, request) else { return finish(number, .shed) }
        var tried = TriedEndpoints()
        for index in request.tried { tried.insert(index) }
        let picked = balancer.pick(random: random.next(), now: now, key: request.key, avoiding: tried)
        guard let endpoint = picked else { return finish(number, .noEndpoint) }
        request.attempts += 1
        requests[number] = request
        attemptCount += 1
        let id = attemptCount
        attempts[id] = Attempt(request: number, endpoint: endpoint, began: now)
        balancer.begin(endpoint)
        if counts(request) { report.attempts[endpoint] += 1 }
        if let attemptTimeout { after(attemptTimeout) { $0.end(id, .timedOut) } }
        arrive(id, at: endpoint)
    }

    private func arrive(_ id: Int, at index: Int) {
        switch endpoints[index].failure {
        case .none: break
        case .refuses: return after(50_000) { $0.end(id, .refused) }
        case .hangs:
            work[index].waiting.append(id)
            return
        case .errors(let percent, let nanoseconds):
            if random.next() % 100 < UInt64(percent) { return after(nanoseconds) { $0.end(id, .failed) } }
        }
        if work[index].busy < endpoints[index].capacity { return serve(id, at: index) }
        if work[index].waiting.count >= endpoints[index].queueLimit { return after(50_000) { $0.end(id, .failed) } }
        work[index].waiting.append(id)
    }

    private func serve(_ id: Int, at index: Int) {
        work[index].busy += 1
        let mean = endpoints[index].service
        after(endpoints[index].varies ? exponential(mean) : mean) { simulation in
            simulation.work[index].busy -= 1
            simulation.end(id, .answered)
            simulation.serveNext(index)
        }
    }

    private func serveNext(_ index: Int) {
        if case .hangs = endpoints[index].failure { return }
        // What waited through a hang and is not wanted any more is served all the same: nobody told the endpoint.
        while work[index].busy < endpoints[index].capacity, !work[index].waiting.isEmpty {
            serve(work[index].waiting.removeFirst(), at: index)
        }
    }

    private func end(_ id: Int, _ outcome: SimulatedOutcome) {
        guard let attempt = attempts.removeValue(forKey: id) else { return }
        let latency = now.nanoseconds(since: attempt.began)
        balancer.end(attempt.endpoint)
        balancer.observe(attempt.endpoint, latency: latency, failed: outcome != .answered, now: now)
        attemptEnded(self, attempt.endpoint, outcome, latency)
        if outcome == .answered { return finish(attempt.request, outcome) }
        requests[attempt.request]?.tried.append(attempt.endpoint)
        guard let request = requests[attempt.request], let delay = retry(self, request, outcome) else {
            return finish(attempt.request, outcome)
        }
        after(delay) { $0.attempt(attempt.request) }
    }

    private func finish(_ number: Int, _ outcome: SimulatedOutcome) {
        guard let request = requests.removeValue(forKey: number) else { return }
        if counts(request) {
            if outcome == .answered {
                report.answered += 1
                report.latencies.append(now.nanoseconds(since: request.arrived))
            } else {
                report.failed += 1
            }
        }
        requestEnded(self, request, outcome)
        if case .closed(_, let think) = arrivals { after(exponential(think)) { $0.arrive() } }
    }

    private func counts(_ request: SimulatedRequest) -> Bool {
        Double(request.arrived.nanoseconds(since: started)) >= warmUp * 1e9
    }

    // MARK: The queue of events: a binary heap

    private func isBefore(_ left: Event, _ right: Event) -> Bool {
        (left.time, left.number) < (right.time, right.number)
    }

    private func add(_ time: Instant, _ action: @escaping (Simulation) -> Void) {
        eventCount += 1
        events.append(Event(time: time.nanoseconds, number: eventCount, action: action))
        var child = events.count - 1
        while child > 0, isBefore(events[child], events[(child - 1) / 2]) {
            events.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private func nextEvent() -> Event? {
        guard let first = events.first else { return nil }
        let last = events.removeLast()
        if events.isEmpty { return first }
        events[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < events.count {
                if isBefore(events[child], events[least]) { least = child }
            }
            if least == parent { return first }
            events.swapAt(parent, least)
            parent = least
        }
    }
}
