// Parts of the configuration as if they had been written nowhere: an edited comment moves every line below it, and
// changes nothing.

extension Section {
    /// The same without any ``Origin``.
    public var withoutOrigins: Section {
        var section = self
        section.origin = nil
        section.routes = routes.map(\.withoutOrigins)
        section.streamRoutes = streamRoutes.map(\.withoutOrigins)
        return section
    }
}

extension Route {
    /// The same without any ``Origin``.
    public var withoutOrigins: Route {
        var route = self
        route.origin = nil
        for rule in route.rules.indices { route.rules[rule].origin = nil }
        return route
    }
}

extension StreamRoute {
    /// The same without its ``Origin``.
    public var withoutOrigins: StreamRoute {
        var route = self
        route.origin = nil
        return route
    }
}

extension MeshResource {
    /// The same without any ``Origin``.
    public var withoutOrigins: MeshResource {
        switch self {
        case .trustBundle, .mesh, .endpoints: return self
        case .backend(var backend):
            backend.backend.origin = nil
            return .backend(backend)
        case .accessPolicy(var policy):
            policy.origin = nil
            return .accessPolicy(policy)
        case .service(var service):
            service.origin = nil
            return .service(service)
        case .workload(var workload):
            workload.origin = nil
            return .workload(workload)
        case .gateway(var gateway):
            gateway.origin = nil
            for listener in gateway.listeners.indices {
                gateway.listeners[listener].sections = gateway.listeners[listener].sections.map(\.withoutOrigins)
            }
            return .gateway(gateway)
        case .route(var route):
            switch route.content {
            case .requests(let content): route.content = .requests(content.withoutOrigins)
            case .streams(let content): route.content = .streams(content.withoutOrigins)
            }
            return .route(route)
        }
    }
}
