import MeshCore
import MeshHTTP
import MeshNet
import MeshTelemetry
import MeshTraffic
import Synchronization

/// What the admin endpoint answers with.
struct AdminAnswer: Sendable {
    var status = 200
    var contentType: StaticString = "text/plain; charset=utf-8"
    var body: [UInt8] = []
    /// The methods to name in a 405.
    var allowed = ""

    init(_ text: String, status: Int = 200) {
        self.status = status
        body = Array(text.utf8)
    }

    init(json text: String) {
        contentType = "application/json"
        body = Array(text.utf8)
    }

    init(metrics text: [UInt8]) {
        contentType = "text/plain; version=0.0.4; charset=utf-8"
        body = text
    }
}

/// The admin endpoint: what the process knows of itself, gathered from all loops. One per process.
///
/// GET reads and changes nothing; `POST /drain` is the only verb. It listens on loopback or a unix socket unless told
/// otherwise, and shows no secret.
final class AdminListener: Sendable {
    private struct State {
        var snapshot: Snapshot?
        var adopted: UInt64 = 0
        var accepted: UInt64 = 0
        var rejected: UInt64 = 0
        var lastAccepted = true
        var isDraining = false
    }

    private let workers: [WorkerReference]
    private let started = Clock.wall()
    private let state = Mutex(State())
    private let control: ControlStatus?

    init(workers: [WorkerReference], control: ControlStatus? = nil) {
        self.workers = workers
        self.control = control
    }

    // MARK: What the proxy tells

    func adopted(_ snapshot: Snapshot) {
        state.withLock { state in
            state.snapshot = snapshot
            state.adopted = Clock.wall()
            state.accepted += 1
            state.lastAccepted = true
        }
    }

    func rejected() {
        state.withLock { state in
            state.rejected += 1
            state.lastAccepted = false
        }
    }

    func beginDraining() { state.withLock { $0.isDraining = true } }

    // MARK: Requests

    /// Answers `exchange`, now or once all loops have said what they know.
    func answer(_ exchange: Exchange) {
        let request = exchange.request
        let target = request.span(request.pathRange)
        var length = 0
        while length < target.count, target[length] != UInt8(ascii: "?") { length &+= 1 }
        let path = String(decoding: (0..<length).map { target[$0] }, as: UTF8.self)
        guard let route = AdminRoute(rawValue: path) else {
            return exchange.answer(AdminAnswer("nothing here; see /\n", status: 404))
        }
        guard route.allows(request.method) else {
            var answer = AdminAnswer("\(route.rawValue) wants \(route.methods)\n", status: 405)
            answer.allowed = route.methods
            return exchange.answer(answer)
        }
        switch route {
        case .index: exchange.answer(AdminAnswer(AdminRoute.index.overview))
        case .live: exchange.answer(AdminAnswer("live\n"))
        case .ready: exchange.answer(readiness())
        case .config:
            let snapshot = state.withLock { $0.snapshot }
            exchange.answer(
                AdminAnswer(json: snapshot.map { ConfigurationJSON.text($0, control: control?.json) } ?? "{}\n"))
        case .certs:
            exchange.answer(AdminAnswer(json: state.withLock { $0.snapshot }.map(CertificatesJSON.text) ?? "[]\n"))
        case .drain:
            beginDraining()
            for reference in workers { reference.post { $0.drain() } }
            exchange.answer(AdminAnswer("draining\n", status: 202))
        case .metrics: gather(exchange) { admin, reports in AdminAnswer(metrics: admin.metrics(reports)) }
        case .upstreams: gather(exchange) { _, reports in AdminAnswer(json: UpstreamsJSON.text(reports)) }
        }
    }

    private func readiness() -> AdminAnswer {
        let draining = state.withLock { $0.isDraining }
        if !draining, let control, !control.isConfigured {
            return AdminAnswer("waiting for a configuration\n", status: 503)
        }
        return draining ? AdminAnswer("draining\n", status: 503) : AdminAnswer("ready\n")
    }

    /// Asks every loop for its report; the last one to answer makes the answer, on the loop of the exchange.
    private func gather(
        _ exchange: Exchange, _ make: @escaping @Sendable (AdminListener, [LoopReport]) -> AdminAnswer
    ) {
        let waiting = WaitingExchange(exchange)
        let collected = ReportBox(wanted: workers.count)
        let home = workers.first { $0.worker === exchange.worker }
        for reference in workers {
            reference.post { worker in
                guard let reports = collected.add(LoopReport(of: worker)) else { return }
                home?.post { _ in waiting.answer(make(self, reports)) }
            }
        }
    }

    private func metrics(_ reports: [LoopReport]) -> [UInt8] {
        let state = state.withLock { $0 }
        var facts = ProcessFacts(version: Release.version, startTime: started)
        facts.processorTime = ThisProcess.processorNanoseconds()
        facts.residentBytes = ThisProcess.residentBytes()
        facts.openDescriptors = ThisProcess.openDescriptorCount()
        facts.maximumDescriptors = ProcessLimits.descriptors()
        facts.loops = workers.count
        facts.revision = state.snapshot?.model.revision ?? ""
        facts.adopted = state.adopted
        facts.acceptedConfigurations = state.accepted
        facts.rejectedConfigurations = state.rejected
        facts.lastConfigurationAccepted = state.lastAccepted
        facts.certificates = state.snapshot.map(CertificatesJSON.expiries) ?? []
        facts.isReady = !state.isDraining && control?.isConfigured ?? true
        facts.control = control?.facts
        facts.isDraining = state.isDraining
        facts.backends = state.snapshot?.backends.map(\.facts) ?? []
        facts.overloadLevel = reports.map(\.overload.level).max() ?? 0
        facts.loopsNotAccepting = reports.count { $0.overload.pausesAccepting }
        return MetricsSnapshot.merged(reports.map(\.metrics)).prometheus(process: facts)
    }
}

/// The paths of the admin endpoint.
enum AdminRoute: String, CaseIterable {
    case index = "/"
    case live = "/live"
    case ready = "/ready"
    case metrics = "/metrics"
    case config = "/config"
    case upstreams = "/upstreams"
    case certs = "/certs"
    case drain = "/drain"

    func allows(_ method: Method) -> Bool { self == .drain ? method == .post : method == .get || method == .head }

    var methods: String { self == .drain ? "POST" : "GET, HEAD" }

    private var sentence: String {
        switch self {
        case .index: "this page"
        case .live: "200 while the process lives"
        case .ready: "200 while new requests are welcome, 503 when draining"
        case .metrics: "Prometheus text"
        case .config: "the configuration that is served, as JSON, without secrets"
        case .upstreams: "backends, endpoints and their connections, as JSON"
        case .certs: "certificates and when they end, as JSON"
        case .drain: "POST: drain as SIGTERM does, but stay until SIGTERM comes"
        }
    }

    /// One line per path.
    var overview: String {
        Self.allCases.map { $0.rawValue + String(repeating: " ", count: 12 - $0.rawValue.count) + $0.sentence + "\n" }
            .joined()
    }
}

/// An exchange that waits for an answer from other loops; by then it may serve somebody else.
private final class WaitingExchange: @unchecked Sendable {
    // SAFETY of the Sendable claim: made and used on the exchange's own loop only.
    private let exchange: Exchange
    private let serial: Int

    init(_ exchange: Exchange) {
        self.exchange = exchange
        serial = exchange.serial
    }

    func answer(_ answer: AdminAnswer) { if exchange.serial == serial { exchange.answer(answer) } }
}

/// Reports until all are there.
private final class ReportBox: Sendable {
    private let reports = Mutex<[LoopReport]>([])
    private let wanted: Int

    init(wanted: Int) { self.wanted = wanted }

    /// All reports, if this was the last one.
    func add(_ report: LoopReport) -> [LoopReport]? {
        reports.withLock { reports in
            reports.append(report)
            return reports.count == wanted ? reports : nil
        }
    }
}

/// What one loop knows.
struct LoopReport: Sendable {
    /// One endpoint as one loop sees it.
    struct Endpoint: Sendable {
        let backend: String
        let address: String
        let weight: Int
        let connections: Int
        let idle: Int
        let requests: Int
        let standing: EndpointShare.Report
        /// When its ejection is over, as wall-clock time.
        let ejectedUntil: UInt64?
    }

    let overload: OverloadState
    let metrics: MetricsSnapshot
    let endpoints: [Endpoint]

    init(of worker: Worker) {
        metrics = worker.metrics.snapshot()
        overload = worker.overload
        let now = worker.loop.now
        endpoints = worker.configuration.backends.flatMap { pool in
            pool.endpoints.map { endpoint in
                let summary = endpoint.summary
                let standing = pool.share.report(endpoint.share)
                return Endpoint(
                    backend: pool.backend.name, address: endpoint.address.description, weight: endpoint.weight,
                    connections: summary.connections, idle: summary.idle, requests: summary.active,
                    standing: standing, ejectedUntil: standing.ejectionEnd(now: now, wallTime: Clock.wall()))
            }
        }
    }
}
