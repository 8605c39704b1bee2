import MeshModel

/// Workload of martlet.dev/v1alpha1: equal instances of a service, each an application with a proxy beside it.
struct WorkloadDocument {
    /// What an application speaks.
    enum PortProtocol: String, CaseIterable { case http, h2c, grpc, tcp }

    /// A port of the Service, as a Workload names it.
    enum PortName {
        case number(Int)
        case name(String)
    }

    struct Port {
        var port: Located<PortName>
        var appPort: Int?
        var appAddress: String
        /// 0: the system chooses.
        var inboundPort: Int
        var kind: Located<PortProtocol>?
        var readiness: HealthCheck?
        var place: Place
    }

    /// A service that it calls.
    struct Callee {
        var service: String
        /// Nil: the Workload's own.
        var namespace: String?
        var servicePort: Located<Int>?
        var localPort: Located<Int>?
        var place: Place
    }

    var metadata: Metadata
    var service: Located<String>?
    var labels: [String: String]
    var weight: Int
    /// Nil: one for each port of the Service.
    var ports: [Port]?
    /// Nil: none.
    var outbound: ListenAddress?
    var transparent: ListenAddress?
    var backends: [Callee]
    var mode: MTLSMode?

    init(_ spec: Fields, metadata: Metadata) {
        self.metadata = metadata
        service = spec.string("service").flatMap { name in Syntax.objectName(name, spec.report).map { _ in name } }
        labels = Dictionary(spec.map("labels").map { ($0.key, $0.value.value) }) { first, _ in first }
        weight = spec.integer("weight", in: 0...1_000_000)?.value ?? Endpoint.defaultWeight
        let given = spec.list("ports", most: 256) { Self.port($0) }
        ports = spec.has("ports") ? given : nil
        backends = spec.list("backends", most: 10_000) { Self.callee($0) }
        mode = MTLSModeName.read(spec)
        readOutbound(spec)
        if let fields = spec.fields("transparent") {
            let port = fields.integer("port", in: 1...65535)?.value ?? Int(Workload.defaultTransparentPort)
            transparent = .ip("127.0.0.1", port: UInt16(clamping: port))
            fields.done()
        }
        checkSockets(spec)
        checkCallees(spec.report)
    }

    /// The Service that it is part of.
    var serviceID: ObjectID {
        ObjectID(
            group: APIGroup.core, kind: "Service", namespace: metadata.namespace,
            name: service?.value ?? metadata.name)
    }

    // MARK: Parts

    private mutating func readOutbound(_ spec: Fields) {
        var address = "127.0.0.1"
        var port = Int(Workload.defaultOutboundPort)
        if let fields = spec.fields("outbound") {
            if let given = fields.string("address"), let ip = Self.ip(given, spec.report) { address = ip }
            port = fields.integer("port", in: 0...65535)?.value ?? port
            fields.done()
        }
        outbound = port == 0 ? nil : .ip(address, port: UInt16(clamping: port))
    }

    private static func port(_ fields: Fields) -> Port? {
        let name = portName(fields)
        let address = fields.string("appAddress").flatMap { ip($0, fields.report) }
        let port = fields.integer("appPort", in: 1...65535)?.value
        let inbound = fields.integer("inboundPort", in: 0...65535)?.value ?? 0
        let kind = fields.choice("protocol", PortProtocol.self)
        let readiness = HealthCheckDocument.read(fields, "readiness")?.check
        guard let name else { return nil }
        return Port(
            port: name, appPort: port, appAddress: address ?? "127.0.0.1", inboundPort: inbound, kind: kind,
            readiness: readiness, place: fields.place)
    }

    private static func portName(_ fields: Fields) -> Located<PortName>? {
        guard let node = fields.node("port") else {
            fields.missing("port", remedy: "the port of the Service, by number or name")
            return nil
        }
        if case .scalar(let text, true) = node.content, case .integer = PlainScalar(text) {
            return fields.integer("port", in: 1...65535).map { Located(.number($0.value), at: $0.place) }
        }
        return fields.string("port").map { Located(.name($0.value), at: $0.place) }
    }

    private static func callee(_ fields: Fields) -> Callee? {
        let name = fields.required("service", remedy: "the name of a Service")
        let namespace = fields.string("namespace")
        let servicePort = fields.integer("servicePort", in: 1...65535)
        let localPort = fields.integer("port", in: 1...65535)
        if let slash = name?.value.firstIndex(of: "/"), let name {
            fields.report.error(
                "\"\(name.value)\" is not the name of a Service", at: name.place,
                remedy: "namespace: \(name.value[..<slash]), service: \(name.value[name.value.index(after: slash)...])")
            return nil
        }
        guard let name, Syntax.objectName(name, fields.report) != nil else { return nil }
        if let namespace, Syntax.objectName(namespace, fields.report) == nil { return nil }
        return Callee(
            service: name.value, namespace: namespace?.value, servicePort: servicePort, localPort: localPort,
            place: fields.place)
    }

    private static func ip(_ text: Located<String>, _ report: Report) -> String? {
        if Syntax.isIPv4(text.value) || Syntax.isIPv6(text.value) { return text.value }
        report.error(
            "\"\(text.value)\" is not an IP address", at: text.place,
            remedy: text.value == "localhost" ? "127.0.0.1" : "for example 127.0.0.1 or ::1")
        return nil
    }

    // MARK: Checks

    /// No two parts can listen on one port, and none where the application does.
    private func checkSockets(_ spec: Fields) {
        var owners: [Int: String] = [:]
        func claim(_ port: Int, _ what: String, at place: Place, remedy: String) {
            if let owner = owners[port] {
                spec.report.error("port \(port) is that of \(owner), too", at: place, remedy: remedy)
            } else {
                owners[port] = what
            }
        }
        for port in ports ?? [] {
            // Several ports of the Service may lead to one of the application.
            if let number = port.appPort { owners[number] = "the application" }
        }
        if let port = outbound?.port {
            claim(
                Int(port), "outbound", at: spec.place(of: "outbound"), remedy: "outbound: {port: OTHER}, or 0 for none")
        }
        if let port = transparent?.port {
            claim(Int(port), "transparent", at: spec.place(of: "transparent"), remedy: "another port")
        }
        for port in ports ?? [] where port.inboundPort > 0 {
            claim(port.inboundPort, "another inboundPort", at: port.place, remedy: "another inboundPort, or 0")
        }
        for callee in backends {
            guard let port = callee.localPort else { continue }
            claim(port.value, "the backend \(callee.service)", at: port.place, remedy: "a port of its own")
        }
    }

    private func checkCallees(_ report: Report) {
        var seen: Set<String> = []
        for callee in backends {
            let name = "\(callee.namespace ?? metadata.namespace)/\(callee.service)"
            if !seen.insert("\(name):\(callee.servicePort?.value ?? 0)").inserted {
                report.error("the backend \(name) is given twice", at: callee.place, remedy: "remove one of them")
            }
            if let port = callee.servicePort, callee.localPort == nil {
                report.error(
                    "servicePort without port says nothing: by name every port is reached", at: port.place,
                    remedy: "port: LOCAL-PORT-OF-ITS-OWN, or remove servicePort")
            }
        }
    }
}
