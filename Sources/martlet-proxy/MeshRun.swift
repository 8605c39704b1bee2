import Glibc
import MeshCore
import MeshModel
import MeshNet
import MeshProxy
import Synchronization

/// What the control loop said that the main thread has not looked at yet.
private final class Notices: Sendable {
    private let events: ProcessEvents
    private let queue = Mutex<[ControlNotice]>([])

    init(_ events: ProcessEvents) { self.events = events }

    func add(_ notice: ControlNotice) {
        queue.withLock { $0.append(notice) }
        events.wake()
    }

    func take() -> [ControlNotice] {
        queue.withLock { queue in
            defer { queue = [] }
            return queue
        }
    }
}

/// `martlet-proxy run`: the data plane, its control loop, and the service beside it.
final class MeshRun {
    private let arguments: MeshArguments
    private let events: ProcessEvents
    private let notices: Notices
    private let proxy: Proxy
    private let control: ControlLoop
    private var child: ChildProcess?
    private var isConfigured = false

    /// Signals that mean something to the service alone.
    private static let passedOn = [SIGUSR1, SIGUSR2]

    init(_ arguments: MeshArguments) throws(ProxyError) {
        self.arguments = arguments
        events = try ProcessEvents(others: Self.passedOn)
        let notices = Notices(events)
        self.notices = notices
        let loops = arguments.loops ?? ThisProcess.processorCount()
        // How many listeners there will be is not known yet: as many as a busy sidecar has.
        try ProcessLimits.requireDescriptors(loops * 64)
        let status = ControlStatus()
        let empty = Model(settings: ProxySettings(accessLog: .off))
        proxy = try Proxy(empty, ProxyOptions(loops: loops, admin: arguments.admin, control: status))
        control = try ControlLoop(arguments.control, proxy: proxy, status: status) { notices.add($0) }
    }

    /// Runs until a signal or the service ends it; returns the exit code.
    func run() throws(ProxyError) -> Int32 {
        try control.start()
        while true {
            for notice in notices.take() {
                switch notice {
                case .joined: break
                case .refused(let reason): throw ProxyError(reason)
                case .configured(let summary): if let code = begin(summary) { return code }
                }
            }
            switch events.next() {
            case .woken, .nothing: break
            case .signal(SIGCHLD): if let end = reap() { return finish(end) }
            case .signal(SIGHUP): if let child { child.send(SIGHUP) } else { control.hurry() }
            case .signal(let number) where Self.passedOn.contains(number): child?.send(number)
            case .signal(let number): return terminate(number)
            }
        }
    }

    /// `martlet-proxy identity`: until the certificate is there.
    func join() throws(ProxyError) -> Int32 {
        try control.start()
        let deadline = Clock.now().advanced(byNanoseconds: 30_000_000_000)
        while Clock.now() < deadline {
            for notice in notices.take() {
                switch notice {
                case .joined(let text):
                    say("martlet-proxy: \(text); see \(arguments.control.state)")
                    return 0
                case .refused(let reason): throw ProxyError(reason)
                case .configured: break
                }
            }
            if case .signal(let number) = events.next(milliseconds: 1000), number == SIGTERM || number == SIGINT {
                return 128 + number
            }
        }
        let problem = control.problem
        throw ProxyError("no certificate within 30 s\(problem.isEmpty ? "" : ": \(problem)")")
    }

    // MARK: The service

    /// A configuration is served: starts the service. The exit code if that cannot be done, else nil.
    private func begin(_ summary: String) -> Int32? {
        isConfigured = true
        say("martlet-proxy: instance \(control.instance) \(summary)")
        if !arguments.command.isEmpty, child == nil {
            do throws(ChildProcess.Failure) {
                child = try ChildProcess.start(arguments.command, environment())
            } catch {
                say("martlet-proxy: \(error.reason), draining")
                return leave("the service cannot be started", error.code)
            }
            say("martlet-proxy: started \(arguments.command[0]), process \(child?.id ?? 0)")
        }
        ServiceNotice.ready.send()
        ThisProcess.releaseStartupPages()
        return nil
    }

    private func environment() -> [String] {
        // The token is the proxy's alone.
        let ours = ["MARTLET_TOKEN", "MARTLET_OUTBOUND", "MARTLET_INSTANCE", "MARTLET_ROLE", "MARTLET_ADMIN"]
        var variables = ChildProcess.environment().filter { variable in
            !ours.contains { variable.hasPrefix("\($0)=") }
        }
        variables.append("MARTLET_INSTANCE=\(control.instance)")
        variables.append("MARTLET_ROLE=\(arguments.control.role)")
        if let outbound = control.outbound { variables.append("MARTLET_OUTBOUND=\(outbound)") }
        if let admin = arguments.admin { variables.append("MARTLET_ADMIN=\(admin)") }
        return variables
    }

    /// Buries every child that has ended; how the service ended, if it did.
    private func reap() -> ChildProcess.End? {
        var ended: ChildProcess.End?
        while let (id, end) = ChildProcess.reap() { if id == child?.id { ended = end } }
        if ended != nil { child = nil }
        return ended
    }

    /// Waits for the service's end.
    private func waitForChild(milliseconds: Int) -> ChildProcess.End? {
        let deadline = Clock.now().advanced(byNanoseconds: UInt64(milliseconds) * 1_000_000)
        while true {
            if let end = reap() { return end }
            let left = deadline.nanoseconds(since: Clock.now()) / 1_000_000
            if left == 0 { return nil }
            _ = events.next(milliseconds: Int(left))
        }
    }

    // MARK: The end

    private var drainSeconds: Int { control.model?.settings.drainSeconds ?? 0 }

    /// The service has ended.
    private func finish(_ end: ChildProcess.End) -> Int32 {
        switch end {
        case .exited(let code): say("martlet-proxy: \(arguments.command[0]) ended with \(code), draining")
        case .killed(let number): say("martlet-proxy: \(arguments.command[0]) was killed by signal \(number), draining")
        }
        return leave("the service has ended", end.code)
    }

    /// Drains without a service; returns `code`.
    private func leave(_ reason: String, _ code: Int32) -> Int32 {
        Signals.letGo()
        ServiceNotice.stopping.send()
        control.announceDraining(reason)
        _ = proxy.drain(within: drainSeconds)
        return code
    }

    /// SIGTERM or SIGINT.
    private func terminate(_ number: Int32) -> Int32 {
        Signals.letGo()
        ServiceNotice.stopping.send()
        guard isConfigured else { return 0 }
        control.announceDraining("signal \(number)")
        say("martlet-proxy: draining for at most \(drainSeconds) s")
        if child == nil {
            ThisProcess.pause(milliseconds: UInt32(clamping: arguments.drainDelay))
            if proxy.drain(within: drainSeconds) { return 0 }
            say("martlet-proxy: requests were cut off after \(drainSeconds) s")
            return 1
        }
        // Others are told before anything is refused. The service may end by itself at any moment.
        if let end = waitForChild(milliseconds: arguments.drainDelay) { return finish(end) }
        control.withdrawInbound()
        if !proxy.waitForGoneListeners(within: drainSeconds) {
            say("martlet-proxy: requests to the service go on after \(drainSeconds) s")
        }
        child?.send(number)
        var end = waitForChild(milliseconds: max(drainSeconds, 1) * 1000)
        if end == nil {
            say("martlet-proxy: \(arguments.command[0]) goes on \(drainSeconds) s after the signal: killing it")
            child?.send(SIGKILL)
            end = waitForChild(milliseconds: 5000)
        }
        // Nobody calls from here any more; what is still open is the service's fault.
        _ = proxy.drain(within: min(drainSeconds, 2))
        return end?.code ?? 128 + SIGKILL
    }
}
