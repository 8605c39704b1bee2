import MeshCore
import MeshModel

/// Makes the model of a proxy from the resources that it has: a pure function, so that the control plane can say what
/// a proxy does, and what a change would change.
///
/// What refers to something that is not there does not fail: a route to a backend that has not come yet answers 500 with
/// the reason, and everything else works. Equal resources give an equal model, in whatever order they came.
public enum Assembly {
    /// The model of the proxy `role`; without an identity, which is the proxy's own affair, and without a revision.
    ///
    /// Throws, with the document and field, if the role's own document is not among `resources`, if `overrides` do not
    /// fit it, or if what comes out is not valid.
    public static func model(
        from resources: ResourceSet, role: ProxyRole, overrides: InstanceOverrides = InstanceOverrides()
    ) throws(ProxyError) -> Model {
        var model: Model
        switch role {
        case .workload(let name):
            guard let workload = resources.workloads[name] else { throw missing(role, "Workload") }
            var assembly = SidecarAssembly(resources, workload, overrides)
            model = try assembly.model()
        case .gateway(let name):
            guard let gateway = resources.gateways[name] else { throw missing(role, "Gateway") }
            model = self.model(of: gateway, resources, overrides)
        }
        if let zone = overrides.zone { model.settings.zone = zone }
        if let problem = model.problems().first { throw ProxyError("\(role): \(problem)") }
        return model
    }

    private static func missing(_ role: ProxyRole, _ kind: String) -> ProxyError {
        ProxyError("\(role): there is no \(kind) '\(role.name)'; apply one, or run the proxy for another")
    }

    /// A gateway: its listeners, with the routes that are attached to their sections.
    private static func model(
        of gateway: MeshGateway, _ resources: ResourceSet, _ overrides: InstanceOverrides
    ) -> Model {
        var references = References(resources)
        var attached: [String: [AttachedRoute]] = [:]
        for route in resources.routes.values {
            if case .section(let section) = route.parent { attached[section, default: []].append(route) }
        }
        let access = AccessSelection(resources)
        var listeners = gateway.listeners
        for listener in listeners.indices {
            let port = listeners[listener].address.port
            for section in listeners[listener].sections.indices {
                var changed = listeners[listener].sections[section]
                let routes = (attached[changed.name] ?? []).sorted(by: AttachedRoute.precedes)
                references.attach(routes, to: &changed)
                changed.access = access.rules(forGateway: gateway.name, port: port)
                listeners[listener].sections[section] = changed
            }
        }
        return Model(
            settings: gateway.settings, listeners: listeners, backends: references.backends,
            place: MeshPlace(service: gateway.name, instance: overrides.instance))
    }
}

extension AttachedRoute {
    /// True if `left` wins against `right` where both fit equally well: the older, then the first by name.
    static func precedes(_ left: AttachedRoute, _ right: AttachedRoute) -> Bool {
        (left.age, left.object, left.name) < (right.age, right.object, right.name)
    }
}
