private import FoundationEssentials
import MeshCore
internal import SwiftProtobuf

/// Resources as messages of proto/martlet/v1/mesh.proto.
extension MeshResource {
    /// The message; the same bytes for equal resources, so that its hash is its version.
    public func encode() throws(ProxyError) -> [UInt8] {
        do {
            var options = BinaryEncodingOptions()
            options.useDeterministicOrdering = true
            return try message().serializedBytes(options: options)
        } catch {
            throw ProxyError("the \(type) \(name) cannot be written: \(error)")
        }
    }

    private func message() -> any Message {
        switch self {
        case .trustBundle(let authorities):
            var message = ProtoTrustBundle()
            message.authorities = Data(authorities)
            return message
        case .mesh(let settings): return settings.protobuf()
        case .backend(let backend): return backend.protobuf()
        case .endpoints(let set): return set.protobuf()
        case .accessPolicy(let policy): return policy.protobuf()
        case .service(let service): return service.protobuf()
        case .workload(let workload): return workload.protobuf()
        case .gateway(let gateway): return gateway.protobuf()
        case .route(let route): return route.protobuf()
        }
    }

    /// The resource in `bytes`, which may be anything; rules among several resources are checked where they meet, by
    /// `Model.validate`.
    public static func decode(_ type: MeshResourceType, _ bytes: [UInt8]) throws(ProxyError) -> MeshResource {
        do {
            switch type {
            case .trustBundle: return .trustBundle([UInt8](try ProtoTrustBundle(serializedBytes: bytes).authorities))
            case .mesh: return .mesh(try MeshSettings(protobuf: ProtoMeshSettings(serializedBytes: bytes)))
            case .backend: return .backend(try MeshBackend(protobuf: ProtoMeshBackend(serializedBytes: bytes)))
            case .endpoints: return .endpoints(try EndpointSet(protobuf: ProtoEndpointSet(serializedBytes: bytes)))
            case .accessPolicy:
                return .accessPolicy(try AccessPolicy(protobuf: ProtoAccessPolicy(serializedBytes: bytes)))
            case .service: return .service(try MeshService(protobuf: ProtoMeshService(serializedBytes: bytes)))
            case .workload: return .workload(try Workload(protobuf: ProtoWorkload(serializedBytes: bytes)))
            case .gateway: return .gateway(try MeshGateway(protobuf: ProtoMeshGateway(serializedBytes: bytes)))
            case .route: return .route(try AttachedRoute(protobuf: ProtoAttachedRoute(serializedBytes: bytes)))
            }
        } catch let error as ProxyError {
            throw error
        } catch {
            throw ProxyError("the \(type) is damaged: \(error)")
        }
    }
}

extension MeshSettings {
    init(protobuf: ProtoMeshSettings) throws(ProxyError) {
        self.init(
            trustDomain: protobuf.trustDomain, namespace: protobuf.namespace,
            defaultAccess: try AccessAction(protobuf: protobuf.defaultAccess),
            allowsUnknownDestinations: protobuf.allowsUnknownDestinations,
            certificateLifetime: Duration(protobuf: protobuf.certificateLifetime))
    }

    func protobuf() -> ProtoMeshSettings {
        var message = ProtoMeshSettings()
        message.trustDomain = trustDomain
        message.namespace = namespace
        message.defaultAccess = defaultAccess.protobuf()
        message.allowsUnknownDestinations = allowsUnknownDestinations
        message.certificateLifetime = certificateLifetime.protobuf()
        return message
    }
}

extension MeshBackend {
    init(protobuf: ProtoMeshBackend) throws(ProxyError) {
        self.init(
            backend: try Backend(protobuf: protobuf.backend), endpoints: protobuf.endpoints,
            selector: protobuf.selector)
    }

    func protobuf() -> ProtoMeshBackend {
        var message = ProtoMeshBackend()
        message.backend = backend.protobuf()
        message.endpoints = endpoints
        message.selector = selector
        return message
    }
}

extension EndpointSet {
    init(protobuf: ProtoEndpointSet) throws(ProxyError) {
        self.init(name: protobuf.name, endpoints: [])
        for endpoint in protobuf.endpoints { endpoints.append(try Endpoint(protobuf: endpoint)) }
    }

    func protobuf() -> ProtoEndpointSet {
        var message = ProtoEndpointSet()
        message.name = name
        message.endpoints = endpoints.map { $0.protobuf() }
        return message
    }
}

extension MeshGateway {
    init(protobuf: ProtoMeshGateway) throws(ProxyError) {
        self.init(
            name: protobuf.name, listeners: [], settings: try ProxySettings(protobuf: protobuf.settings),
            origin: protobuf.hasOrigin ? Origin(protobuf: protobuf.origin) : nil)
        for listener in protobuf.listeners { listeners.append(try Listener(protobuf: listener)) }
    }

    func protobuf() -> ProtoMeshGateway {
        var message = ProtoMeshGateway()
        message.name = name
        message.listeners = listeners.map { $0.protobuf() }
        message.settings = settings.protobuf()
        if let origin = Protobuf.origin(origin) { message.origin = origin }
        return message
    }
}

extension AttachedRoute {
    init(protobuf: ProtoAttachedRoute) throws(ProxyError) {
        let parent: Parent
        switch protobuf.parent {
        case .section(let section): parent = .section(section)
        case .service(let service):
            parent = .service(
                service.service, port: service.hasPort ? try Protobuf.port(service.port) : nil,
                consumers: service.hasConsumers ? service.consumers : nil)
        case nil: throw Protobuf.unknown("parent of a route")
        }
        let content: Content
        switch protobuf.content {
        case .requests(let route): content = .requests(try Route(protobuf: route))
        case .streams(let route): content = .streams(try StreamRoute(protobuf: route))
        case nil: throw Protobuf.unknown("kind of route")
        }
        self.init(parent: parent, object: protobuf.object, content: content, age: protobuf.age)
    }

    func protobuf() -> ProtoAttachedRoute {
        var message = ProtoAttachedRoute()
        switch parent {
        case .section(let section): message.section = section
        case .service(let service, let port, let consumers):
            message.service.service = service
            if let port { message.service.port = UInt32(port) }
            if let consumers { message.service.consumers = consumers }
        }
        message.object = object
        switch content {
        case .requests(let route): message.requests = route.protobuf()
        case .streams(let route): message.streams = route.protobuf()
        }
        message.age = age
        return message
    }
}
