/// Gateway.
struct GatewayDocument {
    enum ListenerProtocol: String, CaseIterable {
        case http = "HTTP"
        case https = "HTTPS"
        case tls = "TLS"
        case tcp = "TCP"
        case udp = "UDP"
    }

    enum TLSMode: String, CaseIterable {
        case terminate = "Terminate"
        case passthrough = "Passthrough"
    }

    enum From: String, CaseIterable {
        case all = "All"
        case same = "Same"
        case selector = "Selector"
        case none = "None"
    }

    struct Listener {
        var name: Located<String>
        var hostname: String?
        var port: Located<Int>
        var kind: Located<ListenerProtocol>
        var tls: TLS?
        var from = From.same
        var selector: LabelSelector?
        /// Group and kind; nil: whatever the protocol takes.
        var kinds: [(group: String, kind: String, place: Place)]?
        var place: Place
    }

    struct TLS {
        var mode: TLSMode
        var certificates: [ObjectReference]
        /// True if certificateRefs has items, be they correct or not.
        var namesCertificates: Bool
        var place: Place
    }

    /// Client certificates.
    struct ClientValidation {
        enum Mode: String, CaseIterable {
            case validOnly = "AllowValidOnly"
            case insecureFallback = "AllowInsecureFallback"
        }

        var authorities: [ObjectReference]
        var mode: Mode
        var place: Place
    }

    var metadata: Metadata
    var listeners: [Listener]
    /// True if a listener is missing in ``listeners`` because of what is wrong with it.
    var hasBrokenListener: Bool
    var addresses: [Located<String>]
    var clientValidation: ClientValidation?
    var clientValidationByPort: [Int: ClientValidation] = [:]
    /// Client certificate for TLS to backends.
    var backendCertificate: ObjectReference?

    init(_ spec: Fields, metadata: Metadata) {
        self.metadata = metadata
        _ = spec.string("gatewayClassName")
        spec.ignore("infrastructure", "allowedListeners", "defaultScope")
        var names: Set<String> = []
        listeners = spec.list("listeners", most: 64) { Self.listener($0, names: &names) }
        let written = spec.items("listeners", most: 64).count
        hasBrokenListener = listeners.count < written
        if written == 0 {
            spec.missing("listeners", remedy: "listeners: [{name: http, protocol: HTTP, port: 8080}]")
        }
        addresses = spec.list("addresses", most: 16) { fields in
            let type = fields.string("type")
            // Without a value the implementation may choose: every address.
            guard let value = fields.string("value"), !value.value.isEmpty else { return nil }
            if let type, type.value != "IPAddress" {
                fields.report.error(
                    "the address type \(type.value) is not supported", at: type.place, remedy: "IPAddress")
                return nil
            }
            guard Syntax.isIPv4(value.value) || Syntax.isIPv6(value.value) else {
                fields.report.error(
                    "\"\(value.value)\" is not an IP address", at: value.place, remedy: "for example 127.0.0.1 or ::1")
                return nil
            }
            return value
        }
        if let tls = spec.fields("tls") {
            readFrontend(tls)
            if let backend = tls.fields("backend") {
                backendCertificate = backend.fields("clientCertificateRef").flatMap { fields in
                    defer { fields.done() }
                    return ObjectReference(fields, kind: "Secret")
                }
                backend.done()
            }
            tls.done()
        }
    }

    private mutating func readFrontend(_ tls: Fields) {
        guard let frontend = tls.fields("frontend") else { return }
        defer { frontend.done() }
        if let fields = frontend.fields("default") {
            clientValidation = Self.validation(fields)
            fields.done()
        }
        var byPort: [Int: ClientValidation] = [:]
        _ = frontend.list("perPort", most: 64) { fields -> Void? in
            let port = fields.integer("port", in: 1...65535)
            if !fields.has("port") { fields.missing("port") }
            guard let inner = fields.requiredFields("tls") else { return nil }
            let validation = Self.validation(inner)
            inner.done()
            if let port {
                if byPort[port.value] != nil {
                    fields.report.error("port \(port.value) is given twice", at: port.place, remedy: "keep one of them")
                }
                byPort[port.value] = validation
            }
            return nil
        }
        clientValidationByPort = byPort
    }

    private static func validation(_ owner: Fields) -> ClientValidation? {
        guard let fields = owner.fields("validation") else { return nil }
        defer { fields.done() }
        let authorities = fields.list("caCertificateRefs", most: 8) { ObjectReference($0, kind: "ConfigMap") }
        if fields.items("caCertificateRefs", most: 8).isEmpty {
            fields.missing("caCertificateRefs", remedy: "caCertificateRefs: [{kind: ConfigMap, name: NAME}]")
        }
        let mode = fields.choice("mode", ClientValidation.Mode.self)?.value ?? .validOnly
        return ClientValidation(authorities: authorities, mode: mode, place: fields.place)
    }

    private static func listener(_ fields: Fields, names: inout Set<String>) -> Listener? {
        let report = fields.report
        let name = fields.required("name", remedy: "a name that routes can use as sectionName")
        if let name, Syntax.objectName(name, report) != nil, !names.insert(name.value).inserted {
            report.error("two listeners have the name \(name.value)", at: name.place, remedy: "rename one of them")
        }
        let port = fields.integer("port", in: 1...65535)
        if !fields.has("port") { fields.missing("port", remedy: "1 to 65535") }
        let kind = fields.choice("protocol", ListenerProtocol.self)
        if !fields.has("protocol") { fields.missing("protocol", remedy: "HTTP, HTTPS, TLS or TCP") }
        let hostname = fields.string("hostname")
        let checked = hostname.flatMap { $0.value.isEmpty ? nil : Syntax.hostname($0, wildcard: true, report) }
        let tls = tls(fields)
        let allowed = allowed(fields)
        guard let name, let port, let kind else { return nil }
        check(kind, tls: tls, hasHostname: hostname != nil, fields)
        return Listener(
            name: name, hostname: checked, port: port, kind: kind, tls: tls, from: allowed.from,
            selector: allowed.selector, kinds: allowed.kinds, place: fields.place)
    }

    private static func check(_ kind: Located<ListenerProtocol>, tls: TLS?, hasHostname: Bool, _ fields: Fields) {
        let report = fields.report
        switch kind.value {
        case .http, .tcp:
            if tls != nil {
                report.error(
                    "tls does not belong to protocol \(kind.value.rawValue)", at: fields.place(of: "tls"),
                    remedy: kind.value == .http ? "write \"protocol: HTTPS\"" : "write \"protocol: TLS\"")
            }
            if kind.value == .tcp, hasHostname {
                report.error(
                    "a TCP listener cannot have a hostname", at: fields.place(of: "hostname"), remedy: "remove it")
            }
        case .https, .tls:
            guard let tls else {
                report.error(
                    "a listener with protocol \(kind.value.rawValue) needs tls", at: fields.place,
                    remedy: "tls: {certificateRefs: [{name: NAME-OF-A-SECRET}]}")
                return
            }
            if kind.value == .https, tls.mode == .passthrough {
                report.error(
                    "protocol HTTPS cannot pass TLS through", at: tls.place,
                    remedy: "write \"protocol: TLS\", or \"mode: Terminate\"")
            }
            if tls.mode == .terminate, !tls.namesCertificates {
                report.error(
                    "TLS cannot be terminated without a certificate", at: tls.place,
                    remedy: "certificateRefs: [{name: NAME-OF-A-SECRET}]")
            }
        case .udp:
            report.error("protocol UDP is not supported", at: kind.place, remedy: "HTTP, HTTPS, TLS or TCP")
        }
    }

    private static func tls(_ listener: Fields) -> TLS? {
        guard let fields = listener.fields("tls") else { return nil }
        defer { fields.done() }
        let mode = fields.choice("mode", TLSMode.self)?.value ?? .terminate
        let certificates = fields.list("certificateRefs", most: 64) { ObjectReference($0, kind: "Secret") }
        if mode == .passthrough, !certificates.isEmpty {
            fields.report.warning(
                "certificateRefs have no effect with mode Passthrough", at: fields.place(of: "certificateRefs"),
                remedy: "remove them, or write \"mode: Terminate\"")
        }
        for option in fields.map("options") {
            fields.report.warning("the TLS option \(option.key) has no effect", at: option.value.place)
        }
        return TLS(
            mode: mode, certificates: certificates,
            namesCertificates: !fields.items("certificateRefs", most: 64).isEmpty, place: fields.place)
    }

    private static func allowed(_ listener: Fields)
        -> (from: From, selector: LabelSelector?, kinds: [(group: String, kind: String, place: Place)]?)
    {
        guard let fields = listener.fields("allowedRoutes") else { return (.same, nil, nil) }
        defer { fields.done() }
        var from = From.same
        var selector: LabelSelector?
        if let namespaces = fields.fields("namespaces") {
            from = namespaces.choice("from", From.self)?.value ?? .same
            selector = LabelSelector(namespaces)
            if from == .selector, selector == nil { namespaces.missing("selector") }
            namespaces.done()
        }
        guard fields.has("kinds") else {
            fields.ignore("kinds")
            return (from, selector, nil)
        }
        let kinds = fields.list("kinds", most: 8) { item -> (group: String, kind: String, place: Place)? in
            let group = item.string("group")?.value ?? APIGroup.gateway
            return item.required("kind").map { (group, $0.value, $0.place) }
        }
        return (from, selector, kinds)
    }
}

/// `selector` with matchLabels and matchExpressions.
struct LabelSelector {
    enum Operator: String, CaseIterable {
        case isIn = "In"
        case isNotIn = "NotIn"
        case exists = "Exists"
        case doesNotExist = "DoesNotExist"
    }

    private var labels: [(key: String, value: String)]
    private var expressions: [(key: String, how: Operator, values: [String])]

    init?(_ owner: Fields) {
        guard let fields = owner.fields("selector") else { return nil }
        defer { fields.done() }
        labels = fields.map("matchLabels").map { ($0.key, $0.value.value) }
        expressions = fields.list("matchExpressions", most: 32) { item in
            let key = item.required("key")
            let how = item.choice("operator", Operator.self)
            if !item.has("operator") { item.missing("operator", remedy: "In, NotIn, Exists or DoesNotExist") }
            let values = item.strings("values", most: 64).map(\.value)
            guard let key, let how else { return nil }
            return (key.value, how.value, values)
        }
    }

    /// True if an object with `present` labels is selected.
    func matches(_ present: [String: String]) -> Bool {
        labels.allSatisfy { present[$0.key] == $0.value }
            && expressions.allSatisfy { expression in
                let value = present[expression.key]
                switch expression.how {
                case .isIn: return value.map { expression.values.contains($0) } ?? false
                case .isNotIn: return !(value.map { expression.values.contains($0) } ?? false)
                case .exists: return value != nil
                case .doesNotExist: return value == nil
                }
            }
    }
}
