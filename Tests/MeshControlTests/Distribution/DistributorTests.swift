import Foundation
import MeshDiscovery
import MeshModel
import Testing

@testable import MeshControl

/// Who is sent what, and when.
@Suite struct DistributorTests {
    /// A distributor that has sent nothing lately, and web, which has everything.
    private func settled() async throws -> (Distribution, TestProxy) {
        let all = try Distribution()
        try await all.distributor.adopt(Distribution.shop())
        var proxy = try await TestProxy(all)
        _ = try await proxy.settle()
        await all.pass(10_000)
        return (all, proxy)
    }

    // MARK: What

    @Test func aProxyGetsWhatItsWorkloadCalls() async throws {
        let all = try Distribution()
        try await all.distributor.adopt(Distribution.shop())
        try await all.distributor.adopt(trustBundle: Array("roots".utf8))
        var proxy = try await TestProxy(all)
        let seen = try await proxy.settle()
        let filled = seen.filter { $0.contains(" ") }
        #expect(
            filled == [
                "TrustBundle +bundle", "MeshSettings +mesh", "MeshBackend +shop/Service/orders:80",
                "EndpointSet +shop/Service/orders:80", "MeshService +shop/orders", "Workload +shop/web",
            ], "in the order in which they can be used")
        #expect(proxy.client.isComplete)
        #expect(proxy.client.resources.trustBundle == Array("roots".utf8))
    }

    @Test func whatItDoesNotCallIsNotSentUnlessItAsks() async throws {
        var (all, proxy) = try await settled()
        try await all.distributor.adopt(Distribution.shop(ports: ["stock": 81]))
        let sent1 = try await proxy.settle()
        #expect(sent1 == [])
        let subscription = proxy.client.subscribe(service: "shop/stock")
        let request = try #require(subscription)
        try await all.distributor.receive(request, proxy.stream)
        let seen = try await proxy.settle()
        #expect(seen.contains("MeshService +shop/stock") && proxy.port("stock") == 81)
        await all.pass(10_000)
        try await all.distributor.adopt(Distribution.shop(ports: ["stock": 82]))
        let sent2 = try await proxy.settle()
        #expect(sent2.contains("MeshService +shop/stock"))
        #expect(proxy.port("stock") == 82)
    }

    @Test func whatIsRemovedIsTakenAway() async throws {
        var (all, proxy) = try await settled()
        try await all.distributor.adopt(Distribution.shop(without: ["orders"]))
        let seen = try await proxy.settle()
        #expect(seen.contains("MeshService -shop/orders") && seen.contains("MeshBackend -shop/Service/orders:80"))
        #expect(proxy.client.resources.services.isEmpty && proxy.client.resources.backends.isEmpty)
        #expect(proxy.client.resources.workloads.count == 1)
    }

    @Test func whoComesBackGetsOnlyWhatIsNew() async throws {
        let (all, proxy) = try await settled()
        await all.distributor.close(proxy.stream)
        var same = try await TestProxy(all, client: proxy.client)
        let sent3 = try await same.settle()
        #expect(sent3.filter { $0.contains(" ") } == [])
        await all.distributor.close(same.stream)
        try await all.distributor.adopt(Distribution.shop(ports: ["web": 81]))
        await all.pass(10_000)
        try await all.distributor.adopt(
            Distribution.shop(ports: ["web": 81]).map {
                guard case .service(var service) = $0, service.name == "shop/orders" else { return $0 }
                service.hosts = ["orders.example"]
                return .service(service)
            })
        var again = try await TestProxy(all, client: same.client)
        let sent4 = try await again.settle()
        #expect(sent4.filter { $0.contains(" ") } == ["MeshService +shop/orders"])
    }

    // MARK: When

    @Test func theFirstChangeGoesOutAtOnceAndFurtherOnesAreMerged() async throws {
        var (all, proxy) = try await settled()
        let before = all.metrics.value(.pushes)
        try await all.distributor.adopt(Distribution.shop(ports: ["orders": 81]))
        _ = try await proxy.settle()
        #expect(proxy.port("orders") == 81, "without any time passing")
        let first = all.metrics.value(.pushes)
        #expect(first > before)
        for port in UInt16(82)...90 {
            await all.pass(1)
            try await all.distributor.adopt(Distribution.shop(ports: ["orders": port]))
            #expect(await proxy.next() == nil, "it is too early for \(port)")
        }
        await all.pass(20)
        _ = try await proxy.settle()
        #expect(proxy.port("orders") == 90)
        #expect(all.metrics.value(.pushes) - first <= 2 * (first - before), "all of them as one change")
        await all.pass(10_000)
        #expect(await proxy.next() == nil)
    }

    @Test func changesThatNeverStopGoOutAllTheSame() async throws {
        var (all, proxy) = try await settled()
        var seen: Set<UInt16> = []
        for step in 0..<100 {
            try await all.distributor.adopt(Distribution.shop(ports: ["orders": UInt16(1000 + step)]))
            _ = try await proxy.settle()
            if let port = proxy.port("orders") { seen.insert(port) }
            await all.pass(10)
        }
        // A second of changes, which are collected for 0.2 s at most.
        #expect((5...20).contains(seen.count), "\(seen.count)")
    }

    @Test func aSlowProxyHasOnePushPendingAndThenGetsWhatHoldsThen() async throws {
        var (all, proxy) = try await settled()
        func adopt(hosts: String) async throws {
            try await all.distributor.adopt(
                Distribution.shop().map {
                    guard case .service(var service) = $0, service.name == "shop/orders" else { return $0 }
                    service.hosts = [hosts]
                    return .service(service)
                })
            await all.pass(10_000)
        }
        try await adopt(hosts: "one")
        let slow = try #require(await proxy.next())
        #expect(TestProxy.text(slow) == "MeshService +shop/orders")
        for hosts in ["two", "three", "four"] {
            try await adopt(hosts: hosts)
            #expect(await proxy.next() == nil)
        }
        try await proxy.accept(slow)
        #expect(proxy.client.resources.services["shop/orders"]?.hosts == ["one"])
        let sent5 = try await proxy.settle()
        #expect(sent5 == ["MeshService +shop/orders"])
        #expect(proxy.client.resources.services["shop/orders"]?.hosts == ["four"])
    }

    @Test func oneThatDoesNotAnswerHoldsUpNobodyElse() async throws {
        let (all, slow) = try await settled()
        var quick = try await TestProxy(all, instance: "web-2")
        _ = try await quick.settle()
        try await all.distributor.adopt(Distribution.shop(ports: ["orders": 81]))
        #expect(await slow.next() != nil)
        _ = try await quick.settle()
        #expect(quick.port("orders") == 81)
    }

    // MARK: Endpoints

    @Test func aReadyInstanceIsAnEndpointAtOnce() async throws {
        var (all, proxy) = try await settled()
        let stream = try await all.hello("orders", "orders-1")
        let sent6 = try await proxy.settle()
        #expect(sent6 == [])
        await all.pass(10_000)
        await all.report(stream, .ready)
        let sent7 = try await proxy.settle()
        #expect(sent7 == ["EndpointSet +shop/Service/orders:80"])
        #expect(proxy.endpoints("orders") == ["10.0.0.1:9000"])
    }

    @Test(arguments: [ControlState.Readiness.unready, .draining])
    func oneThatIsNotReadyIsTakenOutAtOnce(readiness: ControlState.Readiness) async throws {
        var (all, proxy) = try await settled()
        let streams = [try await all.hello("orders", "orders-1"), try await all.hello("orders", "orders-2")]
        await all.report(streams[0], .ready, inbound: 9001)
        await all.report(streams[1], .ready, inbound: 9002)
        await all.pass(10_000)
        _ = try await proxy.settle()
        #expect(proxy.endpoints("orders") == ["10.0.0.1:9001", "10.0.0.1:9002"])
        await all.pass(10_000)
        await all.report(streams[0], readiness, reason: "why", inbound: 9001)
        let sent8 = try await proxy.settle()
        #expect(sent8 == ["EndpointSet +shop/Service/orders:80"])
        #expect(proxy.endpoints("orders") == ["10.0.0.1:9002"])
    }

    @Test func endpointsDoNotWaitForDocuments() async throws {
        var (all, proxy) = try await settled()
        let stream = try await all.hello("orders", "orders-1")
        await all.pass(10_000)
        // Documents keep changing, so that the next of their changes is collected.
        try await all.distributor.adopt(Distribution.shop(ports: ["web": 81]))
        _ = try await proxy.settle()
        await all.pass(1)
        var changed = Distribution.shop(ports: ["web": 81])
        for index in changed.indices {
            guard case .service(var service) = changed[index], service.name == "shop/orders" else { continue }
            service.hosts = ["orders.example"]
            changed[index] = .service(service)
        }
        try await all.distributor.adopt(changed)
        #expect(await proxy.next() == nil, "the document waits")
        await all.report(stream, .ready)
        let sent9 = try await proxy.settle()
        #expect(sent9 == ["EndpointSet +shop/Service/orders:80"])
        await all.pass(20)
        let sent10 = try await proxy.settle()
        #expect(sent10 == ["MeshService +shop/orders"])
    }

    @Test func howAnInstanceIsNeverChangesAVersion() async throws {
        var (all, proxy) = try await settled()
        let stream = try await all.hello("orders", "orders-1")
        await all.report(stream, .ready)
        await all.pass(10_000)
        _ = try await proxy.settle()
        let version = await all.distributor.version(.endpoints, "shop/Service/orders:80")
        let pushes = all.metrics.value(.pushes)
        for step in 0..<5 {
            await all.report(stream, .ready, reason: "step \(step)")
            var traffic = ControlReportRequest()
            traffic.traffic.hops = [ControlHop()]
            await all.distributor.report(traffic, stream)
            await all.pass(1000)
        }
        #expect(await proxy.next() == nil)
        // Coming back changes nothing either.
        _ = try await all.hello("orders", "orders-1")
        await all.pass(10_000)
        #expect(await proxy.next() == nil)
        #expect(await all.distributor.version(.endpoints, "shop/Service/orders:80") == version)
        #expect(all.metrics.value(.pushes) == pushes)
    }

    @Test func whereSomethingIsWrittenIsNeitherSentNorHashed() async throws {
        let (all, proxy) = try await settled()
        let version = await all.distributor.version(.service, "shop/orders")
        func written(line: Int) -> [MeshResource] {
            let origin = Origin(file: "shop.yaml", line: line)
            return Distribution.shop().map { resource in
                switch resource {
                case .service(var service):
                    service.origin = origin
                    return .service(service)
                case .workload(var workload):
                    workload.origin = origin
                    return .workload(workload)
                case .backend(var backend):
                    backend.backend.origin = origin
                    return .backend(backend)
                default: return resource
                }
            }
        }
        try await all.distributor.adopt(written(line: 7))
        await all.pass(10_000)
        #expect(await proxy.next() == nil)
        #expect(await all.distributor.version(.service, "shop/orders") == version)
        guard case .service(let service)? = await all.distributor.resource(.service, "shop/orders") else {
            Issue.record("no service")
            return
        }
        #expect(service.origin?.line == 7, "for explain")
    }

    @Test func endpointsAreRememberedByTheStore() async throws {
        let (all, _) = try await settled()
        let stream = try await all.hello("orders", "orders-1")
        await all.report(stream, .ready)
        await all.pass(1000)
        #expect(try await all.store.instances().map(\.id.instance) == ["orders-1"])
        await all.report(stream, .draining)
        await all.pass(1000)
        #expect(try await all.store.instances().isEmpty)
    }

    // MARK: Refusals

    @Test func whatIsRefusedIsSaidAndNotSentAgain() async throws {
        var (all, proxy) = try await settled()
        try await all.distributor.adopt(
            Distribution.shop().map {
                guard case .service(var service) = $0, service.name == "shop/orders" else { return $0 }
                service.hosts = ["bad"]
                return .service(service)
            })
        let refused = try #require(await proxy.next())
        try await proxy.reject(refused, "no such host")
        #expect(await proxy.next() == nil)
        let known = try #require(await all.distributor.proxies().first)
        #expect(known.sync == .rejected)
        #expect(known.warnings.contains { $0.contains("no such host") && $0.contains("shop/orders") })
        #expect(known.ackedVersion != known.desiredVersion)
        #expect(all.metrics.value(.rejections) == 1)
        await all.pass(60_000)
        #expect(await proxy.next() == nil)
        // Back to what it was: nothing is refused any more.
        try await all.distributor.adopt(Distribution.shop())
        _ = try await proxy.settle()
        #expect(await all.distributor.proxies().first?.sync == .synced)
    }

    @Test func nobodyIsServedBeforeThereIsAConfiguration() async throws {
        let all = try Distribution()
        await #expect(throws: StreamRefusal.self) { _ = try await TestProxy(all) }
        try await all.distributor.adopt(Distribution.shop())
        var proxy = try await TestProxy(all)
        _ = try await proxy.settle()
        #expect(proxy.port("orders") == 80)
    }

    @Test(
        arguments: [
            ("workload:shop/web", "web-2", StreamRefusal.Kind.identity, "web-1"),
            ("workload:shop/orders", "web-1", .identity, "shop/orders"),
            ("workload:shop/nobody", "web-1", .unknownRole, "shop/nobody"),
            ("gateway:shop/nobody", "web-1", .unknownRole, "shop/nobody"), ("pod:shop/web", "web-1", .invalid, "pod"),
        ])
    func whoIsSomebodyElseIsRefused(role: String, instance: String, kind: StreamRefusal.Kind, word: String) async throws
    {
        let all = try Distribution()
        try await all.distributor.adopt(Distribution.shop())
        let refusal = await #expect(throws: StreamRefusal.self) {
            _ = try await all.distributor.open(role, instance: instance, Distribution.peer("web", "web-1"))
        }
        #expect(refusal?.kind == kind && refusal?.message.contains(word) == true, "\(String(describing: refusal))")
        #expect(all.metrics.value(.refusedStreams) == 1)
    }

    // MARK: The end of streams

    /// Returns when a stream has ended; signals may be left in it before.
    private func end(of wake: AsyncStream<Void>) async { for await _ in wake {} }

    @Test func aSecondStreamEndsTheFirst() async throws {
        let (all, first) = try await settled()
        let second = try await TestProxy(all)
        await end(of: first.wake)
        #expect(await first.next() == nil)
        #expect(await second.next() != nil)
        #expect(await all.distributor.proxies().count == 1)
    }

    @Test func aRevokedCertificateEndsItsStreams() async throws {
        let all = try Distribution()
        try await all.distributor.adopt(Distribution.shop())
        let revoked = try await TestProxy(all, serial: "01")
        var other = try await TestProxy(all, instance: "web-2", serial: "02")
        await all.distributor.close(serials: ["01", "03"])
        await end(of: revoked.wake)
        _ = try await other.settle()
        #expect(other.port("orders") == 80)
        let known = await all.distributor.proxies()
        #expect(known.map(\.sync) == [.disconnected, .synced])
    }

    @Test func stoppingEndsEveryStream() async throws {
        let (all, proxy) = try await settled()
        await all.distributor.stop()
        await end(of: proxy.wake)
    }
}
