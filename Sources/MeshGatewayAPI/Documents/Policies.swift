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
        var reader = LimitReader(fields: fields)
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
        if let http2 = fields.fields("http2") {
            var inner = LimitReader(fields: http2, prefix: "http2.")
            inner.number("maxConcurrentStreams", in: 1...100_000, &limits.http2.maxConcurrentStreams)
            inner.number("streamWindow", in: 65_535...Int(Int32.max), &limits.http2.streamWindow)
            inner.number("connectionWindow", in: 65_535...Int(Int32.max), &limits.http2.connectionWindow)
            inner.rate("resets", &limits.http2.resets)
            inner.rate("glitches", &limits.http2.glitches)
            inner.rate("controlFrames", &limits.http2.controlFrames)
            inner.number("maxQueuedFrames", in: 16...1_000_000, &limits.http2.maxQueuedFrames)
            inner.number("maxContinuations", in: 1...1000, &limits.http2.maxContinuations)
            reader.places.merge(inner.places) { first, _ in first }
            http2.done()
        }
        fields.done()
        limitPlaces = reader.places
    }
}

/// Reads limits into a value that has defaults, and remembers which were written.
private struct LimitReader {
    let fields: Fields
    var prefix = ""
    var places: [String: Place] = [:]

    init(fields: Fields, prefix: String = "") {
        self.fields = fields
        self.prefix = prefix
    }

    mutating func number(_ name: String, in range: ClosedRange<Int>, _ value: inout Int) {
        guard let given = fields.integer(name, in: range) else { return }
        value = given.value
        places[prefix + name] = given.place
    }

    mutating func optional(_ name: String, in range: ClosedRange<Int>, _ value: inout Int?) {
        guard let given = fields.integer(name, in: range) else { return }
        value = given.value
        places[prefix + name] = given.place
    }

    mutating func duration(_ name: String, _ value: inout Duration) {
        guard let given = fields.duration(name) else { return }
        guard given.value > 0 else {
            fields.report.error("\(name) must not be 0", at: given.place, remedy: "for example 10s")
            return
        }
        value = .nanoseconds(given.value)
        places[prefix + name] = given.place
    }

    mutating func rate(_ name: String, _ value: inout RateLimit) {
        guard let inner = fields.fields(name) else { return }
        if let burst = inner.integer("burst", in: 1...1_000_000) { value.burst = burst.value }
        if let rate = inner.integer("perSecond", in: 1...1_000_000) { value.perSecond = rate.value }
        inner.done()
        places[prefix + name] = fields.place(of: name)
    }
}

/// ProxySettings of martlet.dev/v1alpha1: what concerns the whole process. At most one object.
struct ProxySettingsDocument {
    enum AccessLogKind: String, CaseIterable { case off, json, text }

    var metadata: Metadata
    var drainTimeout: Located<UInt64>?
    var resolutionInterval: Located<UInt64>?
    var accessLog: Located<AccessLog>?

    init(_ spec: Fields, metadata: Metadata) {
        self.metadata = metadata
        drainTimeout = spec.duration("drainTimeout")
        resolutionInterval = spec.duration("resolutionInterval")
        if let interval = resolutionInterval, interval.value < 1_000_000_000 {
            spec.report.error("resolutionInterval is shorter than 1s", at: interval.place, remedy: "1s or more")
        }
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
            accessLog = Located(.text(format: format.value), at: format.place)
        }
        if kind != .text, let format {
            spec.report.error("format belongs to type text only", at: format.place, remedy: "write \"type: text\"")
        }
    }
}
