import MeshGatewayAPI
import MeshModel
import Testing

/// Routes whose parent is a Service.
@Suite struct MeshRouteTests {
    private static let toWeb = "rules: [{backendRefs: [{name: web, port: 80}]}]"

    @Test func aRouteInTheServicesNamespaceIsForAllCallers() throws {
        let translation = translateMesh(MeshFixture.services + MeshFixture.route("HTTPRoute", Self.toWeb))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let route = try #require(translation.attached.first)
        #expect(translation.attached.count == 1)
        #expect(route.parent == .service("shop/orders", port: nil, consumers: nil))
        #expect(route.object == "HTTPRoute shop/r")
        guard case .requests(let content) = route.content else { return #expect(Bool(false), "not requests") }
        #expect(content.name == "shop/r")
        #expect(content.hostnames == [.any])
        #expect(content.rules.first?.backends.map(\.target) == [.backend("shop/Service/web:80")])
        for type in ["Accepted", "ResolvedRefs", "Programmed"] {
            #expect(
                translation.condition("HTTPRoute shop/r", type, part: "parent Service shop/orders")?.status == true)
        }
    }

    @Test func aRouteElsewhereIsForTheCallersThere() throws {
        let grant = """
            ---
            apiVersion: gateway.networking.k8s.io/v1beta1
            kind: ReferenceGrant
            metadata: {name: g, namespace: shop}
            spec:
              from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: pay}]
              to: [{group: "", kind: Service}]

            """
        let parent = "kind: Service, name: orders, namespace: shop, port: 80"
        let spec = "rules: [{backendRefs: [{name: web, namespace: shop, port: 80}]}]"
        let route = MeshFixture.route("HTTPRoute", spec, namespace: "pay", parent: parent)
        let translation = translateMesh(MeshFixture.services + route + grant)
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        #expect(translation.attached.map(\.parent) == [.service("shop/orders", port: 80, consumers: "pay")])
        let denied = translateMesh(MeshFixture.services + route)
        #expect(denied.condition("HTTPRoute pay/r", "ResolvedRefs")?.reason == "RefNotPermitted")
        #expect(denied.condition("HTTPRoute pay/r", "Accepted")?.status == true)
    }

    @Test func producersAndConsumersDoNotShadowEachOther() {
        let translation = translateMesh(
            MeshFixture.services + MeshFixture.route("HTTPRoute", Self.toWeb)
                + MeshFixture.route(
                    "HTTPRoute", "rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]}]",
                    namespace: "pay", parent: "kind: Service, name: orders, namespace: shop"))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        #expect(translation.attached.count == 2)
    }

    @Test func theSecondRouteForTheSameRequestsIsShadowed() {
        let translation = translateMesh(
            MeshFixture.services + MeshFixture.route("HTTPRoute", Self.toWeb, name: "a")
                + MeshFixture.route(
                    "HTTPRoute", Self.toWeb, name: "b", parent: "kind: Service, name: orders, port: 80"))
        #expect(translation.condition("HTTPRoute shop/a", "Shadowed") == nil)
        let shadowed = translation.condition("HTTPRoute shop/b", "Shadowed")
        #expect(shadowed?.status == true)
        #expect(shadowed?.message.contains("HTTPRoute shop/a rule 0") == true)
    }

    @Test func hostnamesHaveNoEffect() throws {
        let translation = translateMesh(
            MeshFixture.services + MeshFixture.route("HTTPRoute", "hostnames: [a.example]\n" + Self.toWeb))
        try translation.expect("spec.hostnames[0]", "no effect", "remove them", .warning)
        guard case .requests(let content)? = translation.attached.first?.content else { return #expect(Bool(false)) }
        #expect(content.hostnames == [.any])
        // The host names are for the Gateway then.
        let both = translateMesh(
            Fixture.gateway + MeshFixture.services
                + MeshFixture.route(
                    "HTTPRoute", "hostnames: [a.example]\n" + Self.toWeb,
                    parent: "name: edge}, {kind: Service, name: orders"))
        #expect(both.diagnostics.isEmpty, "\(both.lines)")
        #expect(
            both.attached.map(\.name).sorted() == [
                "section shop/edge/http|HTTPRoute shop/r", "service shop/orders|HTTPRoute shop/r",
            ])
    }

    @Test func aTCPRouteGovernsPortsOfBytes() throws {
        let translation = translateMesh(
            MeshFixture.services
                + MeshFixture.route(
                    "TCPRoute", "rules: [{backendRefs: [{name: db, port: 5432}]}]", namespace: "data",
                    parent: "kind: Service, name: db"))
        #expect(translation.diagnostics.map(\.severity) == [.warning], "\(translation.lines)")
        let route = try #require(translation.attached.first)
        #expect(route.parent == .service("data/db", port: nil, consumers: nil))
        guard case .streams(let content) = route.content else { return #expect(Bool(false)) }
        #expect(content.backends.map(\.target) == [.backend("data/Service/db:5432#tcp")])
        #expect(translation.service("data/db")?.ports.first?.backend == "data/Service/db:5432#tcp")
    }

    @Test func kindsOfRoutesAreNotMixedOnAPort() {
        let rules = "rules: [{backendRefs: [{name: orders, port: 9000}]}]"
        let translation = translateMesh(
            MeshFixture.services + MeshFixture.orders
                + MeshFixture.route(
                    "GRPCRoute", rules, name: "g", parent: "kind: Service, name: orders, sectionName: grpc",
                    created: "2026-01-01T00:00:00Z")
                + MeshFixture.route("HTTPRoute", Self.toWeb, name: "h", created: "2026-01-02T00:00:00Z")
                + MeshFixture.route(
                    "HTTPRoute", Self.toWeb, name: "i", parent: "kind: Service, name: orders, port: 9000",
                    created: "2026-01-03T00:00:00Z"))
        #expect(
            translation.attached.map(\.name) == [
                "service shop/orders:80|HTTPRoute shop/h", "service shop/orders:9000|GRPCRoute shop/g",
            ])
        #expect(translation.condition("HTTPRoute shop/h", "Accepted")?.status == true)
        #expect(translation.condition("HTTPRoute shop/i", "Accepted")?.reason == "Conflicted")
    }

    /// Kind, parent, reason, and parts of message and remedy.
    static let refusals: [(kind: String, parent: String, reason: String, message: String, remedy: String)] = [
        ("HTTPRoute", "name: ordres", "NoMatchingParent", "does not exist", "did you mean \"orders\""),
        ("HTTPRoute", "name: orders, port: 81", "NoMatchingParent", "no port 81", "one of 80, 9000"),
        ("HTTPRoute", "name: orders, port: 53", "NoMatchingParent", "no port 53", "one of 80, 9000"),
        ("HTTPRoute", "name: orders, sectionName: htp", "NoMatchingParent", "no port htp", "one of 80"),
        ("HTTPRoute", "name: db, namespace: data", "UnsupportedProtocol", "needs HTTP", "a TCPRoute"),
        ("TCPRoute", "name: orders", "UnsupportedProtocol", "needs TCP, which port 80, 9000", "appProtocol: tcp"),
        ("TLSRoute", "name: db, namespace: data", "UnsupportedValue", "TLSRoute cannot govern", "a TCPRoute"),
    ]

    @Test(arguments: refusals.indices)
    func refusedParent(_ index: Int) throws {
        let given = Self.refusals[index]
        let hosts = given.kind == "TLSRoute" ? "hostnames: [a.example]\n" : ""
        let translation = translateMesh(
            MeshFixture.services
                + MeshFixture.route(
                    given.kind, hosts + Self.toWeb, parent: "group: \"\", kind: Service, \(given.parent)"))
        let condition = try #require(translation.condition("\(given.kind) shop/r", "Accepted"))
        #expect(!condition.status)
        #expect(condition.reason == given.reason)
        let found = try #require(translation.diagnostics.first { $0.place.fieldPath == "spec.parentRefs[0]" })
        #expect(found.severity == .warning)
        #expect(found.message.contains(given.message), "\(found.message)")
        #expect(found.remedy.contains(given.remedy), "\(found.remedy)")
        #expect(translation.attached.isEmpty)
    }

    @Test func policiesForRoutesAndServicesLandInTheirResources() throws {
        let translation = translateMesh(
            MeshFixture.services + MeshFixture.orders + MeshFixture.route("HTTPRoute", Self.toWeb)
                + TrafficPolicyTests.policy(
                    "timeouts: {request: 3s}", name: "route",
                    target: "group: gateway.networking.k8s.io, kind: HTTPRoute, name: r")
                + TrafficPolicyTests.policy(
                    "retry: {attempts: 2, codes: [503]}\nconnectionLimits: {maxRequests: 7}", name: "service",
                    target: "group: \"\", kind: Service, name: orders"))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        guard case .requests(let content)? = translation.attached.first?.content else { return #expect(Bool(false)) }
        #expect(content.rules.first?.policy.timeouts.request == .seconds(3))
        let backend = try #require(translation.backend("shop/Service/orders:80")?.backend)
        #expect(backend.policy.retry?.attempts == 2)
        #expect(backend.limits.maxRequests == 7)
        let route = MeshResourceID(type: .route, name: "service shop/orders|HTTPRoute shop/r")
        #expect(translation.objects[route] == ["HTTPRoute shop/r", "TrafficPolicy shop/route"])
        let id = MeshResourceID(type: .backend, name: "shop/Service/orders:80")
        #expect(translation.objects[id] == ["Service shop/orders", "TrafficPolicy shop/service"])
    }

    @Test func gRPCToAPortThatDoesNotSaySoIsWarnedOf() throws {
        let translation = translateMesh(
            MeshFixture.services + MeshFixture.orders
                + MeshFixture.route(
                    "GRPCRoute", "rules: [{backendRefs: [{name: orders, port: 80}]}]",
                    parent: "kind: Service, name: orders, port: 80"))
        try translation.expect("spec.ports[0]", "used for gRPC", "appProtocol: grpc", .warning)
    }
}
