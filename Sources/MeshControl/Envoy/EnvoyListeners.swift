import MeshModel
internal import SwiftProtobuf

/// Services as listeners and route configurations.
extension EnvoyView {
    /// A service's port as a client names it.
    struct ServicePort: Hashable {
        var service: String
        var port: UInt16
    }

    /// The service that `xds:///NAME` means: `name.namespace:port`, or any other of its hosts; without a port if it has
    /// only one. Nil if there is none.
    func servicePort(_ name: String) -> ServicePort? {
        let parts = name.split(separator: ":", omittingEmptySubsequences: false)
        guard let host = parts.first?.lowercased(), parts.count <= 2 else { return nil }
        guard let service = services.values.first(where: { $0.hosts.contains(host) || $0.name == host }) else {
            return nil
        }
        if parts.count == 1 {
            guard service.ports.count == 1, let port = service.ports.first?.port else { return nil }
            return ServicePort(service: service.name, port: port)
        }
        guard let port = UInt16(parts[1]), service.ports.contains(where: { $0.port == port }) else { return nil }
        return ServicePort(service: service.name, port: port)
    }

    /// The listener of a gRPC channel, under exactly the name that it asked for; nil if it means no service.
    func channel(_ name: String) -> EnvoyResource? {
        guard let target = servicePort(name) else { return nil }
        var listener = EnvoyListenerListener()
        listener.name = name
        listener.apiListener.apiListener = .init(
            holding: manager(routes: "\(target.service):\(target.port)", prefix: "channel"))
        return EnvoyResource(.listener, name, listener)
    }

    /// Envoy's one listener beside an application, at the workload's outbound address; 127.0.0.1:15001 without one.
    func outbound(_ workload: Workload?) -> EnvoyResource {
        var listener = EnvoyListenerListener()
        listener.name = Self.outboundName
        listener.address.socketAddress.address = "127.0.0.1"
        listener.address.socketAddress.portValue = UInt32(Workload.defaultOutboundPort)
        if case .ip(let address, let port)? = workload?.outbound {
            listener.address.socketAddress.address = address
            listener.address.socketAddress.portValue = UInt32(port)
        }
        var filter = EnvoyListenerFilter()
        filter.name = "envoy.filters.network.http_connection_manager"
        filter.typedConfig = .init(holding: manager(routes: Self.outboundName, prefix: Self.outboundName))
        var chain = EnvoyListenerFilterChain()
        chain.filters = [filter]
        listener.filterChains = [chain]
        return EnvoyResource(.listener, listener.name, listener)
    }

    private func manager(routes: String, prefix: String) -> EnvoyHTTPHttpConnectionManager {
        var manager = EnvoyHTTPHttpConnectionManager()
        manager.statPrefix = prefix
        manager.rds.configSource = .ads
        manager.rds.routeConfigName = routes
        var router = EnvoyHTTPHttpFilter()
        router.name = "envoy.filters.http.router"
        router.typedConfig = .init(holding: EnvoyRouterRouter())
        manager.httpFilters = [router]
        return manager
    }

    /// The routes of a gRPC channel, called `namespace/name:port`; nil if there is no such port.
    func channelRoutes(_ name: String) -> EnvoyResource? {
        guard let colon = name.lastIndex(of: ":"), let number = UInt16(name[name.index(after: colon)...]),
            let service = services[String(name[..<colon])], let port = service.ports.first(where: { $0.port == number })
        else { return nil }
        var configuration = EnvoyRouteRouteConfiguration()
        configuration.name = name
        configuration.virtualHosts = [virtualHost(service, port, domains: ["*"], from: nil, .grpc)]
        return EnvoyResource(.routes, name, configuration)
    }

    /// The routes of ``outbound(_:)``: of the services that the workload declares; of all without one.
    func outboundRoutes(_ workload: Workload?) -> EnvoyResource {
        let namespace = workload.map { String($0.name.prefix { $0 != "/" }) }
        var configuration = EnvoyRouteRouteConfiguration()
        configuration.name = Self.outboundName
        var taken: Set<String> = []
        for service in called(by: workload) {
            let ports = service.ports.filter { $0.protocol != .tcp }
            for port in ports {
                var hosts = service.hosts
                if service.name.hasPrefix("\(namespace ?? "")/") {
                    hosts.append(String(service.name.drop { $0 != "/" }.dropFirst()))
                }
                var domains = hosts.map { "\($0):\(port.port)" }
                if ports.count == 1 || port.port == 80 { domains += hosts }
                // Envoy rejects everything if two hosts have one domain.
                domains = domains.filter { taken.insert($0).inserted }
                guard !domains.isEmpty else { continue }
                configuration.virtualHosts.append(
                    virtualHost(service, port, domains: domains, from: namespace, .envoy))
            }
        }
        return EnvoyResource(.routes, configuration.name, configuration)
    }

    /// The services that a workload declares as its backends; all if there is no workload.
    func called(by workload: Workload?) -> [MeshService] {
        let names = workload.map { $0.backends.map(\.service) } ?? services.keys.sorted()
        return names.compactMap { services[$0] }
    }

    private func virtualHost(
        _ service: MeshService, _ port: MeshServicePort, domains: [String], from namespace: String?,
        _ flavor: EnvoyFlavor
    ) -> EnvoyRouteVirtualHost {
        var host = EnvoyRouteVirtualHost()
        host.name = "\(service.name):\(port.port)"
        host.domains = domains
        for route in requestRoutes(service.name, port: port.port, from: namespace) {
            for rule in route.rules { host.routes += routes(rule, flavor) }
        }
        if host.routes.isEmpty {
            let rule = RouteRule(backends: [WeightedBackend(.backend(port.backend))])
            host.routes = routes(rule, flavor)
        }
        return host
    }

    /// The name of the listener and the routes beside an application.
    static let outboundName = "outbound"
}
