private import FoundationEssentials
import MeshCore

extension Backend {
    init(protobuf: ProtoBackend) throws(ProxyError) {
        self.init(
            name: protobuf.name, protocol: try `Protocol`(protobuf: protobuf.protocol),
            tls: protobuf.hasTls ? try BackendTLS(protobuf: protobuf.tls) : nil,
            loadBalancer: try LoadBalancer(protobuf: protobuf.loadBalancer),
            connectTimeout: Duration(protobuf: protobuf.connectTimeout),
            idleTimeout: Duration(protobuf: protobuf.idleTimeout), limits: ConnectionLimits(protobuf: protobuf.limits),
            proxyProtocol: try ProxyProtocol(protobuf: protobuf.proxyProtocol),
            healthCheck: protobuf.hasHealthCheck ? try HealthCheck(protobuf: protobuf.healthCheck) : nil,
            outlierDetection: protobuf.hasOutlierDetection
                ? OutlierDetection(protobuf: protobuf.outlierDetection) : nil,
            retryBudget: RetryBudget(
                percent: Int(protobuf.retryBudget.percent),
                minConcurrency: Int(protobuf.retryBudget.minConcurrency)),
            adaptiveConcurrency: protobuf.hasAdaptiveConcurrency
                ? AdaptiveConcurrency(protobuf: protobuf.adaptiveConcurrency) : nil,
            policy: try RequestPolicy(protobuf: protobuf.policy),
            mesh: protobuf.hasMesh ? MeshPeer(identities: protobuf.mesh.identities) : nil, service: protobuf.service,
            origin: protobuf.hasOrigin ? Origin(protobuf: protobuf.origin) : nil)
        for endpoint in protobuf.endpoints { endpoints.append(try Endpoint(protobuf: endpoint)) }
    }

    func protobuf() -> ProtoBackend {
        var message = ProtoBackend()
        message.name = name
        message.protocol = self.protocol.protobuf()
        if let tls { message.tls = tls.protobuf() }
        message.endpoints = endpoints.map { $0.protobuf() }
        message.loadBalancer = loadBalancer.protobuf()
        message.connectTimeout = connectTimeout.protobuf()
        message.idleTimeout = idleTimeout.protobuf()
        message.limits = limits.protobuf()
        switch proxyProtocol {
        case .none: message.proxyProtocol = .none
        case .v1: message.proxyProtocol = .v1
        case .v2: message.proxyProtocol = .v2
        }
        if let healthCheck { message.healthCheck = healthCheck.protobuf() }
        if let outlierDetection { message.outlierDetection = outlierDetection.protobuf() }
        message.retryBudget.percent = Int64(retryBudget.percent)
        message.retryBudget.minConcurrency = Int64(retryBudget.minConcurrency)
        if let adaptiveConcurrency { message.adaptiveConcurrency = adaptiveConcurrency.protobuf() }
        message.policy = policy.protobuf()
        if let mesh { message.mesh.identities = mesh.identities }
        message.service = service
        if let origin = Protobuf.origin(origin) { message.origin = origin }
        return message
    }
}

extension Backend.`Protocol` {
    init(protobuf: ProtoBackendProtocol) throws(ProxyError) {
        switch protobuf {
        case .http1: self = .http1
        case .http2: self = .http2
        case .tcp: self = .tcp
        case .unspecified, .UNRECOGNIZED: throw Protobuf.unknown("backend protocol")
        }
    }

    func protobuf() -> ProtoBackendProtocol {
        switch self {
        case .http1: .http1
        case .http2: .http2
        case .tcp: .tcp
        }
    }
}

extension Backend.ProxyProtocol {
    init(protobuf: ProtoProxyProtocol) throws(ProxyError) {
        switch protobuf {
        case .none: self = .none
        case .v1: self = .v1
        case .v2: self = .v2
        case .unspecified, .UNRECOGNIZED: throw Protobuf.unknown("version of the PROXY protocol")
        }
    }
}

extension Endpoint {
    init(protobuf: ProtoEndpoint) throws(ProxyError) {
        self.init(
            try EndpointAddress(protobuf: protobuf.address), weight: Int(protobuf.weight),
            zone: protobuf.hasZone ? protobuf.zone : nil, labels: protobuf.labels,
            isBackup: protobuf.isBackup, isMeshed: protobuf.isMeshed)
    }

    func protobuf() -> ProtoEndpoint {
        var message = ProtoEndpoint()
        message.address = address.protobuf()
        message.weight = Int64(weight)
        if let zone { message.zone = zone }
        message.labels = labels
        message.isBackup = isBackup
        message.isMeshed = isMeshed
        return message
    }
}

extension EndpointAddress {
    init(protobuf: ProtoAddress) throws(ProxyError) {
        switch protobuf.kind {
        case .ip(let address): self = .ip(address.host, port: try Protobuf.port(address.port))
        case .name(let address): self = .name(address.host, port: try Protobuf.port(address.port))
        case .unixPath(let path): self = .unix(path: path)
        case .anyPort, nil: throw Protobuf.unknown("endpoint address")
        }
    }

    func protobuf() -> ProtoAddress {
        var message = ProtoAddress()
        switch self {
        case .ip(let host, let port):
            message.ip.host = host
            message.ip.port = UInt32(port)
        case .name(let host, let port):
            message.name.host = host
            message.name.port = UInt32(port)
        case .unix(let path): message.unixPath = path
        }
        return message
    }
}
