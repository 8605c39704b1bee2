import MeshModel

/// ListenerPolicy of martlet.dev/v1alpha1: how the sockets of a Gateway treat their clients.
struct ListenerPolicyDocument {
    enum RoleName: String, CaseIterable { case edge, sidecar }
    enum TLSVersionName: String, CaseIterable {
        case tls12 = "1.2"
        case tls13 = "1.3"
    }

    var metadata: Metadata
    var targets: [(reference: ObjectReference, sectionName: String?)]
    var role: Located<RoleName>?
    var proxyProtocol: Located<Bool>?
    var trustedHops: Located<Int>?
    var minimumVersion: Located<TLSVersionName>?
    var limits = ListenerLimits()
    /// The limits that were written, by name as in `http2.resets`.
    var limitPlaces: [String: Place] = [:]

    init(_ spec: Fields, metadata: Metadata) {
        self.metadata = metadata
        targets = spec.list("targetRefs", most: 16) { fields in
            let section = fields.string("sectionName")?.value
            let group = fields.string("group")?.value ?? APIGroup.gateway
            var reference = ObjectReference(fields, kind: "Gateway", hasNamespace: false)
            reference?.group = group
            return reference.map { ($0, section) }
        }
        if spec.items("targetRefs", most: 16).isEmpty {
            spec.missing("targetRefs", remedy: "targetRefs: [{kind: Gateway, name: NAME}]")
        }
        role = spec.choice("role", RoleName.self)
        proxyProtocol = spec.boolean("proxyProtocol")
        trustedHops = spec.integer("trustedHops", in: 0...100)
        if let tls = spec.fields("tls") {
            minimumVersion = tls.choice("minimumVersion", TLSVersionName.self)
            tls.done()
        }
        if let fields = spec.fields("limits") { readLimits(fields) }
    }

    private mutating func readLimits(_ fields: Fields) {
        var reader = PartReader(fields)
        reader.number("maxHeaders", in: 1...10_000, &limits.maxHeaders)
        reader.number("maxHeaderBytes", in: 256...(16 << 20), &limits.maxHeaderBytes)
        reader.number("maxTargetBytes", in: 64...(1 << 20), &limits.maxTargetBytes)
        reader.optional("maxBodyBytes", in: 0...Int.max, &limits.maxBodyBytes)
        reader.duration("headerTimeout", &limits.headerTimeout)
        reader.number("bodyMinimumRate", in: 0...(1 << 30), &limits.bodyMinimumRate)
        reader.duration("bodyGrace", &limits.bodyGrace)
        reader.duration("idleTimeout", &limits.idleTimeout)
        reader.duration("streamIdleTimeout", &limits.streamIdleTimeout)
        reader.duration("handshakeTimeout", &limits.handshakeTimeout)
        reader.optional("maxConnections", in: 1...10_000_000, &limits.maxConnections)
        reader.optional("maxRequestsPerConnection", in: 1...1_000_000_000, &limits.maxRequestsPerConnection)
        reader.inside("http2") { inner in
            inner.number("maxConcurrentStreams", in: 1...100_000, &limits.http2.maxConcurrentStreams)
            inner.number("streamWindow", in: 65_535...Int(Int32.max), &limits.http2.streamWindow)
            inner.number("connectionWindow", in: 65_535...Int(Int32.max), &limits.http2.connectionWindow)
            inner.rate("resets", &limits.http2.resets)
            inner.rate("glitches", &limits.http2.glitches)
            inner.rate("controlFrames", &limits.http2.controlFrames)
            inner.number("maxQueuedFrames", in: 16...1_000_000, &limits.http2.maxQueuedFrames)
            inner.number("maxContinuations", in: 1...1000, &limits.http2.maxContinuations)
        }
        fields.done()
        limitPlaces = reader.places
    }
}

/// ProxySettings of martlet.dev/v1alpha1: what concerns the whole process. At most one object.
struct ProxySettingsDocument {
    enum AccessLogKind: String, CaseIterable { case off, json, text }

    var metadata: Metadata
    var drainTimeout: Located<UInt64>?
    var resolutionInterval: Located<UInt64>?
    var accessLog: Located<AccessLog>?
    var zone: Located<String>?
    var overload = OverloadProtection()
    /// Parts of `overload` that were written.
    var overloadPlaces: [String: Place] = [:]

    init(_ spec: Fields, metadata: Metadata) {
        self.metadata = metadata
        drainTimeout = spec.duration("drainTimeout")
        resolutionInterval = spec.duration("resolutionInterval")
        if let interval = resolutionInterval, interval.value < 1_000_000_000 {
            spec.report.error("resolutionInterval is shorter than 1s", at: interval.place, remedy: "1s or more")
        }
        if let zone = spec.string("zone") {
            if zone.value.isEmpty {
                spec.report.error("zone must not be empty", at: zone.place, remedy: "for example eu-west-1a")
            } else {
                self.zone = zone
            }
        }
        if let fields = spec.fields("overload") { readOverload(fields) }
        guard let log = spec.fields("accessLog") else { return }
        defer { log.done() }
        let kind = log.choice("type", AccessLogKind.self)?.value ?? (log.has("format") ? .text : .json)
        let format = log.string("format")
        switch kind {
        case .off: accessLog = Located(.off, at: log.place)
        case .json: accessLog = Located(.json, at: log.place)
        case .text:
            guard let format else {
                if !log.has("format") { log.missing("format", remedy: "a line of text with variables") }
                return
            }
            accessLog = Located(.text(format: format.value), at: log.place)
        }
        if kind != .text, let format {
            spec.report.error("format belongs to type text only", at: format.place, remedy: "write \"type: text\"")
        }
    }

    private mutating func readOverload(_ fields: Fields) {
        var reader = PartReader(fields)
        if let memory = fields.bytes("maxMemory", in: (1 << 20)...(1 << 46)) {
            overload.maxMemoryBytes = memory.value
            reader.note("maxMemory", memory.place)
        }
        reader.switchable("maxDescriptorPercent", upTo: 100, &overload.maxDescriptorPercent)
        reader.duration("maxLoopLag", &overload.maxLoopLag)
        fields.done()
        overloadPlaces = reader.places
    }
}
