import Foundation
import Testing

@testable import MeshControl

@Suite struct RegistryTests {
    private let start = ContinuousClock.now
    private let date = Date(timeIntervalSince1970: 0)
    private let port = StoredInstance.Port(port: 80, inbound: 9000, isMeshed: true)

    private func hello(_ name: String, boot: UInt64 = 1) -> InstanceHello {
        InstanceHello(
            id: StoredInstance.ID(role: "workload:shop/a", instance: name), address: "10.0.0.1", boot: boot)
    }

    private func at(_ seconds: Double) -> ContinuousClock.Instant { start.advanced(by: .seconds(seconds)) }

    private func serving(_ registry: Registry) -> [String] {
        registry.instances.values.filter { !$0.serving.isEmpty }.map(\.id.instance).sorted()
    }

    private func ready(_ count: Int) throws -> Registry {
        var registry = Registry()
        for index in 0..<count {
            _ = try registry.connect(hello("i\(index)"), stream: UInt64(index), at: start, date: date)
            registry.update(stream: UInt64(index), readiness: .ready, reason: "", ports: [port], date: date)
        }
        return registry
    }

    @Test func isAnEndpointWhileItIsReady() throws {
        var registry = try ready(1)
        #expect(serving(registry) == ["i0"])
        registry.update(stream: 0, readiness: .unready, reason: "no", ports: [port], date: date)
        #expect(serving(registry) == [])
    }

    @Test func leavesAGraceAfterItsStream() throws {
        var registry = try ready(8)
        registry.disconnect(stream: 0, at: at(1))
        registry.advance(to: at(2.9))
        #expect(serving(registry).contains("i0"))
        registry.advance(to: at(3))
        #expect(!serving(registry).contains("i0"))
        #expect(registry.nextDeadline == nil)
    }

    @Test func staysIfItComesBackInTime() throws {
        var registry = try ready(8)
        _ = registry.takeChanges()
        registry.disconnect(stream: 0, at: at(1))
        _ = try registry.connect(hello("i0"), stream: 99, at: at(2), date: date)
        registry.advance(to: at(10))
        #expect(serving(registry).count == 8)
        let changes = registry.takeChanges()
        #expect(changes.isEmpty)
    }

    @Test func leavesAtOnceIfAnotherProgramComesBack() throws {
        var registry = try ready(8)
        registry.disconnect(stream: 0, at: at(1))
        _ = try registry.connect(hello("i0", boot: 2), stream: 99, at: at(2), date: date)
        #expect(!serving(registry).contains("i0"))
    }

    @Test func allStayIfMostAreLostAtOnce() throws {
        var registry = try ready(4)
        for stream in 0..<3 { registry.disconnect(stream: UInt64(stream), at: at(1)) }
        registry.advance(to: at(30))
        #expect(serving(registry).count == 4)
        registry.advance(to: at(61))
        #expect(serving(registry) == ["i3"])
    }

    @Test func refusesTheSecondOfOneName() throws {
        var registry = try ready(1)
        #expect(throws: Registry.Refusal.self) {
            var other = registry
            _ = try other.connect(hello("i0", boot: 2), stream: 7, at: start, date: date)
        }
        let replaced = try registry.connect(hello("i0"), stream: 8, at: start, date: date)
        #expect(replaced == 0)
        #expect(registry.connectedCount == 1)
    }

    @Test func remembersEndpointsUntilTheirTimeIsUp() throws {
        var registry = Registry()
        let id = StoredInstance.ID(role: "workload:shop/a", instance: "i0")
        registry.remember([StoredInstance(id: id, address: "10.0.0.1", zone: "", ports: [port])], at: start)
        #expect(serving(registry) == ["i0"])
        var other = registry
        _ = try other.connect(hello("i0", boot: 5), stream: 1, at: at(5), date: date)
        #expect(serving(other) == ["i0"])
        registry.advance(to: at(60))
        #expect(registry.instances.isEmpty)
    }
}
