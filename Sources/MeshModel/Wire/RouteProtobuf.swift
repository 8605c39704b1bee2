private import FoundationEssentials
import MeshCore

extension Route {
    init(protobuf: ProtoRoute) throws(ProxyError) {
        let kind: Kind =
            switch protobuf.kind {
            case .http: .http
            case .grpc: .grpc
            case .unspecified, .UNRECOGNIZED: throw Protobuf.unknown("kind of route")
            }
        self.init(
            name: protobuf.name, kind: kind, hostnames: try Protobuf.hostnames(protobuf.hostnames),
            port: protobuf.hasPort ? try Protobuf.port(protobuf.port) : nil,
            origin: protobuf.hasOrigin ? Origin(protobuf: protobuf.origin) : nil)
        for rule in protobuf.rules { rules.append(try RouteRule(protobuf: rule)) }
    }

    func protobuf() -> ProtoRoute {
        var message = ProtoRoute()
        message.name = name
        switch kind {
        case .http: message.kind = .http
        case .grpc: message.kind = .grpc
        }
        message.hostnames = hostnames.map(\.description)
        if let port { message.port = UInt32(port) }
        message.rules = rules.map { $0.protobuf() }
        if let origin = Protobuf.origin(origin) { message.origin = origin }
        return message
    }
}

extension RouteRule {
    init(protobuf: ProtoRouteRule) throws(ProxyError) {
        self.init(
            name: protobuf.name, matches: [], filters: try Filter.list(protobuf.filters),
            backends: try WeightedBackend.list(protobuf.backends),
            policy: try RequestPolicy(protobuf: protobuf.policy),
            sessionPersistence: protobuf.hasSessionPersistence
                ? try SessionPersistence(protobuf: protobuf.sessionPersistence) : nil,
            origin: protobuf.hasOrigin ? Origin(protobuf: protobuf.origin) : nil)
        for match in protobuf.matches { matches.append(try RouteMatch(protobuf: match)) }
    }

    func protobuf() -> ProtoRouteRule {
        var message = ProtoRouteRule()
        message.name = name
        message.matches = matches.map { $0.protobuf() }
        message.filters = filters.map { $0.protobuf() }
        message.backends = backends.map { $0.protobuf() }
        message.policy = policy.protobuf()
        if let sessionPersistence { message.sessionPersistence = sessionPersistence.protobuf() }
        if let origin = Protobuf.origin(origin) { message.origin = origin }
        return message
    }
}

extension RouteMatch {
    init(protobuf: ProtoRouteMatch) throws(ProxyError) {
        let path: PathMatch =
            switch protobuf.path {
            case .exact(let path): .exact(path)
            case .prefix(let path): .prefix(path)
            case .regex(let pattern): .regex(pattern)
            case .grpc(let call):
                .grpc(
                    service: call.hasService ? try StringMatch(protobuf: call.service) : nil,
                    method: call.hasMethod ? try StringMatch(protobuf: call.method) : nil)
            case nil: throw Protobuf.unknown("kind of path match")
            }
        self.init(
            path: path, headers: try NamedMatch.list(protobuf.headers),
            queryParams: try NamedMatch.list(protobuf.queryParams),
            method: protobuf.hasMethod ? protobuf.method : nil)
    }

    func protobuf() -> ProtoRouteMatch {
        var message = ProtoRouteMatch()
        switch path {
        case .exact(let path): message.exact = path
        case .prefix(let path): message.prefix = path
        case .regex(let pattern): message.regex = pattern
        case .grpc(let service, let method):
            var call = ProtoGRPCMatch()
            if let service { call.service = service.protobuf() }
            if let method { call.method = method.protobuf() }
            message.grpc = call
        }
        message.headers = headers.map { $0.protobuf() }
        message.queryParams = queryParams.map { $0.protobuf() }
        if let method { message.method = method }
        return message
    }
}

extension StringMatch {
    init(protobuf: ProtoStringMatch) throws(ProxyError) {
        switch protobuf.kind {
        case .exact(let text): self = .exact(text)
        case .regex(let pattern): self = .regex(pattern)
        case nil: throw Protobuf.unknown("kind of match")
        }
    }

    func protobuf() -> ProtoStringMatch {
        var message = ProtoStringMatch()
        switch self {
        case .exact(let text): message.exact = text
        case .regex(let pattern): message.regex = pattern
        }
        return message
    }
}

extension NamedMatch {
    static func list(_ messages: [ProtoNamedMatch]) throws(ProxyError) -> [NamedMatch] {
        var result: [NamedMatch] = []
        for message in messages {
            result.append(NamedMatch(name: message.name, value: try StringMatch(protobuf: message.value)))
        }
        return result
    }

    func protobuf() -> ProtoNamedMatch {
        var message = ProtoNamedMatch()
        message.name = name
        message.value = value.protobuf()
        return message
    }
}

extension WeightedBackend {
    static func list(_ messages: [ProtoWeightedBackend]) throws(ProxyError) -> [WeightedBackend] {
        var result: [WeightedBackend] = []
        for message in messages {
            let target: BackendTarget =
                switch message.target {
                case .backend(let name): .backend(name)
                case .invalidReason(let reason): .invalid(reason: reason)
                case nil: throw Protobuf.unknown("kind of backend")
                }
            result.append(
                WeightedBackend(target, weight: Int(message.weight), filters: try Filter.list(message.filters)))
        }
        return result
    }

    func protobuf() -> ProtoWeightedBackend {
        var message = ProtoWeightedBackend()
        switch target {
        case .backend(let name): message.backend = name
        case .invalid(let reason): message.invalidReason = reason
        }
        message.weight = Int64(weight)
        message.filters = filters.map { $0.protobuf() }
        return message
    }
}

extension SessionPersistence {
    init(protobuf: ProtoSessionPersistence) throws(ProxyError) {
        let kind: Kind =
            switch protobuf.kind {
            case .cookie(let cookie): .cookie(name: cookie.name, path: cookie.path, permanent: cookie.permanent)
            case .header(let name): .header(name: name)
            case nil: throw Protobuf.unknown("kind of session persistence")
            }
        self.init(
            kind: kind,
            absoluteTimeout: protobuf.hasAbsoluteTimeout ? Duration(protobuf: protobuf.absoluteTimeout) : nil)
    }

    func protobuf() -> ProtoSessionPersistence {
        var message = ProtoSessionPersistence()
        switch kind {
        case .cookie(let name, let path, let permanent):
            var cookie = ProtoSessionCookie()
            cookie.name = name
            cookie.path = path
            cookie.permanent = permanent
            message.cookie = cookie
        case .header(let name): message.header = name
        }
        if let absoluteTimeout { message.absoluteTimeout = absoluteTimeout.protobuf() }
        return message
    }
}

extension StreamRoute {
    init(protobuf: ProtoStreamRoute) throws(ProxyError) {
        self.init(
            name: protobuf.name, hostnames: try Protobuf.hostnames(protobuf.hostnames),
            backends: try WeightedBackend.list(protobuf.backends),
            origin: protobuf.hasOrigin ? Origin(protobuf: protobuf.origin) : nil)
    }

    func protobuf() -> ProtoStreamRoute {
        var message = ProtoStreamRoute()
        message.name = name
        message.hostnames = hostnames.map(\.description)
        message.backends = backends.map { $0.protobuf() }
        if let origin = Protobuf.origin(origin) { message.origin = origin }
        return message
    }
}
