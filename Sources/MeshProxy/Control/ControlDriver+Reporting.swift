import MeshCore
import MeshDiscovery
import MeshModel
import MeshNet
import MeshTelemetry

/// What the control plane hears of this instance.
extension ControlDriver {
    private static var readinessInterval: UInt64 { 1_000_000_000 }

    func beginReporting() {
        guard let call = connection?.call(.report) else { return }
        reportCall = call
        var message = ControlReportRequest()
        message.hello.role = options.role.description
        message.hello.instance = state.instance
        message.hello.version = Release.version
        message.hello.address = options.address
        message.hello.zone = options.zone
        message.hello.boot = boot
        message.hello.time = Int64(Clock.wall() / 1_000_000_000)
        reported = standing()
        message.state = reported
        reportedTraffic = traffic()
        message.traffic = reportedTraffic
        call.send(ControlMessages.report(message))
        schedule(reportTimer, after: reportInterval)
    }

    func reportIsDue() {
        guard let call = reportCall else {
            if status.facts.isConnected { beginReporting() }
            return
        }
        var message = ControlReportRequest()
        message.traffic = traffic()
        schedule(reportTimer, after: reportInterval)
        // The numbers are totals: with nothing new there is nothing to say.
        guard message.traffic != reportedTraffic else { return }
        reportedTraffic = message.traffic
        call.send(ControlMessages.report(message))
    }

    func reportAnswered(_ messages: [[UInt8]]) {
        reportFailures = 0
        for message in messages.compactMap(ControlMessages.report) as [ControlReportResponse] {
            if message.intervalSeconds > 0 {
                reportInterval = UInt64(min(message.intervalSeconds, 3600)) * 1_000_000_000
                schedule(reportTimer, after: reportInterval)
            }
            if !message.notice.isEmpty { say("the control plane says: \(message.notice)") }
        }
    }

    /// The rest goes on without reports, which are tried again: another process may be connected in this one's name.
    func reportEnded(_ end: CallEnd) {
        reportCall = nil
        if end.code == CallEnd.unavailable { return connection?.end("reporting ended: \(end.description)") ?? () }
        let advice =
            end.code == CallEnd.alreadyExists
            ? "; is the same instance running elsewhere, with a copy of this state directory?" : ""
        sayOnce(
            "instance \(state.instance) of \(options.role) does not count as an endpoint: \(end.description)\(advice)")
        let pause = min(10_000_000_000, UInt64(1_000_000_000) << UInt64(min(reportFailures, 4)))
        reportFailures += 1
        schedule(reportTimer, after: UInt64.random(in: pause / 2...pause, using: &random))
    }

    // MARK: State

    /// Looks whether there is something new to report, and looks again.
    func readinessMayHaveChanged() {
        schedule(readinessTimer, after: Self.readinessInterval)
        let now = standing()
        guard now != reported else { return }
        reported = now
        var message = ControlReportRequest()
        message.state = now
        reportCall?.send(ControlMessages.report(message))
    }

    /// The instance is on its way out.
    func announceDraining(_ reason: String) {
        draining = reason
        readinessMayHaveChanged()
    }

    private func standing() -> ControlState {
        var state = ControlState()
        if let draining {
            state.readiness = .draining
            state.reason = draining
        } else if served == nil {
            state.readiness = .starting
            state.reason = unserved?.problem ?? ""
        } else {
            let unready = proxy.unreadiness(of: ownBackends)
            state.readiness = unready == nil ? .ready : .unready
            state.reason = unready ?? ""
        }
        state.ports = servedPorts()
        let word = Self.word(state.readiness)
        status.update { $0.readiness = word }
        return state
    }

    private static func word(_ readiness: ControlState.Readiness) -> String {
        switch readiness {
        case .unspecified, .UNRECOGNIZED: "unknown"
        case .starting: "starting"
        case .ready: "ready"
        case .unready: "unready"
        case .draining: "draining"
        }
    }

    private func servedPorts() -> [ControlServedPort] {
        guard let served else { return [] }
        let bound = proxy.boundPorts()
        return served.listeners.flatMap(\.sections).compactMap { section in
            guard let port = inboundPort(section.name), let inbound = bound[section.name] else { return nil }
            var served = ControlServedPort()
            served.port = UInt32(port)
            served.inboundPort = UInt32(inbound)
            served.meshed = section.mesh != nil
            return served
        }
    }

    /// The backends that are the application beside the proxy.
    private var ownBackends: [String] {
        let sections = served?.listeners.flatMap(\.sections).filter { inboundPort($0.name) != nil } ?? []
        let shares = sections.flatMap { section in
            section.routes.flatMap { $0.rules.flatMap(\.backends) } + section.streamRoutes.flatMap(\.backends)
        }
        return shares.compactMap { share in
            guard case .backend(let name) = share.target else { return nil }
            return name
        }
    }

    private func traffic() -> ControlTraffic {
        var traffic = ControlTraffic()
        traffic.hops = proxy.traffic().map(ControlHop.init)
        return traffic
    }
}

extension ControlHop {
    init(_ report: HopReport) {
        self.init()
        direction = report.direction == .inbound ? .inbound : .outbound
        source = report.source
        destination = report.destination
        destinationVersion = report.destinationVersion
        route = report.route
        mtls = report.isMTLS
        counts = report.counts.map { count in
            var message = ControlHopCount()
            message.status = Int32(clamping: count.status)
            message.grpcStatus = Int32(clamping: count.grpcStatus)
            message.reason = count.reason?.rawValue ?? ""
            message.count = count.count
            return message
        }
        durationBuckets = report.durationBuckets
        durationSumMicroseconds = report.durationSumMicroseconds
    }
}
