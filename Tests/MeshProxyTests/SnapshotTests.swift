import MeshCore
import MeshModel
import MeshNet
import Testing

@testable import MeshProxy

@Suite struct SnapshotTests {
    private func backend(_ number: Int, port: UInt16 = 9) -> Backend {
        Backend(name: "ns/Service/s\(number):80", endpoints: [Endpoint(.ip("127.0.0.1", port: port))])
    }

    private func listener(_ name: String, port: UInt16 = 0, _ backend: String = "ns/Service/s0:80") -> Listener {
        let rule = RouteRule(backends: [WeightedBackend(.backend(backend))])
        return Listener(
            address: .ip("127.0.0.1", port: port), role: .sidecar,
            sections: [Section(name: name, protocol: .http, routes: [Route(name: "ns/r", rules: [rule])])])
    }

    private func model() -> Model {
        Model(
            listeners: [listener("ns/w/a", port: 1), listener("ns/w/b", port: 2)], backends: (0..<3).map { backend($0) }
        )
    }

    @Test func otherEndpointsLeaveListenersAndOtherBackendsAsTheyAre() throws {
        let old = try Snapshot(model())
        var changed = model()
        changed.backends[1] = backend(1, port: 10)
        let new = try Snapshot(changed, previous: old)
        #expect(zip(old.listeners, new.listeners).allSatisfy { $0 === $1 })
        #expect(zip(old.backends, new.backends).map { $0 === $1 } == [true, false, true])
        #expect(new.backends[1].model.endpoints == changed.backends[1].endpoints)
    }

    @Test func backendsInAnotherOrderCompileListenersAnew() throws {
        let old = try Snapshot(model())
        var changed = model()
        changed.backends.swapAt(0, 2)
        let new = try Snapshot(changed, previous: old)
        #expect(new.listeners[0] !== old.listeners[0])
        let share = new.listeners[0].table.rules[0].split.shares[0]
        #expect(share.backend == 2)
    }

    @Test func otherSettingsReachBackends() throws {
        let old = try Snapshot(model())
        var changed = model()
        changed.settings.zone = "z"
        let new = try Snapshot(changed, previous: old)
        #expect(new.backends.allSatisfy { $0.zone == "z" })
    }

    @Test func listenersOfChosenPortsAreKeptByTheirFirstSection() throws {
        var model = Model(listeners: [listener("ns/w/a"), listener("ns/w/b")], backends: [backend(0)])
        #expect(model.problems() == [])
        let proxy = try Proxy(model, ProxyOptions())
        let (a, b) = (proxy.boundAddress(ofSection: "ns/w/a"), proxy.boundAddress(ofSection: "ns/w/b"))
        #expect(a?.port ?? 0 > 0 && b?.port ?? 0 > 0 && a != b)
        model.listeners[0].limits.maxHeaders = 7
        model.listeners.reverse()
        try proxy.publish(model)
        #expect(proxy.boundAddress(ofSection: "ns/w/a") == a)
        #expect(proxy.boundAddress(ofSection: "ns/w/b") == b)
        #expect(proxy.boundAddress(ofSection: "ns/w/c") == nil)
        #expect(proxy.drain(within: 10))
    }

    @Test func aChosenPortIsTheSameOnIPv4AndIPv6() throws {
        var wanted = listener("ns/w/a")
        wanted.address = .any(port: 0)
        let proxy = try Proxy(Model(listeners: [wanted], backends: [backend(0)]), ProxyOptions(loops: 2))
        #expect(proxy.addresses.count == 2)
        #expect(Set(proxy.addresses.map(\.port)).count == 1)
        #expect(proxy.drain(within: 10))
    }

    @Test func destinationsAreKnownByAddressThenByPort() throws {
        let destinations = OriginalDestination(
            entries: [
                .init(port: 80, section: "b"), .init(address: "10.0.0.1", port: 80, section: "a"),
                .init(address: "fd00::1", port: 80, section: "a"),
            ], passesUnknown: false)
        let sections = ["a", "b"].map { Section(name: $0, protocol: .http) }
        let listener = Listener(
            address: .any(port: 1), originalDestination: destinations, sections: sections)
        #expect(Model(listeners: [listener]).problems() == [])
        let table = try DestinationTable(destinations, of: listener)
        func found(_ text: String) -> Int? { table.section(for: SocketAddress(text)!) }
        #expect(found("10.0.0.1:80") == 0)
        #expect(found("[fd00::1]:80") == 0)
        #expect(found("10.0.0.2:80") == 1)
        #expect(found("10.0.0.1:81") == nil)
        #expect(!table.passesUnknown)
    }

    @Test func destinationsWithoutASectionAreAProblem() {
        let listener = Listener(
            address: .any(port: 1), originalDestination: OriginalDestination(entries: [.init(port: 80, section: "x")]))
        #expect(Model(listeners: [listener]).problems() == ["listener *:1: no section 'x' for port 80"])
    }

    @Test func inboundSectionsAreThoseForTheMesh() {
        #expect(Section(name: "ns/w/x", protocol: .https, mesh: .strict).isInbound(.edge))
        #expect(Section(name: "ns/w/inbound-80", protocol: .http).isInbound(.sidecar))
        #expect(!Section(name: "ns/gw/inbound-80", protocol: .http).isInbound(.edge))
        #expect(!Section(name: "ns/w/outbound", protocol: .http).isInbound(.sidecar))
    }

    @Test func aBackendWithoutProbesIsReadyAndAnUnknownOneIsNot() throws {
        var probed = backend(1)
        probed.healthCheck = HealthCheck(.tcp)
        let proxy = try Proxy(
            Model(listeners: [listener("ns/w/a")], backends: [backend(0), probed]), ProxyOptions())
        #expect(proxy.readiness(of: "ns/Service/s0:80").ready)
        #expect(!proxy.readiness(of: "ns/Service/s1:80").ready)
        #expect(proxy.readiness(of: "nobody") == (false, "there is no backend nobody"))
        #expect(proxy.traffic() == [])
        #expect(proxy.drain(within: 10))
    }
}
