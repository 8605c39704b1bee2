public import MeshCore
import MeshDiscovery
public import MeshModel
import MeshNet
import Synchronization

/// What the control loop tells the rest of the process.
public enum ControlNotice: Sendable, Equatable {
    /// The first certificate is here; in words.
    case joined(String)
    /// A configuration is served, for the first time; in words.
    case configured(String)
    /// Nothing is served, and nothing will be: the token was refused, for this reason.
    case refused(String)
}

/// The proxy's side of a mesh: one thread that keeps a connection to the control plane, renews the identity, publishes
/// the configurations that come, keeps the last good one on disk, and reports.
public final class ControlLoop: Sendable {
    private let driver: DriverReference
    private let shared: ControlShared
    private let status: ControlStatus
    private let proxy: Proxy

    /// Opens the state directory. Serves what is in it at once, whether or not the control plane is there.
    ///
    /// - Parameters:
    ///   - proxy: serves what comes; made with `status`.
    ///   - notify: called from the loop's thread, or before ``start()`` returns.
    /// - Throws: what keeps the proxy from ever taking part: no state directory, neither identity nor token.
    public init(
        _ options: ControlOptions, proxy: Proxy, status: ControlStatus,
        notify: @escaping @Sendable (ControlNotice) -> Void
    ) throws(ProxyError) {
        let state = try StateDirectory(options.state, instance: options.instance, role: options.role.description)
        shared = ControlShared()
        self.proxy = proxy
        self.status = status
        driver = DriverReference(
            try ControlDriver(options, state, proxy: proxy, status: status, shared: shared, notify: notify))
    }

    /// The instance's name.
    public var instance: String { shared.instance }

    /// What is served; nil: nothing yet.
    public var model: Model? { shared.model }

    /// Where the application calls others from; nil: only by a port per backend.
    public var outbound: String? { shared.outbound }

    /// Why there is no connection to the control plane; empty: there is one, or none was tried.
    public var problem: String { status.problem }

    /// Starts the thread.
    public func start() throws(ProxyError) {
        // Before the thread starts, nobody else knows the driver.
        let driver = driver
        driver.driver.restore()
        proxy.onUnknownHost { host, loop in driver.post { $0.wantService(host, from: loop) } }
        try LoopThread.spawn(name: "control") {
            driver.driver.begin()
            driver.driver.worker.loop.run()
        }
    }

    /// Tells the control plane that the instance is on its way out: others choose it no more.
    public func announceDraining(_ reason: String) { driver.post { $0.announceDraining(reason) } }

    /// Takes the listeners for the mesh away, while the application can still call others. Returns when they are gone.
    public func withdrawInbound() {
        let done = Tally()
        driver.post {
            $0.withdrawInbound()
            done.add()
        }
        _ = done.wait(for: 1, seconds: 5)
    }

    /// Tries to connect now, if there is no connection; reads a token file again.
    public func hurry() { driver.post { $0.hurry() } }
}

/// What both sides of a ``ControlLoop`` know.
final class ControlShared: Sendable {
    private struct State {
        var model: Model?
        var instance = ""
        var outbound: String?
    }

    private let state = Mutex(State())

    var model: Model? {
        get { state.withLock { $0.model } }
        set { state.withLock { $0.model = newValue } }
    }

    var outbound: String? {
        get { state.withLock { $0.outbound } }
        set { state.withLock { $0.outbound = newValue } }
    }

    var instance: String {
        get { state.withLock { $0.instance } }
        set { state.withLock { $0.instance = newValue } }
    }
}

/// The driver as other threads know it: only its mailbox may be used once its thread runs.
struct DriverReference: @unchecked Sendable {
    let driver: ControlDriver
    private let mailbox: Mailbox

    init(_ driver: ControlDriver) {
        self.driver = driver
        mailbox = driver.worker.loop.mailbox
    }

    /// Runs `job` with the driver on its loop.
    func post(_ job: @escaping @Sendable (ControlDriver) -> Void) {
        let reference = self
        mailbox.post { job(reference.driver) }
    }
}
