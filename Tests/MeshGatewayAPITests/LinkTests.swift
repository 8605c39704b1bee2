import Foundation
import MeshGatewayAPI
import MeshModel
import Testing

/// References, attachment and the rest of the standard's semantics.
@Suite struct LinkTests {
    @Test func theSmallestConfigurationIsServed() throws {
        let translation = translate(Fixture.gateway + Fixture.backends + Fixture.route(Fixture.toCart))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let model = try #require(translation.model)
        let listener = try #require(model.listeners.first)
        #expect(model.listeners.count == 1)
        #expect(listener.address == .any(port: 8080))
        #expect(listener.sections.map(\.name) == ["shop/edge/http"])
        let route = try #require(listener.sections[0].routes.first)
        #expect(route.name == "shop/r")
        #expect(route.hostnames == [.any])
        #expect(route.rules[0].matches == [RouteMatch()])
        #expect(route.rules[0].backends == [WeightedBackend(.backend("shop/Backend/cart"))])
        let backend = try #require(model.backends.first)
        #expect(backend.endpoints == [Endpoint(.ip("127.0.0.1", port: 9001))])
        #expect(translation.condition("HTTPRoute shop/r", "Accepted")?.status == true)
        #expect(translation.condition("HTTPRoute shop/r", "ResolvedRefs")?.status == true)
        #expect(translation.condition("HTTPRoute shop/r", "Programmed")?.status == true)
        #expect(translation.condition("Gateway shop/edge", "Programmed", part: "listener")?.status == true)
    }

    @Test func everythingTranslates() throws {
        let translation = translate(Fixture.gateway + Fixture.backends + Examples.everything)
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let model = try #require(translation.model)
        #expect(model.problems().isEmpty)
        let sections = Dictionary(uniqueKeysWithValues: model.listeners.flatMap(\.sections).map { ($0.name, $0) })
        let https = try #require(sections["shop/secure/https"])
        #expect(https.hostname == .wildcard(suffix: "shop.example"))
        #expect(https.tls?.certificates.map(\.name) == ["shop/cert", "shop/cert2"])
        #expect(https.tls?.minimumVersion == .tls13)
        #expect(https.tls?.clientValidation?.mode == .allowValidOnly)
        #expect(sections["shop/secure/other"]?.tls?.clientValidation?.mode == .allowInsecureFallback)
        #expect(sections["shop/secure/pass"]?.tls == nil)
        #expect(sections["shop/secure/pass"]?.streamRoutes.map(\.hostnames) == [[.exact("raw.example")]])
        #expect(sections["shop/secure/end"]?.streamRoutes.map(\.name) == ["shop/c"])
        let rule = try #require(https.routes.first?.rules.first)
        #expect(rule.filters.count == 5)
        #expect(rule.policy.timeouts == Timeouts(request: .seconds(10), backendRequest: .milliseconds(2500)))
        #expect(
            rule.policy.retry
                == Retry(
                    attempts: 2, codes: [503], triggers: [.connectFailure, .refusedStream, .reset],
                    backoff: Backoff(base: .milliseconds(100), max: .seconds(1))))
        #expect(rule.backends.map(\.weight) == [9, 1])
        #expect(rule.backends[0].filters.count == 1)
        let backends = Dictionary(uniqueKeysWithValues: model.backends.map { ($0.name, $0) })
        #expect(backends["shop/Service/web:80"]?.endpoints == [Endpoint(.ip("10.0.0.1", port: 3000), zone: "a")])
        let encrypted = try #require(backends["shop/Service/web:81@shop/cert"])
        #expect(encrypted.protocol == .http2)
        #expect(encrypted.tls?.hostname == "web.internal")
        #expect(encrypted.tls?.clientCertificate?.name == "shop/cert")
        #expect(encrypted.tls?.subjectAltNames == [.hostname("web.internal"), .uri("spiffe://mesh/web")])
        #expect(backends["shop/Service/web:80#grpc"]?.protocol == .http2)
        let full = try #require(backends["shop/Backend/full#tcp"])
        #expect(full.protocol == .tcp)
        #expect(full.proxyProtocol == .v2)
        #expect(full.loadBalancer.algorithm == .roundRobin)
        #expect(full.limits.maxConnections == 10)
        #expect(full.connectTimeout == .seconds(1))
        #expect(
            full.endpoints.map(\.address.description) == ["[::1]:9001", "cart.internal:8080", "unix:/run/cart.sock"])
        #expect(model.settings.accessLog == .text(format: "%m"))
        let listener = try #require(model.listeners.first { $0.address == .ip("127.0.0.1", port: 8443) })
        #expect(listener.role == .sidecar)
        #expect(listener.proxyProtocol)
        #expect(listener.trustedHops == 2)
        #expect(listener.limits.maxHeaders == 50)
        #expect(listener.limits.http2.resets == RateLimit(burst: 10, perSecond: 1))
        #expect(translation.origins["listener/127.0.0.1:8443/limits.maxHeaders"]?.fieldPath == "spec.limits.maxHeaders")
        #expect(translation.origins["rule/shop/all/0/timeouts.request"] != nil)
    }

    @Test func theCompiledFormOfEverythingReadsBackEqual() throws {
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(Fixture.toCart) + Examples.everything
                + Examples.resilience)
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let model = try #require(translation.model)
        let bytes = try model.encode()
        #expect(try Model.decode(bytes) == model)
        #expect(try model.encode() == bytes)
    }

    @Test func anAddressWithoutValueIsEveryAddress() {
        let gateway = Fixture.gateway.replacing("  listeners:", with: "  addresses: [{type: IPAddress}]\n  listeners:")
        #expect(translate(gateway).model?.listeners.map(\.address) == [.any(port: 8080)])
    }

    // MARK: Attachment

    /// The parentRef, the reason and a part of the message.
    static let refusals: [(parent: String, reason: String, message: String, remedy: String)] = [
        ("name: egde", "NoMatchingParent", "does not exist", "did you mean \"edge\""),
        ("name: edge, namespace: other", "NoMatchingParent", "does not exist", "namespace: shop"),
        ("name: edge, sectionName: https", "NoMatchingParent", "no listener https", "did you mean"),
        ("name: edge, port: 81", "NoMatchingParent", "port 81", "8080"),
        ("name: edge, kind: Service, group: \"\"", "NoMatchingParent", "does not exist", "the name of a Service"),
        ("name: edge, kind: ConfigMap, group: \"\"", "UnsupportedValue", "ConfigMap cannot be a parent", "Gateway"),
    ]

    @Test(arguments: refusals.indices)
    func refusedParent(_ index: Int) throws {
        let expected = Self.refusals[index]
        let translation = translate(
            Fixture.gateway + Fixture.backends + Fixture.route(Fixture.toCart, parent: expected.parent))
        let condition = try #require(translation.condition("HTTPRoute shop/r", "Accepted"))
        #expect(!condition.status)
        #expect(condition.reason == expected.reason)
        let warning = try #require(translation.diagnostics.first { $0.place.fieldPath == "spec.parentRefs[0]" })
        #expect(warning.severity == .warning)
        #expect(warning.message.contains(expected.message), "\(warning)")
        #expect(warning.remedy.contains(expected.remedy), "\(warning)")
        #expect(translation.model?.listeners.flatMap { $0.sections.flatMap(\.routes) } == [])
    }

    /// Listener hostname, route hostnames, what is left; the cases of HTTPRouteHostnameIntersection.
    static let intersections: [(listener: String, route: String, expected: [String])] = [
        (
            "very.specific.com", "[non.matching.com, \"*.nonmatchingwildcard.io\", very.specific.com]",
            ["very.specific.com"]
        ),
        ("very.specific.com", "[\"*.specific.com\"]", ["very.specific.com"]),
        (
            "\"*.wildcard.io\"",
            "[non.matching.com, wildcard.io, foo.wildcard.io, bar.wildcard.io, foo.bar.wildcard.io]",
            ["foo.wildcard.io", "bar.wildcard.io", "foo.bar.wildcard.io"]
        ),
        ("\"*.anotherwildcard.io\"", "[\"*.anotherwildcard.io\"]", ["*.anotherwildcard.io"]),
        ("\"*.wildcard.io\"", "[\"*.foo.wildcard.io\"]", ["*.foo.wildcard.io"]),
        ("\"*.foo.wildcard.io\"", "[\"*.wildcard.io\"]", ["*.foo.wildcard.io"]),
        ("very.specific.com", "[specific.but.wrong.com, wildcard.io]", []),
        ("\"*.wildcard.io\"", "[wildcard.io]", []),
        ("very.specific.com", "", ["very.specific.com"]),
    ]

    @Test(arguments: intersections.indices)
    func hostnameIntersection(_ index: Int) {
        let given = Self.intersections[index]
        let gateway = Fixture.gateway.replacing("port: 8080}", with: "port: 8080, hostname: \(given.listener)}")
        let hostnames = given.route.isEmpty ? "" : "hostnames: \(given.route)\n"
        let translation = translate(gateway + Fixture.backends + Fixture.route(hostnames + Fixture.toCart))
        #expect(
            (translation.routes().first?.hostnames ?? []).map(\.description) == given.expected, "\(translation.lines)")
        let accepted = translation.condition("HTTPRoute shop/r", "Accepted")
        #expect(accepted?.status == !given.expected.isEmpty)
        if given.expected.isEmpty { #expect(accepted?.reason == "NoMatchingListenerHostname") }
    }

    /// allowedRoutes, namespace of the route, allowed.
    static let namespaces: [(allowed: String, namespace: String, isAllowed: Bool)] = [
        ("{}", "shop", true), ("{}", "other", false),
        ("{namespaces: {from: All}}", "other", true),
        ("{namespaces: {from: Same}}", "other", false),
        ("{namespaces: {from: Selector, selector: {matchLabels: {team: a}}}}", "other", true),
        ("{namespaces: {from: Selector, selector: {matchLabels: {team: b}}}}", "other", false),
        (
            "{namespaces: {from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: other}}}}", "other",
            true
        ),
        (
            "{namespaces: {from: Selector, selector: {matchExpressions: [{key: team, operator: In, values: [a, b]}]}}}",
            "other", true
        ),
        (
            "{namespaces: {from: Selector, selector: {matchExpressions: [{key: team, operator: NotIn, values: [a]}]}}}",
            "other", false
        ),
        (
            "{namespaces: {from: Selector, selector: {matchExpressions: [{key: nope, operator: DoesNotExist}]}}}",
            "other", true
        ),
    ]

    @Test(arguments: namespaces.indices)
    func allowedNamespaces(_ index: Int) {
        let given = Self.namespaces[index]
        let gateway = Fixture.gateway.replacing("port: 8080}", with: "port: 8080, allowedRoutes: \(given.allowed)}")
        let labels = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: other, labels: {team: a}}\n"
        let route = Fixture.route(
            "rules: []", namespace: given.namespace, parent: "name: edge, namespace: shop")
        let translation = translate(gateway + labels + route)
        let accepted = translation.condition("HTTPRoute \(given.namespace)/r", "Accepted")
        #expect(accepted?.status == given.isAllowed, "\(translation.lines)")
        if !given.isAllowed { #expect(accepted?.reason == "NotAllowedByListeners") }
    }

    @Test func aKindThatTheListenerDoesNotAllowIsRefused() {
        let gateway = Fixture.gateway.replacing(
            "port: 8080}", with: "port: 8080, allowedRoutes: {kinds: [{kind: GRPCRoute}]}}")
        let translation = translate(gateway + Fixture.backends + Fixture.route(Fixture.toCart))
        #expect(translation.condition("HTTPRoute shop/r", "Accepted")?.reason == "NotAllowedByListeners")
    }

    // MARK: Conflicts

    /// Two listeners and the reason of the second one's conflict.
    static let conflicts: [(first: String, second: String, reason: String?)] = [
        ("protocol: HTTP, port: 80", "protocol: HTTP, port: 80", "HostnameConflict"),
        ("protocol: HTTP, port: 80, hostname: a.example", "protocol: HTTP, port: 80", nil),
        ("protocol: HTTP, port: 80", "protocol: TCP, port: 80", "ProtocolConflict"),
        ("protocol: TCP, port: 80", "protocol: TCP, port: 80", "ProtocolConflict"),
        ("protocol: HTTP, port: 80", "protocol: TLS, port: 80, tls: {mode: Passthrough}", "ProtocolConflict"),
        (
            "protocol: TLS, port: 80, hostname: a.b, tls: {mode: Passthrough}",
            "protocol: TLS, port: 80, hostname: a.c, tls: {mode: Passthrough}", nil
        ),
    ]

    @Test(arguments: conflicts.indices)
    func listenerConflict(_ index: Int) {
        let given = Self.conflicts[index]
        let translation = translate(
            """
            apiVersion: gateway.networking.k8s.io/v1
            kind: Gateway
            metadata: {name: edge, namespace: shop}
            spec:
              listeners:
              - {name: a, \(given.first)}
              - {name: b, \(given.second)}
            """)
        #expect(translation.condition("Gateway shop/edge", "Conflicted", part: "listener a") == nil)
        #expect(translation.condition("Gateway shop/edge", "Conflicted", part: "listener b")?.reason == given.reason)
        #expect(translation.model?.listeners.first?.sections.count == (given.reason == nil ? 2 : 1))
    }

    @Test func kindsOfRoutesAreNeverMixedOnAHostname() {
        let grpc = """
            ---
            apiVersion: gateway.networking.k8s.io/v1
            kind: GRPCRoute
            metadata: {name: g, namespace: shop}
            spec:
              parentRefs: [{name: edge}]
              rules: [{backendRefs: [{name: web, port: 81}]}]

            """
        let translation = translate(Fixture.gateway + Fixture.backends + Fixture.route(Fixture.toCart) + grpc)
        #expect(translation.condition("HTTPRoute shop/r", "Accepted")?.status == true)
        #expect(translation.condition("GRPCRoute shop/g", "Accepted")?.reason == "HostnameConflict")
        #expect(translation.routes().map(\.kind) == [.http])
    }

    @Test func theListenerThatTheOtherKindOfRouteHasIsNamedAndTheOthersAreServed() throws {
        let gateway = Fixture.gateway + "  - {name: other, protocol: HTTP, port: 8081}\n"
        let http = Fixture.route(Fixture.toCart, parent: "name: edge, sectionName: http")
        let grpc = """
            ---
            apiVersion: gateway.networking.k8s.io/v1
            kind: GRPCRoute
            metadata: {name: g, namespace: shop}
            spec:
              parentRefs: [{name: edge}]
              rules: [{backendRefs: [{name: web, port: 81}]}]

            """
        let translation = translate(gateway + Fixture.backends + http + grpc)
        #expect(translation.routes("shop/edge/http").map(\.kind) == [.http])
        #expect(translation.routes("shop/edge/other").map(\.kind) == [.grpc])
        #expect(translation.condition("GRPCRoute shop/g", "Accepted")?.status == true)
        let warning = try #require(translation.diagnostics.first)
        #expect(translation.diagnostics.count == 1 && warning.severity == .warning && !warning.remedy.isEmpty)
        #expect(warning.place.object == "GRPCRoute shop/g" && warning.place.fieldPath == "spec.parentRefs[0]")
        #expect(warning.message.hasPrefix("the route is not attached to listener http: HTTPRoute shop/r at a.yaml:"))
    }

    @Test func theOlderKindOfRouteKeepsTheHostName() {
        func stamped(_ yaml: String, _ year: Int) -> String {
            yaml.replacing(
                "namespace: shop}\nspec", with: "namespace: shop, creationTimestamp: \"\(year)-01-01T00:00:00Z\"}\nspec"
            )
        }
        let http = stamped(Fixture.route(Fixture.toCart), 2025)
        let grpc = stamped(Fixture.route("rules: [{backendRefs: [{name: web, port: 81}]}]", name: "g"), 2024)
            .replacing("kind: HTTPRoute", with: "kind: GRPCRoute")
        let translation = translate(Fixture.gateway + Fixture.backends + http + grpc)
        #expect(translation.condition("HTTPRoute shop/r", "Accepted")?.reason == "HostnameConflict")
        #expect(translation.routes().map(\.kind) == [.grpc])
    }

    @Test func aListenerThatCannotBeReadIsNotReportedAgainAtItsRoutes() {
        let gateway = Fixture.gateway.replacing("port: 8080", with: "port: 80a")
        let translation = translate(gateway + Fixture.backends + Fixture.route(Fixture.toCart))
        #expect(translation.lines.count == 1, "\(translation.lines)")
        #expect(translation.condition("HTTPRoute shop/r", "Accepted")?.status == false)
    }

    // MARK: References

    /// A backendRef, the reason of ResolvedRefs, and a part of the remedy.
    static let references: [(reference: String, reason: String, remedy: String)] = [
        ("{name: wbe, port: 80}", "BackendNotFound", "did you mean \"web\""),
        ("{name: web}", "BackendNotFound", "port: 80"),
        ("{name: web, port: 82}", "BackendNotFound", "80, 81"),
        ("{name: cart, port: 80}", "BackendNotFound", "kind: Backend"),
        ("{name: web, kind: NonExistent, port: 80}", "InvalidKind", "Service"),
        ("{name: cart, kind: Backend}", "InvalidKind", "group: martlet.dev"),
        ("{name: web, namespace: other, port: 80}", "RefNotPermitted", "ReferenceGrant in namespace other"),
    ]

    @Test(arguments: references.indices)
    func anInvalidReferenceKeepsItsWeight(_ index: Int) throws {
        let given = Self.references[index]
        let spec = """
            rules:
            - backendRefs:
              - {group: martlet.dev, kind: Backend, name: cart, weight: 3}
              - \(given.reference)
            """
        let translation = translate(Fixture.gateway + Fixture.backends + Fixture.route(spec))
        let condition = try #require(translation.condition("HTTPRoute shop/r", "ResolvedRefs"))
        #expect(condition.reason == given.reason, "\(translation.lines)")
        #expect(translation.condition("HTTPRoute shop/r", "Accepted")?.status == true)
        let rule = try #require(translation.routes().first?.rules.first)
        #expect(rule.backends.map(\.weight) == [3, 1])
        guard case .invalid = rule.backends[1].target else {
            Issue.record("\(rule.backends)")
            return
        }
        let warning = try #require(
            translation.diagnostics.first { $0.place.fieldPath == "spec.rules[0].backendRefs[1]" })
        #expect(warning.remedy.contains(given.remedy), "\(warning.remedy)")
    }

    /// A ReferenceGrant's from and to, and whether it permits HTTPRoute shop → Service other/api.
    static let grants: [(from: String, to: String, permits: Bool)] = [
        ("kind: HTTPRoute, namespace: shop", "kind: Service", true),
        ("kind: HTTPRoute, namespace: shop", "kind: Service, name: api", true),
        ("kind: HTTPRoute, namespace: shop", "kind: Service, name: web", false),
        ("kind: HTTPRoute, namespace: default", "kind: Service", false),
        ("kind: GRPCRoute, namespace: shop", "kind: Service", false),
        ("kind: HTTPRoute, namespace: shop", "kind: Secret", false),
    ]

    @Test(arguments: grants.indices)
    func referenceGrant(_ index: Int) {
        let given = Self.grants[index]
        let other = """
            ---
            apiVersion: v1
            kind: Service
            metadata: {name: api, namespace: other}
            spec: {ports: [{port: 80}]}
            ---
            apiVersion: gateway.networking.k8s.io/v1beta1
            kind: ReferenceGrant
            metadata: {name: rg, namespace: other}
            spec:
              from: [{group: gateway.networking.k8s.io, \(given.from)}]
              to: [{group: "", \(given.to)}]

            """
        let route = Fixture.route("rules: [{backendRefs: [{name: api, namespace: other, port: 80}]}]")
        let translation = translate(Fixture.gateway + other + route)
        let condition = translation.condition("HTTPRoute shop/r", "ResolvedRefs")
        #expect(condition?.status == given.permits, "\(translation.lines)")
        if !given.permits { #expect(condition?.reason == "RefNotPermitted") }
    }

    @Test func appProtocolDecidesWhatIsSpoken() {
        let spec = "rules: [{backendRefs: [{name: web, port: 80}, {name: web, port: 81}]}]"
        let translation = translate(Fixture.gateway + Fixture.backends + Fixture.route(spec))
        #expect(translation.model?.backends.map(\.protocol) == [.http1, .http2])
    }

    @Test(arguments: ["h2c", "kubernetes.io/h2c", "grpc", "ws", "kubernetes.io/ws", "http"])
    func appProtocolOfABackend(_ name: String) {
        let backends = Fixture.backends.replacing(
            "spec: {endpoints: [{ip", with: "spec: {appProtocol: \(name), endpoints: [{ip")
        let translation = translate(Fixture.gateway + backends + Fixture.route(Fixture.toCart))
        let isHTTP2 = name.contains("h2c") || name == "grpc"
        #expect(translation.model?.backends.map(\.protocol) == [isHTTP2 ? .http2 : .http1], "\(translation.lines)")
    }

    @Test func httpsNeedsAPolicyAndIsSpokenToInWhatTheRouteNeeds() throws {
        let certificates = try #require(Examples.everything.range(of: "---\napiVersion: v1\nkind: ConfigMap"))
        let after = try #require(
            Examples.everything.range(
                of: "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute",
                range: certificates.lowerBound..<Examples.everything.endIndex))
        let authorities = Examples.everything[certificates.lowerBound..<after.lowerBound]
        let policy = """
            ---
            apiVersion: gateway.networking.k8s.io/v1
            kind: BackendTLSPolicy
            metadata: {name: p, namespace: shop}
            spec:
              targetRefs: [{group: "", kind: Service, name: web}]
              validation: {hostname: web.internal, caCertificateRefs: [{group: "", kind: ConfigMap, name: clients}]}

            """
        let backends = Fixture.backends.replacing("kubernetes.io/h2c", with: "HTTPS")
        let route = Fixture.route("rules: [{backendRefs: [{name: web, port: 81}]}]")
        let grpc = route.replacing("HTTPRoute", with: "GRPCRoute")
        let without = translate(Fixture.gateway + backends + route)
        #expect(without.condition("HTTPRoute shop/r", "ResolvedRefs")?.reason == "UnsupportedProtocol")
        #expect(without.diagnostics.contains { $0.remedy.contains("BackendTLSPolicy") })
        for text in [route, grpc] {
            let translation = translate(Fixture.gateway + backends + authorities + policy + text)
            let backend = try #require(translation.model?.backends.first, "\(translation.lines)")
            #expect(backend.protocol == (text == grpc ? .http2 : .http1))
            #expect(backend.tls?.hostname == "web.internal")
        }
    }

    @Test func anUnknownAppProtocolOfABackendIsAnError() throws {
        let backends = Fixture.backends.replacing(
            "spec: {endpoints: [{ip", with: "spec: {appProtocol: htp, endpoints: [{ip")
        let translation = translate(Fixture.gateway + backends + Fixture.route(Fixture.toCart))
        let found = try #require(translation.diagnostics.first { $0.place.fieldPath == "spec.appProtocol" })
        #expect(found.severity == .error && found.remedy.contains("\"http\""))
    }

    @Test func aServiceThatRunsNowhereIsSaidToAnswer503() throws {
        let spec = "rules: [{backendRefs: [{name: web, port: 80}]}]"
        let cut = try #require(Fixture.backends.range(of: "---\napiVersion: discovery"))
        let backends = String(Fixture.backends[..<cut.lowerBound])
        let translation = translate(Fixture.gateway + backends + Fixture.route(spec))
        let found = try #require(translation.diagnostics.first { $0.message.contains("no ready endpoint at port 80") })
        #expect(found.severity == .warning && found.message.contains("503"))
        #expect(found.remedy.contains("kubernetes.io/service-name: web"))
        // The reference is good, as the standard wants it.
        #expect(translation.condition("HTTPRoute shop/r", "ResolvedRefs")?.status == true)
    }

    @Test func anUnsupportedAppProtocolIsNotResolved() {
        let backends = Fixture.backends.replacing("kubernetes.io/h2c", with: "example.com/odd")
        let spec = "rules: [{backendRefs: [{name: web, port: 81}]}]"
        let translation = translate(Fixture.gateway + backends + Fixture.route(spec))
        #expect(translation.condition("HTTPRoute shop/r", "ResolvedRefs")?.reason == "UnsupportedProtocol")
    }

    // MARK: Order and shadows

    @Test func theOlderRouteComesFirst() {
        func route(_ name: String, _ time: String) -> String {
            Fixture.route("rules: [{matches: [{path: {value: /\(name)}}], backendRefs: []}]", name: name)
                .replacing("name: \(name), namespace", with: "name: \(name), creationTimestamp: \(time), namespace")
        }
        let routes =
            route("a", "\"\"") + route("d", "\"2026-01-01T00:00:00Z\"") + route("c", "\"2026-01-01T00:00:00Z\"")
            + route("b", "\"2025-01-01T00:00:00Z\"")
        let translation = translate(Fixture.gateway + routes)
        #expect(translation.routes().map(\.name) == ["shop/b", "shop/c", "shop/d", "shop/a"])
    }

    @Test func aShadowedRuleNamesTheWinner() throws {
        let first = Fixture.route("rules: [{matches: [{path: {value: /a}}], backendRefs: []}]", name: "first")
        let second = Fixture.route(
            "rules: [{matches: [{path: {value: /a/}}], backendRefs: []}, {matches: [{path: {value: /b}}]}]",
            name: "second")
        let translation = translate(Fixture.gateway + first + second)
        let shadowed = try #require(translation.condition("HTTPRoute shop/second", "Shadowed"))
        #expect(shadowed.message.contains("rule 0 by HTTPRoute shop/first rule 0 at a.yaml:14"), "\(shadowed.message)")
        #expect(translation.condition("HTTPRoute shop/first", "Shadowed") == nil)
        let warning = translation.diagnostics.first { $0.message.contains("can never win") }
        #expect(warning?.place.fieldPath == "spec.rules[0].matches[0]")
    }

    @Test func aMatchOnAnotherHostIsNotShadowed() {
        let first = Fixture.route("hostnames: [a.example]\nrules: [{backendRefs: []}]", name: "first")
        let second = Fixture.route("hostnames: [b.example, a.example]\nrules: [{backendRefs: []}]", name: "second")
        let translation = translate(Fixture.gateway + first + second)
        #expect(translation.condition("HTTPRoute shop/second", "Shadowed") == nil)
    }

    // MARK: Certificates

    static let certificates: [(from: String, to: String, path: String, message: String)] = [
        ("tls.crt: &crt", "tls.cert: &crt", "", "has no tls.crt"),
        ("BEGIN PRIVATE KEY", "BEGIN ENCRYPTED PRIVATE KEY", "stringData[\"tls.key\"]", "no PEM private key"),
        ("tls.crt: LS0t", "tls.crt: LS0", "data[\"tls.crt\"]", "not base64"),
        ("data:\n  ca.crt: |", "data:\n  ca.crt: file:missing.pem\n  x: |", "data[\"ca.crt\"]", "does not exist"),
        (
            "certificateRefs: [{name: cert}, {name: cert2}]", "certificateRefs: [{name: cret}]",
            "spec.listeners[0].tls.certificateRefs[0]", "Secret shop/cret does not exist"
        ),
        (
            "certificateRefs: [{name: cert}, {name: cert2}]", "certificateRefs: [{name: cert, namespace: o}]",
            "spec.listeners[0].tls.certificateRefs[0]", "no ReferenceGrant"
        ),
        (
            "certificateRefs: [{name: cert}, {name: cert2}]", "certificateRefs: [{kind: ConfigMap, name: cert}]",
            "spec.listeners[0].tls.certificateRefs[0]", "ConfigMap cannot hold it"
        ),
    ]

    @Test(arguments: certificates.indices)
    func certificateMistake(_ index: Int) throws {
        let given = Self.certificates[index]
        #expect(Examples.everything.contains(given.from))
        let text = Examples.everything.replacing(given.from, with: given.to, maxReplacements: 1)
        let translation = translate(Fixture.gateway + Fixture.backends + text)
        let found = try #require(
            translation.diagnostics.first { $0.message.contains(given.message) }, "\(translation.lines)")
        #expect(found.severity == .error)
        #expect(found.place.fieldPath == given.path)
        #expect(translation.model == nil)
    }

    @Test func aPolicyOnASharedSocketMustCoverAllOfIt() {
        let policy = """
            ---
            apiVersion: martlet.dev/v1alpha1
            kind: ListenerPolicy
            metadata: {name: p, namespace: shop}
            spec: {targetRefs: [{name: edge, sectionName: b}], role: sidecar}
            """
        let gateway = Fixture.gateway + "  - {name: b, protocol: HTTP, port: 8080, hostname: b.example}\n"
        #expect(translate(gateway + policy).errors.contains { $0.contains("share the socket *:8080") })
        #expect(
            translate(gateway + policy.replacing(", sectionName: b", with: "")).model?.listeners[0].role == .sidecar)
    }
}
