private import FoundationEssentials
import MeshCore

extension Workload {
    init(protobuf: ProtoWorkload) throws(ProxyError) {
        self.init(
            name: protobuf.name, service: protobuf.service, labels: protobuf.labels, weight: Int(protobuf.weight),
            outbound: protobuf.hasOutbound ? try ListenAddress(protobuf: protobuf.outbound) : nil,
            transparent: protobuf.hasTransparent ? try ListenAddress(protobuf: protobuf.transparent) : nil,
            mode: try MTLSMode(protobuf: protobuf.mode), settings: try ProxySettings(protobuf: protobuf.settings),
            origin: protobuf.hasOrigin ? Origin(protobuf: protobuf.origin) : nil)
        for port in protobuf.ports { ports.append(try WorkloadPort(protobuf: port)) }
        for backend in protobuf.backends { backends.append(try WorkloadBackend(protobuf: backend)) }
    }

    func protobuf() -> ProtoWorkload {
        var message = ProtoWorkload()
        message.name = name
        message.service = service
        message.labels = labels
        message.weight = Int64(weight)
        message.ports = ports.map { $0.protobuf() }
        if let outbound { message.outbound = outbound.protobuf() }
        if let transparent { message.transparent = transparent.protobuf() }
        message.backends = backends.map { $0.protobuf() }
        message.mode = mode.protobuf()
        message.settings = settings.protobuf()
        if let origin = Protobuf.origin(origin) { message.origin = origin }
        return message
    }
}

extension WorkloadPort {
    init(protobuf: ProtoWorkloadPort) throws(ProxyError) {
        self.init(
            port: try Protobuf.port(protobuf.port), protocol: try .init(protobuf: protobuf.protocol),
            application: try EndpointAddress(protobuf: protobuf.application),
            inboundPort: try Protobuf.port(protobuf.inboundPort),
            readiness: protobuf.hasReadiness ? try HealthCheck(protobuf: protobuf.readiness) : nil)
    }

    func protobuf() -> ProtoWorkloadPort {
        var message = ProtoWorkloadPort()
        message.port = UInt32(port)
        message.protocol = self.protocol.protobuf()
        message.application = application.protobuf()
        message.inboundPort = UInt32(inboundPort)
        if let readiness { message.readiness = readiness.protobuf() }
        return message
    }
}

extension WorkloadBackend {
    init(protobuf: ProtoWorkloadBackend) throws(ProxyError) {
        self.init(
            service: protobuf.service,
            servicePort: protobuf.hasServicePort ? try Protobuf.port(protobuf.servicePort) : nil,
            localPort: protobuf.hasLocalPort ? try Protobuf.port(protobuf.localPort) : nil)
    }

    func protobuf() -> ProtoWorkloadBackend {
        var message = ProtoWorkloadBackend()
        message.service = service
        if let servicePort { message.servicePort = UInt32(servicePort) }
        if let localPort { message.localPort = UInt32(localPort) }
        return message
    }
}

extension MeshService {
    init(protobuf: ProtoMeshService) throws(ProxyError) {
        self.init(
            name: protobuf.name, hosts: protobuf.hosts, addresses: protobuf.addresses,
            origin: protobuf.hasOrigin ? Origin(protobuf: protobuf.origin) : nil)
        for port in protobuf.ports {
            ports.append(
                MeshServicePort(
                    port: try Protobuf.port(port.port), protocol: try .init(protobuf: port.protocol),
                    backend: port.backend))
        }
    }

    func protobuf() -> ProtoMeshService {
        var message = ProtoMeshService()
        message.name = name
        message.hosts = hosts
        message.addresses = addresses
        message.ports = ports.map { port in
            var message = ProtoMeshServicePort()
            message.port = UInt32(port.port)
            message.protocol = port.protocol.protobuf()
            message.backend = port.backend
            return message
        }
        if let origin = Protobuf.origin(origin) { message.origin = origin }
        return message
    }
}
