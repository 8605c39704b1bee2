import MeshGatewayAPI
import MeshModel
import Testing

/// Each mistake in a TrafficPolicy, BackendSubset or ProxySettings gets its own diagnostic, at its field.
@Suite struct TrafficPolicyTests {
    /// A TrafficPolicy `shop/NAME` with the YAML of its spec below targetRefs.
    static func policy(
        _ spec: String, name: String = "p", target: String = "group: martlet.dev, kind: Backend, name: cart",
        created: String = ""
    ) -> String {
        let body = spec.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)" }
        let time = created.isEmpty ? "" : ", creationTimestamp: \"\(created)\""
        return """
            ---
            apiVersion: martlet.dev/v1alpha1
            kind: TrafficPolicy
            metadata: {name: \(name), namespace: shop\(time)}
            spec:
              targetRefs: [{\(target)}]
            \(body.joined(separator: "\n"))

            """
    }

    static let toRoute = "group: gateway.networking.k8s.io, kind: HTTPRoute, name: r"

    /// The spec, the field, parts of message and remedy. Errors, all of them.
    static let backendMistakes: [(spec: String, path: String, message: String, remedy: String)] = [
        ("loadBalancer: {type: FASTEST}", "loadBalancer.type", "FASTEST", "one of LEAST_REQUEST, MAGLEV"),
        ("loadBalancer: {type: least_conn}", "loadBalancer.type", "least_conn", "LEAST_REQUEST"),
        ("loadBalancer: RANDOM", "loadBalancer", "must be a mapping", "loadBalancer: {type: ROUND_ROBIN}"),
        ("loadBalancer: {type: RING_HASH, ringSize: 0}", "loadBalancer.ringSize", "is 0", "from 1 to 8388608"),
        ("loadBalancer: {type: RING_HASH, ringSize: 9000000}", "loadBalancer.ringSize", "9000000", "8388608"),
        ("loadBalancer: {ringSize: 5}", "loadBalancer.ringSize", "belongs to type RING_HASH", "type: RING_HASH"),
        ("loadBalancer: {type: MAGLEV, tableSize: 65536}", "loadBalancer.tableSize", "not a prime", "65537"),
        ("loadBalancer: {type: MAGLEV, tableSize: 5000012}", "loadBalancer.tableSize", "5000012", "5000011"),
        ("loadBalancer: {hash: [{sourceIP: true}]}", "loadBalancer.hash", "RING_HASH or MAGLEV", "type:"),
        ("loadBalancer: {type: MAGLEV, hash: [{}]}", "loadBalancer.hash[0]", "nothing to hash by", "exactly one"),
        (
            "loadBalancer: {type: MAGLEV, hash: [{sourceIP: true, header: {name: a}}]}", "loadBalancer.hash[0]",
            "header and sourceIP", "exactly one"
        ),
        (
            "loadBalancer: {type: MAGLEV, hash: [{sourceIP: false}]}", "loadBalancer.hash[0].sourceIP", "false", "true"
        ),
        (
            "loadBalancer: {type: MAGLEV, hash: [{header: {name: a b}}]}", "loadBalancer.hash[0].header.name",
            "not a header name", "letters, digits"
        ),
        (
            "loadBalancer: {type: MAGLEV, hash: [{cookie: {name: \"a;b\"}}]}", "loadBalancer.hash[0].cookie.name",
            "not a cookie name", "letters, digits"
        ),
        (
            "loadBalancer: {type: MAGLEV, hash: [{cookie: {name: a, path: b}}]}", "loadBalancer.hash[0].cookie.path",
            "not a path of a cookie", "/"
        ),
        ("loadBalancer: {boundedLoad: 125}", "loadBalancer.boundedLoad", "RING_HASH or MAGLEV", "remove it"),
        ("loadBalancer: {peakEWMA: {decay: 1s}}", "loadBalancer.peakEWMA", "PEAK_EWMA", "type: PEAK_EWMA"),
        (
            "loadBalancer: {type: PEAK_EWMA, peakEWMA: {decay: 0s}}", "loadBalancer.peakEWMA.decay", "must not be 0",
            "for example 10s"
        ),
        (
            "loadBalancer: {zonePreference: {minimumAvailable: 120}}",
            "loadBalancer.zonePreference.minimumAvailable", "120", "0 to 100"
        ),
        ("loadBalancer: {slowStart: {}}", "loadBalancer.slowStart.window", "window is missing", "window: 30s"),
        (
            "loadBalancer: {slowStart: {window: 1s, minimumPercent: 0}}", "loadBalancer.slowStart.minimumPercent", "0",
            "1 to 100"
        ),
        ("loadBalancer: {panicThreshold: 101}", "loadBalancer.panicThreshold", "101", "0 to 100"),
        ("healthCheck: {}", "healthCheck", "does not say what is asked", "exactly one of http"),
        ("healthCheck: {tcp: {}, grpc: {}}", "healthCheck", "grpc and tcp", "exactly one"),
        ("healthCheck: {http: {path: healthz}}", "healthCheck.http.path", "cannot be asked for", "starts with /"),
        ("healthCheck: {http: {statuses: [600]}}", "healthCheck.http.statuses[0]", "100 to 599", "200-299"),
        ("healthCheck: {http: {statuses: [\"299-200\"]}}", "healthCheck.http.statuses[0]", "100 to 599", "200-299"),
        ("healthCheck: {http: {statuses: [\"\"]}}", "healthCheck.http.statuses[0]", "100 to 599", "200-299"),
        ("healthCheck: {grpc: {service: \"a b\"}}", "healthCheck.grpc.service", "not a gRPC service", "shop.v1.Cart"),
        ("healthCheck: {tcp: {}, timeout: 5s}", "healthCheck.timeout", "longer than its interval 3s", "at most 3s"),
        ("healthCheck: {tcp: {}, interval: 0s}", "healthCheck.interval", "must not be 0", "10s"),
        ("healthCheck: {tcp: {}, healthyThreshold: 0}", "healthCheck.healthyThreshold", "0", "1 to 1000"),
        ("healthCheck: {tcp: {}, port: 70000}", "healthCheck.port", "70000", "65535"),
        ("outlierDetection: {consecutive5xx: -1}", "outlierDetection.consecutive5xx", "-1", "0 to"),
        (
            "outlierDetection: {consecutive5xxErrors: 5}", "outlierDetection.consecutive5xxErrors", "unknown",
            "consecutive5xx"
        ),
        ("outlierDetection: {maxEjectionPercent: 150}", "outlierDetection.maxEjectionPercent", "150", "1 to 100"),
        (
            "outlierDetection: {maxEjectionTime: 10s}", "outlierDetection.maxEjectionTime", "shorter than base",
            "30s or more"
        ),
        (
            "outlierDetection: {successRate: {deviation: 1.2345}}", "outlierDetection.successRate.deviation",
            "three decimal places", "0.001 to 100"
        ),
        (
            "outlierDetection: {successRate: {deviation: 200}}", "outlierDetection.successRate.deviation", "is 200",
            "0.001 to 100"
        ),
        (
            "outlierDetection: {failurePercentage: {threshold: 101}}", "outlierDetection.failurePercentage.threshold",
            "101", "1 to 100"
        ),
        ("connectionLimits: {maxRequests: 0}", "connectionLimits.maxRequests", "0", "1 to 1000000"),
        (
            "connectionLimits: {pendingTimeout: 0s}", "connectionLimits.pendingTimeout", "must not be 0",
            "for example 10s"
        ),
        ("connectionLimits: {endpoint: {maxRequests: 0}}", "connectionLimits.endpoint.maxRequests", "0", "1 to"),
        (
            "connectionLimits: {maxParallelRequests: 9}", "connectionLimits.maxParallelRequests", "unknown",
            "maxRequests"
        ),
        (
            "adaptiveConcurrency: {minLimit: 10, maxLimit: 5}", "adaptiveConcurrency.minLimit",
            "more than maxLimit 5", "at most 5"
        ),
        (
            "adaptiveConcurrency: {initialLimit: 2000}", "adaptiveConcurrency.initialLimit", "not between",
            "from 4 to 1000"
        ),
        ("adaptiveConcurrency: {tolerance: 50}", "adaptiveConcurrency.tolerance", "50", "100 to 10000"),
        ("retryBudget: {percent: 101}", "retryBudget.percent", "101", "0 to 100"),
        ("timeouts: {connect: 0s}", "timeouts.connect", "must not be 0", "5s"),
        ("retry: {attempts: 0}", "retry.attempts", "attempts is 0", "remove retry"),
        ("circuitBreaker: {}", "circuitBreaker", "unknown field", "connectionLimits"),
    ]

    @Test(arguments: backendMistakes.indices)
    func mistakeOnABackend(_ index: Int) throws { try check(Self.backendMistakes[index]) }

    static let requestMistakes: [(spec: String, path: String, message: String, remedy: String)] = [
        ("retry: {attempts: 101}", "retry.attempts", "101", "0 to 100"),
        ("retry: {codes: [200]}", "retry.codes[0]", "400 to 599", "503"),
        ("retry: {on: [conect-failure]}", "retry.on[0]", "conect-failure", "did you mean \"connect-failure\""),
        ("retry: {on: [\"503\"]}", "retry.on[0]", "503", "codes: [503]"),
        ("retry: {on: reset}", "retry.on", "must be a list", "on: [connect-failure]"),
        ("retry: {perTryTimeout: 0s}", "retry.perTryTimeout", "must not be 0", "for example 10s"),
        (
            "retry: {perTryTimeout: 5s}\ntimeouts: {request: 2s}", "retry.perTryTimeout",
            "longer than timeouts.request, which is 2s", "at most 2s"
        ),
        (
            "retry: {hedgeDelay: 5s}\ntimeouts: {request: 2s}", "retry.hedgeDelay", "longer than timeouts.request",
            "at most 2s"
        ),
        (
            "timeouts: {request: 2s, backendRequest: 3s}", "timeouts.backendRequest", "longer than timeouts.request",
            "at most 2s"
        ),
        ("timeouts: {request: 2}", "timeouts.request", "has no unit", "2s"),
        (
            "retry: {backoff: {base: 1s, max: 500ms}}", "retry.backoff.max", "shorter than backoff.base, which is 1s",
            "1s or more"
        ),
        ("retry: {backoff: {base: 2h}}", "retry.backoff.base", "longer than an hour", "1h"),
        ("retry: {backoff: 100ms}", "retry.backoff", "must be a mapping", "backoff: {base: 25ms, max: 250ms}"),
        ("retry: {bufferBytes: 1Gi}", "retry.bufferBytes", "1073741824 bytes", "67108864"),
        ("retry: {bufferBytes: much}", "retry.bufferBytes", "number of bytes", "512Mi"),
        ("retry: {maxRetryAfter: 25h}", "retry.maxRetryAfter", "longer than a day", "24h"),
        ("rateLimits: [{}]", "rateLimits[0].requests", "requests is missing", "requests: 100"),
        ("rateLimits: [{requests: 0}]", "rateLimits[0].requests", "0", "1 to"),
        ("rateLimits: [{requests: 1, by: IP}]", "rateLimits[0].by", "IP", "one of ADDRESS, HEADER"),
        ("rateLimits: [{requests: 1, by: HEADER}]", "rateLimits[0].header", "header is missing", "x-api-key"),
        ("rateLimits: [{requests: 1, by: RULE, header: x}]", "rateLimits[0].header", "HEADER only", "by: HEADER"),
        ("rateLimits: [{requests: 1, unit: 0s}]", "rateLimits[0].unit", "must not be 0", "for example 10s"),
        ("rateLimits: {requests: 1}", "rateLimits", "must be a list", "rateLimits: [{requests: 100, unit: 1s}]"),
        ("faults: [{}]", "faults[0]", "does nothing", "delay: 2s"),
        ("faults: [{percent: 101, delay: 1s}]", "faults[0].percent", "101", "0 to 100"),
        (
            "faults: [{fraction: {numerator: 2, denominator: 1}, delay: 1s}]", "faults[0].fraction.numerator",
            "larger than the denominator", "at most 1"
        ),
        ("faults: [{abort: {}}]", "faults[0].abort", "does not say with what", "status: 503"),
        ("faults: [{abort: {status: 503, grpcStatus: 14}}]", "faults[0].abort", "status and grpcStatus", "one of"),
        ("faults: [{abort: {status: 99}}]", "faults[0].abort.status", "99", "200 to 599"),
        ("faults: [{abort: {grpcStatus: 17}}]", "faults[0].abort.grpcStatus", "17", "1 to 16"),
        ("faults: [{delay: 0s}]", "faults[0].delay", "must not be 0", "for example 10s"),
        ("priority: URGENT", "priority", "URGENT", "one of HIGH, LOW, NORMAL"),
    ]

    @Test(arguments: requestMistakes.indices)
    func mistakeOnEveryTarget(_ index: Int) throws {
        try check(Self.requestMistakes[index])
        try check(Self.requestMistakes[index], target: Self.toRoute)
    }

    private func check(
        _ mistake: (spec: String, path: String, message: String, remedy: String),
        target: String = "group: martlet.dev, kind: Backend, name: cart"
    ) throws {
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(Fixture.toCart)
                + Self.policy(mistake.spec, target: target))
        let found = try #require(
            translation.diagnostics.first { $0.place.fieldPath == "spec.\(mistake.path)" }, "\(translation.lines)")
        #expect(found.severity == .error)
        #expect(found.message.contains(mistake.message), "\(found.message)")
        #expect(found.remedy.contains(mistake.remedy), "\(found.remedy)")
        #expect(found.place.object == "TrafficPolicy shop/p")
        #expect(translation.model == nil)
        #expect(translation.errors.count == 1, "\(translation.errors)")
    }

    /// What only a backend can have, on a route.
    @Test(arguments: [
        "loadBalancer: {type: RANDOM}", "healthCheck: {tcp: {}}", "outlierDetection: {consecutive5xx: 3}",
        "connectionLimits: {maxRequests: 1}", "adaptiveConcurrency: {}", "retryBudget: {percent: 10}",
        "timeouts: {connect: 1s}",
    ])
    func settingOfABackendOnARoute(_ spec: String) throws {
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(Fixture.toCart)
                + Self.policy(spec, target: Self.toRoute))
        let found = try #require(translation.diagnostics.first, "\(translation.lines)")
        #expect(translation.errors.count == 1, "\(translation.errors)")
        #expect(found.message.contains("is for a backend, not for HTTPRoute r"))
        #expect(found.remedy.contains("kind: Backend"))
        #expect(found.place.fieldPath.hasPrefix("spec."))
    }

    /// The targetRef, the reason of `Accepted` or none for an error, message and remedy.
    static let targets: [(target: String, reason: String?, message: String, remedy: String)] = [
        ("kind: Backend, name: crat", "TargetNotFound", "Backend shop/crat does not exist", "did you mean \"cart\""),
        (
            "kind: BackendSubset, name: x", "TargetNotFound", "BackendSubset shop/x does not exist",
            "a BackendSubset of this name"
        ),
        ("kind: Backend, name: cart, sectionName: a", "TargetNotFound", "has no sections", "remove sectionName"),
        (
            "kind: Service, name: web, sectionName: h3", "TargetNotFound", "no port with the name h3",
            "did you mean \"h2\""
        ),
        ("kind: HTTPRoute, name: r, sectionName: fisrt", "TargetNotFound", "no rule with the name fisrt", "\"first\""),
        ("kind: GRPCRoute, name: r", "TargetNotFound", "GRPCRoute shop/r does not exist", "a GRPCRoute of this name"),
        ("kind: TCPRoute, name: r", nil, "TCPRoute cannot be the target", "one of Backend"),
        ("kind: Backend, name: cart, group: apps", nil, "not a kind of group", "group: martlet.dev"),
        ("kind: Backend, name: cart, namespace: x", nil, "its own namespace", "remove it"),
        ("kind: Backend, nam: cart", nil, "unknown field \"nam\"", "did you mean \"name\""),
    ]

    @Test(arguments: targets.indices)
    func targetOfAPolicy(_ index: Int) throws {
        let given = Self.targets[index]
        let translation = translate(
            Fixture.gateway + Fixture.backends
                + Fixture.route(Fixture.toCart.replacing("rules: [{", with: "rules: [{name: first, "))
                + Self.policy("priority: HIGH", target: given.target))
        let found = try #require(
            translation.diagnostics.first { $0.message.contains(given.message) }, "\(translation.lines)")
        #expect(found.message.contains(given.message), "\(found.message)")
        #expect(found.remedy.contains(given.remedy), "\(found.remedy)")
        #expect(found.place.fieldPath.hasPrefix("spec.targetRefs[0]"))
        #expect(found.severity == (given.reason == nil ? .error : .warning))
        if let reason = given.reason {
            let condition = try #require(translation.condition("TrafficPolicy shop/p", "Accepted"))
            #expect(!condition.status)
            #expect(condition.reason == reason)
            #expect(condition.message == found.message)
        }
    }

    // MARK: Warnings

    static let warnings: [(spec: String, path: String, message: String, remedy: String)] = [
        ("loadBalancer: {type: RING_HASH}", "loadBalancer.hash", "nothing to hash by", "hash: [{header:"),
        (
            "outlierDetection: {consecutive5xx: 0, consecutiveConnectFailures: 0}", "outlierDetection",
            "looks at nothing", "consecutive5xx: 5"
        ),
        ("retry: {on: []}", "retry", "nothing that retry is for", "codes: [503]"),
        (
            "loadBalancer: {zonePreference: {}}", "loadBalancer.zonePreference", "in which zone the proxy is",
            "zone: NAME"
        ),
    ]

    @Test(arguments: warnings.indices)
    func whatHasNoEffectIsSaid(_ index: Int) throws {
        let given = Self.warnings[index]
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(Fixture.toCart) + Self.policy(given.spec))
        let found = try #require(translation.diagnostics.first, "\(translation.lines)")
        #expect(translation.diagnostics.count == 1, "\(translation.lines)")
        #expect(found.severity == .warning)
        #expect(found.place.fieldPath == "spec.\(given.path)")
        #expect(found.message.contains(given.message))
        #expect(found.remedy.contains(given.remedy), "\(found.remedy)")
        #expect(translation.model != nil)
    }

    @Test func aPolicyThatSetsNothingIsSaid() {
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(Fixture.toCart) + Self.policy(""))
        #expect(translation.diagnostics.map(\.message) == ["the TrafficPolicy sets nothing"])
    }

    // MARK: Rules of HTTPRoutes

    static let inline: [(spec: String, path: String, message: String, remedy: String)] = [
        ("retry: {attempts: 0}", "retry.attempts", "attempts is 0", "remove retry"),
        ("retry: {attempts: -1}", "retry.attempts", "-1", "0 to 100"),
        ("retry: {codes: [399]}", "retry.codes[0]", "400 to 599", "503"),
        ("retry: {backoff: 2h}", "retry.backoff", "longer than an hour", "1h"),
        ("retry: {on: [reset]}", "retry.on", "unknown field", "TrafficPolicy"),
        (
            "timeouts: {request: 1s, backendRequest: 2s}", "timeouts.backendRequest", "longer than timeouts.request",
            "1s"
        ),
        (
            "sessionPersistence: {sessionName: \"a b\"}", "sessionPersistence.sessionName", "not a cookie name",
            "letters, digits"
        ),
        ("sessionPersistence: {type: Header}", "sessionPersistence.header", "header is missing", "header: {name:"),
        ("sessionPersistence: {absoluteTimeout: 0s}", "sessionPersistence.absoluteTimeout", "must not be 0", "24h"),
    ]

    @Test(arguments: inline.indices)
    func mistakeInARule(_ index: Int) throws {
        let given = Self.inline[index]
        let rule = Fixture.toCart.replacing("rules: [{", with: "rules: [{\(given.spec), ")
        let translation = translate(Fixture.gateway + Fixture.backends + Fixture.route(rule))
        let found = try #require(
            translation.diagnostics.first { $0.place.fieldPath == "spec.rules[0].\(given.path)" },
            "\(translation.lines)")
        #expect(found.severity == .error)
        #expect(found.message.contains(given.message), "\(found.message)")
        #expect(found.remedy.contains(given.remedy), "\(found.remedy)")
        #expect(translation.errors.count == 1, "\(translation.errors)")
    }

    @Test(arguments: ["retry: {attempts: 1}", "timeouts: {request: 1s}"])
    func aGRPCRouteHasNone(_ field: String) throws {
        let translation = translate(
            Fixture.gateway + """
                ---
                apiVersion: gateway.networking.k8s.io/v1
                kind: GRPCRoute
                metadata: {name: g, namespace: shop}
                spec: {parentRefs: [{name: edge}], rules: [{\(field)}]}
                """)
        let found = try #require(translation.diagnostics.first { $0.severity == .error }, "\(translation.lines)")
        #expect(found.message == "a GRPCRoute has no \(field.prefix { $0 != ":" })")
        #expect(found.remedy.contains("kind: GRPCRoute, name: g"))
    }

    // MARK: ProxySettings

    static let settings: [(spec: String, path: String, message: String, remedy: String)] = [
        ("zone: \"\"", "zone", "must not be empty", "eu-west-1a"),
        ("overload: {maxMemory: 5Xi}", "overload.maxMemory", "number of bytes", "512Mi"),
        ("overload: {maxMemory: 99999999Ti}", "overload.maxMemory", "number of bytes", "512Mi"),
        ("overload: {maxMemory: 1Ki}", "overload.maxMemory", "1024 bytes", "from 1048576"),
        ("overload: {maxDescriptorPercent: 101}", "overload.maxDescriptorPercent", "101", "0 to 100"),
        ("overload: {maxLoopLag: 0s}", "overload.maxLoopLag", "must not be 0", "for example 10s"),
        ("overload: {memory: 5}", "overload.memory", "unknown field", "maxMemory"),
    ]

    @Test(arguments: settings.indices)
    func mistakeInProxySettings(_ index: Int) throws {
        let given = Self.settings[index]
        let translation = translate(
            Fixture.gateway + """
                ---
                apiVersion: martlet.dev/v1alpha1
                kind: ProxySettings
                metadata: {name: s}
                spec: {\(given.spec)}
                """)
        let found = try #require(
            translation.diagnostics.first { $0.place.fieldPath == "spec.\(given.path)" }, "\(translation.lines)")
        #expect(found.severity == .error)
        #expect(found.message.contains(given.message), "\(found.message)")
        #expect(found.remedy.contains(given.remedy), "\(found.remedy)")
    }

    @Test func settingsOfTheProcess() throws {
        let translation = translate(
            Fixture.gateway + """
                ---
                apiVersion: martlet.dev/v1alpha1
                kind: ProxySettings
                metadata: {name: s}
                spec: {zone: a, overload: {maxMemory: 512Mi, maxDescriptorPercent: 0, maxLoopLag: 50ms}}
                """)
        let settings = try #require(translation.model?.settings, "\(translation.lines)")
        #expect(settings.zone == "a")
        #expect(
            settings.overload
                == OverloadProtection(
                    maxMemoryBytes: 512 << 20, maxDescriptorPercent: nil, maxLoopLag: .milliseconds(50)))
        #expect(translation.origins["settings/overload.maxMemory"]?.fieldPath == "spec.overload.maxMemory")
        #expect(translation.origins["settings/zone"] != nil)
    }
}
