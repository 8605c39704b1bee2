import MeshGatewayAPI
import MeshModel
import Testing

/// A BackendSubset is a backend of its own with some of the endpoints of another.
@Suite struct SubsetTests {
    private static let versions = """
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: Backend
        metadata: {name: cart, namespace: shop}
        spec:
          appProtocol: h2c
          endpoints:
          - {ip: {address: 10.0.0.1, port: 1}, labels: {version: v1, tier: a}}
          - {ip: {address: 10.0.0.2, port: 1}, labels: {version: v2, tier: a}}
          - {ip: {address: 10.0.0.3, port: 1}, labels: {version: v2, tier: b}}

        """

    private func subset(_ labels: String, _ reference: String = "group: martlet.dev, kind: Backend, name: cart")
        -> String
    {
        """
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: BackendSubset
        metadata: {name: cart-v2, namespace: shop}
        spec: {backendRef: {\(reference)}, labels: {\(labels)}}

        """
    }

    private static let rules = """
        rules:
        - backendRefs:
          - {group: martlet.dev, kind: Backend, name: cart, weight: 9}
          - {group: martlet.dev, kind: BackendSubset, name: cart-v2}
        """

    @Test func endpointsAreThoseWithAllLabels() throws {
        let translation = translate(
            Fixture.gateway + Self.versions + subset("version: v2, tier: b") + Fixture.route(Self.rules))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let rule = try #require(translation.routes().first?.rules.first)
        #expect(rule.backends[1].target == .backend("shop/BackendSubset/cart-v2"))
        let backends = try #require(translation.model?.backends)
        #expect(backends.map(\.name) == ["shop/Backend/cart", "shop/BackendSubset/cart-v2"])
        #expect(backends[1].endpoints.map(\.address.description) == ["10.0.0.3:1"])
        #expect(backends[1].protocol == .http2)
        #expect(backends[0].endpoints.count == 3)
        #expect(backends[1].origin != backends[0].origin)
    }

    @Test func itHasTheParentsPolicyAndItsOwnBeforeIt() throws {
        let translation = translate(
            Fixture.gateway + Self.versions + subset("version: v2") + Fixture.route(Self.rules)
                + TrafficPolicyTests.policy(
                    "connectionLimits: {maxRequests: 10, maxRetries: 2}\ntimeouts: {request: 5s}", name: "parent")
                + TrafficPolicyTests.policy(
                    "connectionLimits: {maxRequests: 3}\ntimeouts: {request: 0s}", name: "own",
                    target: "kind: BackendSubset, name: cart-v2"))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let backends = try #require(translation.model?.backends)
        #expect(backends.map(\.limits.maxRequests) == [10, 3])
        #expect(backends.map(\.limits.maxRetries) == [2, 2])
        #expect(backends.map(\.policy.timeouts.request) == [.seconds(5), nil])
        let key = "backend/shop/BackendSubset/cart-v2/connectionLimits."
        #expect(translation.origins[key + "maxRequests"]?.object == "TrafficPolicy shop/own")
        #expect(translation.origins[key + "maxRetries"]?.object == "TrafficPolicy shop/parent")
    }

    @Test func endpointsOfAServiceHaveTheLabelsOfTheirSlice() throws {
        let slice = """
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: web-2, namespace: shop, labels: {kubernetes.io/service-name: web, version: v2}}
            addressType: IPv4
            ports: [{name: "", port: 3000}]
            endpoints: [{addresses: [10.0.0.9]}]

            """
        let translation = translate(
            Fixture.gateway + Fixture.backends + slice + subset("version: v2", "kind: Service, name: web, port: 80")
                + Fixture.route("rules: [{backendRefs: [{group: martlet.dev, kind: BackendSubset, name: cart-v2}]}]"))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        #expect(
            translation.model?.backends.first?.endpoints == [
                Endpoint(.ip("10.0.0.9", port: 3000), labels: ["version": "v2"])
            ])
    }

    /// The labels, the message and the remedy.
    static let unknown: [(labels: String, message: String, remedy: String)] = [
        ("version: v3", "has the label version: v3", "version is v1 or v2 there"),
        ("version: canary", "has the label version: canary", "version is v1 or v2 there"),
        ("verson: v2", "has the label verson: v2", "did you mean \"version\""),
        ("version: v1, tier: b", "has all of these labels", "one endpoint has together"),
    ]

    @Test(arguments: unknown.indices)
    func labelsThatNoEndpointHas(_ index: Int) throws {
        let given = Self.unknown[index]
        let translation = translate(
            Fixture.gateway + Self.versions + subset(given.labels) + Fixture.route(Self.rules))
        let found = try #require(translation.diagnostics.first, "\(translation.lines)")
        #expect(translation.diagnostics.count == 1, "\(translation.lines)")
        #expect(found.severity == .warning)
        #expect(found.message.contains(given.message), "\(found.message)")
        #expect(found.remedy.contains(given.remedy), "\(found.remedy)")
        #expect(found.place.object == "BackendSubset shop/cart-v2")
        #expect(found.place.fieldPath.hasPrefix("spec.labels."))
        #expect(translation.model?.backends[1].endpoints == [])
    }

    /// The subset, the field, message and remedy.
    static let mistakes: [(spec: String, path: String, message: String, remedy: String)] = [
        ("labels: {a: b}", "spec.backendRef", "backendRef is missing", "kind: Backend"),
        ("backendRef: {kind: Backend, name: cart}", "spec.labels", "labels is missing", "version: v2"),
        ("backendRef: {kind: Backend, name: cart}, labels: {}", "spec.labels", "labels is missing", "version: v2"),
        ("backendRef: {kind: Backend, name: cart}, labels: {a: 1}", "spec.labels.a", "must be a string", "\"1\""),
        ("backendRef: {kind: Backend, name: c}, labels: {a: b}, port: 1", "spec.port", "unknown field", "known here"),
    ]

    @Test(arguments: mistakes.indices)
    func mistakeInASubset(_ index: Int) throws {
        let given = Self.mistakes[index]
        let translation = translate(
            Fixture.gateway + Self.versions + """
                ---
                apiVersion: martlet.dev/v1alpha1
                kind: BackendSubset
                metadata: {name: cart-v2, namespace: shop}
                spec: {\(given.spec)}
                """)
        let found = try #require(translation.diagnostics.first, "\(translation.lines)")
        #expect(found.severity == .error)
        #expect(found.place.fieldPath == given.path)
        #expect(found.message.contains(given.message), "\(found.message)")
        #expect(found.remedy.contains(given.remedy), "\(found.remedy)")
    }

    /// The backendRef of a subset that leads nowhere.
    static let references: [(reference: String, message: String, remedy: String)] = [
        ("group: martlet.dev, kind: Backend, name: crat", "Backend shop/crat does not exist", "cart"),
        ("kind: Service, name: cart", "Service shop/cart does not exist", "kind: Backend"),
        ("group: martlet.dev, kind: BackendSubset, name: cart-v2", "cannot be a backend", "kind Service"),
    ]

    @Test(arguments: references.indices)
    func referenceOfASubset(_ index: Int) throws {
        let given = Self.references[index]
        let translation = translate(
            Fixture.gateway + Self.versions + subset("version: v2", given.reference) + Fixture.route(Self.rules))
        let found = try #require(translation.diagnostics.first, "\(translation.lines)")
        #expect(found.message.contains(given.message), "\(found.message)")
        #expect(found.remedy.contains(given.remedy), "\(found.remedy)")
        #expect(translation.condition("HTTPRoute shop/r", "ResolvedRefs")?.status == false)
    }

    @Test func aSubsetThatDoesNotExist() throws {
        let translation = translate(Fixture.gateway + Self.versions + Fixture.route(Self.rules))
        let found = try #require(translation.diagnostics.first)
        #expect(found.message.contains("BackendSubset shop/cart-v2 does not exist"))
        #expect(translation.condition("HTTPRoute shop/r", "ResolvedRefs")?.reason == "BackendNotFound")
    }
}
