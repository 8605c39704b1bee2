import Foundation
import MeshGatewayAPI
import MeshModel
import Testing

/// What TrafficPolicies and BackendSubsets make of routes and backends.
@Suite struct TrafficLinkTests {
    private func policy(_ spec: String, _ name: String, _ target: String, created: String = "") -> String {
        TrafficPolicyTests.policy(spec, name: name, target: target, created: created)
    }

    private static let backend = "group: martlet.dev, kind: Backend, name: cart"
    private static let route = "group: gateway.networking.k8s.io, kind: HTTPRoute, name: r"

    // MARK: Values

    @Test func everythingOfABackend() throws {
        let spec = """
            loadBalancer:
              type: RING_HASH
              ringSize: 512
              hash: [{header: {name: X-User}}, {cookie: {name: c, path: /p, ttl: 1h}}, {sourceIP: true}, {queryParam: {name: q}}]
              boundedLoad: 150
              zonePreference: {minimumAvailable: 60}
              slowStart: {window: 30s, minimumPercent: 20}
              panicThreshold: 0
            healthCheck:
              http: {path: /healthz?full=1, host: x.example, statuses: [200, "300-302"]}
              interval: 5s
              timeout: 2s
              healthyThreshold: 1
              unhealthyThreshold: 4
              port: 8081
            outlierDetection:
              consecutive5xx: 0
              consecutiveGatewayErrors: 3
              successRate: {deviation: 1.25, minimumEndpoints: 3, requestVolume: 50}
              failurePercentage: {threshold: 40, minimumEndpoints: 2, requestVolume: 20}
              interval: 1s
              baseEjectionTime: 5s
              maxEjectionTime: 1m
              maxEjectionPercent: 100
            connectionLimits:
              maxConnections: 10
              maxRequests: 20
              maxPendingRequests: 30
              pendingTimeout: 500ms
              maxRetries: 0
              endpoint: {maxConnections: 5, maxRequests: 6}
            adaptiveConcurrency: {maxLimit: 10, tolerance: 200}
            retryBudget: {percent: 10, minConcurrency: 1}
            timeouts: {request: 10s, backendRequest: 2s, idle: 1m, connect: 1s}
            """
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(Fixture.toCart) + policy(spec, "p", Self.backend)
                + "---\napiVersion: martlet.dev/v1alpha1\nkind: ProxySettings\nmetadata: {name: s}\nspec: {zone: a}\n")
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let backend = try #require(translation.model?.backends.first)
        #expect(
            backend.loadBalancer
                == LoadBalancer(
                    algorithm: .ringHash(size: 512),
                    hash: [
                        .header(name: "x-user"), .cookie(name: "c", path: "/p", timeToLive: .seconds(3600)), .sourceIP,
                        .queryParam(name: "q"),
                    ], boundedLoad: 150, zonePreference: ZonePreference(minimumAvailable: 60),
                    slowStart: SlowStart(window: .seconds(30), minimumPercent: 20), panicThreshold: 0))
        #expect(
            backend.healthCheck
                == HealthCheck(
                    .http(path: "/healthz?full=1", host: "x.example", statuses: [200...200, 300...302]),
                    interval: .seconds(5), timeout: .seconds(2), healthyThreshold: 1, unhealthyThreshold: 4, port: 8081)
        )
        #expect(
            backend.outlierDetection
                == OutlierDetection(
                    consecutive5xx: nil, consecutiveGatewayErrors: 3,
                    successRate: SuccessRateDetection(
                        minimumEndpoints: 3, requestVolume: 50, deviationThousandths: 1250),
                    failurePercentage: FailurePercentageDetection(
                        threshold: 40, minimumEndpoints: 2, requestVolume: 20), interval: .seconds(1),
                    baseEjectionTime: .seconds(5), maxEjectionTime: .seconds(60), maxEjectionPercent: 100))
        var limits = ConnectionLimits()
        limits.maxConnections = 10
        limits.maxRequests = 20
        limits.maxPendingRequests = 30
        limits.pendingTimeout = .milliseconds(500)
        limits.maxRetries = 0
        limits.endpoint = EndpointLimits(maxConnections: 5, maxRequests: 6)
        #expect(backend.limits == limits)
        #expect(backend.adaptiveConcurrency == AdaptiveConcurrency(maxLimit: 10, initialLimit: 10, tolerance: 200))
        #expect(backend.retryBudget == RetryBudget(percent: 10, minConcurrency: 1))
        #expect(backend.connectTimeout == .seconds(1))
        #expect(backend.idleTimeout == Backend.defaultIdleTimeout)
        #expect(
            backend.policy.timeouts
                == Timeouts(request: .seconds(10), backendRequest: .seconds(2), idle: .seconds(60)))
        #expect(translation.condition("TrafficPolicy shop/p", "Accepted")?.status == true)
        let origins = translation.origins
        #expect(origins["backend/shop/Backend/cart/loadBalancer.ringSize"]?.fieldPath == "spec.loadBalancer.ringSize")
        #expect(origins["backend/shop/Backend/cart/outlierDetection.successRate.deviation"] != nil)
        #expect(origins["backend/shop/Backend/cart/outlierDetection.consecutiveConnectFailures"] == nil)
        #expect(origins["backend/shop/Backend/cart/policy.timeouts.idle"]?.fieldPath == "spec.timeouts.idle")
        #expect(origins["backend/shop/Backend/cart/timeouts.connect"]?.fieldPath == "spec.timeouts.connect")
        let model = try #require(translation.model)
        #expect(try Model.decode(model.encode()) == model)
    }

    @Test func everythingOfARequest() throws {
        let spec = """
            retry:
              attempts: 3
              codes: [500]
              on: [connect-failure, reset, timeout, unavailable, resource-exhausted, gateway-error]
              perTryTimeout: 250ms
              backoff: {base: 10ms, max: 1s}
              nonIdempotent: true
              bufferBytes: 128Ki
              maxRetryAfter: 5s
              hedgeDelay: 50ms
            rateLimits:
            - {requests: 10}
            - {by: IDENTITY, requests: 20, unit: 1m, burst: 5}
            - {by: HEADER, header: X-Key, requests: 30, unit: HOUR}
            - {by: ADDRESS, requests: 40, unit: Second}
            faults:
            - {percent: 5, delay: 2s}
            - {fraction: {numerator: 1, denominator: 1000}, headers: [{name: X-Chaos, value: "on"}], abort: {status: 503}}
            - {abort: {grpcStatus: 14}}
            priority: LOW
            """
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(Fixture.toCart) + policy(spec, "p", Self.route))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let policy = try #require(translation.routes().first?.rules.first?.policy)
        #expect(
            policy.retry
                == Retry(
                    attempts: 3, codes: [500, 502, 503, 504], grpcStatuses: [14, 8],
                    triggers: [.connectFailure, .reset, .timeout], perTryTimeout: .milliseconds(250),
                    backoff: Backoff(base: .milliseconds(10), max: .seconds(1)), nonIdempotent: true,
                    bufferBytes: 128 << 10, maxRetryAfter: .seconds(5), hedgeDelay: .milliseconds(50)))
        #expect(
            policy.rateLimits == [
                RequestRateLimit(requests: 10),
                RequestRateLimit(key: .identity, requests: 20, unit: .seconds(60), burst: 5),
                RequestRateLimit(key: .header(name: "x-key"), requests: 30, unit: .seconds(3600)),
                RequestRateLimit(key: .address, requests: 40),
            ])
        #expect(
            policy.faults == [
                Fault(numerator: 5, delay: .seconds(2)),
                Fault(
                    numerator: 1, denominator: 1000,
                    headers: [NamedMatch(name: "x-chaos", value: .exact("on"))], abort: .status(503)),
                Fault(abort: .grpcStatus(14)),
            ])
        #expect(policy.priority == .low)
        #expect(translation.origins["rule/shop/r/0/retry.backoff.max"]?.fieldPath == "spec.retry.backoff.max")
        #expect(translation.origins["rule/shop/r/0/rateLimits.1"]?.fieldPath == "spec.rateLimits[1]")
        let model = try #require(translation.model)
        #expect(try Model.decode(model.encode()) == model)
    }

    @Test func fiveHundredsAreCodes() throws {
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(Fixture.toCart)
                + policy("retry: {on: [5xx]}", "p", Self.route))
        let retry = try #require(translation.routes().first?.rules.first?.policy.retry)
        #expect(retry.codes == Array(500...599))
        #expect(retry.triggers == [])
        #expect(retry.attempts == 1)
    }

    @Test func aBackendOfItsOwnHasTheSameFields() throws {
        let backend = """
            ---
            apiVersion: martlet.dev/v1alpha1
            kind: Backend
            metadata: {name: own, namespace: shop}
            spec:
              endpoints:
              - {ip: {address: 127.0.0.1, port: 1}, labels: {version: v2}}
              - {ip: {address: 127.0.0.1, port: 2}, backup: true}
              loadBalancer: {type: MAGLEV, tableSize: 251, hash: [{sourceIP: true}]}
              connectionLimits: {maxRequests: 7}
            """
        let translation = translate(
            Fixture.gateway + backend + "\n" + Fixture.route(Fixture.toCart.replacing("cart", with: "own"))
                + policy("connectionLimits: {maxConnections: 8}", "p", "kind: Backend, name: own"))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let own = try #require(translation.model?.backends.first)
        #expect(own.loadBalancer.algorithm == .maglev(tableSize: 251))
        #expect(own.endpoints.map(\.isBackup) == [false, true])
        // Limits are settings of their own: the policy adds to what the Backend says.
        #expect(own.limits.maxRequests == 7)
        #expect(own.limits.maxConnections == 8)
    }

    @Test func onlyBackupsAreSaid() {
        let backends = Fixture.backends.replacing("port: 9001}}", with: "port: 9001}, backup: true}")
        let translation = translate(Fixture.gateway + backends + Fixture.route(Fixture.toCart))
        #expect(translation.diagnostics.map(\.message) == ["every endpoint is a backup, so that none is one"])
    }

    // MARK: Precedence

    @Test func theMoreSpecificWins() throws {
        let rules = """
            rules:
            - name: first
              timeouts: {request: 4s, backendRequest: 3s}
              retry: {attempts: 4, codes: [500]}
              backendRefs: [{group: martlet.dev, kind: Backend, name: cart}]
            - matches: [{path: {value: /b}}]
              retry: {attempts: 5}
              backendRefs: [{group: martlet.dev, kind: Backend, name: cart}]
            """
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(rules)
                + policy(
                    "timeouts: {request: 9s, idle: 9s}\nretry: {attempts: 9}\npriority: LOW", "on-backend", Self.backend
                )
                + policy("timeouts: {request: 8s}\nretry: {attempts: 2, codes: [502]}", "on-route", Self.route)
                + policy("timeouts: {request: 7s}", "on-rule", Self.route + ", sectionName: first"))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let route = try #require(translation.routes().first)
        let backend = try #require(translation.model?.backends.first)
        let first = route.rules[0].policy
        #expect(first.timeouts.request == .seconds(7))
        #expect(first.timeouts.backendRequest == .seconds(3))
        #expect(first.timeouts.idle == nil)
        // As a whole: nothing of the rule's own retry is left.
        #expect(first.retry == Retry(attempts: 2, codes: [502]))
        #expect(first.priority == nil)
        #expect(route.rules[1].policy.timeouts.request == .seconds(8))
        #expect(route.rules[1].policy.retry?.attempts == 2)
        let effective = first.inheriting(backend.policy)
        #expect(effective.timeouts.idle == .seconds(9))
        #expect(effective.priority == .low)
        #expect(effective.retry?.attempts == 2)
        let origins = translation.origins
        #expect(origins["rule/shop/r/0/timeouts.request"]?.object == "TrafficPolicy shop/on-rule")
        #expect(origins["rule/shop/r/0/timeouts.backendRequest"]?.object == "HTTPRoute shop/r")
        #expect(origins["rule/shop/r/0/retry.attempts"]?.object == "TrafficPolicy shop/on-route")
        #expect(origins["rule/shop/r/1/timeouts.request"]?.object == "TrafficPolicy shop/on-route")
        #expect(origins["backend/shop/Backend/cart/policy.retry.attempts"]?.object == "TrafficPolicy shop/on-backend")
    }

    @Test func noPartOfAReplacedRetryKeepsItsOrigin() {
        let rule = Fixture.toCart.replacing("rules: [{", with: "rules: [{retry: {attempts: 2, codes: [500]}, ")
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(rule)
                + policy("retry: {attempts: 3}", "p", Self.route))
        #expect(translation.origins["rule/shop/r/0/retry.attempts"]?.object == "TrafficPolicy shop/p")
        #expect(translation.origins["rule/shop/r/0/retry.codes"] == nil)
    }

    @Test func whatARuleSaysItselfGoesBeforeThePolicyOfItsBackend() throws {
        let rule = Fixture.toCart.replacing(
            "rules: [{", with: "rules: [{timeouts: {request: 1s}, retry: {attempts: 2}, ")
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(rule)
                + policy("timeouts: {request: 9s}\nretry: {attempts: 9}", "p", Self.backend))
        let rulePolicy = try #require(translation.routes().first?.rules.first?.policy)
        let backend = try #require(translation.model?.backends.first)
        let effective = rulePolicy.inheriting(backend.policy)
        #expect(effective.timeouts.request == .seconds(1))
        #expect(effective.retry?.attempts == 2)
    }

    @Test func noTimeoutOfARuleGoesBeforeThatOfItsBackend() throws {
        let rule = Fixture.toCart.replacing("rules: [{", with: "rules: [{timeouts: {request: 0s, backendRequest: 0s}, ")
        let yaml = Fixture.gateway + Fixture.backends + Fixture.route(rule)
        #expect(translate(yaml).routes().first?.rules.first?.policy.timeouts == Timeouts())
        let translation = translate(yaml + policy("timeouts: {request: 9s, idle: 0s}", "p", Self.backend))
        let timeouts = try #require(translation.routes().first?.rules.first?.policy.timeouts)
        #expect(timeouts == Timeouts(request: Timeouts.unlimited))
        #expect(translation.model?.backends.first?.policy.timeouts == Timeouts(request: .seconds(9)))
    }

    @Test func aRouteSwitchesTheRetryOfItsBackendOff() throws {
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(Fixture.toCart)
                + policy("retry: {attempts: 9}", "a", Self.backend)
                + policy("retry: {attempts: 0}", "b", Self.route))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        #expect(translation.routes().first?.rules.first?.policy.retry?.attempts == 0)
    }

    @Test func aPolicyForAPortOfAService() throws {
        let rules = "rules: [{backendRefs: [{name: web, port: 80}, {name: web, port: 81}]}]"
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(rules)
                + policy("connectionLimits: {maxRequests: 1, maxRetries: 1}", "all", "kind: Service, name: web")
                + policy(
                    "connectionLimits: {maxRequests: 2}", "one", "kind: Service, name: web, sectionName: h2"))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        #expect(translation.model?.backends.map(\.limits.maxRequests) == [1, 2])
        #expect(translation.model?.backends.map(\.limits.maxRetries) == [1, 1])
    }

    @Test func aRuleOfAGRPCRoute() throws {
        let translation = translate(
            Fixture.gateway + Fixture.backends + """
                ---
                apiVersion: gateway.networking.k8s.io/v1
                kind: GRPCRoute
                metadata: {name: g, namespace: shop}
                spec:
                  parentRefs: [{name: edge}]
                  rules: [{name: only, backendRefs: [{name: web, port: 80}]}]

                """
                + policy(
                    "retry: {on: [unavailable]}", "p",
                    "group: gateway.networking.k8s.io, kind: GRPCRoute, name: g, sectionName: only"))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        #expect(translation.routes().first?.rules.first?.policy.retry?.grpcStatuses == [14])
        #expect(translation.origins["grpcrule/shop/g/0/retry.on"] != nil)
    }

    // MARK: Conflicts

    /// Creation of `b` and of `a`, and who wins.
    static let conflicts: [(b: String, a: String, winner: String)] = [
        ("", "", "a"),
        ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "b"),
        ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", "a"),
        ("2026-01-02T00:00:00Z", "2026-01-02T00:00:00Z", "a"),
        ("2026-01-02T00:00:00Z", "", "b"),
    ]

    @Test(arguments: conflicts.indices)
    func ofTwoForOneTargetTheOlderWins(_ index: Int) throws {
        let given = Self.conflicts[index]
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(Fixture.toCart)
                + policy("connectionLimits: {maxRequests: 1}", "b", Self.backend, created: given.b)
                + policy("connectionLimits: {maxRetries: 1}", "a", Self.backend, created: given.a))
        let loser = given.winner == "a" ? "b" : "a"
        #expect(translation.condition("TrafficPolicy shop/\(given.winner)", "Accepted")?.status == true)
        let condition = try #require(translation.condition("TrafficPolicy shop/\(loser)", "Accepted"))
        #expect(!condition.status)
        #expect(condition.reason == "Conflicted")
        #expect(condition.message.contains("TrafficPolicy shop/\(given.winner) at a.yaml:"))
        let warning = try #require(translation.diagnostics.first)
        #expect(translation.diagnostics.count == 1)
        #expect(warning.severity == .warning)
        #expect(warning.place.object == "TrafficPolicy shop/\(loser)")
        #expect(warning.place.fieldPath == "spec.targetRefs[0]")
        // Nothing of the loser counts.
        let limits = try #require(translation.model?.backends.first?.limits)
        #expect((limits.maxRequests == 1) == (given.winner == "b"))
        #expect((limits.maxRetries == 1) == (given.winner == "a"))
        #expect(translation.json().contains("\"reason\" : \"Conflicted\""))
        #expect(DiagnosticText.table(translation.conditions).contains("False Conflicted"))
    }

    // MARK: Contradictions between objects

    @Test func aTryThatIsLongerThanTheRequestOfAnotherObject() throws {
        let rule = Fixture.toCart.replacing("rules: [{", with: "rules: [{timeouts: {request: 1s}, ")
        let yaml = Fixture.gateway + Fixture.backends + Fixture.route(rule)
        for (target, severity) in [(Self.route, Diagnostic.Severity.error), (Self.backend, .warning)] {
            let translation = translate(yaml + policy("retry: {perTryTimeout: 2s}", "p", target))
            let found = try #require(translation.diagnostics.first, "\(target)")
            #expect(translation.diagnostics.count == 1, "\(translation.lines)")
            #expect(found.severity == severity)
            #expect(found.place.fieldPath == "spec.retry.perTryTimeout")
            #expect(found.message.contains("longer than timeouts.request, which is 1s (a.yaml:"))
            #expect(found.remedy == "at most 1s")
        }
    }

    @Test func aTimeoutOfARuleThatIsLongerThanThatOfItsBackend() throws {
        let rule = Fixture.toCart.replacing("rules: [{", with: "rules: [{timeouts: {backendRequest: 5s}, ")
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(rule)
                + policy("timeouts: {request: 2s}", "p", Self.backend))
        let found = try #require(translation.diagnostics.first)
        #expect(found.place.fieldPath == "spec.rules[0].timeouts.backendRequest")
        #expect(found.severity == .warning)
        #expect(translation.model != nil)
    }
}
