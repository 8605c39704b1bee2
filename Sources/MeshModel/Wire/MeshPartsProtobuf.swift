import MeshCore

extension MeshPlace {
    init(protobuf: ProtoMeshPlace) {
        self.init(service: protobuf.service, version: protobuf.version, instance: protobuf.instance)
    }

    func protobuf() -> ProtoMeshPlace {
        var message = ProtoMeshPlace()
        message.service = service
        message.version = version
        message.instance = instance
        return message
    }
}

extension OriginalDestination {
    init(protobuf: ProtoOriginalDestination) throws(ProxyError) {
        self.init(passesUnknown: protobuf.passesUnknown)
        for entry in protobuf.entries {
            entries.append(
                Entry(
                    address: entry.hasAddress ? entry.address : nil, port: try Protobuf.port(entry.port),
                    section: entry.section))
        }
    }

    func protobuf() -> ProtoOriginalDestination {
        var message = ProtoOriginalDestination()
        message.passesUnknown = passesUnknown
        message.entries = entries.map { entry in
            var message = ProtoOriginalDestinationEntry()
            if let address = entry.address { message.address = address }
            message.port = UInt32(entry.port)
            message.section = entry.section
            return message
        }
        return message
    }
}

extension MTLSMode {
    init(protobuf: ProtoMTLSMode) throws(ProxyError) {
        switch protobuf {
        case .strict: self = .strict
        case .permissive: self = .permissive
        case .disabled: self = .disabled
        case .unspecified, .UNRECOGNIZED: throw Protobuf.unknown("mode of mutual TLS")
        }
    }

    func protobuf() -> ProtoMTLSMode {
        switch self {
        case .strict: .strict
        case .permissive: .permissive
        case .disabled: .disabled
        }
    }
}
