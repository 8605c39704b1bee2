import Foundation
internal import MeshDiscovery

/// A stream of reports.
struct ReportStream: Sendable {
    var peer: ProxyPeer
    /// True until the first report of traffic of a program that has just started.
    var isFresh: Bool
    /// Ends it.
    var end: @Sendable () -> Void
}

/// Streams of reports.
extension Distributor {
    /// Seconds between two reports of traffic.
    static let reportInterval: Int32 = 5

    /// An instance says hello. The stream's number and what to answer; `end` is called when the stream shall end.
    func connect(
        _ hello: ControlHello, _ peer: ProxyPeer, end: @escaping @Sendable () -> Void
    ) throws(StreamRefusal) -> (stream: UInt64, response: ControlReportResponse) {
        let role = try admit(hello.role, instance: hello.instance, peer)
        let date = Date()
        let skew = hello.time == 0 ? 0 : hello.time - Int64(date.timeIntervalSince1970)
        let instance = InstanceHello(
            id: StoredInstance.ID(role: role.description, instance: hello.instance), version: hello.version,
            address: hello.address.isEmpty ? peer.address : hello.address, zone: hello.zone, boot: hello.boot,
            skew: skew)
        let stream = makeStream()
        do throws(Registry.Refusal) {
            if let replaced = try registry.connect(instance, stream: stream, at: now, date: date) {
                reports.removeValue(forKey: replaced)?.end()
            }
        } catch {
            metrics.count(.refusedStreams, StreamRefusal.Kind.taken.rawValue)
            log.warning("\(error.message)")
            throw StreamRefusal(kind: .taken, message: error.message)
        }
        reports[stream] = ReportStream(peer: peer, isFresh: false, end: end)
        log.info("\(hello.role)/\(hello.instance) is connected from \(instance.address)")
        var response = ControlReportResponse()
        response.intervalSeconds = Self.reportInterval
        if abs(skew) > Registry.toleratedSkew {
            response.notice =
                "the clock of this machine is \(abs(skew)) s \(skew > 0 ? "ahead of" : "behind") "
                + "the control plane's: certificates may seem invalid; set the clock right"
            log.warning("\(hello.role)/\(hello.instance): its clock is off by \(skew) s")
        }
        collectRegistryChanges()
        settle()
        return (stream, response)
    }

    /// An instance reports.
    func report(_ message: ControlReportRequest, _ stream: UInt64) {
        let date = Date()
        registry.touch(stream: stream, date: date)
        if message.hasState, let readiness = Readiness(message.state.readiness) {
            if readiness == .starting { reports[stream]?.isFresh = true }
            let ports = message.state.ports.compactMap { port -> StoredInstance.Port? in
                guard let number = UInt16(exactly: port.port), number > 0,
                    let inbound = UInt16(exactly: port.inboundPort), inbound > 0
                else { return nil }
                return StoredInstance.Port(port: number, inbound: inbound, isMeshed: port.meshed)
            }
            registry.update(
                stream: stream, readiness: readiness, reason: message.state.reason, ports: ports, date: date)
            collectRegistryChanges()
            settle()
        }
        if message.hasTraffic, let instance = registry.instance(of: stream) {
            traffic.record(
                message.traffic, from: instance.id, boot: instance.hello.boot,
                isFresh: reports[stream]?.isFresh ?? false, at: now)
            reports[stream]?.isFresh = false
        }
    }

    /// A stream has ended.
    func disconnect(_ stream: UInt64) {
        guard reports.removeValue(forKey: stream) != nil else { return }
        if let instance = registry.instance(of: stream) {
            metrics.count(.lostInstances)
            log.info("\(instance.id.role)/\(instance.id.instance) is no longer connected")
        }
        registry.disconnect(stream: stream, at: now)
        collectRegistryChanges()
        settle()
    }
}
