import Foundation
import MeshModel

/// Service, as far as it says which ports there are and what is spoken.
struct ServiceDocument {
    struct Port {
        var name: String
        var port: Int
        var targetPort: Int?
        /// The name of a port of a container, which only Kubernetes could resolve.
        var targetName: String?
        var appProtocol: String?
        /// False for UDP and SCTP, which are not served.
        var isTCP: Bool
        var place: Place
    }

    var metadata: Metadata
    var ports: [Port]
    var isExternalName: Bool
    /// Its cluster IPs.
    var addresses: [String]

    init(_ spec: Fields, metadata: Metadata) {
        self.metadata = metadata
        isExternalName = spec.string("type")?.value == "ExternalName"
        addresses = Self.addresses(spec)
        spec.ignore(
            "selector", "externalIPs", "sessionAffinity", "sessionAffinityConfig",
            "loadBalancerIP", "loadBalancerSourceRanges", "loadBalancerClass", "externalName", "externalTrafficPolicy",
            "internalTrafficPolicy", "healthCheckNodePort", "publishNotReadyAddresses", "ipFamilies", "ipFamilyPolicy",
            "allocateLoadBalancerNodePorts", "trafficDistribution")
        ports = spec.list("ports", most: 256) { fields in
            let port = fields.integer("port", in: 1...65535)
            if !fields.has("port") { fields.missing("port") }
            let name = fields.string("name")?.value ?? ""
            let transport = fields.string("protocol")?.value ?? "TCP"
            fields.ignore("nodePort")
            var target: Int?
            var targetName: String?
            if let node = fields.node("targetPort"), case .scalar(let text, true) = node.content,
                case .integer = PlainScalar(text)
            {
                target = fields.integer("targetPort", in: 1...65535)?.value
            } else {
                targetName = fields.string("targetPort")?.value
            }
            let appProtocol = fields.string("appProtocol")?.value
            return port.map {
                Port(
                    name: name, port: $0.value, targetPort: target, targetName: targetName, appProtocol: appProtocol,
                    isTCP: transport == "TCP", place: fields.place)
            }
        }
    }

    /// What `clusterIPs`, and before it there was only that, `clusterIP` say; `None` is headless.
    private static func addresses(_ spec: Fields) -> [String] {
        var result: [String] = []
        for text in [spec.string("clusterIP")].compactMap({ $0 }) + spec.strings("clusterIPs", most: 16)
        where !["", "None"].contains(text.value) && !result.contains(text.value) {
            if Syntax.isIPv4(text.value) || Syntax.isIPv6(text.value) {
                result.append(text.value)
            } else {
                spec.report.error(
                    "\"\(text.value)\" is not an IP address", at: text.place, remedy: "for example 10.96.0.10, or None")
            }
        }
        return result
    }
}

/// EndpointSlice: where a Service runs.
struct EndpointSliceDocument {
    struct Endpoint {
        var addresses: [Located<String>]
        var isReady: Bool
        var zone: String?
    }

    var metadata: Metadata
    /// Name of the Service, from the label `kubernetes.io/service-name`.
    var service: String?
    var isName: Bool
    var ports: [(name: String, port: Int)]
    var endpoints: [Endpoint]

    init(_ root: Fields, metadata: Metadata) {
        enum AddressType: String, CaseIterable { case ipv4 = "IPv4", ipv6 = "IPv6", name = "FQDN" }
        let report = root.report
        self.metadata = metadata
        service = metadata.labels["kubernetes.io/service-name"]
        if service == nil {
            report.warning(
                "the EndpointSlice belongs to no Service", at: metadata.place,
                remedy: "metadata.labels: {kubernetes.io/service-name: NAME-OF-THE-SERVICE}")
        }
        let type = root.choice("addressType", AddressType.self)?.value ?? .ipv4
        isName = type == .name
        ports = root.list("ports", most: 256) { fields in
            let name = fields.string("name")?.value ?? ""
            fields.ignore("protocol", "appProtocol")
            return fields.integer("port", in: 1...65535).map { (name, $0.value) }
        }
        endpoints = root.list("endpoints", most: 1000) { fields in
            fields.ignore("hostname", "nodeName", "targetRef", "hints", "deprecatedTopology")
            let addresses = fields.strings("addresses", most: 100).filter { address in
                let isUsable: Bool
                switch type {
                case .ipv4: isUsable = Syntax.isIPv4(address.value)
                case .ipv6: isUsable = Syntax.isIPv6(address.value)
                case .name: isUsable = Syntax.isHostname(address.value, wildcard: false)
                }
                if !isUsable {
                    report.error(
                        "\"\(address.value)\" is not an address of type \(type.rawValue)", at: address.place,
                        remedy: "correct the address or addressType")
                }
                return isUsable
            }
            var isReady = true
            if let conditions = fields.fields("conditions") {
                isReady = conditions.boolean("ready")?.value ?? true
                conditions.ignore("serving", "terminating")
                conditions.done()
            }
            return Endpoint(addresses: addresses, isReady: isReady, zone: fields.string("zone")?.value)
        }
    }
}

/// Backend of martlet.dev/v1alpha1: endpoints without Kubernetes.
struct BackendDocument {
    enum Address {
        case ip(String, port: Int)
        case name(String, port: Int)
        case unix(String)
    }

    struct Endpoint {
        var address: Address
        var weight: Int
        var zone: String?
        var labels: [String: String]
        var isBackup: Bool
    }

    /// What may be spoken to a Backend; a Service may say more, since others read it too.
    enum AppProtocol: String, CaseIterable {
        case http, https, h2c, grpc, ws, wss
        case kubernetesH2C = "kubernetes.io/h2c"
        case kubernetesWS = "kubernetes.io/ws"
        case kubernetesWSS = "kubernetes.io/wss"
    }

    enum ProxyProtocol: String, CaseIterable { case v1, v2 }
    var metadata: Metadata
    var endpoints: [Endpoint]
    var appProtocol: Located<String>?
    var proxyProtocol: Located<ProxyProtocol>?
    /// `loadBalancer`, `timeouts` and `connectionLimits`.
    var settings: [Setting<Backend>] = []

    init(_ spec: Fields, metadata: Metadata) {
        self.metadata = metadata
        endpoints = spec.list("endpoints", most: 256) { Self.endpoint($0) }
        if spec.items("endpoints", most: 256).isEmpty {
            spec.missing("endpoints", remedy: "endpoints: [{ip: {address: 127.0.0.1, port: 8080}}]")
        }
        appProtocol = spec.choice("appProtocol", AppProtocol.self).map { Located($0.value.rawValue, at: $0.place) }
        proxyProtocol = spec.choice("proxyProtocol", ProxyProtocol.self)
        if let balancer = LoadBalancerDocument.setting(spec) { settings.append(balancer) }
        if let timeouts = spec.fields("timeouts") {
            settings += [BackendSettings.connectTimeout(timeouts), BackendSettings.idleTimeout(timeouts)]
                .compactMap { $0 }
            timeouts.done()
        }
        settings += BackendSettings.connectionLimits(spec)
        if !endpoints.isEmpty, endpoints.allSatisfy(\.isBackup) {
            spec.report.warning(
                "every endpoint is a backup, so that none is one", at: spec.place(of: "endpoints"),
                remedy: "remove \"backup: true\" from those that serve ordinarily")
        }
    }

    private static func endpoint(_ fields: Fields) -> Endpoint? {
        let report = fields.report
        var addresses: [Address] = []
        let given = ["ip", "fqdn", "unix"].count { fields.has($0) }
        if let ip = fields.fields("ip") {
            let address = ip.required("address", remedy: "an IP address such as 127.0.0.1")
            let port = port(ip)
            ip.done()
            if let address, !Syntax.isIPv4(address.value), !Syntax.isIPv6(address.value) {
                report.error(
                    "\"\(address.value)\" is not an IP address", at: address.place,
                    remedy: "for a name, write fqdn: {hostname: \(address.value), port: PORT}")
            } else if let address, let port {
                addresses.append(.ip(address.value, port: port))
            }
        }
        if let name = fields.fields("fqdn") {
            let hostname = name.required("hostname").flatMap { Syntax.hostname($0, wildcard: false, report) }
            let port = port(name)
            name.done()
            if let hostname, let port { addresses.append(.name(hostname, port: port)) }
        }
        if let unix = fields.fields("unix") {
            if let path = unix.required("path") {
                let isUsable = path.value.hasPrefix("/") && path.value.utf8.count <= 107 && !path.value.utf8.contains(0)
                if isUsable {
                    addresses.append(.unix(path.value))
                } else {
                    report.error(
                        "\"\(path.value)\" is not a socket path", at: path.place,
                        remedy: "an absolute path of at most 107 bytes")
                }
            }
            unix.done()
        }
        let weight = fields.integer("weight", in: 0...1_000_000)?.value ?? 1
        let zone = fields.string("zone")?.value
        let isBackup = fields.boolean("backup")?.value ?? false
        let labels = Dictionary(fields.map("labels").map { ($0.key, $0.value.value) }) { first, _ in first }
        guard given == 1 else {
            let isFlat = given == 0 && (fields.has("address") || fields.has("port"))
            if isFlat { fields.ignore("address", "port") }
            report.error(
                given == 0 ? "the endpoint has no address" : "the endpoint has \(given) addresses", at: fields.place,
                remedy: isFlat
                    ? "address and port belong into \(Shape.example(at: "ip"))"
                    : "exactly one of ip, fqdn and unix, as in {\(Shape.example(at: "ip"))}")
            return nil
        }
        return addresses.first.map {
            Endpoint(address: $0, weight: weight, zone: zone, labels: labels, isBackup: isBackup)
        }
    }

    private static func port(_ fields: Fields) -> Int? {
        let port = fields.integer("port", in: 1...65535)
        if !fields.has("port") { fields.missing("port", remedy: "1 to 65535") }
        return port?.value
    }
}

/// BackendTLSPolicy.
struct BackendTLSPolicyDocument {
    enum AltName {
        case hostname(String)
        case uri(String)
    }

    var metadata: Metadata
    var targets: [(reference: ObjectReference, sectionName: String?)]
    var hostname: String
    var authorities: [ObjectReference]
    var usesSystem: Bool
    var altNames: [AltName]

    init?(_ spec: Fields, metadata: Metadata) {
        enum NameType: String, CaseIterable { case hostname = "Hostname", uri = "URI" }
        enum WellKnown: String, CaseIterable { case system = "System" }
        let report = spec.report
        self.metadata = metadata
        targets = spec.list("targetRefs", most: 16) { fields in
            let section = fields.string("sectionName")?.value
            return ObjectReference(fields, kind: nil, hasNamespace: false).map { ($0, section) }
        }
        if spec.items("targetRefs", most: 16).isEmpty {
            spec.missing("targetRefs", remedy: "targetRefs: [{group: \"\", kind: Service, name: NAME}]")
        }
        for option in spec.map("options") {
            report.warning("the TLS option \(option.key) has no effect", at: option.value.place)
        }
        guard let fields = spec.requiredFields("validation") else { return nil }
        defer { fields.done() }
        let hostname = fields.required("hostname", remedy: "the name in the backend's certificate")
            .flatMap { Syntax.hostname($0, wildcard: false, report) }
        authorities = fields.list("caCertificateRefs", most: 8) {
            ObjectReference($0, kind: "ConfigMap", hasNamespace: false)
        }
        usesSystem = fields.choice("wellKnownCACertificates", WellKnown.self) != nil
        let hasAuthorities = !fields.items("caCertificateRefs", most: 8).isEmpty
        if usesSystem && hasAuthorities {
            report.error(
                "caCertificateRefs and wellKnownCACertificates cannot stand together",
                at: fields.place(of: "wellKnownCACertificates"), remedy: "keep one of them")
        } else if !usesSystem, !hasAuthorities, !fields.has("wellKnownCACertificates") {
            report.error(
                "who may sign the backend's certificate is missing", at: fields.place,
                remedy: "caCertificateRefs: [{kind: ConfigMap, name: NAME}], or wellKnownCACertificates: System")
        }
        altNames = fields.list("subjectAltNames", most: 5) { item in
            let type = item.choice("type", NameType.self)
            if !item.has("type") { item.missing("type", remedy: "Hostname or URI") }
            let name = item.string("hostname")
            let uri = item.string("uri")
            switch type?.value {
            case .hostname:
                if name == nil { item.missing("hostname") }
                return name.flatMap { Syntax.hostname($0, wildcard: true, report) }.map { .hostname($0) }
            case .uri:
                if uri == nil { item.missing("uri") }
                return uri.map { .uri($0.value) }
            case nil: return nil
            }
        }
        guard let hostname else { return nil }
        self.hostname = hostname
    }
}
