import MeshCore

/// The rules that the parts of a model keep among each other, so that nobody who reads a model needs to check them
/// again. Sources of configuration find mistakes earlier and name the place; this is the last gate, also for compiled
/// files from elsewhere.
extension Model {
    /// Throws the first of ``problems()``, if there is one.
    public func validate() throws(ProxyError) {
        if let problem = problems().first { throw ProxyError(problem) }
    }

    /// Every broken rule, as one line each for people.
    public func problems() -> [String] {
        var check = ModelCheck(backends: Set(backends.map(\.name)))
        check.run(self)
        return check.problems
    }
}

/// One run over a model; what concerns resilience is checked in Resilience/ResilienceValidation.swift.
struct ModelCheck {
    let backends: Set<String>
    var problems: [String] = []

    init(backends: Set<String>) { self.backends = backends }

    mutating func expect(_ condition: Bool, _ problem: @autoclosure () -> String) {
        if !condition { problems.append(problem()) }
    }

    mutating func run(_ model: Model) {
        expect(backends.count == model.backends.count, "two backends have the same name")
        // Port 0 is chosen by the system, for each listener another one.
        let addresses = model.listeners.map(\.address).filter { $0.port != 0 }
        expect(Set(addresses).count == addresses.count, "two listeners have the same address")
        let names = model.listeners.flatMap { $0.sections.map(\.name) }
        expect(Set(names).count == names.count, "two sections have the same name")
        duration(model.settings.drainTimeout, "drain timeout")
        duration(model.settings.resolutionInterval, "resolution interval")
        overload(model.settings.overload)
        for backend in model.backends { self.backend(backend) }
        for listener in model.listeners { self.listener(listener) }
    }

    mutating func duration(_ value: Duration, _ what: String) {
        expect(value > .zero && value <= .seconds(1 << 32), "\(what) is not positive, or longer than a century")
    }

    mutating func positive(_ value: Int?, _ what: String) {
        if let value { expect(value > 0, "\(what) is not positive") }
    }

    // MARK: Backends

    private mutating func backend(_ backend: Backend) {
        let place = "backend '\(backend.name)'"
        expect(!backend.name.isEmpty, "a backend has no name")
        duration(backend.connectTimeout, "\(place): connect timeout")
        duration(backend.idleTimeout, "\(place): idle timeout")
        resilience(backend, place)
        if let peer = backend.mesh { mesh(peer, place) }
        for endpoint in backend.endpoints {
            expect(
                (0...WeightedBackend.maximumWeight).contains(endpoint.weight),
                "\(place): endpoint \(endpoint.address): weight is not 0 to \(WeightedBackend.maximumWeight)")
            switch endpoint.address {
            case .ip(let host, let port), .name(let host, let port):
                expect(!host.isEmpty && port > 0, "\(place): endpoint \(endpoint.address) has no host or no port")
            case .unix(let path): unixPath(path, place)
            }
        }
    }

    private mutating func unixPath(_ path: String, _ place: String) {
        // sun_path has 108 bytes, the last one 0.
        expect((1...107).contains(path.utf8.count), "\(place): path of a unix socket is not 1 to 107 bytes")
        expect(!path.utf8.contains(0), "\(place): path of a unix socket has a zero byte")
    }

    // MARK: Listeners

    private mutating func listener(_ listener: Listener) {
        let place = "listener \(listener.address)"
        if case .unix(let path) = listener.address { unixPath(path, place) }
        expect(listener.trustedHops >= 0, "\(place): trustedHops is negative")
        limits(listener.limits, place)
        if let destinations = listener.originalDestination {
            return self.destinations(destinations, of: listener, place)
        }
        let kinds = Set(listener.sections.map { $0.protocol == .https ? SectionProtocol.tls : $0.protocol })
        expect(kinds.count <= 1, "\(place): sections of clear text HTTP, TLS and TCP cannot share one socket")
        expect(!kinds.contains(.tcp) || listener.sections.count == 1, "\(place): TCP cannot share its socket")
        let hostnames = Set(listener.sections.map(\.hostname))
        expect(hostnames.count == listener.sections.count, "\(place): two sections have the same hostname")
        for section in listener.sections { self.section(section) }
    }

    private mutating func destinations(
        _ destinations: OriginalDestination, of listener: Listener, _ place: String
    ) {
        if case .unix = listener.address { expect(false, "\(place): connections to a unix socket are not redirected") }
        expect(!listener.proxyProtocol, "\(place): redirected connections have no PROXY header")
        let names = Set(listener.sections.map(\.name))
        for entry in destinations.entries {
            expect(names.contains(entry.section), "\(place): no section '\(entry.section)' for port \(entry.port)")
            expect(entry.port > 0, "\(place): a destination of section '\(entry.section)' has port 0")
            if let address = entry.address {
                expect(
                    NumericAddress.isAddress(address[...]),
                    "\(place): '\(address)', a destination of section '\(entry.section)', is no address")
            }
        }
        for section in listener.sections {
            expect(
                section.protocol == .http || section.protocol == .tcp,
                "\(place): section '\(section.name)' for redirected connections is neither HTTP nor TCP")
            self.section(section)
        }
    }

    private mutating func limits(_ limits: ListenerLimits, _ place: String) {
        let numbers: [(Int?, String)] = [
            (limits.maxHeaders, "maxHeaders"), (limits.maxHeaderBytes, "maxHeaderBytes"),
            (limits.maxTargetBytes, "maxTargetBytes"), (limits.maxConnections, "maxConnections"),
            (limits.maxRequestsPerConnection, "maxRequestsPerConnection"),
            (limits.http2.maxConcurrentStreams, "maxConcurrentStreams"),
            (limits.http2.maxQueuedFrames, "maxQueuedFrames"), (limits.http2.maxContinuations, "maxContinuations"),
            (limits.http2.resets.burst, "resets.burst"), (limits.http2.resets.perSecond, "resets.perSecond"),
            (limits.http2.glitches.burst, "glitches.burst"), (limits.http2.glitches.perSecond, "glitches.perSecond"),
            (limits.http2.controlFrames.burst, "controlFrames.burst"),
            (limits.http2.controlFrames.perSecond, "controlFrames.perSecond"),
        ]
        for (value, name) in numbers { positive(value, "\(place): \(name)") }
        // Head limits are kept in 32 bits; windows in 31 (RFC 9113 §6.9.1), and not below the initial 65,535.
        expect(limits.maxHeaderBytes <= 1 << 24, "\(place): maxHeaderBytes is more than 16 MiB")
        expect(limits.maxTargetBytes <= 1 << 24, "\(place): maxTargetBytes is more than 16 MiB")
        expect(limits.maxBodyBytes ?? 0 >= 0, "\(place): maxBodyBytes is negative")
        expect(limits.bodyMinimumRate >= 0, "\(place): bodyMinimumRate is negative")
        for (value, name) in [
            (limits.http2.streamWindow, "streamWindow"), (limits.http2.connectionWindow, "connectionWindow"),
        ] {
            expect((65_535...0x7FFF_FFFF).contains(value), "\(place): \(name) is not 65535 to 2147483647")
        }
        for (value, name) in [
            (limits.headerTimeout, "headerTimeout"), (limits.bodyGrace, "bodyGrace"),
            (limits.idleTimeout, "idleTimeout"), (limits.streamIdleTimeout, "streamIdleTimeout"),
            (limits.handshakeTimeout, "handshakeTimeout"),
        ] {
            duration(value, "\(place): \(name)")
        }
    }

    private mutating func section(_ section: Section) {
        let place = "section '\(section.name)'"
        expect(!section.name.isEmpty, "a section has no name")
        switch section.protocol {
        case .http:
            expect(section.tls == nil, "\(place): clear text HTTP has certificates")
            expect(section.streamRoutes.isEmpty, "\(place): HTTP has TCP or TLS routes")
        case .https:
            expect(
                section.mesh != nil || section.tls?.certificates.isEmpty == false, "\(place): HTTPS has no certificate")
            expect(section.streamRoutes.isEmpty, "\(place): HTTPS has TCP or TLS routes")
        case .tls:
            expect(section.tls?.certificates.isEmpty != true, "\(place): TLS ends here without a certificate")
            expect(section.routes.isEmpty, "\(place): TLS has HTTP routes")
        case .tcp:
            expect(section.tls == nil, "\(place): TCP has certificates")
            expect(section.routes.isEmpty, "\(place): TCP has HTTP routes")
        }
        if section.mesh != nil {
            expect(section.tls == nil, "\(place): a section for the mesh has certificates of its own")
            expect(
                section.protocol == .https || section.protocol == .tls,
                "\(place): a section for the mesh is neither HTTPS nor TLS")
            expect(section.mesh != .disabled, "\(place): a section without mutual TLS is not one for the mesh")
        }
        if let access = section.access { self.access(access, place) }
        for route in section.routes {
            let place = "\(place), route '\(route.name)'"
            expect(!route.hostnames.isEmpty, "\(place): it has no hostname; one that serves every host says so")
            for rule in route.rules { self.rule(rule, place) }
        }
        for route in section.streamRoutes {
            let place = "\(place), route '\(route.name)'"
            expect(!route.hostnames.isEmpty, "\(place): it has no hostname; one that serves every host says so")
            expect(route.backends.allSatisfy(\.filters.isEmpty), "\(place): filters need HTTP")
            for backend in route.backends { weighted(backend, place) }
        }
    }

    // MARK: Rules

    private mutating func rule(_ rule: RouteRule, _ place: String) {
        expect(!rule.matches.isEmpty, "\(place): a rule has no match; one for every request says so")
        for match in rule.matches { self.match(match, place) }
        for filter in rule.filters { self.filter(filter, rule, place) }
        for backend in rule.backends {
            weighted(backend, place)
            for filter in backend.filters { self.filter(filter, rule, place) }
        }
        policy(rule.policy, place)
        if let session = rule.sessionPersistence { self.session(session, place) }
    }

    private mutating func match(_ match: RouteMatch, _ place: String) {
        switch match.path {
        case .exact(let path), .prefix(let path):
            expect(path.utf8.first == UInt8(ascii: "/"), "\(place): path '\(path)' does not begin with '/'")
        case .regex(let pattern): regex(pattern, place)
        case .grpc(let service, let method):
            if case .regex(let pattern) = service { regex(pattern, place) }
            if case .regex(let pattern) = method { regex(pattern, place) }
        }
        self.named(match.headers + match.queryParams, place)
        if let method = match.method { expect(isToken(method), "\(place): '\(method)' is no method") }
    }

    mutating func named(_ matches: [NamedMatch], _ place: String) {
        for match in matches {
            expect(!match.name.isEmpty, "\(place): a header or query match has no name")
            if case .regex(let pattern) = match.value { regex(pattern, place) }
        }
    }

    mutating func regex(_ pattern: String, _ place: String) {
        do {
            _ = try LinearRegex(pattern)
        } catch {
            problems.append("\(place): regular expression '\(pattern)': \(error)")
        }
    }

    private mutating func weighted(_ backend: WeightedBackend, _ place: String) {
        expect(
            (0...WeightedBackend.maximumWeight).contains(backend.weight),
            "\(place): weight is not 0 to \(WeightedBackend.maximumWeight)")
        target(backend.target, place)
    }

    private mutating func target(_ target: BackendTarget, _ place: String) {
        if case .backend(let name) = target { expect(backends.contains(name), "\(place): no backend '\(name)'") }
    }

    private mutating func filter(_ filter: Filter, _ rule: RouteRule, _ place: String) {
        switch filter {
        case .requestHeaderModifier(let modifier), .responseHeaderModifier(let modifier):
            for header in modifier.set + modifier.add {
                expect(isToken(header.name), "\(place): '\(header.name)' is no header name")
                expect(isFieldValue(header.value), "\(place): the value of '\(header.name)' is no header value")
            }
            for name in modifier.remove { expect(isToken(name), "\(place): '\(name)' is no header name") }
        case .requestRedirect(let redirect):
            expect([301, 302, 303, 307, 308].contains(redirect.statusCode), "\(place): redirect status is not 30x")
            expect(redirect.scheme ?? "http" == "http" || redirect.scheme == "https", "\(place): redirect scheme")
            expect(redirect.port != 0, "\(place): redirect port is 0")
            url(redirect.hostname, redirect.path, rule, place)
        case .urlRewrite(let rewrite): url(rewrite.hostname, rewrite.path, rule, place)
        case .requestMirror(let mirror):
            expect(
                mirror.denominator > 0 && mirror.numerator >= 0 && mirror.numerator <= mirror.denominator,
                "\(place): mirrored share is not 0 to 1")
            target(mirror.target, place)
        case .cors(let cors):
            expect(cors.maxAge >= 0, "\(place): CORS maxAge is negative")
            let values = cors.allowOrigins + cors.allowMethods + cors.allowHeaders + cors.exposeHeaders
            expect(values.allSatisfy(isFieldValue), "\(place): a CORS value has control characters")
        }
    }

    private mutating func url(_ hostname: String?, _ path: PathModifier?, _ rule: RouteRule, _ place: String) {
        if let hostname {
            if case .exact = Hostname(hostname) {} else { problems.append("\(place): '\(hostname)' is no host") }
        }
        switch path {
        case .replaceFullPath(let path): expect(isPath(path), "\(place): '\(path)' is no path")
        case .replacePrefixMatch(let path):
            expect(path.isEmpty || isPath(path), "\(place): '\(path)' is no path")
            let everyMatchIsPrefix = rule.matches.allSatisfy { if case .prefix = $0.path { true } else { false } }
            expect(everyMatchIsPrefix, "\(place): replacePrefixMatch needs a path prefix in every match")
        case nil: break
        }
    }

    // MARK: Grammar

    func isToken(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                (byte | 0x20) &- UInt8(ascii: "a") < 26 || byte &- UInt8(ascii: "0") < 10
                    || "!#$%&'*+-.^_`|~".utf8.contains(byte)
            }
    }

    private func isFieldValue(_ text: String) -> Bool {
        text.utf8.allSatisfy { ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x09 }
    }

    private func isPath(_ text: String) -> Bool {
        text.utf8.first == UInt8(ascii: "/")
            && text.utf8.allSatisfy {
                $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") && $0 != UInt8(ascii: "?")
            }
    }
}
