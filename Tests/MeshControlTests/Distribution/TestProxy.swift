import Foundation
import Logging
import MeshDiscovery
import MeshModel
import Synchronization
import Testing

@testable import MeshControl

/// A distributor whose time the test moves, and what the tests of it share.
struct Distribution {
    /// Time that only moves when it is told to.
    final class Clock: Sendable {
        private let time = Mutex(ContinuousClock.now)

        var now: ContinuousClock.Instant { time.withLock { $0 } }
        func advance(_ milliseconds: Int) { time.withLock { $0 = $0.advanced(by: .milliseconds(milliseconds)) } }
    }

    let clock = Clock()
    let metrics = ControlMetrics()
    let store: SQLiteStore
    let distributor: Distributor

    init() throws {
        store = try SQLiteStore(path: NSTemporaryDirectory() + "distribution-\(UUID().uuidString).db")
        distributor = Distributor(
            store: store, metrics: metrics, log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            setsTimers: false, time: { [clock] in clock.now })
    }

    /// Time passes, and what is due is done.
    func pass(_ milliseconds: Int) async {
        clock.advance(milliseconds)
        await distributor.advance()
    }

    /// web calls orders; nobody calls stock. `ports` of their services, 80 where nothing is said.
    static func shop(ports: [String: UInt16] = [:], without: Set<String> = []) -> [MeshResource] {
        var resources: [MeshResource] = [.mesh(MeshSettings(trustDomain: "test.mesh"))]
        for name in ["web", "orders", "stock"] where !without.contains(name) {
            let port = ports[name] ?? 80
            let backend = "shop/Service/\(name):\(port)"
            let calls = name == "web" ? [WorkloadBackend(service: "shop/orders")] : []
            resources += [
                .service(
                    MeshService(
                        name: "shop/\(name)",
                        ports: [MeshServicePort(port: port, protocol: .http1, backend: backend)])),
                .backend(MeshBackend(backend: Backend(name: backend), endpoints: backend)),
                .endpoints(EndpointSet(name: backend, endpoints: [])),
                .workload(Workload(name: "shop/\(name)", service: "shop/\(name)", backends: calls)),
            ]
        }
        return resources
    }

    static func peer(_ service: String, _ instance: String, serial: String = "") -> ProxyPeer {
        ProxyPeer(
            identity: SPIFFEID(trustDomain: "test.mesh", namespace: "shop", service: service), instance: instance,
            serial: serial, address: "10.0.0.1")
    }

    /// An instance says hello by a stream of reports; the stream's number.
    func hello(_ service: String, _ instance: String, boot: UInt64 = 1) async throws -> UInt64 {
        var hello = ControlHello()
        hello.role = "workload:shop/\(service)"
        hello.instance = instance
        hello.boot = boot
        return try await distributor.connect(hello, Self.peer(service, instance)) {}.stream
    }

    /// It reports how it is, and that it serves port 80 at `inbound`.
    func report(
        _ stream: UInt64, _ readiness: ControlState.Readiness, reason: String = "", inbound: UInt32 = 9000
    ) async {
        var message = ControlReportRequest()
        message.state.readiness = readiness
        message.state.reason = reason
        var port = ControlServedPort()
        port.port = 80
        port.inboundPort = inbound
        port.meshed = true
        message.state.ports = [port]
        await distributor.report(message, stream)
    }
}

/// A proxy at the other end of a discovery stream, without the stream.
struct TestProxy {
    let distribution: Distribution
    let stream: UInt64
    let wake: AsyncStream<Void>
    var client: DiscoveryClient

    /// Opens a stream, and asks for everything.
    init(
        _ distribution: Distribution, _ service: String = "web", instance: String = "web-1", serial: String = "",
        client: DiscoveryClient = DiscoveryClient()
    ) async throws {
        self.distribution = distribution
        self.client = client
        (stream, wake) = try await distribution.distributor.open(
            "workload:shop/\(service)", instance: instance, Distribution.peer(service, instance, serial: serial))
        for request in self.client.start() { try await distribution.distributor.receive(request, stream) }
    }

    /// What it would be sent now; nil: nothing. Once a response was taken, the next is another.
    func next() async -> DiscoveryDeltaDiscoveryResponse? { await distribution.distributor.next(stream) }

    /// Takes a response over, and says so.
    mutating func accept(_ response: DiscoveryDeltaDiscoveryResponse) async throws {
        if let request = client.accept(client.receive(response)) {
            try await distribution.distributor.receive(request, stream)
        }
    }

    /// Refuses a response.
    mutating func reject(_ response: DiscoveryDeltaDiscoveryResponse, _ reason: String) async throws {
        let refusal = client.reject(client.receive(response), reason: reason)
        let request = try #require(refusal)
        try await distribution.distributor.receive(request, stream)
    }

    /// Takes everything over that there is now; what it was, as in `MeshService +shop/orders -shop/stock`.
    @discardableResult
    mutating func settle() async throws -> [String] {
        var seen: [String] = []
        while let response = await next() {
            seen.append(Self.text(response))
            try await accept(response)
            try #require(seen.count < 100, "it does not come to an end")
        }
        return seen
    }

    static func text(_ response: DiscoveryDeltaDiscoveryResponse) -> String {
        let type = MeshResourceType(url: response.typeURL)?.shortName ?? response.typeURL
        let names =
            response.resources.map { "+\($0.name)" }.sorted() + response.removedResources.map { "-\($0)" }.sorted()
        return ([type] + names).joined(separator: " ")
    }

    /// The port of a service as it knows it.
    func port(_ service: String) -> UInt16? { client.resources.services["shop/\(service)"]?.ports.first?.port }

    /// The ports of the endpoints of a service as it knows them.
    func endpoints(_ service: String) -> [String] {
        (client.resources.endpoints["shop/Service/\(service):80"]?.endpoints ?? []).map(\.address.description)
    }
}
