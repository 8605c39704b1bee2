import MeshGatewayAPI
import MeshModel
import Testing

/// What the proxies of a mesh are made from.
@Suite struct MeshResourceTests {
    private static let subset = """
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: BackendSubset
        metadata: {name: orders-v2, namespace: shop}
        spec: {backendRef: {kind: Service, name: orders, port: 80}, labels: {version: v2}}

        """

    private static let versions = """
        rules:
        - backendRefs:
          - {group: martlet.dev, kind: BackendSubset, name: orders-v2, weight: 1}
          - {name: orders, port: 80, weight: 9}
          - {group: martlet.dev, kind: Backend, name: old}
        """

    private static let old = """
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: Backend
        metadata: {name: old, namespace: shop}
        spec: {endpoints: [{fqdn: {hostname: old.internal, port: 80}}]}

        """

    /// One of everything.
    static let everything =
        Fixture.gateway + MeshFixture.mesh("{mtls: {mode: PERMISSIVE}}") + MeshFixture.services
        + MeshFixture.workload("{labels: {version: v2}, backends: [{service: web}]}") + subset + old
        + MeshFixture.route("HTTPRoute", versions)
        + Fixture.route("rules: [{backendRefs: [{name: orders, port: 80}]}]", name: "edge")
        + MeshFixture.policy("{targetRefs: [{kind: Gateway, name: edge}], rules: [{from: [{cidrs: [10.0.0.0/8]}]}]}")

    @Test func everyPortOfEveryServiceIsABackendUsedOrNot() throws {
        let translation = translateMesh(MeshFixture.services + MeshFixture.orders)
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let names = [
            "data/Service/db:5432", "shop/Service/orders:80", "shop/Service/orders:9000", "shop/Service/web:80",
        ]
        #expect(translation.resources.filter { $0.type == .endpoints }.map(\.name) == names)
        #expect(
            translation.resources.filter { $0.type == .backend }.map(\.name)
                == ["data/Service/db:5432#tcp"] + names.dropFirst())
        let orders = try #require(translation.backend("shop/Service/orders:9000"))
        #expect(orders.backend.mesh == MeshPeer(identities: ["spiffe://mesh.local/ns/shop/svc/orders"]))
        #expect(orders.backend.service == "shop/orders")
        #expect(orders.backend.protocol == .http2)
        #expect(orders.endpoints == "shop/Service/orders:9000")
        #expect(orders.selector.isEmpty)
        #expect(translation.endpoints("shop/Service/orders:9000") == [])
        let web = try #require(translation.backend("shop/Service/web:80"))
        #expect(web.backend.mesh == nil)
        #expect(web.backend.service == "shop/web")
        #expect(web.backend.endpoints.isEmpty)
        #expect(
            translation.endpoints("shop/Service/web:80")
                == [Endpoint(.ip("10.0.0.1", port: 3000), zone: "a"), Endpoint(.ip("10.0.0.2", port: 3000))])
        let set = MeshResourceID(type: .endpoints, name: "shop/Service/web:80")
        #expect(translation.objects[set] == ["Service shop/web", "EndpointSlice shop/web-1"])
    }

    @Test func aServiceIsCalledByItsNamesAndAddresses() throws {
        let translation = translateMesh(MeshFixture.services)
        let orders = try #require(translation.service("shop/orders"))
        #expect(orders.hosts == ["orders.shop", "orders.shop.svc", "orders.shop.svc.cluster.local"])
        #expect(orders.addresses == ["10.96.0.1", "fd00::1"])
        #expect(
            orders.ports == [
                MeshServicePort(port: 80, protocol: .http1, backend: "shop/Service/orders:80"),
                MeshServicePort(port: 9000, protocol: .http2, backend: "shop/Service/orders:9000"),
            ])
        let db = try #require(translation.service("data/db"))
        #expect(db.addresses.isEmpty)
        #expect(db.ports == [MeshServicePort(port: 5432, protocol: .tcp, backend: "data/Service/db:5432#tcp")])
    }

    @Test func aClusterIPThatIsNoneIsAnError() throws {
        let service =
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: 10.0.0, ports: [{port: 1}]}\n"
        try translateMesh(service).expect("spec.clusterIP", "is not an IP address", "or None")
    }

    @Test func aWorkloadSaysWhatItsServiceSpeaksIfNobodyElseDoes() {
        let translation = translateMesh(
            MeshFixture.services + MeshFixture.workload("{ports: [{port: 80, protocol: tcp}]}", name: "web"))
        #expect(translation.service("shop/web")?.ports.map(\.protocol) == [.tcp])
        #expect(translation.workload("shop/web")?.ports.map(\.protocol) == [.tcp])
    }

    @Test func aSubsetSelectsFromTheSetOfTheWhole() throws {
        let translation = translateMesh(
            MeshFixture.services + MeshFixture.workload("{labels: {version: v2}}") + Self.subset + Self.old
                + MeshFixture.route("HTTPRoute", Self.versions))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let part = try #require(translation.backend("shop/BackendSubset/orders-v2"))
        #expect(part.endpoints == "shop/Service/orders:80")
        #expect(part.selector == ["version": "v2"])
        #expect(part.backend.mesh?.identities == ["spiffe://mesh.local/ns/shop/svc/orders"])
        #expect(part.backend.service == "shop/orders")
        let id = MeshResourceID(type: .backend, name: "shop/BackendSubset/orders-v2")
        #expect(translation.objects[id] == ["BackendSubset shop/orders-v2", "Service shop/orders"])
        let old = try #require(translation.backend("shop/Backend/old"))
        #expect(old.endpoints == "shop/Backend/old")
        #expect(old.backend.service.isEmpty)
        #expect(translation.endpoints("shop/Backend/old") == [Endpoint(.name("old.internal", port: 80))])
    }

    @Test func aSubsetThatNoWorkloadHasIsWarnedOf() throws {
        let translation = translateMesh(
            MeshFixture.services + MeshFixture.workload("{labels: {version: v1}}") + Self.subset + Self.old
                + MeshFixture.route("HTTPRoute", Self.versions))
        try translation.expect("spec.labels.version", "the label version: v2", "version is v1 there", .warning)
    }

    @Test func aGatewayHasItsOwnSocketsAndNoRoutes() throws {
        let second = Fixture.gateway.replacing("name: edge", with: "name: other")
        let yaml =
            Fixture.gateway + "---\n" + second + MeshFixture.services
            + Fixture.route("rules: [{backendRefs: [{name: web, port: 80}]}]", parent: "name: edge}, {name: other")
        let translation = translateMesh(yaml)
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        #expect(translation.model == nil)
        for name in ["edge", "other"] {
            let gateway = try #require(translation.gateway("shop/\(name)"))
            #expect(gateway.listeners.map(\.address) == [.any(port: 8080)])
            #expect(gateway.listeners[0].sections.map(\.name) == ["shop/\(name)/http"])
            #expect(gateway.listeners[0].sections[0].routes.isEmpty)
        }
        #expect(translation.attached.map(\.parent) == [.section("shop/edge/http"), .section("shop/other/http")])
        // In one proxy they are in each other's way.
        #expect(translate(yaml).condition("Gateway shop/other", "Conflicted", part: "listener")?.status == true)
    }

    @Test func withSeveralAddressesARouteHasASectionAtEach() {
        let gateway = Fixture.gateway.replacing(
            "gatewayClassName: martlet", with: "addresses: [{value: 127.0.0.1}, {value: 127.0.0.2}]")
        let translation = translateMesh(
            gateway + MeshFixture.services + Fixture.route("rules: [{backendRefs: [{name: web, port: 80}]}]"))
        let sections = translation.gateway("shop/edge")?.listeners.flatMap { $0.sections.map(\.name) } ?? []
        #expect(sections == ["shop/edge/http@127.0.0.1:8080", "shop/edge/http@127.0.0.2:8080"])
        #expect(translation.attached.map(\.parent) == sections.map { .section($0) })
    }

    @Test func everyResourceReadsBackFromItsWireForm() throws {
        let translation = translateMesh(Self.everything)
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        #expect(Set(translation.resources.map(\.type)) == Set(MeshResourceType.allCases).subtracting([.trustBundle]))
        for resource in translation.resources {
            #expect(try MeshResource.decode(resource.type, resource.encode()) == resource)
            #expect(translation.objects[resource.id]?.isEmpty == false)
        }
        #expect(translation.objects.count == translation.resources.count)
        let ids = translation.resources.map(\.id)
        #expect(ids.map(\.type) == ids.map(\.type).sorted())
    }

    @Test func theOrderOfFilesDoesNotChangeTheResources() {
        let parts = Self.everything.split(separator: "---\n").map { SourceFile(path: "x", text: String($0)) }
        func resources(_ files: [SourceFile]) -> [String] {
            Translator.translate(files, for: .controlPlane(trustDomain: nil)).resources.map { "\($0.type) \($0.name)" }
        }
        #expect(resources(parts) == resources(parts.reversed()))
        #expect(!resources(parts).isEmpty)
    }

    @Test func oneProxySeesOfAMeshWhatItsGatewaysSay() throws {
        let translation = translate(Self.everything)
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let model = try #require(translation.model)
        #expect(model.backends.map(\.name) == ["shop/Service/orders:80"])
        #expect(model.backends[0].mesh == nil)
        #expect(translation.resources.map(\.id) == translateMesh(Self.everything).resources.map(\.id))
    }

    @Test func aMeshNeedsNoGateway() {
        let control = translateMesh(MeshFixture.services)
        #expect(control.diagnostics.isEmpty, "\(control.lines)")
        #expect(!control.resources.isEmpty)
        let proxy = translate(MeshFixture.services + MeshFixture.orders)
        #expect(proxy.diagnostics.map(\.severity) == [.warning], "\(proxy.lines)")
        #expect(proxy.diagnostics.first?.message.contains("no Gateway") == true)
        #expect(translate(MeshFixture.services).hasErrors)
        #expect(Translator.translate([], for: .controlPlane(trustDomain: nil)).resources.map(\.type) == [.mesh])
    }

    @Test func afterAnErrorThereAreNoResources() {
        var translation = translateMesh(MeshFixture.services + MeshFixture.workload("{weight: -1}"))
        #expect(translation.resources.isEmpty && translation.objects.isEmpty)
        translation = translateMesh(MeshFixture.services)
        translation.add([
            Diagnostic(severity: .error, place: Place(file: "a", line: 1, column: 1), message: "no")
        ])
        #expect(translation.resources.isEmpty && translation.objects.isEmpty)
    }

    /// creationTimestamp, and the age.
    static let ages: [(created: String, age: Int64?)] = [
        ("1970-01-01T00:00:01Z", 1000), ("2026-03-01T12:30:45Z", 1_772_368_245_000),
        ("2024-02-29T00:00:00.25Z", 1_709_164_800_250), ("yesterday", nil), ("2024-02-29T00:00:00+01:00", nil),
    ]

    @Test(arguments: ages.indices)
    func aRoutesAgeIsItsCreation(_ index: Int) throws {
        let given = Self.ages[index]
        let translation = translateMesh(
            MeshFixture.services
                + MeshFixture.route(
                    "HTTPRoute", "rules: [{backendRefs: [{name: web, port: 80}]}]", created: given.created))
        let age = try #require(translation.attached.first).age
        if let expected = given.age { #expect(age == expected) } else { #expect(age > 1 << 53) }
    }

    // MARK: Stored objects

    @Test func aStoredObjectIsNamedInErrorsAndInOrigins() throws {
        let good = SourceFile(
            object: "Service shop/orders",
            text: #"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "orders", "namespace": "shop"}, "#
                + #""spec": {"ports": [{"port": 80}]}}"#)
        let bad = SourceFile(object: "Workload shop/orders", text: MeshFixture.workload("{weight: -1}"))
        let translation = Translator.translate([good, bad], for: .controlPlane(trustDomain: nil))
        let found = try #require(translation.diagnostics.first)
        #expect(found.place.file == "Workload shop/orders")
        let text = DiagnosticText.block(found, source: translation.sources[found.place.file])
        #expect(text.contains("--> Workload shop/orders:6:12: spec.weight"), "\(text)")
        let alone = Translator.translate([good], for: .controlPlane(trustDomain: nil))
        #expect(alone.service("shop/orders")?.origin == Origin(file: "Service shop/orders", line: 1))
    }

    @Test func aStoredObjectCannotNameFiles() throws {
        let secret = """
            apiVersion: v1
            kind: Secret
            metadata: {name: cert, namespace: shop}
            type: kubernetes.io/tls
            stringData: {tls.crt: "file:/etc/hostname", tls.key: "file:x"}
            """
        let gateway = Fixture.gateway.replacing(
            "protocol: HTTP, port: 8080", with: "protocol: HTTPS, port: 8443, tls: {certificateRefs: [{name: cert}]}")
        let translation = Translator.translate(
            [SourceFile(object: "Secret shop/cert", text: secret), SourceFile(object: "Gateway", text: gateway)],
            for: .controlPlane(trustDomain: nil))
        let found = translation.diagnostics.filter { $0.message.contains("the object is not in one") }
        #expect(found.map(\.place.object) == ["Secret shop/cert", "Secret shop/cert"])
        #expect(found.first?.remedy.contains("the PEM itself") == true)
        #expect(translation.referencedFiles.isEmpty)
    }
}

extension String {
    /// The text with the first `old` replaced.
    fileprivate func replacing(_ old: String, with new: String) -> String {
        guard let start = indices.first(where: { self[$0...].hasPrefix(old) }) else { return self }
        return String(self[..<start]) + new + String(self[index(start, offsetBy: old.count)...])
    }
}
