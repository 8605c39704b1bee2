import MeshGatewayAPI
import MeshModel

/// The settings that apply to a request, each with where it was written. Here those of listeners and of the process.
struct SettingsTable {
    private(set) var rows: [ExplainReport.Setting] = []
    let origins: [String: Place]

    init(_ origins: [String: Place]) { self.origins = origins }

    /// What is spoken to a backend.
    static func spoken(_ backend: Backend) -> String {
        let name =
            switch backend.protocol {
            case .http1: "HTTP/1.1"
            case .http2: "HTTP/2"
            case .tcp: "TCP"
            }
        return backend.tls == nil ? name : "\(name) over TLS"
    }

    // MARK: Listener

    mutating func listener(_ listener: Listener, _ section: Section) {
        let key = "listener/\(listener.address)/"
        let group = "listener \(listener.address)"
        let isHTTP = section.protocol == .http || section.protocol == .https
        if isHTTP { add(group, "role", listener.role == .edge ? "edge" : "sidecar", key) }
        add(group, "proxyProtocol", listener.proxyProtocol ? "true" : "false", key)
        if isHTTP { add(group, "trustedHops", String(listener.trustedHops), key) }
        for (name, value) in Self.limits(listener.limits) where isHTTP || Self.streamLimits.contains(name) {
            add(group, "limits.\(name)", value, key)
        }
        if let tls = section.tls { self.tls(tls, section, key) }
    }

    /// The limits that hold for bytes.
    private static let streamLimits = ["streamIdleTimeout", "handshakeTimeout", "maxConnections"]

    private static func limits(_ limits: ListenerLimits) -> [(name: String, value: String)] {
        func rate(_ limit: RateLimit) -> String { "{burst: \(limit.burst), perSecond: \(limit.perSecond)}" }
        return [
            ("maxHeaders", String(limits.maxHeaders)), ("maxHeaderBytes", String(limits.maxHeaderBytes)),
            ("maxTargetBytes", String(limits.maxTargetBytes)), ("maxBodyBytes", text(limits.maxBodyBytes)),
            ("headerTimeout", limits.headerTimeout.asWritten), ("bodyMinimumRate", String(limits.bodyMinimumRate)),
            ("bodyGrace", limits.bodyGrace.asWritten), ("idleTimeout", limits.idleTimeout.asWritten),
            ("streamIdleTimeout", limits.streamIdleTimeout.asWritten),
            ("handshakeTimeout", limits.handshakeTimeout.asWritten), ("maxConnections", text(limits.maxConnections)),
            ("maxRequestsPerConnection", text(limits.maxRequestsPerConnection)),
            ("http2.maxConcurrentStreams", String(limits.http2.maxConcurrentStreams)),
            ("http2.streamWindow", String(limits.http2.streamWindow)),
            ("http2.connectionWindow", String(limits.http2.connectionWindow)),
            ("http2.resets", rate(limits.http2.resets)), ("http2.glitches", rate(limits.http2.glitches)),
            ("http2.controlFrames", rate(limits.http2.controlFrames)),
            ("http2.maxQueuedFrames", String(limits.http2.maxQueuedFrames)),
            ("http2.maxContinuations", String(limits.http2.maxContinuations)),
        ]
    }

    private mutating func tls(_ tls: ServerTLS, _ section: Section, _ key: String) {
        let group = "TLS \(section.name)"
        let written = section.origin?.text ?? "default"
        for certificate in tls.certificates {
            let origin = origins["certificate/\(certificate.name)"]?.fileAndLine ?? written
            row(group, "certificate", certificate.name, origin)
        }
        let version = tls.minimumVersion == .tls12 ? "1.2" : "1.3"
        row(group, "minimumVersion", version, origins[key + "tls.minimumVersion"]?.fileAndLine ?? "default")
        row(group, "alpn", tls.alpn.isEmpty ? "none" : tls.alpn.joined(separator: " "), "default")
        switch tls.clientValidation?.mode {
        case .allowValidOnly: row(group, "clientValidation", "AllowValidOnly", written)
        case .allowInsecureFallback: row(group, "clientValidation", "AllowInsecureFallback", written)
        case nil: row(group, "clientValidation", "none", "default")
        }
    }

    // MARK: Process

    mutating func process(_ settings: ProxySettings) {
        add("process", "drainTimeout", settings.drainTimeout.asWritten, "settings/")
        add("process", "resolutionInterval", settings.resolutionInterval.asWritten, "settings/")
        let log =
            switch settings.accessLog {
            case .off: "off"
            case .json: "json"
            case .text(let format): "text \(format)"
            }
        add("process", "accessLog", log, "settings/")
        add("process", "zone", settings.zone ?? "none", "settings/")
        let overload = settings.overload
        add("process", "overload.maxMemory", Self.text(overload.maxMemoryBytes), "settings/")
        add("process", "overload.maxDescriptorPercent", String(overload.maxDescriptorPercent ?? 0), "settings/")
        add("process", "overload.maxLoopLag", overload.maxLoopLag?.asWritten ?? "no limit", "settings/")
    }

    // MARK: Rows

    mutating func add(_ group: String, _ name: String, _ value: String, _ key: String) {
        row(group, name, value, origins[key + name]?.fileAndLine ?? "default")
    }

    mutating func row(_ group: String, _ name: String, _ value: String, _ origin: String) {
        rows.append(ExplainReport.Setting(group: group, name: name, value: value, origin: origin))
    }

    private static func text(_ number: Int?) -> String { number.map(String.init) ?? "no limit" }
}
