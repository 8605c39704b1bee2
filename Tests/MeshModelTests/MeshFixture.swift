@testable import MeshModel

/// A resource of every kind, in which nothing stands at its default.
enum MeshFixture {
    static let origin = Origin(file: "mesh.yaml", line: 7)

    static let policy = AccessPolicy(
        name: "shop/policy", targets: [.service("shop/a"), .workload("shop/b"), .gateway("shop/c")], action: .deny,
        isAudit: true,
        rules: [
            AccessRule(
                from: [
                    AccessSource(
                        identities: ["*", "spiffe://mesh.local/ns/shop/*"], namespaces: ["bank"],
                        cidrs: ["10.0.0.0/8", "fd00::/8"]), AccessSource(),
                ],
                to: [
                    AccessOperation(
                        hosts: ["shop.example", "*.example"], methods: ["GET"], paths: ["/a", "/b/*"], ports: [80, 443]),
                    AccessOperation(),
                ]), AccessRule(),
        ], origin: origin)

    static let workload = Workload(
        name: "shop/web", service: "shop/front", labels: ["version": "v2", "app": "web"], weight: 7,
        ports: [
            WorkloadPort(
                port: 80, protocol: .http2, application: .ip("127.0.0.1", port: 3000), inboundPort: 18080,
                readiness: HealthCheck(.grpc(service: "a.B"), interval: .seconds(9))),
            WorkloadPort(port: 81, protocol: .tcp, application: .unix(path: "/run/app")),
        ], outbound: .ip("127.0.0.1", port: 15001), transparent: .any(port: 15006),
        backends: [
            WorkloadBackend(service: "shop/cart", servicePort: 80, localPort: 4000),
            WorkloadBackend(service: "bank/pay"),
        ], mode: .permissive, settings: ProxySettings(drainTimeout: .seconds(3), zone: "a"), origin: origin)

    static let route = Route(
        name: "shop/r", kind: .grpc, hostnames: [.exact("a.example"), .wildcard(suffix: "b.example")], port: 8080,
        rules: [
            RouteRule(
                name: "rule", matches: [RouteMatch(path: .exact("/x"), method: "GET")],
                backends: [WeightedBackend(.backend("b"), weight: 9), WeightedBackend(.invalid(reason: "why"))])
        ], origin: origin)

    static let resources: [MeshResource] = [
        .trustBundle(Array("-----BEGIN".utf8)),
        .mesh(
            MeshSettings(
                trustDomain: "shop.example", namespace: "mesh", defaultAccess: .deny, allowsUnknownDestinations: false,
                certificateLifetime: .milliseconds(3_600_500))),
        .backend(
            MeshBackend(
                backend: Backend(
                    name: "shop/Service/cart:80", protocol: .http2, connectTimeout: .seconds(9),
                    mesh: MeshPeer(identities: ["spiffe://mesh.local/ns/shop/svc/cart", "spiffe://x/ns/a/svc/b"]),
                    service: "shop/cart", origin: origin), endpoints: "shop/Service/cart:80",
                selector: ["version": "v1", "zone": "a"])),
        .endpoints(
            EndpointSet(
                name: "shop/Service/cart:80",
                endpoints: [
                    Endpoint(
                        .ip("fd00::1", port: 80), weight: 3, zone: "b", labels: ["version": "v1", "a": "b"],
                        isBackup: true, isMeshed: true), Endpoint(.name("cart.example", port: 81)),
                    Endpoint(.unix(path: "/run/cart")),
                ])),
        .accessPolicy(policy),
        .service(
            MeshService(
                name: "shop/cart", hosts: ["cart.shop", "cart.shop.svc"], addresses: ["10.9.0.1", "fd00::2"],
                ports: [
                    MeshServicePort(port: 80, protocol: .http1, backend: "shop/Service/cart:80"),
                    MeshServicePort(port: 6379, protocol: .tcp, backend: "shop/Service/cart:6379"),
                ], origin: origin)),
        .workload(workload),
        .gateway(
            MeshGateway(
                name: "shop/edge",
                listeners: [
                    Listener(
                        address: .any(port: 443), role: .sidecar, trustedHops: 2,
                        originalDestination: OriginalDestination(
                            entries: [
                                .init(address: "10.9.0.1", port: 80, section: "s"), .init(port: 81, section: "s"),
                            ],
                            passesUnknown: false),
                        sections: [
                            Section(
                                name: "s", hostname: .exact("a.example"), protocol: .https, mesh: .strict,
                                access: AccessRules(policies: [policy], defaultAction: .deny), origin: origin)
                        ])
                ], settings: ProxySettings(accessLog: .off), origin: origin)),
        .route(
            AttachedRoute(
                parent: .service("shop/cart", port: 80, consumers: "bank"), object: "GRPCRoute shop/r",
                content: .requests(route), age: -5)),
        .route(
            AttachedRoute(
                parent: .section("shop/edge/s"), object: "TLSRoute shop/t",
                content: .streams(
                    StreamRoute(
                        name: "shop/t", hostnames: [.wildcard(suffix: "x.example")],
                        backends: [WeightedBackend(.backend("b"), weight: 2)], origin: origin)), age: 3)),
        .route(
            AttachedRoute(
                parent: .service("shop/cart", port: nil, consumers: nil), object: "HTTPRoute shop/h",
                content: .requests(Route(name: "shop/h")))),
    ]
}
