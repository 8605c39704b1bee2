import MeshDiscovery
import MeshModel
import Testing

@testable import MeshControl

@Suite struct ScopeTests {
    private func service(_ name: String) -> [MeshResource] {
        let backend = "\(name.split(separator: "/")[0])/Service/\(name.split(separator: "/")[1]):80"
        return [
            .service(MeshService(name: name, ports: [MeshServicePort(port: 80, protocol: .http1, backend: backend)])),
            .backend(MeshBackend(backend: Backend(name: backend), endpoints: backend)),
            .endpoints(EndpointSet(name: backend, endpoints: [])),
        ]
    }

    private func catalogue() throws -> Catalogue {
        var catalogue = Catalogue()
        let caller = Workload(
            name: "shop/web", service: "shop/web", backends: [WorkloadBackend(service: "shop/orders")])
        let consumer = AttachedRoute(
            parent: .service("shop/orders", port: nil, consumers: "other"), object: "HTTPRoute other/r",
            content: .requests(Route(name: "other/r")))
        let producer = AttachedRoute(
            parent: .service("shop/orders", port: nil, consumers: nil), object: "HTTPRoute shop/r",
            content: .requests(Route(name: "shop/r")))
        let policy = AccessPolicy(name: "shop/p", targets: [.workload("shop/web")], action: .deny)
        let foreign = AccessPolicy(name: "other/p", action: .deny)
        _ = try catalogue.adopt(
            service("shop/orders") + service("shop/stock") + [
                .workload(caller), .route(consumer), .route(producer), .accessPolicy(policy), .accessPolicy(foreign),
            ])
        return catalogue
    }

    @Test func hasWhatAWorkloadCalls() throws {
        let names = ScopeNames(ScopeKey(role: .workload("shop/web")), try catalogue())
        #expect(names.services == ["shop/orders"])
        #expect(names.routes.map { $0.hasSuffix("HTTPRoute shop/r") } == [true])
        #expect(names.backends == ["shop/Service/orders:80"])
        #expect(names.endpoints == ["shop/Service/orders:80"])
        #expect(names.policies == ["shop/p"])
    }

    @Test func hasWhatWasAskedFor() throws {
        let names = ScopeNames(ScopeKey(role: .workload("shop/web"), onDemand: ["shop/stock"]), try catalogue())
        #expect(names.services == ["shop/orders", "shop/stock"])
    }

    @Test func anEndpointChangeConcernsOnlyThoseThatHaveTheSet() throws {
        var catalogue = try catalogue()
        var book = ScopeBook()
        let scope = book.enter(ScopeKey(role: .workload("shop/web")), session: 1, catalogue)
        let stock = try catalogue.register([MeshModel.Endpoint(.ip("10.0.0.1", port: 1))], in: "shop/Service/stock:80")
        let unconcerned = book.apply(stock, catalogue)
        #expect(unconcerned.isEmpty)
        let orders = try catalogue.register(
            [MeshModel.Endpoint(.ip("10.0.0.1", port: 1))], in: "shop/Service/orders:80")
        let concerned = book.apply(orders, catalogue)
        #expect(concerned.map(\.sessions) == [[1]])
        #expect(concerned.first?.scope.tables[.backend] === scope.tables[.backend])
        #expect(concerned.first?.scope.tables[.endpoints] !== scope.tables[.endpoints])
    }

    @Test func equalDocumentsChangeNothing() throws {
        var catalogue = try catalogue()
        let same = catalogue.resources.all
        let change = try catalogue.adopt(same)
        #expect(change.isEmpty)
    }
}
