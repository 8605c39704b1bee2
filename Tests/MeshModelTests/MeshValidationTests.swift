import Testing

@testable import MeshModel

/// What a model of a mesh must keep, and what is said if it does not.
@Suite struct MeshValidationTests {
    private static let peer = "spiffe://mesh.local/ns/shop/svc/cart"

    private static func model(
        _ peer: MeshPeer = MeshPeer(identities: [peer]), _ access: AccessRules? = nil, mesh: MTLSMode? = .strict,
        destinations: OriginalDestination? = nil
    ) -> Model {
        let sections = [
            Section(name: "in", protocol: .https, mesh: mesh, access: access)
        ]
        let redirected = [Section(name: "http", protocol: .http), Section(name: "tcp", protocol: .tcp)]
        return Model(
            listeners: [
                Listener(address: .any(port: 1), role: .sidecar, sections: sections),
                Listener(
                    address: .any(port: 2), role: .sidecar, originalDestination: destinations ?? OriginalDestination(),
                    sections: redirected),
            ], backends: [Backend(name: "b", mesh: peer)])
    }

    private static func policy(_ source: AccessSource = AccessSource(), _ to: AccessOperation = AccessOperation())
        -> AccessRules
    {
        AccessRules(policies: [
            AccessPolicy(name: "shop/p", action: .allow, rules: [AccessRule(from: [source], to: [to])])
        ])
    }

    @Test func whatIsRightIsAccepted() {
        let destinations = OriginalDestination(entries: [
            .init(address: "10.0.0.1", port: 80, section: "http"), .init(address: "fd00::1", port: 80, section: "tcp"),
            .init(port: 81, section: "tcp"),
        ])
        let rules = AccessRules(policies: [MeshFixture.policy])
        #expect(Self.model(access: rules, destinations: destinations).problems() == [])
    }

    private static func model(access: AccessRules, destinations: OriginalDestination? = nil) -> Model {
        model(MeshPeer(identities: [peer]), access, destinations: destinations)
    }

    @Test func peersHaveIdentitiesOfTheMesh() {
        #expect(Self.model(MeshPeer(identities: [])).problems().contains { $0.contains("no identity is accepted") })
        for text in [
            "", "cart", "spiffe://mesh.local/cart", "spiffe://Mesh/ns/a/svc/b", "spiffe://mesh.local/ns/a/svc/*",
        ] {
            let problems = Self.model(MeshPeer(identities: [text])).problems()
            #expect(problems.count == 1 && problems[0].contains("backend 'b': mesh: '\(text)'"))
        }
    }

    @Test(arguments: [
        "10.0.0.0/33", "10.0.0/8", "10.0.0.256", "fd00::/129", ":::", "1:2:3", "10.0.0.1/", "::1::2", "010.0.0.1",
    ])
    func rangesMustBeReadable(text: String) {
        let problems = Self.model(access: Self.policy(AccessSource(cidrs: [text]))).problems()
        #expect(problems.count == 1)
        #expect(problems.first?.contains("section 'in': access policy 'shop/p': '\(text)' is no address range") == true)
    }

    @Test(arguments: [
        "10.0.0.0/8", "0.0.0.0/0", "10.0.0.1", "fd00::/8", "::/0", "::1", "1:2:3:4:5:6:7:8", "1::", "::ffff:10.0.0.1",
        "1:2:3:4:5:6:7::", "FD00::A/128",
    ])
    func rangesOfEveryFormAreRead(text: String) {
        #expect(Self.model(access: Self.policy(AccessSource(cidrs: [text]))).problems() == [])
    }

    @Test(arguments: ["", "shop/cart", "spiffe://", "spiffe://mesh", "spiffe://mesh*", "spiffe://m/", "spiffe://m/*/x"])
    func identitiesMustBeURIs(text: String) {
        let problems = Self.model(access: Self.policy(AccessSource(identities: [text]))).problems()
        #expect(problems.count == 1 && problems[0].contains("is no identity"))
    }

    @Test(arguments: ["*", "spiffe://m/*", "spiffe://m/ns/a/*", "spiffe://m/ns/a/svc/b", "spiffe://m/other/form"])
    func identitiesMayBeOpen(text: String) {
        #expect(Self.model(access: Self.policy(AccessSource(identities: [text]))).problems() == [])
    }

    @Test func operationsMustBeReadable() {
        let wrong: [(AccessOperation, String)] = [
            (AccessOperation(hosts: [""]), "no host"), (AccessOperation(hosts: ["a b"]), "no host"),
            (AccessOperation(methods: ["G T"]), "no method"), (AccessOperation(paths: ["a"]), "no path"),
            (AccessOperation(paths: ["/*/a"]), "no path"), (AccessOperation(ports: [0]), "port is 0"),
        ]
        for (operation, text) in wrong {
            let problems = Self.model(access: Self.policy(AccessSource(), operation)).problems()
            #expect(problems.count == 1 && problems[0].contains(text))
        }
        let namespaces = Self.policy(AccessSource(namespaces: ["a/b"]))
        #expect(Self.model(access: namespaces).problems().count == 1)
    }

    @Test func destinationsLeadToSectionsOfTheirListener() {
        let wrong: [(OriginalDestination.Entry, String)] = [
            (.init(port: 80, section: "in"), "no section 'in' for port 80"),
            (.init(port: 0, section: "http"), "port 0"),
            (
                .init(address: "cart", port: 80, section: "http"),
                "'cart', a destination of section 'http', is no address"
            ),
        ]
        for (entry, text) in wrong {
            let problems = Self.model(destinations: OriginalDestination(entries: [entry])).problems()
            #expect(problems.count == 1 && problems[0].contains(text))
        }
    }

    @Test func aSectionForTheMeshHasMutualTLS() {
        #expect(
            Self.model(mesh: .disabled).problems() == [
                "section 'in': a section without mutual TLS is not one for the mesh"
            ])
        #expect(Self.model(mesh: .permissive).problems() == [])
    }
}
