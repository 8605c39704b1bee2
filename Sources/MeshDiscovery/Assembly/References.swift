import MeshModel

/// Follows references from routes to backends, and gathers the backends that are in use.
struct References {
    private let resources: ResourceSet
    private var used: Set<String> = []
    private var own: [Backend] = []

    init(_ resources: ResourceSet) { self.resources = resources }

    /// Adds a backend that is no resource.
    mutating func add(_ backend: Backend) { own.append(backend) }

    /// `target`, or why it leads nowhere.
    mutating func target(_ target: BackendTarget) -> BackendTarget {
        guard case .backend(let name) = target else { return target }
        guard resources.backends[name] != nil else { return .invalid(reason: "there is no backend '\(name)'") }
        used.insert(name)
        return target
    }

    /// `route` with every target followed.
    mutating func requests(_ route: Route) -> Route {
        var route = route
        for rule in route.rules.indices {
            follow(&route.rules[rule].backends)
            follow(&route.rules[rule].filters)
        }
        return route
    }

    /// `route` with every target followed.
    mutating func streams(_ route: StreamRoute) -> StreamRoute {
        var route = route
        follow(&route.backends)
        return route
    }

    /// Gives `section` those of `routes` that its protocol can serve, in this order.
    mutating func attach(_ routes: [AttachedRoute], to section: inout Section) {
        for route in routes {
            switch (route.content, section.protocol) {
            case (.requests(let route), .http), (.requests(let route), .https):
                section.routes.append(requests(route))
            case (.streams(let route), .tcp), (.streams(let route), .tls):
                section.streamRoutes.append(streams(route))
            case (.requests, .tcp), (.requests, .tls), (.streams, .http), (.streams, .https): break
            }
        }
    }

    private mutating func follow(_ backends: inout [WeightedBackend]) {
        for index in backends.indices {
            backends[index].target = target(backends[index].target)
            if !backends[index].filters.isEmpty { follow(&backends[index].filters) }
        }
    }

    private mutating func follow(_ filters: inout [Filter]) {
        for index in filters.indices {
            guard case .requestMirror(var mirror) = filters[index] else { continue }
            mirror.target = target(mirror.target)
            filters[index] = .requestMirror(mirror)
        }
    }

    /// Every backend in use, with its endpoints, by name.
    var backends: [Backend] {
        let followed = used.compactMap { resources.backends[$0] }.map { part -> Backend in
            var backend = part.backend
            let all = resources.endpoints[part.endpoints]?.endpoints ?? []
            backend.endpoints = part.selector.isEmpty ? all : all.filter { $0.has(part.selector) }
            return backend
        }
        return (followed + own).sorted { $0.name < $1.name }
    }
}

extension Endpoint {
    /// True if it has every one of `labels`.
    fileprivate func has(_ labels: [String: String]) -> Bool {
        labels.allSatisfy { self.labels[$0.key] == $0.value }
    }
}
