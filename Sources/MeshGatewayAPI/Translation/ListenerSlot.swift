import MeshModel

/// One listener of a Gateway while routes are attached to it.
final class ListenerSlot {
    let gateway: GatewayDocument
    let listener: GatewayDocument.Listener
    /// `namespace/gateway/section`.
    let name: String
    let hostname: Hostname
    let sectionProtocol: SectionProtocol
    /// Group and kind of routes that may attach.
    private(set) var kinds: [(group: String, kind: String)] = []
    var tls: ServerTLS?
    /// Why it does not serve; nil: it does.
    var conflict: (reason: String, message: String)?
    /// Why its references do not resolve; nil: they do.
    var unresolved: (reason: String, message: String)?
    var routes: [Route] = []
    var streamRoutes: [StreamRoute] = []
    /// Routes that are attached, for conflicts between kinds and for shadowing.
    var attached: [(id: ObjectID, place: Place, hostnames: [Hostname])] = []

    init(_ gateway: GatewayDocument, _ listener: GatewayDocument.Listener, report: Report) {
        self.gateway = gateway
        self.listener = listener
        name = "\(gateway.metadata.namespace)/\(gateway.metadata.name)/\(listener.name.value)"
        hostname = listener.hostname.flatMap { Hostname($0) } ?? .any
        switch listener.kind.value {
        case .http: sectionProtocol = .http
        case .https: sectionProtocol = .https
        case .tls: sectionProtocol = .tls
        case .tcp, .udp: sectionProtocol = .tcp
        }
        readKinds(report)
    }

    /// Where it listens.
    var addresses: [ListenAddress] {
        let port = UInt16(clamping: listener.port.value)
        if gateway.addresses.isEmpty { return [.any(port: port)] }
        return gateway.addresses.map { .ip($0.value, port: port) }
    }

    /// What its section is called at each of ``addresses``.
    var sectionNames: [String] {
        let addresses = addresses
        return addresses.count == 1 ? [name] : addresses.map { "\(name)@\($0)" }
    }

    /// True if TLS ends here.
    var terminatesTLS: Bool { listener.tls.map { $0.mode == .terminate } ?? false }

    private var possibleKinds: [String] {
        switch sectionProtocol {
        case .http, .https: ["HTTPRoute", "GRPCRoute"]
        case .tls: terminatesTLS ? ["TLSRoute", "TCPRoute"] : ["TLSRoute"]
        case .tcp: ["TCPRoute"]
        }
    }

    private func readKinds(_ report: Report) {
        let possible = possibleKinds
        guard let wanted = listener.kinds else {
            kinds = possible.map { (APIGroup.gateway, $0) }
            return
        }
        for kind in wanted {
            if kind.group == APIGroup.gateway, possible.contains(kind.kind) {
                kinds.append((kind.group, kind.kind))
            } else {
                let message = "\(kind.kind) cannot be attached to protocol \(listener.kind.value.rawValue)"
                unresolved = ("InvalidRouteKinds", message)
                report.warning(message, at: kind.place, remedy: Suggestion.remedy(for: kind.kind, in: possible))
            }
        }
    }

    /// True if routes of `id`'s kind may attach.
    func takes(_ id: ObjectID) -> Bool { kinds.contains { $0.group == id.group && $0.kind == id.kind } }

    /// True if routes of `namespace`, which has `labels`, may attach.
    func admits(namespace: String, labels: [String: String]) -> Bool {
        switch listener.from {
        case .all: true
        case .same: namespace == gateway.metadata.namespace
        case .selector: listener.selector?.matches(labels) ?? false
        case .none: false
        }
    }
}
