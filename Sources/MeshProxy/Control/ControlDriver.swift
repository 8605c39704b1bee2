import MeshCore
import MeshDiscovery
import MeshModel
import MeshNet
import MeshTLS

/// What happens on the control loop's thread: this file connects; the extensions beside it see to the identity, to
/// discovery and to reports.
///
/// An instance is never worse off for a control plane that is gone: everything here only ever adds to what is served.
final class ControlDriver {
    /// Why a connection is made.
    enum Errand {
        /// For the first certificate, with a token.
        case join(JoinToken)
        /// For everything else, with the certificate.
        case serve
    }

    let options: ControlOptions
    let state: StateDirectory
    let proxy: Proxy
    let status: ControlStatus
    let shared: ControlShared
    let notify: @Sendable (ControlNotice) -> Void
    let worker: Worker
    var random: Random

    private var dialer = Dialer()
    private(set) var connection: ControlConnection?
    private(set) var errand = Errand.serve
    private var isEstablished = false
    private var isDialing = false
    private var isToRestart = false
    private var lastSaid = (text: "", at: Instant(nanoseconds: 0))

    // Identity.
    var identity: HeldIdentity?
    var renewal: RenewalSchedule?
    var pendingKey: KeyPair?
    var identityCall: ControlCall?
    var refusedToken = ""
    var isExpirySaid = false

    // Discovery.
    var discovery = DiscoveryClient()
    var discoveryCall: ControlCall?
    var served: Model?
    /// What would be served for the first time, and what is in the way.
    var unserved: (model: Model, problem: String)?
    var isWithdrawn = false
    /// Where sections were bound before the program started, by name: others may still know them there.
    var formerPorts: [String: UInt16] = [:]
    /// What the state directory says of ports.
    var savedPorts: [String: UInt16] = [:]
    var isSaving = false
    var isUnsaved = false
    var savedAt = Instant(nanoseconds: 0)
    /// Loops that wait for a service, by its name.
    var questions: [(name: String, ServiceQuestion)] = []

    // Reports.
    var reportCall: ControlCall?
    var reportInterval: UInt64 = 5_000_000_000
    var reportFailures = 0
    var reported = ControlState()
    /// The traffic that was reported last.
    var reportedTraffic = ControlTraffic()
    var draining: String?
    let boot: UInt64

    private(set) lazy var dialTimer = ControlTimer(self, .dial)
    private(set) lazy var waitingTimer = ControlTimer(self, .sayWaiting)
    private(set) lazy var renewalTimer = ControlTimer(self, .renew)
    private(set) lazy var callTimer = ControlTimer(self, .callIsLate)
    private(set) lazy var serveTimer = ControlTimer(self, .serve)
    private(set) lazy var saveTimer = ControlTimer(self, .save)
    private(set) lazy var reportTimer = ControlTimer(self, .report)
    private(set) lazy var readinessTimer = ControlTimer(self, .readiness)
    private(set) lazy var demandTimer = ControlTimer(self, .demand)

    /// Between two lines that say what is waited for: 10 s.
    static let waitingInterval: UInt64 = 10_000_000_000

    init(
        _ options: ControlOptions, _ state: StateDirectory, proxy: Proxy, status: ControlStatus, shared: ControlShared,
        notify: @escaping @Sendable (ControlNotice) -> Void
    ) throws(ProxyError) {
        var generator = SystemRandomNumberGenerator()
        boot = generator.next() | 1
        random = Random(seed: generator.next())
        self.options = options
        self.state = state
        self.proxy = proxy
        self.status = status
        self.shared = shared
        self.notify = notify
        // A loop of its own that serves nobody: connections are made and driven as those to endpoints are.
        worker = try Worker(process: ProcessServices(), number: -1, seed: generator.next())
        shared.instance = state.instance
        status.update {
            $0.server = options.server
            $0.role = options.role.description
            $0.instance = state.instance
            $0.readiness = "starting"
        }
        try loadIdentity()
    }

    /// Writes a line for people.
    func say(_ text: String) { StandardError.say("martlet-proxy: \(text)") }

    /// The same, but not again and again.
    func sayOnce(_ text: String) {
        let now = Clock.now()
        guard text != lastSaid.text || now.nanoseconds(since: lastSaid.at) > 60_000_000_000 else { return }
        lastSaid = (text, now)
        say(text)
    }

    func schedule(_ timer: ControlTimer, after nanoseconds: UInt64) {
        worker.loop.schedule(timer, at: Clock.now().advanced(byNanoseconds: nanoseconds))
    }

    func cancel(_ timer: ControlTimer) { worker.loop.cancel(timer) }

    func timerFired(_ purpose: ControlTimer.Purpose) {
        switch purpose {
        case .dial: follow(dialer.begin())
        case .sayWaiting: sayWaiting()
        case .renew: renewalIsDue()
        case .callIsLate: connection?.end("no answer within 10 s")
        case .serve:
            if served == nil, let unserved { serveFirst(unserved.model) }
            save()
        case .save: save()
        case .report: reportIsDue()
        case .readiness: readinessMayHaveChanged()
        case .demand: answerFound()
        }
    }

    // MARK: Connecting

    /// Begins, on the loop's thread.
    func begin() {
        scheduleRenewal()
        schedule(readinessTimer, after: 1_000_000_000)
        if served == nil { schedule(waitingTimer, after: 1_000_000_000) }
        follow(dialer.begin())
    }

    /// Connects now, if there is no connection.
    func hurry() {
        refusedToken = ""
        if connection == nil, !isDialing {
            cancel(dialTimer)
            follow(dialer.begin())
        }
    }

    /// Connects anew and at once, with another certificate.
    func reconnect(_ reason: String) {
        if let connection {
            isToRestart = true
            connection.end(reason)
        } else {
            hurry()
        }
    }

    private func follow(_ step: Dialer.Step) {
        switch step {
        case .resolve:
            guard let errand = nextErrand() else {
                isDialing = false
                return schedule(dialTimer, after: Self.waitingInterval)
            }
            self.errand = errand
            resolve()
        case .connect(let address): connect(to: address)
        case .wait(let nanoseconds):
            isDialing = false
            schedule(dialTimer, after: nanoseconds)
        }
    }

    private func resolve() {
        isDialing = true
        guard let resolver = worker.resolver() else { return failed("names cannot be resolved") }
        resolver.resolve(options.host, port: options.port) { [self] answer in
            switch answer {
            case .addresses(let addresses, _): follow(dialer.resolved(addresses, random: &random))
            case .failed(let reason, _): failed("\(options.host): \(reason)")
            }
        }
    }

    private func connect(to address: SocketAddress) {
        let context: TLSClientContext
        do throws(ProxyError) { context = try tls() } catch { return failed(error.description) }
        let made: Connection
        switch Socket.connect(address) {
        case .failed(let code): return failed("\(address): \(Socket.text(code))")
        case .connected(let fd): made = Connection(fd: fd, peer: address, worker: worker)
        case .inProgress(let fd): made = Connection(fd: fd, peer: address, worker: worker, connecting: true)
        }
        // The worker keeps no account of it.
        made.isProbe = true
        let control = ControlConnection(made, self, trust, authority: options.server)
        connection = control
        made.speak(control)
        made.secure(TLSSession(client: context, serverName: options.host))
        guard worker.loop.add(made, [.readable, .writable, .peerClosed]) else {
            connection = nil
            return failed("the system refuses to watch another descriptor")
        }
    }

    private var trust: ControlConnection.Trust {
        switch errand {
        case .join(let token): .root(token.root)
        case .serve: .identity
        }
    }

    private func tls() throws(ProxyError) -> TLSClientContext {
        guard case .serve = errand, let identity else {
            // The chain is checked against the token once it is there, and before anything is sent.
            return try TLSClientContext(trust: .none, alpn: [.http2], sessionLimit: 0)
        }
        let server = SPIFFEID(trustDomain: identity.name.trustDomain, namespace: "martlet", service: "control")
        return try TLSClientContext(
            trust: .authorities(caPEM: identity.bundle),
            clientCertificate: TLSCertificate(chainPEM: identity.chain, keyPEM: identity.key, label: "identity"),
            alpn: [.http2], subjectAltNames: [.uri(server.description)], sessionLimit: 0)
    }

    /// An attempt came to nothing.
    private func failed(_ reason: String) {
        status.update {
            $0.facts.failedConnections += 1
            $0.problem = reason
        }
        if served != nil { sayOnce("control plane \(options.server): \(reason); serving on, trying again") }
        follow(dialer.failed(random: &random))
    }

    // MARK: What connections tell

    /// TLS is done, and the server is the one that was meant.
    func connectionOpened(_ connection: ControlConnection, server: CertificateFacts) {
        guard let name = server.spiffeID.flatMap(SPIFFEID.init), name.name == "martlet/control" else {
            return connection.end("the server is not a control plane: \(server.spiffeID ?? "it has no SPIFFE id")")
        }
        isEstablished = true
        isDialing = false
        switch errand {
        case .join(let token): join(token, on: connection, trustDomain: name.trustDomain)
        case .serve:
            dialer.opened(now: Clock.now())
            let address = connection.connection { $0.peer.description }
            status.update {
                $0.facts.isConnected = true
                $0.facts.connections += 1
                $0.address = address
                $0.since = Clock.wall()
                $0.problem = ""
            }
            lastSaid.text = ""
            say("connected to the control plane at \(address)")
            beginReporting()
            beginDiscovery()
            renewalIsDue()
        }
    }

    func received(_ messages: [[UInt8]], on call: ControlCall) {
        switch call.method {
        case .join, .sign: identityAnswered(messages, call)
        case .discovery: discovered(messages)
        case .report: reportAnswered(messages)
        }
    }

    func ended(_ call: ControlCall, _ end: CallEnd) {
        switch call.method {
        case .join: joinEnded(end)
        case .sign: signEnded(end)
        case .discovery: connection?.end("discovery ended: \(end.description)")
        case .report: reportEnded(end)
        }
    }

    func connectionClosed(_ closed: ControlConnection, _ reason: String) {
        guard connection === closed else { return }
        connection = nil
        discoveryCall = nil
        giveUpQuestions()
        reportCall = nil
        identityCall = nil
        for timer in [callTimer, reportTimer] { cancel(timer) }
        if isToRestart {
            isToRestart = false
            isEstablished = false
            status.update { $0.facts.isConnected = false }
            return follow(dialer.begin())
        }
        guard isEstablished else { return failed(reason) }
        isEstablished = false
        let wasConnected = status.facts.isConnected
        status.update {
            $0.facts.isConnected = false
            $0.problem = reason
            if wasConnected { $0.since = Clock.wall() } else { $0.facts.failedConnections += 1 }
        }
        if wasConnected { sayOnce("control plane \(options.server): \(reason); serving on, connecting again") }
        signInterrupted(reason)
        follow(dialer.lost(now: Clock.now(), random: &random))
    }

    private func sayWaiting() {
        guard served == nil, unserved == nil else { return }
        schedule(waitingTimer, after: Self.waitingInterval)
        var problem = ""
        status.update { problem = $0.problem }
        if connection != nil, status.facts.isConnected {
            say("waiting for a configuration: the control plane has none for \(options.role) yet")
        } else if problem.isEmpty {
            say("waiting for the control plane at \(options.server)")
        } else {
            say("waiting for the control plane at \(options.server): \(problem)")
        }
    }
}

/// A deadline of the control loop.
final class ControlTimer: TimerNode {
    /// What is due.
    enum Purpose {
        case dial, sayWaiting, renew, callIsLate, serve, save, report, readiness, demand
    }

    private let driver: Link<ControlDriver>
    private let purpose: Purpose

    init(_ driver: ControlDriver, _ purpose: Purpose) {
        self.driver = Link(driver)
        self.purpose = purpose
        super.init()
    }

    override func timerFired() { driver { $0.timerFired(purpose) } }
}
