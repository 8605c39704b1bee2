import MeshGatewayAPI
import MeshModel
import Testing

/// Mesh, Workload and AccessPolicy, each by itself.
@Suite struct MeshDocumentTests {
    // MARK: Mesh

    @Test func aMeshSaysWhatHoldsForAll() {
        let translation = translateMesh(
            MeshFixture.mesh(
                """
                trustDomain: shop.example
                mtls: {mode: PERMISSIVE}
                namespaces: [{name: legacy, mtls: {mode: DISABLED}}]
                access: {default: DENY}
                unknownDestinations: DENY
                certificates: {lifetime: 1h}
                """))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        #expect(
            translation.settings
                == MeshSettings(
                    trustDomain: "shop.example", namespace: "martlet", defaultAccess: .deny,
                    allowsUnknownDestinations: false, certificateLifetime: .seconds(3600)))
        #expect(translation.condition("Mesh martlet/default", "Accepted")?.status == true)
    }

    @Test func withoutAMeshTheDefaultsHoldAndTheAuthoritysTrustDomain() {
        #expect(translateMesh(MeshFixture.services).settings == MeshSettings())
        #expect(
            translateMesh(MeshFixture.services, trustDomain: "a.example").settings
                == MeshSettings(trustDomain: "a.example"))
        #expect(translateMesh(MeshFixture.mesh("{}"), trustDomain: "a.example").settings?.trustDomain == "a.example")
    }

    @Test func aMeshCannotChangeTheTrustDomainOfTheAuthority() throws {
        let translation = translateMesh(MeshFixture.mesh("{trustDomain: b.example}"), trustDomain: "a.example")
        try translation.expect("spec.trustDomain", "b.example", "trustDomain: a.example")
        #expect(translation.resources.isEmpty)
        #expect(!translateMesh(MeshFixture.mesh("{trustDomain: b.example}"), trustDomain: "b.example").hasErrors)
    }

    /// The spec, the field, message and remedy.
    static let meshMistakes: [(spec: String, path: String, message: String, remedy: String)] = [
        ("{trustDomain: Shop.Example}", "spec.trustDomain", "is not a trust domain", "\"shop.example\""),
        ("{trustDomain: \"spiffe://a\"}", "spec.trustDomain", "is not a trust domain", "without spiffe://"),
        ("{trustDomain: a b}", "spec.trustDomain", "is not a trust domain", "lower case letters"),
        ("{mtls: {mode: strict}}", "spec.mtls.mode", "mode is \"strict\"", "did you mean \"STRICT\""),
        ("{mtls: STRICT}", "spec.mtls", "must be a mapping", "mtls: {mode: STRICT}"),
        ("{mtls: {}}", "spec.mtls.mode", "mode is missing", "PERMISSIVE"),
        ("{namespaces: [{name: a}]}", "spec.namespaces[0].mtls", "mtls is missing", "mode: STRICT"),
        (
            "{namespaces: [{name: a, mtls: {mode: STRICT}}, {name: a, mtls: {mode: STRICT}}]}",
            "spec.namespaces[1].name", "given twice", "remove one"
        ),
        ("{access: {default: AUDIT}}", "spec.access.default", "default is \"AUDIT\"", "ALLOW, DENY"),
        ("{access: DENY}", "spec.access", "must be a mapping", "access: {default: DENY}"),
        ("{unknownDestinations: BLOCK}", "spec.unknownDestinations", "is \"BLOCK\"", "one of ALLOW, DENY"),
        ("{certificates: {lifetime: 1s}}", "spec.certificates.lifetime", "shorter than 10s", "24h"),
        ("{certificates: {lifetime: 9000h}}", "spec.certificates.lifetime", "longer than a year", "24h"),
        ("{trustdomain: a}", "spec.trustdomain", "unknown field", "did you mean \"trustDomain\""),
    ]

    @Test(arguments: meshMistakes.indices)
    func mistakeInAMesh(_ index: Int) throws {
        let given = Self.meshMistakes[index]
        let translation = translateMesh(MeshFixture.mesh(given.spec))
        try translation.expect(given.path, given.message, given.remedy)
        #expect(translation.diagnostics.first?.place.object == "Mesh martlet/default")
    }

    @Test func thereIsOneMesh() throws {
        let translation = translateMesh(
            MeshFixture.mesh("{}") + MeshFixture.object("Mesh", "{}", name: "other", namespace: "shop"))
        try translation.expect("", "there are two Meshes; the first is at a.yaml:2", "merge them")
        #expect(translation.condition("Mesh shop/other", "Accepted")?.reason == "Conflicted")
    }

    // MARK: Workload

    @Test func aWorkloadHasAPortForEachOfItsService() throws {
        let translation = translateMesh(MeshFixture.services + MeshFixture.orders)
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let workload = try #require(translation.workload("shop/orders"))
        #expect(workload.service == "shop/orders")
        #expect(
            workload.ports == [
                WorkloadPort(port: 80, protocol: .http1, application: .ip("127.0.0.1", port: 8080)),
                WorkloadPort(port: 9000, protocol: .http2, application: .ip("127.0.0.1", port: 9000)),
            ])
        #expect(workload.outbound == .ip("127.0.0.1", port: 15001))
        #expect(workload.transparent == nil)
        #expect(workload.mode == .strict)
        #expect(workload.weight == 1)
        #expect(translation.condition("Workload shop/orders", "ResolvedRefs")?.status == true)
    }

    @Test func aWorkloadSaysEverythingItself() throws {
        let translation = translateMesh(
            MeshFixture.services
                + MeshFixture.workload(
                    """
                    service: orders
                    labels: {version: v2}
                    weight: 3
                    mtls: {mode: PERMISSIVE}
                    ports:
                    - {port: 80, appPort: 3000, appAddress: "::1", inboundPort: 15080, protocol: h2c,
                       readiness: {http: {path: /ready}, interval: 2s, timeout: 500ms, port: 3001}}
                    - {port: grpc, readiness: {grpc: {service: shop.v1.Orders}}}
                    outbound: {address: 127.0.0.2, port: 15101}
                    transparent: {}
                    backends:
                    - {service: web}
                    - {service: db, namespace: data, port: 5433}
                    - {service: orders, servicePort: 80, port: 7000}
                    """, name: "orders-v2"))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let workload = try #require(translation.workload("shop/orders-v2"))
        #expect(workload.service == "shop/orders")
        #expect(workload.labels == ["version": "v2"])
        #expect(workload.weight == 3)
        #expect(workload.mode == .permissive)
        #expect(
            workload.ports == [
                WorkloadPort(
                    port: 80, protocol: .http2, application: .ip("::1", port: 3000), inboundPort: 15080,
                    readiness: HealthCheck(
                        .http(path: "/ready", host: nil, statuses: [200...299]), interval: .seconds(2),
                        timeout: .milliseconds(500), port: 3001)),
                WorkloadPort(
                    port: 9000, protocol: .http2, application: .ip("127.0.0.1", port: 9000),
                    readiness: HealthCheck(.grpc(service: "shop.v1.Orders"))),
            ])
        #expect(workload.outbound == .ip("127.0.0.2", port: 15101))
        #expect(workload.transparent == .ip("127.0.0.1", port: 15006))
        #expect(
            workload.backends == [
                WorkloadBackend(service: "shop/web"), WorkloadBackend(service: "data/db", localPort: 5433),
                WorkloadBackend(service: "shop/orders", servicePort: 80, localPort: 7000),
            ])
        #expect(workload.origin?.file == "a.yaml")
    }

    @Test func aWorkloadThatOnlyCallsNeedsNoServiceAndNoOutboundPort() throws {
        let translation = translateMesh(
            MeshFixture.services
                + MeshFixture.workload("{backends: [{service: web, port: 7000}], outbound: {port: 0}}", name: "job"))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let workload = try #require(translation.workload("shop/job"))
        #expect(workload.ports.isEmpty)
        #expect(workload.outbound == nil)
        #expect(workload.service == "shop/job")
    }

    /// The mode of the Mesh, of the namespace and of the Workload, and what holds.
    static let modes: [(mesh: String?, namespace: String?, workload: String?, expected: MTLSMode)] = [
        (nil, nil, nil, .strict), ("PERMISSIVE", nil, nil, .permissive),
        ("PERMISSIVE", "DISABLED", nil, .disabled), ("PERMISSIVE", "DISABLED", "STRICT", .strict),
        (nil, "PERMISSIVE", nil, .permissive), (nil, nil, "DISABLED", .disabled),
    ]

    @Test(arguments: modes.indices)
    func theNearestModeHolds(_ index: Int) {
        let given = Self.modes[index]
        let mesh =
            "{"
            + [
                given.mesh.map { "mtls: {mode: \($0)}" },
                given.namespace.map { "namespaces: [{name: shop, mtls: {mode: \($0)}}]" },
            ].compactMap { $0 }.joined(separator: ", ") + "}"
        let own = given.workload.map { "{mtls: {mode: \($0)}}" } ?? "{}"
        let translation = translateMesh(
            MeshFixture.services + MeshFixture.mesh(mesh) + MeshFixture.workload(own))
        #expect(translation.workload("shop/orders")?.mode == given.expected)
    }

    /// The spec, the field, message and remedy.
    static let workloadMistakes: [(spec: String, path: String, message: String, remedy: String)] = [
        ("{ports: [{appPort: 1}]}", "spec.ports[0].port", "port is missing", "number or name"),
        ("{ports: [80]}", "spec.ports[0]", "must be a mapping", "- {port: 80}"),
        ("{ports: [{port: 80, containerPort: 1}]}", "spec.ports[0].containerPort", "unknown field", "appPort"),
        ("{ports: [{port: 80, protocol: HTTP}]}", "spec.ports[0].protocol", "is \"HTTP\"", "did you mean \"http\""),
        ("{ports: [{port: 80, protocol: tcp}, {port: 9000, protocol: tcp}]}", "spec.ports[1].protocol", "grpc", "same"),
        ("{ports: [{port: 80}, {port: http}]}", "spec.ports[1].port", "given twice", "remove one"),
        ("{ports: [{port: 80, appAddress: localhost}]}", "spec.ports[0].appAddress", "not an IP address", "127.0.0.1"),
        ("{ports: [{port: 80, readiness: {}}]}", "spec.ports[0].readiness", "readiness does not say", "tcp: {}"),
        ("{ports: [{port: 80, inboundPort: 15001}]}", "spec.ports[0]", "is that of outbound, too", "another"),
        ("{ports: [{port: 80, appPort: 3000, inboundPort: 3000}]}", "spec.ports[0]", "of the application", "another"),
        ("{transparent: {port: 15001}}", "spec.transparent", "port 15001 is that of outbound", "another port"),
        ("{outbound: {address: \"*\"}}", "spec.outbound.address", "not an IP address", "127.0.0.1"),
        ("{outbound: 15001}", "spec.outbound", "must be a mapping", "outbound: {port: 15001}"),
        ("{backends: [web]}", "spec.backends[0]", "must be a mapping", "- {service: NAME}"),
        (
            "{backends: [{service: data/db}]}", "spec.backends[0].service", "not the name",
            "namespace: data, service: db"
        ),
        ("{backends: [{service: web}, {service: web}]}", "spec.backends[1]", "given twice", "remove"),
        (
            "{backends: [{service: web, servicePort: 80}]}", "spec.backends[0].servicePort", "says nothing",
            "port: LOCAL"
        ),
        (
            "{backends: [{service: orders, port: 7000}]}", "spec.backends[0].port", "has the ports 80, 9000",
            "servicePort"
        ),
        ("{backends: [{service: web, port: 15001}]}", "spec.backends[0].port", "that of outbound", "of its own"),
        ("{mtls: {mode: OFF}}", "spec.mtls.mode", "must be a string", "quotes"),
        ("{weight: -1}", "spec.weight", "weight is -1", "0 to 1000000"),
        ("{replicas: 3}", "spec.replicas", "unknown field", "known here"),
    ]

    @Test(arguments: workloadMistakes.indices)
    func mistakeInAWorkload(_ index: Int) throws {
        let given = Self.workloadMistakes[index]
        let translation = translateMesh(MeshFixture.services + MeshFixture.workload(given.spec))
        try translation.expect(given.path, given.message, given.remedy)
        #expect(translation.diagnostics.first { $0.severity == .error }?.place.object == "Workload shop/orders")
    }

    /// The spec, the field, message and remedy of what is missing elsewhere.
    static let unresolved: [(spec: String, path: String, message: String, remedy: String)] = [
        ("{service: ordres}", "spec.service", "Service shop/ordres does not exist", "did you mean \"orders\""),
        ("{ports: [{port: 81}]}", "spec.ports[0].port", "has no port 81", "80 (http), 9000 (grpc)"),
        ("{ports: [{port: dns}]}", "spec.ports[0].port", "has no port dns", "one of"),
        ("{backends: [{service: wbe}]}", "spec.backends[0]", "Service shop/wbe does not exist", "did you mean \"web\""),
        ("{backends: [{service: db}]}", "spec.backends[0]", "Service shop/db does not exist", "namespace: data"),
        (
            "{backends: [{service: web, servicePort: 81, port: 1}]}", "spec.backends[0].servicePort", "no port 81",
            "one of 80"
        ),
    ]

    @Test(arguments: unresolved.indices)
    func whatIsMissingElsewhereIsAWarning(_ index: Int) throws {
        let given = Self.unresolved[index]
        let translation = translateMesh(MeshFixture.services + MeshFixture.workload(given.spec))
        try translation.expect(given.path, given.message, given.remedy, .warning)
        #expect(!translation.hasErrors)
        #expect(translation.workload("shop/orders")?.backends == [])
        let condition = try #require(translation.condition("Workload shop/orders", "ResolvedRefs"))
        #expect(!condition.status)
        #expect(condition.message.contains(given.message.split(separator: " ").last ?? ""))
    }

    @Test func theNameOfATargetPortIsNoPort() throws {
        let service = """
            apiVersion: v1
            kind: Service
            metadata: {name: orders, namespace: shop}
            spec: {ports: [{port: 80, targetPort: web}]}

            """
        try translateMesh(service + MeshFixture.orders).expect("", "is the name web", "appPort: NUMBER")
        let translation = translateMesh(service + MeshFixture.workload("{ports: [{port: 80, appPort: 3000}]}"))
        #expect(translation.workload("shop/orders")?.ports.first?.application == .ip("127.0.0.1", port: 3000))
    }

    // MARK: AccessPolicy

    @Test func anAccessPolicyDescribesCallersAndOperations() throws {
        let translation = translateMesh(
            MeshFixture.services + MeshFixture.mesh("{trustDomain: shop.example}")
                + MeshFixture.policy(
                    """
                    targetRefs: [{group: "", kind: Service, name: orders}]
                    action: DENY
                    mode: AUDIT
                    rules:
                    - from:
                      - identities: [shop/web, "ops/*", "spiffe://other/x/y", "spiffe://other/*", "*"]
                        namespaces: [shop]
                      - cidrs: [10.0.0.0/8, 10.1.2.3, "fd00::/8", 0.0.0.0/0]
                      to:
                      - hosts: [orders.shop, "*.example"]
                        methods: [GET, PROPFIND]
                        paths: [/orders, /orders/*, /*]
                        ports: [80]
                    - {}
                    """))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        let policy = try #require(translation.accessPolicy("shop/policy"))
        #expect(policy.targets == [.service("shop/orders")])
        #expect(policy.action == .deny)
        #expect(policy.isAudit)
        #expect(policy.rules.count == 2)
        #expect(policy.rules[1] == AccessRule())
        #expect(
            policy.rules[0].from == [
                AccessSource(
                    identities: [
                        "spiffe://shop.example/ns/shop/svc/web", "spiffe://shop.example/ns/ops/svc/*",
                        "spiffe://other/x/y", "spiffe://other/*", "*",
                    ], namespaces: ["shop"]),
                AccessSource(cidrs: ["10.0.0.0/8", "10.1.2.3/32", "fd00::/8", "0.0.0.0/0"]),
            ])
        #expect(
            policy.rules[0].to == [
                AccessOperation(
                    hosts: ["orders.shop", "*.example"], methods: ["GET", "PROPFIND"],
                    paths: ["/orders", "/orders/*", "/*"], ports: [80])
            ])
    }

    @Test func aPolicyWithoutTargetAllowsAndIsForItsNamespace() throws {
        let translation = translateMesh(MeshFixture.policy("{}"))
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        #expect(translation.accessPolicy("shop/policy")?.action == .allow)
        #expect(translation.accessPolicy("shop/policy")?.targets == [])
        #expect(translation.condition("AccessPolicy shop/policy", "Accepted")?.status == true)
    }

    @Test func aTargetThatDoesNotExistStaysSoThatThePolicyIsNotForAll() throws {
        let translation = translateMesh(
            MeshFixture.services + MeshFixture.orders
                + MeshFixture.policy(
                    """
                    targetRefs: [{kind: Service, name: order}, {kind: Workload, name: orders}, {kind: Gateway, name: g}]
                    rules: [{}]
                    """))
        #expect(!translation.hasErrors)
        try translation.expect("spec.targetRefs[0]", "Service shop/order does not exist", "\"orders\"", .warning)
        #expect(
            translation.accessPolicy("shop/policy")?.targets
                == [.service("shop/order"), .workload("shop/orders"), .gateway("shop/g")])
        let object = "AccessPolicy shop/policy"
        #expect(translation.condition(object, "Accepted", part: "order")?.reason == "TargetNotFound")
        #expect(translation.condition(object, "Accepted", part: "Workload")?.status == true)
        #expect(translation.condition(object, "Accepted", part: "Gateway")?.reason == "TargetNotFound")
    }

    /// The spec, the field, message and remedy.
    static let policyMistakes: [(spec: String, path: String, message: String, remedy: String)] = [
        ("{targetRefs: []}", "spec.targetRefs", "is empty", "remove it"),
        ("{targetRefs: [{kind: HTTPRoute, name: x}]}", "spec.targetRefs[0]", "cannot be the target", "Service"),
        ("{targetRefs: [{kind: Service, group: a, name: x}]}", "spec.targetRefs[0].group", "not a kind", "group: \"\""),
        ("{targetRefs: [{kind: Service, name: x, namespace: y}]}", "spec.targetRefs[0].namespace", "own", "remove"),
        ("{action: BLOCK}", "spec.action", "action is \"BLOCK\"", "ALLOW, DENY"),
        ("{mode: DRYRUN}", "spec.mode", "mode is \"DRYRUN\"", "AUDIT, ENFORCE"),
        (rule("from: [{principals: [a/b]}]"), "spec.rules[0].from[0].principals", "unknown field", "\"identities\""),
        (rule("from: [{identities: []}]"), "spec.rules[0].from[0].identities", "is empty", "remove it if all"),
        (rule("from: [{identities: [orders]}]"), identity, "not an identity", "NAMESPACE/orders"),
        (rule("from: [{identities: [\"*/orders\"]}]"), identity, "not an identity", "at the end only"),
        (rule("from: [{identities: [\"mesh.local/ns/a/sa/b\"]}]"), identity, "not an identity", "a whole URI"),
        (rule("from: [{identities: [\"spiffe://mesh*\"]}]"), identity, "not an identity", "NAMESPACE/SERVICE"),
        (rule("from: [{identities: [\"spiffe://mesh\"]}]"), identity, "not an identity", "NAMESPACE/SERVICE"),
        (rule("from: [{namespaces: [\"*\"]}]"), "spec.rules[0].from[0].namespaces[0]", "not a valid name", "lower"),
        (rule("from: [{cidrs: [10.0.0.1/8]}]"), cidr, "not the beginning of a range", "10.0.0.0/8"),
        (rule("from: [{cidrs: [10.0.0.0/33]}]"), cidr, "not an address range", "0 to 32"),
        (rule("from: [{cidrs: [example.com]}]"), cidr, "not an address range", "10.0.0.0/8"),
        (rule("to: [{hosts: [\"*\"]}]"), "spec.rules[0].to[0].hosts[0]", "not a host name", "leave hosts out"),
        (rule("to: [{hosts: [\"a:80\"]}]"), "spec.rules[0].to[0].hosts[0]", "not a host name", "without a port"),
        (rule("to: [{methods: [get]}]"), "spec.rules[0].to[0].methods[0]", "not a method", "\"GET\""),
        (rule("to: [{methods: [DELTE]}]"), "spec.rules[0].to[0].methods[0]", "not a method", "\"DELETE\""),
        (rule("to: [{methods: [\"*\"]}]"), "spec.rules[0].to[0].methods[0]", "not a method", "leave methods out"),
        (rule("to: [{paths: [orders]}]"), "spec.rules[0].to[0].paths[0]", "does not start with /", "\"/orders\""),
        (rule("to: [{paths: [/a/*/b]}]"), "spec.rules[0].to[0].paths[0]", "not a path", "at the end only"),
        (rule("to: [{paths: [\"*\"]}]"), "spec.rules[0].to[0].paths[0]", "not a path", "leave paths out"),
        (rule("to: [{paths: [\"/a?b\"]}]"), "spec.rules[0].to[0].paths[0]", "contains ?", "query"),
        (rule("to: [{ports: [http]}]"), "spec.rules[0].to[0].ports[0]", "must be a number", "65535"),
        (rule("to: [{ports: []}]"), "spec.rules[0].to[0].ports", "is empty", "remove it"),
    ]

    private static let identity = "spec.rules[0].from[0].identities[0]"
    private static let cidr = "spec.rules[0].from[0].cidrs[0]"

    private static func rule(_ text: String) -> String { "{rules: [{\(text)}]}" }

    @Test(arguments: policyMistakes.indices)
    func mistakeInAnAccessPolicy(_ index: Int) throws {
        let given = Self.policyMistakes[index]
        let translation = translateMesh(MeshFixture.policy(given.spec))
        try translation.expect(given.path, given.message, given.remedy)
        #expect(translation.diagnostics.first?.place.object == "AccessPolicy shop/policy")
    }

    @Test func aDenyingPolicyWithoutARuleIsSaidToDoNothing() throws {
        let translation = translateMesh(MeshFixture.policy("{action: DENY}"))
        try translation.expect("", "denies nothing", "rules: [{}]", .warning)
    }
}
