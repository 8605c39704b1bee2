import MeshModel

/// What of a mesh concerns clients that speak Envoy's resource types, by name.
struct EnvoyView {
    var services: [String: MeshService] = [:]
    var backends: [String: MeshBackend] = [:]
    var endpoints: [String: EndpointSet] = [:]
    /// Routes whose parent is a service, by that service, the oldest first.
    var routes: [String: [AttachedRoute]] = [:]
    var workloads: [String: Workload] = [:]

    /// The view of these resources, in any order.
    init(_ resources: some Sequence<MeshResource>) {
        for resource in resources {
            switch resource {
            case .service(let service): services[service.name] = service
            case .backend(let backend): backends[backend.backend.name] = backend
            case .endpoints(let set): endpoints[set.name] = set
            case .workload(let workload): workloads[workload.name] = workload
            case .route(let route):
                if case .service(let service, _, _) = route.parent { routes[service, default: []].append(route) }
            case .trustBundle, .mesh, .accessPolicy, .gateway: break
            }
        }
        for service in routes.keys { routes[service]?.sort { ($0.age, $0.object) < ($1.age, $1.object) } }
    }

    /// The routes of requests to a port of a service, from a caller in `namespace`: its consumer routes if it has some,
    /// else those that are for all.
    func requestRoutes(_ service: String, port: UInt16, from namespace: String?) -> [Route] {
        let fitting = (routes[service] ?? []).filter { route in
            guard case .service(_, let wanted, _) = route.parent else { return false }
            return wanted == nil || wanted == port
        }
        let own = fitting.filter { route in
            guard case .service(_, _, let consumers) = route.parent else { return false }
            return consumers != nil && consumers == namespace
        }
        let forAll = fitting.filter { route in
            guard case .service(_, _, let consumers) = route.parent else { return false }
            return consumers == nil
        }
        return (own.isEmpty ? forAll : own).compactMap { route in
            guard case .requests(let requests) = route.content else { return nil }
            return requests
        }
    }
}

/// Which of the two kinds of clients is served: what one needs, the other rejects.
enum EnvoyFlavor: Sendable, Hashable, CaseIterable {
    /// A gRPC library (`xds:///service`): TLS by certificate providers of its bootstrap, and only what gRFC A27 and its
    /// successors know.
    case grpc
    /// Envoy: TLS by secrets of its bootstrap.
    case envoy
}
