import MeshCore

extension AccessAction {
    init(protobuf: ProtoAccessAction) throws(ProxyError) {
        switch protobuf {
        case .allow: self = .allow
        case .deny: self = .deny
        case .unspecified, .UNRECOGNIZED: throw Protobuf.unknown("action of a policy")
        }
    }

    func protobuf() -> ProtoAccessAction {
        switch self {
        case .allow: .allow
        case .deny: .deny
        }
    }
}

extension AccessRules {
    init(protobuf: ProtoAccessRules) throws(ProxyError) {
        self.init(defaultAction: try AccessAction(protobuf: protobuf.defaultAction))
        for policy in protobuf.policies { policies.append(try AccessPolicy(protobuf: policy)) }
    }

    func protobuf() -> ProtoAccessRules {
        var message = ProtoAccessRules()
        message.defaultAction = defaultAction.protobuf()
        message.policies = policies.map { $0.protobuf() }
        return message
    }
}

extension AccessPolicy {
    init(protobuf: ProtoAccessPolicy) throws(ProxyError) {
        self.init(
            name: protobuf.name, action: try AccessAction(protobuf: protobuf.action), isAudit: protobuf.isAudit,
            origin: protobuf.hasOrigin ? Origin(protobuf: protobuf.origin) : nil)
        for target in protobuf.targets { targets.append(try AccessTarget(protobuf: target)) }
        for rule in protobuf.rules { rules.append(try AccessRule(protobuf: rule)) }
    }

    func protobuf() -> ProtoAccessPolicy {
        var message = ProtoAccessPolicy()
        message.name = name
        message.targets = targets.map { $0.protobuf() }
        message.action = action.protobuf()
        message.isAudit = isAudit
        message.rules = rules.map { $0.protobuf() }
        if let origin = Protobuf.origin(origin) { message.origin = origin }
        return message
    }
}

extension AccessTarget {
    init(protobuf: ProtoAccessTarget) throws(ProxyError) {
        switch protobuf.kind {
        case .service(let name): self = .service(name)
        case .workload(let name): self = .workload(name)
        case .gateway(let name): self = .gateway(name)
        case nil: throw Protobuf.unknown("target of a policy")
        }
    }

    func protobuf() -> ProtoAccessTarget {
        var message = ProtoAccessTarget()
        switch self {
        case .service(let name): message.service = name
        case .workload(let name): message.workload = name
        case .gateway(let name): message.gateway = name
        }
        return message
    }
}

extension AccessRule {
    init(protobuf: ProtoAccessRule) throws(ProxyError) {
        self.init(
            from: protobuf.from.map {
                AccessSource(identities: $0.identities, namespaces: $0.namespaces, cidrs: $0.cidrs)
            })
        for operation in protobuf.to {
            var ports: [UInt16] = []
            for port in operation.ports { ports.append(try Protobuf.port(port)) }
            to.append(
                AccessOperation(
                    hosts: operation.hosts, methods: operation.methods, paths: operation.paths, ports: ports))
        }
    }

    func protobuf() -> ProtoAccessRule {
        var message = ProtoAccessRule()
        message.from = from.map { source in
            var message = ProtoAccessSource()
            message.identities = source.identities
            message.namespaces = source.namespaces
            message.cidrs = source.cidrs
            return message
        }
        message.to = to.map { operation in
            var message = ProtoAccessOperation()
            message.hosts = operation.hosts
            message.methods = operation.methods
            message.paths = operation.paths
            message.ports = operation.ports.map(UInt32.init)
            return message
        }
        return message
    }
}
