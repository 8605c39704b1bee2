import MeshCore
import MeshDiscovery
import MeshModel
import Testing

@Suite struct AssemblyTests {
    private static let role = ProxyRole.workload("shop/web")

    private static func model(
        _ overrides: InstanceOverrides = InstanceOverrides(), _ changes: (inout ResourceSet) -> Void = { _ in }
    ) throws -> Model {
        try Assembly.model(from: Fixture.set(changes), role: role, overrides: overrides)
    }

    private static func message(_ body: () throws -> Model) -> String {
        do { return "no error: \(try body().listeners.count)" } catch { return "\(error)" }
    }

    // MARK: Inbound

    @Test func inboundPortsServeTheApplicationToTheMesh() throws {
        let model = try Self.model()
        let http = try #require(model.section("shop/web/inbound-8080"))
        #expect(http.protocol == .https)
        #expect(http.mesh == .permissive)
        #expect(http.access == nil)
        #expect(http.routes.map(\.name) == ["inbound"])
        #expect(http.routes[0].rules[0].backends.map(\.target) == [.backend("shop/Workload/web:8080")])
        let listener = try #require(model.listeners.first)
        #expect(listener.address == .any(port: 18080))
        #expect(listener.role == .sidecar)
        let application = try #require(model.backends.first { $0.name == "shop/Workload/web:8080" })
        #expect(application.endpoints.map(\.address) == [.ip("127.0.0.1", port: 3000)])
        #expect(application.healthCheck == HealthCheck(.tcp))
        let tcp = try #require(model.section("shop/web/inbound-9000"))
        #expect(tcp.protocol == .tls)
        #expect(tcp.streamRoutes.map(\.name) == ["inbound"])
        #expect(model.place == MeshPlace(service: "shop/web", version: "v2", instance: ""))
        #expect(model.identity == nil)
    }

    @Test func withoutMutualTLSInboundPortsAreClearText() throws {
        let model = try Self.model { set in
            var web = Fixture.web
            web.mode = .disabled
            set.insert(.workload(web))
        }
        #expect(model.section("shop/web/inbound-8080")?.protocol == .http)
        #expect(model.section("shop/web/inbound-8080")?.mesh == nil)
        #expect(model.section("shop/web/inbound-9000")?.protocol == .tcp)
    }

    @Test func anInstanceMayServeElsewhere() throws {
        let model = try Self.model(
            InstanceOverrides(
                instance: "web-7", zone: "b", ports: [.init(port: 8080, applicationPort: 7000, inboundPort: 7001)],
                outbound: .ip("127.0.0.1", port: 7002),
                localPorts: [
                    WorkloadBackend(service: "shop/cart", servicePort: 80, localPort: 7003),
                    WorkloadBackend(service: "bank/pay", localPort: 7004),
                    WorkloadBackend(service: "shop/prices", localPort: 7005),
                ]))
        #expect(model.settings.zone == "b")
        #expect(model.place?.instance == "web-7")
        let addresses = model.listeners.map(\.address.description)
        #expect(
            addresses == [
                "*:7001", "*:19000", "127.0.0.1:7002", "127.0.0.1:7003", "127.0.0.1:4002", "127.0.0.1:7004",
                "127.0.0.1:4003", "127.0.0.1:7005", "127.0.0.1:15006",
            ])
        let application = try #require(model.backends.first { $0.name == "shop/Workload/web:8080" })
        #expect(application.endpoints.map(\.address) == [.ip("127.0.0.1", port: 7000)])
        #expect(
            model.section("shop/web/to-shop-prices-80")?.routes.map(\.name) == ["shop/split"])
    }

    @Test func aPortThatIsNotTheWorkloadsIsNamed() {
        let message = Self.message { try Self.model(InstanceOverrides(ports: [.init(port: 1)])) }
        #expect(message.contains("workload 'shop/web' has no port 1"))
        #expect(message.contains("one of 8080, 9000"))
    }

    @Test func addressesThatMeetAreBothNamed() {
        let overrides = InstanceOverrides(outbound: .ip("127.0.0.1", port: 4001))
        let message = Self.message { try Self.model(overrides) }
        #expect(message.contains("backends[0].localPort: 127.0.0.1:4001 is taken by outbound"))
    }

    @Test func portsLeftToTheSystemDoNotMeet() throws {
        let model = try Self.model(
            InstanceOverrides(ports: [.init(port: 8080, inboundPort: 0), .init(port: 9000, inboundPort: 0)]))
        #expect(model.listeners.prefix(2).map(\.address) == [.any(port: 0), .any(port: 0)])
    }

    // MARK: Outbound

    @Test func servicesAreCalledByHost() throws {
        let section = try #require(try Self.model().section("shop/web/outbound"))
        #expect(section.protocol == .http)
        let rows = section.routes.map { "\($0.name) \($0.hostnames) \($0.port.map(String.init) ?? "any")" }
        #expect(
            rows == [
                "bank/pay [pay.bank, pay.bank.svc] any", "shop/cart [cart.shop, cart.shop.svc, cart] 80",
                "shop/cart [cart.shop, cart.shop.svc, cart] 8443",
                "shop/split [prices.shop, prices.shop.svc, prices] any",
            ])
    }

    @Test func whatIsNotThereIsAReasonAndNoFailure() throws {
        let model = try Self.model()
        let split = try #require(model.section("shop/web/outbound")?.routes.first { $0.name == "shop/split" })
        #expect(
            split.rules[0].backends.map(\.target) == [
                .backend("shop/prices-v1"), .backend("shop/prices-v2"),
                .invalid(reason: "there is no backend 'shop/nowhere'"),
            ])
        let gone = try #require(model.section("shop/web/to-shop-gone")?.routes.first)
        #expect(gone.rules[0].backends.map(\.target) == [.invalid(reason: "there is no service 'shop/gone'")])
    }

    @Test func mirrorsAreFollowedToo() throws {
        let model = try Self.model { set in
            var route = Fixture.route("shop/split", to: "shop/prices", backends: [Fixture.prices])
            guard case .requests(var requests) = route.content else { return }
            requests.rules[0].filters = [.requestMirror(RequestMirror(target: .backend("shop/nowhere")))]
            requests.rules[0].backends[0].filters = [.requestMirror(RequestMirror(target: .backend("shop/prices-v2")))]
            route.content = .requests(requests)
            set.insert(.route(route))
        }
        let rule = try #require(model.section("shop/web/outbound")?.routes.last?.rules.first)
        #expect(
            rule.filters == [
                .requestMirror(RequestMirror(target: .invalid(reason: "there is no backend 'shop/nowhere'")))
            ])
        #expect(model.backends.contains { $0.name == "shop/prices-v2" })
    }

    @Test func versionsHaveTheEndpointsOfTheirLabels() throws {
        let model = try Self.model()
        func endpoints(_ name: String) -> [Endpoint]? { model.backends.first { $0.name == name }?.endpoints }
        #expect(endpoints("shop/prices-v1") == [Fixture.v1])
        #expect(endpoints("shop/prices-v2") == [Fixture.v2])
        #expect(endpoints(Fixture.cart) == [Fixture.v1])
        #expect(endpoints("bank/Service/pay:50051") == [])
        #expect(endpoints("shop/unused") == nil)
        #expect(endpoints(Fixture.prices) == nil)
    }

    @Test func consumerRoutesOfTheCallersNamespaceReplaceTheProducers() throws {
        let model = try Self.model { set in
            set.insert(
                .route(Fixture.route("shop/mine", to: "bank/pay", consumers: "shop", backends: [Fixture.cart])))
            set.insert(
                .route(Fixture.route("other/theirs", to: "shop/prices", consumers: "other", backends: [Fixture.cart])))
            set.insert(.route(Fixture.route("bank/producer", to: "bank/pay", backends: [Fixture.cart])))
        }
        let names = try #require(model.section("shop/web/outbound")).routes.map(\.name)
        #expect(names.contains("shop/mine"))
        #expect(!names.contains("bank/producer"))
        #expect(!names.contains("other/theirs"))
        #expect(names.contains("shop/split"))
    }

    @Test func theOlderOfEqualRoutesIsFirstAndPortsCount() throws {
        let model = try Self.model { set in
            for (name, port, age) in [("b", UInt16(80), Int64(2)), ("c", 80, 1), ("a", 80, 2), ("d", 8443, 0)] {
                set.insert(
                    .route(Fixture.route(name, to: "shop/cart", port: port, age: age, backends: [Fixture.cart])))
            }
        }
        let section = try #require(model.section("shop/web/to-shop-cart-80"))
        #expect(section.routes.map(\.name) == ["c", "a", "b"])
        #expect(section.routes.allSatisfy { $0.hostnames == [.any] && $0.port == nil })
        let outbound = try #require(model.section("shop/web/outbound")).routes.filter { $0.port == 8443 }
        #expect(outbound.map(\.name) == ["d"])
    }

    @Test func bytesHaveAPortOfTheirOwn() throws {
        let section = try #require(try Self.model().section("shop/web/to-shop-cart-6379"))
        #expect(section.protocol == .tcp)
        #expect(section.streamRoutes.map { $0.backends.map(\.target) } == [[.backend("shop/Service/cart:6379")]])
    }

    @Test func aPortThatIsNotSaidMustBeTheOnlyOne() throws {
        let model = try Self.model(InstanceOverrides(localPorts: [WorkloadBackend(service: "bank/pay", localPort: 1)]))
        {
            var web = Fixture.web
            web.backends.append(WorkloadBackend(service: "shop/cart", localPort: 4009))
            web.backends.append(WorkloadBackend(service: "shop/cart", servicePort: 81, localPort: 4010))
            $0.insert(.workload(web))
        }
        #expect(model.section("shop/web/to-bank-pay-50051")?.routes.map(\.name) == ["bank/pay"])
        func reason(_ name: String) -> BackendTarget? { model.section(name)?.routes[0].rules[0].backends[0].target }
        #expect(
            reason("shop/web/to-shop-cart")
                == .invalid(reason: "service 'shop/cart' has several ports: say which of 80, 8443, 6379"))
        #expect(
            reason("shop/web/to-shop-cart-81")
                == .invalid(reason: "service 'shop/cart' has no port 81, only 80, 8443, 6379"))
    }

    // MARK: Redirected

    @Test func redirectedConnectionsGoByAddressThenByHost() throws {
        let listener = try #require(try Self.model().listeners.last)
        let destinations = try #require(listener.originalDestination)
        #expect(destinations.passesUnknown)
        let rows = destinations.entries.map { "\($0.address ?? "*"):\($0.port) \($0.section.dropFirst(9))" }
        #expect(
            rows == [
                "*:50051 transparent", "10.9.0.1:80 transparent-shop-cart-80", "*:80 transparent",
                "10.9.0.1:8443 transparent-shop-cart-8443", "*:8443 transparent",
                "10.9.0.1:6379 transparent-shop-cart-6379",
            ])
        let sections = Dictionary(uniqueKeysWithValues: listener.sections.map { ($0.name, $0) })
        #expect(sections["shop/web/transparent"]?.routes.count == 4)
        #expect(sections["shop/web/transparent-shop-cart-80"]?.routes.map(\.hostnames) == [[.any]])
        #expect(sections["shop/web/transparent-shop-cart-6379"]?.protocol == .tcp)
    }

    @Test func unknownDestinationsMayBeRefused() throws {
        let model = try Self.model {
            $0.insert(.mesh(MeshSettings(allowsUnknownDestinations: false)))
        }
        #expect(model.listeners.last?.originalDestination?.passesUnknown == false)
    }

    // MARK: Gateways

    @Test func gatewaysServeTheRoutesOfTheirSections() throws {
        let model = try Assembly.model(
            from: Fixture.set(), role: .gateway("shop/edge"), overrides: InstanceOverrides(instance: "edge-1"))
        #expect(model.section("shop/edge/web")?.routes.map(\.name) == ["shop/front"])
        #expect(model.section("shop/edge/admin")?.routes == [])
        #expect(model.backends.map(\.name) == [Fixture.cart])
        #expect(model.backends[0].endpoints == [Fixture.v1])
        #expect(model.place == MeshPlace(service: "shop/edge", instance: "edge-1"))
    }

    // MARK: Rules of all

    @Test func theOrderOfArrivalDoesNotMatter() throws {
        var random = Random(seed: 7)
        let all = Fixture.resources()
        let roles = [Self.role, .gateway("shop/edge")]
        let first = try roles.map { try Assembly.model(from: ResourceSet(all), role: $0) }
        for _ in 0..<20 {
            let shuffled = ResourceSet(all.shuffled(using: &random))
            #expect(try roles.map { try Assembly.model(from: shuffled, role: $0) } == first)
        }
    }

    @Test func aMissingDocumentIsNamed() {
        let message = Self.message { try Assembly.model(from: Fixture.set(), role: .workload("shop/nobody")) }
        #expect(message.contains("workload:shop/nobody: there is no Workload 'shop/nobody'"))
    }

    @Test func whatIsNotValidIsNamedWithItsPlace() {
        let message = Self.message {
            try Self.model { set in
                var backend = MeshBackend(backend: Backend(name: Fixture.cart), endpoints: Fixture.cart)
                backend.backend.connectTimeout = .zero
                set.insert(.backend(backend))
            }
        }
        #expect(message.hasPrefix("workload:shop/web: backend 'shop/Service/cart:80': connect timeout"))
    }

    /// Not timed: that it ends at all in a debug build says that nothing is quadratic.
    @Test func aThousandServicesMakeAModel() throws {
        var set = Fixture.set()
        for number in 0..<1000 {
            let service = Fixture.service(
                "big/s\(number)", [(80, .http1)], addresses: ["10.1.\(number / 250).\(number % 250)"])
            set.insert(.service(service))
            set.insert(Fixture.backend(service.ports[0].backend))
            set.insert(Fixture.endpoints(service.ports[0].backend, [Fixture.v1]))
        }
        let model = try Assembly.model(from: set, role: Self.role)
        #expect(model.section("shop/web/outbound")?.routes.count == 1004)
        #expect(model.listeners.last?.sections.count == 1004)
    }
}
