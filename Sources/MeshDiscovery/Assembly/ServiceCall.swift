import MeshModel

/// What one workload's calls to a port of a service meet: the routes that govern them, or plain balancing.
struct ServiceCall {
    let service: MeshService
    let port: MeshServicePort
    /// For a port that speaks HTTP: at least one route, for every host.
    let requests: [Route]
    /// For a port that speaks bytes.
    let stream: StreamRoute?

    /// Calls to `port`, governed by those of `routes` that have the service as parent.
    init(_ service: MeshService, _ port: MeshServicePort, _ routes: [AttachedRoute], _ references: inout References) {
        self.service = service
        self.port = port
        let target = WeightedBackend(.backend(port.backend))
        if port.protocol == .tcp {
            let attached = routes.lazy.compactMap(\.streams).first
            let route = attached ?? StreamRoute(name: service.name, backends: [target], origin: service.origin)
            stream = references.streams(route)
            requests = []
        } else {
            let attached = routes.compactMap(\.requests)
            let plain = Route(
                name: service.name, rules: [RouteRule(backends: [target], origin: service.origin)],
                origin: service.origin)
            requests = (attached.isEmpty ? [plain] : attached).map { route in
                // Hosts of a route say nothing where a Service is its parent: what is sent to the service is governed.
                var route = references.requests(route)
                route.hostnames = [.any]
                return route
            }
            stream = nil
        }
    }

    /// ``requests``, only for these hosts and, if it is not nil, this port.
    func requests(for hostnames: [Hostname], port: UInt16?) -> [Route] {
        requests.map { route in
            var route = route
            route.hostnames = hostnames
            route.port = port
            return route
        }
    }

    /// `namespace-name-port`, for names of sections.
    var label: String {
        "\(service.name.split(separator: "/").joined(separator: "-"))-\(port.port)"
    }
}

/// The routes of services, as one caller's namespace sees them.
struct ServiceRoutes {
    private var byService: [String: [AttachedRoute]] = [:]
    private let namespace: String

    init(_ resources: ResourceSet, callersIn namespace: String) {
        self.namespace = namespace
        for route in resources.routes.values {
            guard case .service(let service, _, let consumers) = route.parent,
                consumers == nil || consumers == namespace
            else { continue }
            byService[service, default: []].append(route)
        }
        for service in byService.keys { byService[service]?.sort(by: AttachedRoute.precedes) }
    }

    /// The routes for a port, the winner of equals first: the consumer routes of the caller's namespace, if there are any
    /// that can serve the port, else the producer's.
    func routes(_ service: MeshService, _ port: MeshServicePort) -> [AttachedRoute] {
        guard let all = byService[service.name] else { return [] }
        let fitting = all.filter { route in
            guard case .service(_, let only, _) = route.parent else { return false }
            return (only == nil || only == port.port) && (route.streams != nil) == (port.protocol == .tcp)
        }
        let consumers = fitting.filter(\.isForConsumers)
        return consumers.isEmpty ? fitting : consumers
    }
}

extension AttachedRoute {
    fileprivate var requests: Route? {
        if case .requests(let route) = content { return route }
        return nil
    }

    fileprivate var streams: StreamRoute? {
        if case .streams(let route) = content { return route }
        return nil
    }

    fileprivate var isForConsumers: Bool {
        if case .service(_, _, .some) = parent { return true }
        return false
    }
}
