private import FoundationEssentials
import MeshCore

extension ServerTLS {
    init(protobuf: ProtoServerTLS) throws(ProxyError) {
        self.init(
            certificates: protobuf.certificates.map { Certificate(protobuf: $0) },
            clientValidation: protobuf.hasClientValidation
                ? try ClientValidation(protobuf: protobuf.clientValidation) : nil,
            minimumVersion: try TLSVersion(protobuf: protobuf.minimumVersion), alpn: protobuf.alpn)
    }

    func protobuf() -> ProtoServerTLS {
        var message = ProtoServerTLS()
        message.certificates = certificates.map { $0.protobuf() }
        if let clientValidation { message.clientValidation = clientValidation.protobuf() }
        message.minimumVersion = minimumVersion.protobuf()
        message.alpn = alpn
        return message
    }
}

extension TLSVersion {
    init(protobuf: ProtoTLSVersion) throws(ProxyError) {
        switch protobuf {
        case .tls12: self = .tls12
        case .tls13: self = .tls13
        case .unspecified, .UNRECOGNIZED: throw Protobuf.unknown("version of TLS")
        }
    }

    func protobuf() -> ProtoTLSVersion {
        switch self {
        case .tls12: .tls12
        case .tls13: .tls13
        }
    }
}

extension Certificate {
    init(protobuf: ProtoCertificate) {
        self.init(
            name: protobuf.name, chain: Array(protobuf.chain), privateKey: Array(protobuf.privateKey),
            ocspStaple: protobuf.hasOcspStaple ? Array(protobuf.ocspStaple) : nil)
    }

    func protobuf() -> ProtoCertificate {
        var message = ProtoCertificate()
        message.name = name
        message.chain = Data(chain)
        message.privateKey = Data(privateKey)
        if let ocspStaple { message.ocspStaple = Data(ocspStaple) }
        return message
    }
}

extension ClientValidation {
    init(protobuf: ProtoClientValidation) throws(ProxyError) {
        let mode: Mode =
            switch protobuf.mode {
            case .allowValidOnly: .allowValidOnly
            case .allowInsecureFallback: .allowInsecureFallback
            case .unspecified, .UNRECOGNIZED: throw Protobuf.unknown("mode of client validation")
            }
        self.init(authorities: Array(protobuf.authorities), mode: mode)
    }

    func protobuf() -> ProtoClientValidation {
        var message = ProtoClientValidation()
        message.authorities = Data(authorities)
        switch mode {
        case .allowValidOnly: message.mode = .allowValidOnly
        case .allowInsecureFallback: message.mode = .allowInsecureFallback
        }
        return message
    }
}

extension BackendTLS {
    init(protobuf: ProtoBackendTLS) throws(ProxyError) {
        self.init(
            trust: protobuf.hasAuthorities ? .authorities(Array(protobuf.authorities)) : .system,
            hostname: protobuf.hostname,
            clientCertificate: protobuf.hasClientCertificate
                ? Certificate(protobuf: protobuf.clientCertificate) : nil,
            minimumVersion: try TLSVersion(protobuf: protobuf.minimumVersion))
        for name in protobuf.subjectAltNames {
            switch name.kind {
            case .hostname(let hostname): subjectAltNames.append(.hostname(hostname))
            case .uri(let uri): subjectAltNames.append(.uri(uri))
            case nil: throw Protobuf.unknown("kind of subject alternative name")
            }
        }
    }

    func protobuf() -> ProtoBackendTLS {
        var message = ProtoBackendTLS()
        if case .authorities(let authorities) = trust { message.authorities = Data(authorities) }
        message.hostname = hostname
        message.subjectAltNames = subjectAltNames.map { name in
            var message = ProtoSubjectAltName()
            switch name {
            case .hostname(let hostname): message.hostname = hostname
            case .uri(let uri): message.uri = uri
            }
            return message
        }
        if let clientCertificate { message.clientCertificate = clientCertificate.protobuf() }
        message.minimumVersion = minimumVersion.protobuf()
        return message
    }
}
