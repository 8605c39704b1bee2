import MeshCore

extension Filter {
    static func list(_ messages: [ProtoFilter]) throws(ProxyError) -> [Filter] {
        var result: [Filter] = []
        for message in messages { result.append(try Filter(protobuf: message)) }
        return result
    }

    init(protobuf: ProtoFilter) throws(ProxyError) {
        switch protobuf.kind {
        case .requestHeaderModifier(let message): self = .requestHeaderModifier(HeaderModifier(protobuf: message))
        case .responseHeaderModifier(let message): self = .responseHeaderModifier(HeaderModifier(protobuf: message))
        case .requestRedirect(let message): self = .requestRedirect(try RequestRedirect(protobuf: message))
        case .urlRewrite(let message):
            self = .urlRewrite(
                URLRewrite(
                    hostname: message.hasHostname ? message.hostname : nil,
                    path: message.hasPath ? try PathModifier(protobuf: message.path) : nil))
        case .requestMirror(let message): self = .requestMirror(try RequestMirror(protobuf: message))
        case .cors(let message): self = .cors(CORS(protobuf: message))
        case nil: throw Protobuf.unknown("filter")
        }
    }

    func protobuf() -> ProtoFilter {
        var message = ProtoFilter()
        switch self {
        case .requestHeaderModifier(let filter): message.requestHeaderModifier = filter.protobuf()
        case .responseHeaderModifier(let filter): message.responseHeaderModifier = filter.protobuf()
        case .requestRedirect(let filter): message.requestRedirect = filter.protobuf()
        case .urlRewrite(let filter):
            var rewrite = ProtoURLRewrite()
            if let hostname = filter.hostname { rewrite.hostname = hostname }
            if let path = filter.path { rewrite.path = path.protobuf() }
            message.urlRewrite = rewrite
        case .requestMirror(let filter): message.requestMirror = filter.protobuf()
        case .cors(let filter): message.cors = filter.protobuf()
        }
        return message
    }
}

extension HeaderModifier {
    init(protobuf: ProtoHeaderModifier) {
        self.init(
            set: protobuf.set.map { Header(name: $0.name, value: $0.value) },
            add: protobuf.add.map { Header(name: $0.name, value: $0.value) }, remove: protobuf.remove)
    }

    func protobuf() -> ProtoHeaderModifier {
        var message = ProtoHeaderModifier()
        message.set = set.map { $0.protobuf() }
        message.add = add.map { $0.protobuf() }
        message.remove = remove
        return message
    }
}

extension Header {
    func protobuf() -> ProtoHeader {
        var message = ProtoHeader()
        message.name = name
        message.value = value
        return message
    }
}

extension PathModifier {
    init(protobuf: ProtoPathModifier) throws(ProxyError) {
        switch protobuf.kind {
        case .replaceFullPath(let path): self = .replaceFullPath(path)
        case .replacePrefixMatch(let prefix): self = .replacePrefixMatch(prefix)
        case nil: throw Protobuf.unknown("change of path")
        }
    }

    func protobuf() -> ProtoPathModifier {
        var message = ProtoPathModifier()
        switch self {
        case .replaceFullPath(let path): message.replaceFullPath = path
        case .replacePrefixMatch(let prefix): message.replacePrefixMatch = prefix
        }
        return message
    }
}

extension RequestRedirect {
    init(protobuf: ProtoRequestRedirect) throws(ProxyError) {
        self.init(
            scheme: protobuf.hasScheme ? protobuf.scheme : nil,
            hostname: protobuf.hasHostname ? protobuf.hostname : nil,
            path: protobuf.hasPath ? try PathModifier(protobuf: protobuf.path) : nil,
            port: protobuf.hasPort ? try Protobuf.port(protobuf.port) : nil, statusCode: Int(protobuf.statusCode))
    }

    func protobuf() -> ProtoRequestRedirect {
        var message = ProtoRequestRedirect()
        if let scheme { message.scheme = scheme }
        if let hostname { message.hostname = hostname }
        if let path { message.path = path.protobuf() }
        if let port { message.port = UInt32(port) }
        message.statusCode = Int32(clamping: statusCode)
        return message
    }
}

extension RequestMirror {
    init(protobuf: ProtoRequestMirror) throws(ProxyError) {
        let target: BackendTarget =
            switch protobuf.target {
            case .backend(let name): .backend(name)
            case .invalidReason(let reason): .invalid(reason: reason)
            case nil: throw Protobuf.unknown("kind of backend")
            }
        self.init(target: target, numerator: Int(protobuf.numerator), denominator: Int(protobuf.denominator))
    }

    func protobuf() -> ProtoRequestMirror {
        var message = ProtoRequestMirror()
        switch target {
        case .backend(let name): message.backend = name
        case .invalid(let reason): message.invalidReason = reason
        }
        message.numerator = Int64(numerator)
        message.denominator = Int64(denominator)
        return message
    }
}

extension CORS {
    init(protobuf: ProtoCORS) {
        self.init(
            allowOrigins: protobuf.allowOrigins, allowCredentials: protobuf.allowCredentials,
            allowMethods: protobuf.allowMethods, allowHeaders: protobuf.allowHeaders,
            exposeHeaders: protobuf.exposeHeaders, maxAge: Int(protobuf.maxAge))
    }

    func protobuf() -> ProtoCORS {
        var message = ProtoCORS()
        message.allowOrigins = allowOrigins
        message.allowCredentials = allowCredentials
        message.allowMethods = allowMethods
        message.allowHeaders = allowHeaders
        message.exposeHeaders = exposeHeaders
        message.maxAge = Int64(maxAge)
        return message
    }
}
