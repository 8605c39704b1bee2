import MeshCore
import MeshModel

@testable import MeshDiscovery

/// A small mesh: `shop/cart` (two HTTP ports, one of bytes), `shop/prices` (two versions), `bank/pay` (gRPC), the
/// workload `shop/web` that calls them, and the gateway `shop/edge`.
enum Fixture {
    static func backend(
        _ name: String, _ kind: Backend.`Protocol` = .http1, endpoints: String? = nil, selector: [String: String] = [:],
        service: String = ""
    ) -> MeshResource {
        let peer = MeshPeer(identities: ["spiffe://mesh.local/ns/shop/svc/x"])
        return .backend(
            MeshBackend(
                backend: Backend(name: name, protocol: kind, mesh: peer, service: service),
                endpoints: endpoints ?? name,
                selector: selector))
    }

    static func endpoints(_ name: String, _ endpoints: [Endpoint]) -> MeshResource {
        .endpoints(EndpointSet(name: name, endpoints: endpoints))
    }

    static func service(
        _ name: String, _ ports: [(UInt16, Backend.`Protocol`)], addresses: [String] = [], hosts: [String]? = nil
    ) -> MeshService {
        let parts = name.split(separator: "/")
        return MeshService(
            name: name, hosts: hosts ?? ["\(parts[1]).\(parts[0])", "\(parts[1]).\(parts[0]).svc"],
            addresses: addresses,
            ports: ports.map {
                MeshServicePort(port: $0.0, protocol: $0.1, backend: "\(parts[0])/Service/\(parts[1]):\($0.0)")
            })
    }

    static func route(
        _ name: String, to service: String, port: UInt16? = nil, consumers: String? = nil, age: Int64 = 0,
        backends: [String]
    ) -> AttachedRoute {
        let rule = RouteRule(backends: backends.map { WeightedBackend(.backend($0)) })
        return AttachedRoute(
            parent: .service(service, port: port, consumers: consumers), object: "HTTPRoute \(name)",
            content: .requests(Route(name: name, hostnames: [.exact("ignored.example")], rules: [rule])), age: age)
    }

    static let web = Workload(
        name: "shop/web", service: "shop/web", labels: ["version": "v2", "app": "web"],
        ports: [
            WorkloadPort(
                port: 8080, protocol: .http1, application: .ip("127.0.0.1", port: 3000), inboundPort: 18080,
                readiness: HealthCheck(.tcp)),
            WorkloadPort(port: 9000, protocol: .tcp, application: .ip("127.0.0.1", port: 3001), inboundPort: 19000),
        ],
        outbound: .ip("127.0.0.1", port: 15001), transparent: .ip("127.0.0.1", port: 15006),
        backends: [
            WorkloadBackend(service: "shop/cart", servicePort: 80, localPort: 4001),
            WorkloadBackend(service: "shop/cart", servicePort: 6379, localPort: 4002),
            WorkloadBackend(service: "bank/pay"), WorkloadBackend(service: "shop/gone", localPort: 4003),
        ], mode: .permissive)

    static let gateway = MeshGateway(
        name: "shop/edge",
        listeners: [
            Listener(
                address: .any(port: 8000),
                sections: [
                    Section(name: "shop/edge/web", protocol: .http),
                    Section(name: "shop/edge/admin", hostname: .exact("admin.example"), protocol: .http),
                ])
        ])

    static let v1 = Endpoint(.ip("10.0.0.1", port: 18080), labels: ["version": "v1"], isMeshed: true)
    static let v2 = Endpoint(.ip("10.0.0.2", port: 18080), labels: ["version": "v2"], isMeshed: true)

    static func resources() -> [MeshResource] {
        let edge = Route(name: "shop/front", rules: [RouteRule(backends: [WeightedBackend(.backend(cart))])])
        return [
            .trustBundle(Array("PEM".utf8)), .mesh(MeshSettings(namespace: "mesh")),
            backend(cart), backend("shop/Service/cart:8443"), backend("shop/Service/cart:6379", .tcp),
            backend(prices), backend("bank/Service/pay:50051", .http2), backend("shop/unused"),
            backend("shop/prices-v1", endpoints: prices, selector: ["version": "v1"]),
            backend("shop/prices-v2", endpoints: prices, selector: ["version": "v2"]),
            endpoints(cart, [v1]), endpoints(prices, [v1, v2]),
            .service(service("shop/cart", [(80, .http1), (8443, .http1), (6379, .tcp)], addresses: ["10.9.0.1"])),
            .service(service("shop/prices", [(80, .http1)])), .service(service("bank/pay", [(50051, .http2)])),
            .workload(web), .gateway(gateway),
            .route(
                AttachedRoute(
                    parent: .section("shop/edge/web"), object: "HTTPRoute shop/front", content: .requests(edge))),
            .route(
                route(
                    "shop/split", to: "shop/prices", backends: ["shop/prices-v1", "shop/prices-v2", "shop/nowhere"])),
        ]
    }

    static let cart = "shop/Service/cart:80"
    static let prices = "shop/Service/prices:80"

    static func set(_ changes: (inout ResourceSet) -> Void = { _ in }) -> ResourceSet {
        var set = ResourceSet(resources())
        changes(&set)
        return set
    }
}

extension Model {
    /// The section called `name`.
    func section(_ name: String) -> Section? { listeners.flatMap(\.sections).first { $0.name == name } }
}
