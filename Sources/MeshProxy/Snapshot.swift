import MeshCore
import MeshModel
import MeshNet
import MeshTraffic

/// A model compiled for the loops: immutable, adopted by one message per loop. Exchanges in flight keep theirs.
public final class Snapshot: Sendable {
    /// A listener's rules.
    struct Routes: Sendable {
        let table: RouteTable
        let splits: [Split]
    }

    /// Where a backend's endpoints are.
    struct BackendAddresses: Sendable {
        let model: Backend
        let addresses: [SocketAddress]
    }

    let model: Model
    let routes: [Routes]
    let backends: [BackendAddresses]

    /// Compiles `model`; what this proxy does not serve yet is an error that says so.
    public init(_ model: Model) throws(ProxyError) {
        self.model = model
        var names: [String: Int] = [:]
        for (index, backend) in model.backends.enumerated() { names[backend.name] = index }
        var routes: [Routes] = []
        for listener in model.listeners { routes.append(try Self.routes(of: listener, names)) }
        self.routes = routes
        var backends: [BackendAddresses] = []
        for backend in model.backends {
            guard backend.protocol == .http1, backend.tls == nil else {
                throw ProxyError("backend \(backend.name): only HTTP/1.1 without TLS is served yet")
            }
            var addresses: [SocketAddress] = []
            for endpoint in backend.endpoints { addresses.append(try Self.address(endpoint, of: backend)) }
            backends.append(BackendAddresses(model: backend, addresses: addresses))
        }
        self.backends = backends
    }

    private static func routes(of listener: Listener, _ names: [String: Int]) throws(ProxyError) -> Routes {
        var entries: [RouteTable.Entry] = []
        var splits: [Split] = []
        for section in listener.sections {
            guard section.protocol == .http else {
                throw ProxyError("listener \(section.name): only protocol HTTP is served yet")
            }
            for route in section.routes {
                for rule in route.rules {
                    guard rule.filters.isEmpty, rule.backends.allSatisfy({ $0.filters.isEmpty }) else {
                        throw ProxyError("rule \(rule.name): filters are not served yet; take them out")
                    }
                    entries.append(RouteTable.Entry(hostnames: route.hostnames, rule: rule))
                    splits.append(Split(rule.backends) { names[$0] })
                }
            }
        }
        return Routes(table: try RouteTable(entries), splits: splits)
    }

    private static func address(_ endpoint: Endpoint, of backend: Backend) throws(ProxyError) -> SocketAddress {
        switch endpoint.address {
        case .ip(let ip, let port): if let address = SocketAddress(ip: ip, port: port) { return address }
        case .unix(let path): return .unix(path)
        case .name: break
        }
        throw ProxyError("backend \(backend.name): endpoint \(endpoint.address) is not an IP address or a unix socket")
    }
}
