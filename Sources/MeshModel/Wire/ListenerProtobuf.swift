private import FoundationEssentials
import MeshCore

extension Model {
    init(protobuf: ProtoModel) throws(ProxyError) {
        self.init(
            revision: protobuf.revision, settings: try ProxySettings(protobuf: protobuf.settings),
            listeners: [], backends: [], place: protobuf.hasPlace ? MeshPlace(protobuf: protobuf.place) : nil)
        for listener in protobuf.listeners { listeners.append(try Listener(protobuf: listener)) }
        for backend in protobuf.backends { backends.append(try Backend(protobuf: backend)) }
    }

    func protobuf() -> ProtoModel {
        var message = ProtoModel()
        message.revision = revision
        message.settings = settings.protobuf()
        message.listeners = listeners.map { $0.protobuf() }
        message.backends = backends.map { $0.protobuf() }
        if let place { message.place = place.protobuf() }
        return message
    }
}

extension ProxySettings {
    init(protobuf: ProtoProxySettings) throws(ProxyError) {
        let log: AccessLog =
            switch protobuf.accessLog.form {
            case .off: .off
            case .json: .json
            case .text(let format): .text(format: format)
            case nil: throw Protobuf.unknown("form of access log")
            }
        self.init(
            drainTimeout: Duration(protobuf: protobuf.drainTimeout),
            resolutionInterval: Duration(protobuf: protobuf.resolutionInterval), accessLog: log,
            zone: protobuf.hasZone ? protobuf.zone : nil,
            overload: OverloadProtection(protobuf: protobuf.overload))
    }

    func protobuf() -> ProtoProxySettings {
        var message = ProtoProxySettings()
        message.drainTimeout = drainTimeout.protobuf()
        message.resolutionInterval = resolutionInterval.protobuf()
        switch accessLog {
        case .off: message.accessLog.off = ProtoEmpty()
        case .json: message.accessLog.json = ProtoEmpty()
        case .text(let format): message.accessLog.text = format
        }
        if let zone { message.zone = zone }
        message.overload = overload.protobuf()
        return message
    }
}

extension Listener {
    init(protobuf: ProtoListener) throws(ProxyError) {
        let role: Role =
            switch protobuf.role {
            case .edge: .edge
            case .sidecar: .sidecar
            case .unspecified, .UNRECOGNIZED: throw Protobuf.unknown("role")
            }
        self.init(
            address: try ListenAddress(protobuf: protobuf.address), role: role,
            proxyProtocol: protobuf.proxyProtocol, trustedHops: Int(protobuf.trustedHops),
            limits: ListenerLimits(protobuf: protobuf.limits),
            originalDestination: protobuf.hasOriginalDestination
                ? try OriginalDestination(protobuf: protobuf.originalDestination) : nil)
        for section in protobuf.sections { sections.append(try Section(protobuf: section)) }
    }

    func protobuf() -> ProtoListener {
        var message = ProtoListener()
        message.address = address.protobuf()
        switch role {
        case .edge: message.role = .edge
        case .sidecar: message.role = .sidecar
        }
        message.proxyProtocol = proxyProtocol
        message.trustedHops = Int64(trustedHops)
        message.limits = limits.protobuf()
        if let originalDestination { message.originalDestination = originalDestination.protobuf() }
        message.sections = sections.map { $0.protobuf() }
        return message
    }
}

extension ListenAddress {
    init(protobuf: ProtoAddress) throws(ProxyError) {
        switch protobuf.kind {
        case .anyPort(let port): self = .any(port: try Protobuf.port(port))
        case .ip(let address): self = .ip(address.host, port: try Protobuf.port(address.port))
        case .unixPath(let path): self = .unix(path: path)
        case .name, nil: throw Protobuf.unknown("listening address")
        }
    }

    func protobuf() -> ProtoAddress {
        var message = ProtoAddress()
        switch self {
        case .any(let port): message.anyPort = UInt32(port)
        case .ip(let host, let port):
            message.ip.host = host
            message.ip.port = UInt32(port)
        case .unix(let path): message.unixPath = path
        }
        return message
    }
}

extension ListenerLimits {
    init(protobuf: ProtoListenerLimits) {
        self.init()
        maxHeaders = Int(protobuf.maxHeaders)
        maxHeaderBytes = Int(protobuf.maxHeaderBytes)
        maxTargetBytes = Int(protobuf.maxTargetBytes)
        maxBodyBytes = protobuf.hasMaxBodyBytes ? Int(protobuf.maxBodyBytes) : nil
        headerTimeout = Duration(protobuf: protobuf.headerTimeout)
        bodyMinimumRate = Int(protobuf.bodyMinimumRate)
        bodyGrace = Duration(protobuf: protobuf.bodyGrace)
        idleTimeout = Duration(protobuf: protobuf.idleTimeout)
        streamIdleTimeout = Duration(protobuf: protobuf.streamIdleTimeout)
        handshakeTimeout = Duration(protobuf: protobuf.handshakeTimeout)
        maxConnections = protobuf.hasMaxConnections ? Int(protobuf.maxConnections) : nil
        maxRequestsPerConnection =
            protobuf.hasMaxRequestsPerConnection ? Int(protobuf.maxRequestsPerConnection) : nil
        http2 = HTTP2Limits(protobuf: protobuf.http2)
    }

    func protobuf() -> ProtoListenerLimits {
        var message = ProtoListenerLimits()
        message.maxHeaders = Int64(maxHeaders)
        message.maxHeaderBytes = Int64(maxHeaderBytes)
        message.maxTargetBytes = Int64(maxTargetBytes)
        if let maxBodyBytes { message.maxBodyBytes = Int64(maxBodyBytes) }
        message.headerTimeout = headerTimeout.protobuf()
        message.bodyMinimumRate = Int64(bodyMinimumRate)
        message.bodyGrace = bodyGrace.protobuf()
        message.idleTimeout = idleTimeout.protobuf()
        message.streamIdleTimeout = streamIdleTimeout.protobuf()
        message.handshakeTimeout = handshakeTimeout.protobuf()
        if let maxConnections { message.maxConnections = Int64(maxConnections) }
        if let maxRequestsPerConnection { message.maxRequestsPerConnection = Int64(maxRequestsPerConnection) }
        message.http2 = http2.protobuf()
        return message
    }
}

extension HTTP2Limits {
    init(protobuf: ProtoHTTP2Limits) {
        self.init()
        maxConcurrentStreams = Int(protobuf.maxConcurrentStreams)
        streamWindow = Int(protobuf.streamWindow)
        connectionWindow = Int(protobuf.connectionWindow)
        resets = RateLimit(protobuf: protobuf.resets)
        glitches = RateLimit(protobuf: protobuf.glitches)
        controlFrames = RateLimit(protobuf: protobuf.controlFrames)
        maxQueuedFrames = Int(protobuf.maxQueuedFrames)
        maxContinuations = Int(protobuf.maxContinuations)
    }

    func protobuf() -> ProtoHTTP2Limits {
        var message = ProtoHTTP2Limits()
        message.maxConcurrentStreams = Int64(maxConcurrentStreams)
        message.streamWindow = Int64(streamWindow)
        message.connectionWindow = Int64(connectionWindow)
        message.resets = resets.protobuf()
        message.glitches = glitches.protobuf()
        message.controlFrames = controlFrames.protobuf()
        message.maxQueuedFrames = Int64(maxQueuedFrames)
        message.maxContinuations = Int64(maxContinuations)
        return message
    }
}

extension RateLimit {
    init(protobuf: ProtoRateLimit) { self.init(burst: Int(protobuf.burst), perSecond: Int(protobuf.perSecond)) }

    func protobuf() -> ProtoRateLimit {
        var message = ProtoRateLimit()
        message.burst = Int64(burst)
        message.perSecond = Int64(perSecond)
        return message
    }
}

extension Section {
    init(protobuf: ProtoSection) throws(ProxyError) {
        let spoken: SectionProtocol =
            switch protobuf.protocol {
            case .http: .http
            case .https: .https
            case .tls: .tls
            case .tcp: .tcp
            case .unspecified, .UNRECOGNIZED: throw Protobuf.unknown("section protocol")
            }
        self.init(
            name: protobuf.name, hostname: try Protobuf.hostname(protobuf.hostname), protocol: spoken,
            tls: protobuf.hasTls ? try ServerTLS(protobuf: protobuf.tls) : nil,
            mesh: protobuf.hasMesh ? try MTLSMode(protobuf: protobuf.mesh) : nil,
            access: protobuf.hasAccess ? try AccessRules(protobuf: protobuf.access) : nil,
            origin: protobuf.hasOrigin ? Origin(protobuf: protobuf.origin) : nil)
        for route in protobuf.routes { routes.append(try Route(protobuf: route)) }
        for route in protobuf.streamRoutes { streamRoutes.append(try StreamRoute(protobuf: route)) }
    }

    func protobuf() -> ProtoSection {
        var message = ProtoSection()
        message.name = name
        message.hostname = hostname.description
        switch self.protocol {
        case .http: message.protocol = .http
        case .https: message.protocol = .https
        case .tls: message.protocol = .tls
        case .tcp: message.protocol = .tcp
        }
        if let tls { message.tls = tls.protobuf() }
        if let mesh { message.mesh = mesh.protobuf() }
        if let access { message.access = access.protobuf() }
        message.routes = routes.map { $0.protobuf() }
        message.streamRoutes = streamRoutes.map { $0.protobuf() }
        if let origin = Protobuf.origin(origin) { message.origin = origin }
        return message
    }
}
