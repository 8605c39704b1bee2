import MeshGatewayAPI
import Testing

/// Each mistake in a document gets its own diagnostic, at its field.
@Suite struct SchemaTests {
    /// YAML of an HTTPRoute's spec, the field, a part of the message, a part of the remedy.
    static let routeMistakes: [(spec: String, path: String, message: String, remedy: String)] = [
        ("rulez: []", "spec.rulez", "unknown field", "did you mean \"rules\""),
        ("hostname: [a.example]", "spec.hostname", "unknown field", "hostnames"),
        ("hostnames: [A.example]", "spec.hostnames[0]", "not a host name", "a.example"),
        ("hostnames: [\"a.example:80\"]", "spec.hostnames[0]", "not a host name", "without a port"),
        ("hostnames: [10.0.0.1]", "spec.hostnames[0]", "not a host name", "DNS name"),
        ("hostnames: [\"x.*.example\"]", "spec.hostnames[0]", "not a host name", "whole first label"),
        ("hostnames: shop.example", "spec.hostnames", "must be a list", "- "),
        ("rules: [{matches: [{path: {value: cart}}]}]", "spec.rules[0].matches[0].path.value", "start with /", ""),
        ("rules: [{matches: [{path: {value: /a//b}}]}]", "spec.rules[0].matches[0].path.value", "//", ""),
        ("rules: [{matches: [{path: {value: /a/../b}}]}]", "spec.rules[0].matches[0].path.value", "..", ""),
        ("rules: [{matches: [{path: {value: \"/a%2Fb\"}}]}]", "spec.rules[0].matches[0].path.value", "encoded /", ""),
        (
            "rules: [{matches: [{path: {value: \"/a?b=1\"}}]}]", "spec.rules[0].matches[0].path.value", "?",
            "queryParams"
        ),
        ("rules: [{matches: [{path: {type: Prefix}}]}]", "spec.rules[0].matches[0].path.type", "Prefix", "PathPrefix"),
        (
            "rules: [{matches: [{path: {type: RegularExpression, value: \"/a(b\"}}]}]",
            "spec.rules[0].matches[0].path.value",
            "bad regular expression", "RE2"
        ),
        ("rules: [{matches: [{method: get}]}]", "spec.rules[0].matches[0].method", "get", "GET"),
        (
            "rules: [{matches: [{headers: [{name: \"x y\", value: z}]}]}]", "spec.rules[0].matches[0].headers[0].name",
            "not a header name", ""
        ),
        (
            "rules: [{matches: [{headers: [{name: a, value: 1}]}]}]", "spec.rules[0].matches[0].headers[0].value",
            "must be a string, not an integer", "\"1\""
        ),
        (
            "rules: [{matches: [{headers: [{name: a, value: yes}]}]}]", "spec.rules[0].matches[0].headers[0].value",
            "must be a string, not a boolean", "\"yes\""
        ),
        (
            "rules: [{matches: [{headers: [{name: A, value: b}, {name: a, value: c}]}]}]",
            "spec.rules[0].matches[0].headers[1].name", "twice", ""
        ),
        (
            "rules: [{backendRefs: [{name: web, port: 80, weight: -1}]}]", "spec.rules[0].backendRefs[0].weight", "-1",
            "0 to"
        ),
        (
            "rules: [{backendRefs: [{name: web, port: 80, weight: 1000001}]}]", "spec.rules[0].backendRefs[0].weight",
            "1000001", "0 to 1000000"
        ),
        ("rules: [{backendRefs: [{name: web, port: 70000}]}]", "spec.rules[0].backendRefs[0].port", "70000", "65535"),
        (
            "rules: [{backendRefs: [{name: web, port: \"80\"}]}]", "spec.rules[0].backendRefs[0].port", "whole number",
            "without quotes"
        ),
        ("rules: [{backendRefs: [{port: 80}]}]", "spec.rules[0].backendRefs[0].name", "name is missing", ""),
        ("rules: [{timeouts: {request: 10}}]", "spec.rules[0].timeouts.request", "has no unit", "10s"),
        ("rules: [{timeouts: 10s}]", "spec.rules[0].timeouts", "must be a mapping", "timeouts: {request: 10s}"),
        (
            "rules: [{matches: [{path: /cart}]}]", "spec.rules[0].matches[0].path", "must be a mapping",
            "path: {type: PathPrefix"
        ),
        ("rules: [{matches: {path: {value: /}}}]", "spec.rules[0].matches", "must be a list", "matches: [{path:"),
        ("rules: [{matches: [/cart]}]", "spec.rules[0].matches[0]", "must be a mapping", "- {path:"),
        (
            "rules: [{matches: [{path: {type: Regex, value: ^/a}}]}]", "spec.rules[0].matches[0].path.type", "Regex",
            "RegularExpression"
        ),
        (
            "rules: [{matches: [{path: {value: ^/a}}]}]", "spec.rules[0].matches[0].path.value", "start with /",
            "RegularExpression"
        ),
        (
            "rules: [{matches: [{path: {value: cart}}]}]", "spec.rules[0].matches[0].path.value", "start with /",
            "\"/cart\""
        ),
        (
            "rules: [{matches: [{path: {value: \"/a{b}\"}}]}]", "spec.rules[0].matches[0].path.value", "contains \"{\"",
            ""
        ),
        ("rules: [{matches: [{path: {value: \"/a%2\"}}]}]", "spec.rules[0].matches[0].path.value", "hexadecimal", ""),
        (
            "rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: {x-a: b}}}]}]",
            "spec.rules[0].filters[0].requestHeaderModifier.set", "must be a list", "set: [{name: "
        ),
        ("rules: [{backends: [{name: web}]}]", "spec.rules[0].backends", "unknown field", "\"backendRefs\""),
        ("hosts: [a.example]", "spec.hosts", "unknown field", "\"hostnames\""),
        ("rules: [{match: []}]", "spec.rules[0].match", "unknown field", "\"matches\""),
        ("rules: [{timeouts: {request: 1d}}]", "spec.rules[0].timeouts.request", "unit other than", "GEP-2257"),
        ("rules: [{timeouts: {request: 1.5s}}]", "spec.rules[0].timeouts.request", "", "GEP-2257"),
        (
            "rules: [{timeouts: {request: 1s, backendRequest: 2s}}]", "spec.rules[0].timeouts.backendRequest", "longer",
            "1s"
        ),
        ("rules: [{retry: {codes: [200]}}]", "spec.rules[0].retry.codes[0]", "400 to 599", "503"),
        (
            "rules: [{filters: [{type: RequestHeadersModifier}]}]", "spec.rules[0].filters[0].type",
            "RequestHeadersModifier",
            "RequestHeaderModifier"
        ),
        ("rules: [{filters: [{type: URLRewrite}]}]", "spec.rules[0].filters[0].urlRewrite", "missing", ""),
        (
            "rules: [{filters: [{type: URLRewrite, requestRedirect: {}, urlRewrite: {}}]}]",
            "spec.rules[0].filters[0].requestRedirect", "does not belong", "type: RequestRedirect"
        ),
        (
            "rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 200}}]}]",
            "spec.rules[0].filters[0].requestRedirect.statusCode", "not a redirect", "301"
        ),
        (
            "rules: [{filters: [{type: RequestRedirect, requestRedirect: {}}, {type: URLRewrite, urlRewrite: {}}]}]",
            "spec.rules[0].filters[1]", "cannot stand together", ""
        ),
        (
            "rules: [{filters: [{type: CORS, cors: {}}, {type: CORS, cors: {}}]}]", "spec.rules[0].filters[1]", "twice",
            ""
        ),
        (
            "rules: [{filters: [{type: CORS, cors: {allowOrigins: [shop.example]}}]}]",
            "spec.rules[0].filters[0].cors.allowOrigins[0]", "not an origin", "https://"
        ),
        (
            "rules: [{filters: [{type: ExtensionRef, extensionRef: {name: x}}]}]", "spec.rules[0].filters[0]",
            "not supported", "remove"
        ),
        (
            "rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}, fraction: "
                + "{numerator: 3, denominator: 2}}}]}]", "spec.rules[0].filters[0].requestMirror.fraction.numerator",
            "larger",
            "2"
        ),
        (
            "rules: [{matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: "
                + "ReplacePrefixMatch, replacePrefixMatch: /b}}}]}]", "spec.rules[0].filters[0]", "exactly one match",
            "split"
        ),
        (
            "rules: [{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: web, port: 80}]}]",
            "spec.rules[0].filters[0]", "cannot have backendRefs", ""
        ),
        ("rules: [{name: a}, {name: a}]", "spec.rules[1].name", "name a", "rename"),
        (
            "rules: [{sessionPersistence: {cookie: {lifetimeType: Permanent}}}]",
            "spec.rules[0].sessionPersistence.absoluteTimeout", "missing", "24h"
        ),
    ]

    @Test(arguments: routeMistakes.indices)
    func routeMistake(_ index: Int) throws {
        let mistake = Self.routeMistakes[index]
        let translation = translate(Fixture.gateway + Fixture.backends + Fixture.route(mistake.spec))
        #expect(translation.model == nil)
        let found = try #require(
            translation.diagnostics.first { $0.severity == .error && $0.place.fieldPath == mistake.path },
            "\(translation.lines)")
        #expect(mistake.message.isEmpty || found.message.contains(mistake.message))
        #expect(mistake.remedy.isEmpty || found.remedy.contains(mistake.remedy), "\(found.remedy)")
        #expect(found.place.object == "HTTPRoute shop/r")
        let routeStart = (Fixture.gateway + Fixture.backends).split(separator: "\n", omittingEmptySubsequences: false)
            .count
        #expect(found.place.line == routeStart + 6)
    }

    /// YAML of one Gateway listener.
    static let listenerMistakes: [(listener: String, path: String, message: String)] = [
        ("{name: a, port: 80, protocol: http}", "protocol", "\"http\""),
        ("{name: a, port: 0, protocol: HTTP}", "port", "port is 0"),
        ("{name: a, protocol: HTTP}", "port", "port is missing"),
        ("{port: 80, protocol: HTTP}", "name", "name is missing"),
        ("{name: a, port: 443, protocol: HTTPS}", "", "needs tls"),
        ("{name: a, port: 443, protocol: HTTPS, tls: {}}", "tls", "without a certificate"),
        ("{name: a, port: 443, protocol: HTTPS, tls: {mode: Passthrough}}", "tls", "cannot pass TLS through"),
        ("{name: a, port: 80, protocol: HTTP, tls: {mode: Passthrough}}", "tls", "does not belong to protocol HTTP"),
        ("{name: a, port: 80, protocol: TCP, hostname: a.example}", "hostname", "cannot have a hostname"),
        ("{name: a, port: 80, protocol: UDP}", "protocol", "UDP is not supported"),
        ("{name: a, port: 80, protocol: HTTP, hostname: 1.2.3.4}", "hostname", "not a host name"),
        (
            "{name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector}}}",
            "allowedRoutes.namespaces.selector", "missing"
        ),
        ("{name: a, port: 80, protocol: HTTP, allowedRoute: {}}", "allowedRoute", "unknown field"),
    ]

    @Test(arguments: listenerMistakes.indices)
    func listenerMistake(_ index: Int) throws {
        let mistake = Self.listenerMistakes[index]
        let translation = translate(
            """
            apiVersion: gateway.networking.k8s.io/v1
            kind: Gateway
            metadata: {name: edge}
            spec:
              listeners:
              - \(mistake.listener)
            """)
        let path = "spec.listeners[0]" + (mistake.path.isEmpty ? "" : "." + mistake.path)
        let found = try #require(translation.diagnostics.first { $0.place.fieldPath == path }, "\(translation.lines)")
        #expect(mistake.message.isEmpty || found.message.contains(mistake.message))
        #expect(found.severity == .error)
        #expect(found.place.line == 6)
        #expect(found.place.object == "Gateway default/edge")
    }

    /// YAML of one Backend endpoint.
    static let endpointMistakes: [(endpoint: String, path: String, message: String)] = [
        ("{}", "", "no address"),
        ("{ip: {address: 1.2.3.4, port: 1}, unix: {path: /a}}", "", "2 addresses"),
        ("{ip: {address: localhost, port: 1}}", ".ip.address", "not an IP address"),
        ("{ip: {address: 1.2.3.4}}", ".ip.port", "missing"),
        ("{ip: {address: 1.2.3.256, port: 1}}", ".ip.address", "not an IP address"),
        ("{ip: {address: \"::1::\", port: 1}}", ".ip.address", "not an IP address"),
        ("{fqdn: {hostname: \"*.a\", port: 1}}", ".fqdn.hostname", "not a host name"),
        ("{unix: {path: run/a.sock}}", ".unix.path", "not a socket path"),
        ("{unix: {path: /a}, weight: 1000001}", ".weight", "1000001"),
        ("{address: 1.2.3.4, port: 1}", "", "no address"),
        ("1.2.3.4:80", "", "must be a mapping"),
        ("{ip: 1.2.3.4}", ".ip", "must be a mapping"),
    ]

    @Test(arguments: endpointMistakes.indices)
    func endpointMistake(_ index: Int) throws {
        let mistake = Self.endpointMistakes[index]
        let translation = translate(
            """
            apiVersion: martlet.dev/v1alpha1
            kind: Backend
            metadata: {name: b}
            spec:
              endpoints:
              - \(mistake.endpoint)
            """)
        let path = "spec.endpoints[0]" + mistake.path
        let found = try #require(translation.diagnostics.first { $0.place.fieldPath == path }, "\(translation.lines)")
        #expect(mistake.message.isEmpty || found.message.contains(mistake.message))
        #expect(found.place.line == 6)
    }

    @Test func everyMistakeIsReportedNotJustTheFirst() {
        let translation = translate(
            """
            apiVersion: gateway.networking.k8s.io/v1
            kind: HTTPRoute
            metadata: {name: A_b}
            spec:
              parentRefs: [{nam: edge}]
              hostnames: ["*"]
              rules:
              - matches: [{path: {value: x}}, {method: FETCH}]
                timeouts: {request: soon}
            """)
        // A bad name hides nothing of the rest of the document.
        #expect(
            translation.errors.map { String($0.prefix { $0 != ":" }) } == [
                "metadata.name", "spec.parentRefs[0].name", "spec.parentRefs[0].nam", "spec.hostnames[0]",
                "spec.rules[0].matches[0].path.value", "spec.rules[0].matches[1].method",
                "spec.rules[0].timeouts.request",
            ])
    }

    static let kinds: [(text: String, severity: Diagnostic.Severity, message: String, remedy: String)] = [
        (
            "{apiVersion: gateway.networking.k8s.io/v1, kind: HttpRoute, metadata: {name: a}}", .error, "HttpRoute",
            "HTTPRoute"
        ),
        (
            "{apiVersion: gateway.networking.k8s.io/v2, kind: HTTPRoute, metadata: {name: a}}", .error, "v2",
            "gateway.networking.k8s.io/v1"
        ),
        ("{apiVersion: v1, kind: HTTPRoute, metadata: {name: a}}", .error, "not a kind of v1", "gateway.networking"),
        (
            "{apiVersion: gateway.networking.k8s.io/v1, kind: UDPRoute, metadata: {name: a}}", .error, "not supported",
            ""
        ),
        (
            "{apiVersion: gateway.networking.k8s.i/v1, kind: HTTPRoute, metadata: {name: a}}", .error,
            "unknown API group",
            "gateway.networking.k8s.io"
        ),
        ("{apiVersion: v1, kind: Servcie, metadata: {name: a}}", .error, "unknown kind", "Service"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: a}}", .warning, "Pod is not read", ""),
        ("{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}", .warning, "not read", ""),
        ("{kind: HTTPRoute, metadata: {name: a}}", .error, "apiVersion is missing", ""),
        ("{apiVersion: v1, kind: Service}", .error, "metadata is missing", "name"),
    ]

    @Test(arguments: kinds.indices)
    func kind(_ index: Int) throws {
        let expected = Self.kinds[index]
        let translation = translate(expected.text)
        let found = try #require(
            translation.diagnostics.first { $0.message.contains(expected.message) }, "\(translation.lines)")
        #expect(found.severity == expected.severity)
        #expect(expected.remedy.isEmpty || found.remedy.contains(expected.remedy), "\(found.remedy)")
    }

    @Test func duplicateObjectNamesTheFirst() {
        let translation = translate(Fixture.gateway + "---\n" + Fixture.gateway)
        #expect(translation.errors.contains { $0.contains("Gateway shop/edge is already defined at a.yaml:1") })
    }
}
