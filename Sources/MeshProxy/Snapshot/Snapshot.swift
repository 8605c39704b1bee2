import MeshCore
import MeshModel
import MeshNet
import MeshTLS
import MeshTelemetry
import MeshTraffic
import Synchronization

/// A model compiled for the loops: immutable, shared by all of them, adopted by one message each. Exchanges in flight
/// keep theirs.
public final class Snapshot: Sendable {
    let model: Model
    /// Counts up with each snapshot of the process: what loops cache by snapshot is checked against it.
    let generation: Int
    let listeners: [ServedListener]
    let backends: [ServedBackend]
    /// What policies say of requests.
    let plans: RequestPlans
    let logFormat: AccessLogFormat
    /// TLS between the proxies of the mesh; nil without an identity.
    let mesh: MeshContexts?

    /// Compiles `model`; what stays as it was in `previous` is taken over: TLS contexts with their ticket keys and
    /// sessions, and the counts of connections.
    ///
    /// - Throws: the first thing that cannot be served: a certificate that does not load, a pattern that is not valid.
    init(_ model: Model, previous: Snapshot? = nil, admin: AdminListener? = nil) throws(ProxyError) {
        self.model = model
        logFormat = try AccessLogFormat(model.settings.accessLog)
        generation = (previous?.generation ?? 0) + 1
        if let previous, previous.model.identity == model.identity {
            mesh = previous.mesh
        } else {
            mesh = try model.identity.map { identity throws(ProxyError) in
                try MeshContexts(certificate: identity.certificate.loaded, bundle: identity.bundle)
            }
        }
        var names: [String: Int] = [:]
        for (index, backend) in model.backends.enumerated() { names[backend.name] = index }
        // What a listener is compiled to depends on itself, on the order of the backends, and on who the proxy is.
        let isSimilar = previous.map { $0.hasSameFrame(as: model) } ?? false
        var listeners: [ServedListener] = []
        for listener in model.listeners {
            let key = ListenerKey(listener)
            let old = previous?.listeners.first { $0.key == key }
            if isSimilar, let old, old.model == listener {
                listeners.append(old)
                continue
            }
            listeners.append(
                try ServedListener(
                    listener, backend: { names[$0] }, mesh: mesh, isInMesh: model.isInMesh, previous: old))
        }
        if let admin {
            listeners.append(try ServedListener(admin, previous: previous?.listeners.last { $0.admin != nil }))
        }
        self.listeners = listeners
        var old: [String: ServedBackend] = [:]
        for backend in previous?.backends ?? [] { old[backend.name] = backend }
        var backends: [ServedBackend] = []
        let keepsBackends =
            previous.map { $0.model.identity == model.identity && $0.model.settings == model.settings } ?? false
        for backend in model.backends {
            if keepsBackends, let known = old[backend.name], known.model == backend {
                backends.append(known)
                continue
            }
            backends.append(try ServedBackend(backend, model.settings, mesh: mesh, previous: old[backend.name]))
        }
        self.backends = backends
        plans = try RequestPlans(listeners, backends, previous: previous?.plans)
    }

    /// True if a listener that is the same in `model` is compiled to the same.
    private func hasSameFrame(as model: Model) -> Bool {
        self.model.identity == model.identity && self.model.isInMesh == model.isInMesh
            && self.model.backends.count == model.backends.count
            && zip(self.model.backends, model.backends).allSatisfy { $0.name == $1.name }
    }

    /// What works but deserves a look: certificates that expired or are not valid yet.
    var warnings: [String] {
        listeners.flatMap { listener in
            zip(listener.sections, listener.contexts).flatMap { section, context in
                section.mesh == nil ? context?.warnings ?? [] : []
            }
        } + backends.flatMap { $0.tls?.warnings ?? [] } + meshWarnings
    }

    private var meshWarnings: [String] {
        if let mesh { return mesh.warnings }
        let waiting = listeners.flatMap(\.sections).filter { $0.mesh != nil }.map(\.name)
        if waiting.isEmpty { return [] }
        return ["the proxy has no identity in the mesh: TLS is refused at \(waiting.joined(separator: ", "))"]
    }
}

/// A listener as the loops use it.
final class ServedListener: Sendable {
    /// What its connections begin with.
    enum Kind: Sendable {
        case clear, tls, tcp
    }

    let model: Listener
    let kind: Kind
    let table: ListenerTable
    let limits: ListenerLimits
    let role: Role
    let trustedHops: Int
    let expectsProxyHeader: Bool
    let sections: [Section]
    /// By section: nil where TLS does not end here.
    let contexts: [TLSServerContext?]
    /// Where redirected connections lead; nil if connections are meant for the listener itself.
    let destinations: DestinationTable?
    /// What makes it the same one after a reload.
    let key: ListenerKey
    /// By section: who may do what; nil: all may do everything.
    let access: [AccessTable?]
    /// The section that takes connections without TLS beside mutual TLS, if there is one.
    let permissiveSection: Int?
    /// The proxy is part of a mesh: who a client is, its certificate says and nothing else.
    let isInMesh: Bool
    /// What the admin endpoint answers with; nil for listeners that forward.
    let admin: AdminListener?
    /// Open connections, over all loops.
    let connections: ConnectionCounter

    init(
        _ listener: Listener, backend: (String) -> Int?, mesh: MeshContexts? = nil, isInMesh: Bool = false,
        previous: ServedListener?
    ) throws(ProxyError) {
        model = listener
        self.isInMesh = isInMesh
        table = try ListenerTable(listener, backend: backend)
        limits = listener.limits
        role = listener.role
        trustedHops = listener.trustedHops
        expectsProxyHeader = listener.proxyProtocol
        sections = listener.sections
        kind =
            switch listener.sections.first?.protocol {
            case .tcp: .tcp
            case .https, .tls: .tls
            case .http, nil: .clear
            }
        var contexts: [TLSServerContext?] = []
        for section in listener.sections {
            if section.mesh != nil {
                contexts.append(mesh?.server)
                continue
            }
            let index = previous?.sections.firstIndex { $0.name == section.name }
            let old = index.flatMap { previous?.contexts[$0] }
            if let old, let index, previous?.sections[index].tls == section.tls {
                contexts.append(old)
            } else {
                contexts.append(
                    try section.tls.map { tls throws(ProxyError) in
                        try tls.context(ticketKeys: old?.ticketKeys, section: section)
                    })
            }
        }
        self.contexts = contexts
        destinations = try listener.originalDestination.map { wanted throws(ProxyError) in
            try DestinationTable(wanted, of: listener)
        }
        key = ListenerKey(listener)
        var access: [AccessTable?] = []
        for section in listener.sections { access.append(try section.accessTable(of: listener)) }
        self.access = access
        let named = table.section(serverName: [UInt8]().span)
        permissiveSection = named.flatMap { listener.sections[$0].mesh == .permissive ? $0 : nil }
        admin = nil
        connections = previous?.connections ?? ConnectionCounter()
    }

    /// The admin endpoint as a listener.
    init(_ admin: AdminListener, previous: ServedListener?) throws(ProxyError) {
        model = Listener(address: .unix(path: ""), role: .sidecar)
        table = try ListenerTable(model, backend: { _ in nil })
        limits = model.limits
        role = .sidecar
        trustedHops = 0
        expectsProxyHeader = false
        sections = []
        kind = .clear
        contexts = []
        destinations = nil
        key = .admin
        access = []
        permissiveSection = nil
        isInMesh = false
        self.admin = admin
        connections = previous?.connections ?? ConnectionCounter()
    }

    var isTLS: Bool { kind == .tls }

    /// The port that redirects name.
    var port: UInt16 { model.address.port ?? 0 }

    /// How metrics and the log call it.
    var name: String { sections.count == 1 ? sections[0].name : model.address.description }
}

extension ServerTLS {
    func context(ticketKeys: TLSTicketKeys?, section: Section) throws(ProxyError) -> TLSServerContext {
        let validation: MeshTLS.ClientValidation =
            switch clientValidation {
            case nil: .none
            case let wanted?:
                switch wanted.mode {
                case .allowValidOnly: .required(caPEM: wanted.authorities)
                case .allowInsecureFallback: .allowInsecureFallback(caPEM: wanted.authorities)
                }
            }
        let offered: [ALPN] =
            section.protocol == .tls
            ? []
            : alpn.compactMap {
                $0 == "h2" ? .http2 : $0 == "http/1.1" ? .http1 : nil
            }
        do throws(ProxyError) {
            return try TLSServerContext(
                certificates: certificates.map(\.loaded),
                minimumVersion: minimumVersion == .tls13 ? .v1_3 : .v1_2, alpn: offered,
                clientValidation: validation, ticketKeys: ticketKeys ?? TLSTicketKeys())
        } catch {
            throw ProxyError("listener \(section.name): \(error.description)")
        }
    }
}

extension Certificate {
    /// As `MeshTLS` takes it.
    var loaded: TLSCertificate {
        TLSCertificate(chainPEM: chain, keyPEM: privateKey, ocspStaple: ocspStaple, label: name)
    }
}

/// A backend as the loops use it.
final class ServedBackend: Sendable {
    let model: Backend
    let tls: TLSClientContext?
    /// What its meshed endpoints are spoken to with; nil while the proxy has no identity.
    let mesh: MeshContexts?
    /// The longest time between two resolutions of an endpoint's name.
    let resolutionInterval: Duration
    /// Where the proxy stands.
    let zone: String?
    /// What all loops know of it together.
    let share: BackendShare
    /// Retries in flight, over all loops.
    let retries: RetryCounter

    init(
        _ backend: Backend, _ settings: ProxySettings, mesh: MeshContexts? = nil, previous: ServedBackend?
    ) throws(ProxyError) {
        model = backend
        self.mesh = mesh
        resolutionInterval = settings.resolutionInterval
        zone = settings.zone
        share = previous?.share ?? BackendShare(backend)
        retries = previous?.retries ?? RetryCounter()
        if let previous, previous.model.tls == backend.tls, previous.model.protocol == backend.protocol {
            tls = previous.tls
        } else {
            do throws(ProxyError) {
                tls = try backend.tls.map { wanted throws(ProxyError) in try wanted.context(backend.protocol) }
            } catch {
                throw ProxyError("backend \(backend.name): \(error.description)")
            }
        }
    }

    var name: String { model.name }
    var connectTimeout: Duration { model.connectTimeout }
    var idleTimeout: Duration { model.idleTimeout }
    var limits: ConnectionLimits { model.limits }
    var proxyProtocol: Backend.ProxyProtocol { model.proxyProtocol }
    /// Connections to it, over all loops.
    var connections: ConnectionCounter { share.connections }

    /// True if attempts have to be admitted, or somebody learns from how they end.
    var isGuarded: Bool {
        limits.maxConnections != nil || limits.maxRequests != nil || limits.endpoint != EndpointLimits()
            || model.outlierDetection != nil || model.adaptiveConcurrency != nil
    }

    /// True if connections made for `other` can serve this one.
    func sharesConnections(with other: ServedBackend) -> Bool {
        tls === other.tls && model.protocol == other.model.protocol && model.proxyProtocol == other.model.proxyProtocol
            && model.tls == other.model.tls && model.mesh == other.model.mesh
    }
}

extension Backend.ProxyProtocol {
    /// True if connections begin with a header.
    var isSent: Bool { self != .none }
}

extension BackendTLS {
    fileprivate func context(_ spoken: Backend.`Protocol`) throws(ProxyError) -> TLSClientContext {
        let trust: TLSClientContext.Trust =
            switch self.trust {
            case .system: .system
            case .authorities(let pem): .authorities(caPEM: pem)
            }
        let alpn: [ALPN] =
            switch spoken {
            case .http1: [.http1]
            case .http2: [.http2]
            case .tcp: []
            }
        let names: [MeshTLS.SubjectAltName] = subjectAltNames.map { name in
            switch name {
            case .hostname(let name): .hostname(name)
            case .uri(let uri): .uri(uri)
            }
        }
        return try TLSClientContext(
            trust: trust, clientCertificate: clientCertificate?.loaded, alpn: alpn, subjectAltNames: names,
            minimumVersion: minimumVersion == .tls13 ? .v1_3 : .v1_2)
    }
}

/// Connections, or requests if they are limited, of something that all loops share.
///
/// Sequentially consistent: a loop that counts a waiting request and then finds no room, and another that makes room and
/// then finds nobody waiting, must not both be right.
final class ConnectionCounter: Sendable {
    private let count = Atomic<Int>(0)

    /// Counts one more; false, and nothing is counted, if there are `limit` already.
    func open(limit: Int?) -> Bool {
        let before = count.add(1, ordering: .sequentiallyConsistent).oldValue
        guard let limit, before >= limit else { return true }
        close()
        return false
    }

    /// Counts one less.
    func close() { count.subtract(1, ordering: .sequentiallyConsistent) }

    var current: Int { count.load(ordering: .sequentiallyConsistent) }
}
