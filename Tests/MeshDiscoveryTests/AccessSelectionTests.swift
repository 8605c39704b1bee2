import MeshDiscovery
import MeshModel
import Testing

@Suite struct AccessSelectionTests {
    private static func policy(
        _ name: String, _ targets: [AccessTarget] = [], action: AccessAction = .allow, rules: [AccessRule] = []
    ) -> MeshResource {
        .accessPolicy(AccessPolicy(name: name, targets: targets, action: action, rules: rules))
    }

    private static func set(_ policies: [MeshResource], _ access: AccessAction = .allow) -> ResourceSet {
        Fixture.set { set in
            set.insert(.mesh(MeshSettings(namespace: "mesh", defaultAccess: access)))
            for policy in policies { set.insert(policy) }
        }
    }

    private static func inbound(_ set: ResourceSet, _ port: UInt16 = 8080) throws -> AccessRules? {
        try Assembly.model(from: set, role: .workload("shop/web")).section("shop/web/inbound-\(port)")?.access
    }

    private static func gateway(_ set: ResourceSet) throws -> [AccessRules?] {
        try Assembly.model(from: set, role: .gateway("shop/edge")).listeners[0].sections.map(\.access)
    }

    @Test func policiesAreFoundByTargetNamespaceAndMesh() throws {
        let set = Self.set([
            Self.policy("shop/z-service", [.service("shop/web")]),
            Self.policy("shop/workload", [.workload("shop/web")]),
            Self.policy("shop/namespace"), Self.policy("mesh/all"), Self.policy("bank/namespace"),
            Self.policy("shop/cart", [.service("shop/cart")]), Self.policy("shop/edge", [.gateway("shop/edge")]),
            Self.policy("mesh/other", [.service("mesh/web")]),
        ])
        let rules = try #require(try Self.inbound(set))
        #expect(rules.policies.map(\.name) == ["mesh/all", "shop/namespace", "shop/workload", "shop/z-service"])
        #expect(rules.defaultAction == .allow)
        #expect(try Self.gateway(set).map { $0?.policies.map(\.name) } == [["shop/edge"], ["shop/edge"]])
    }

    @Test func theDefaultOfTheMeshIsForServicesOnly() throws {
        let set = Self.set([], .deny)
        #expect(try Self.inbound(set) == AccessRules(defaultAction: .deny))
        #expect(try Self.gateway(set) == [nil, nil])
        #expect(try Self.inbound(Self.set([])) == nil)
        let outbound = try Assembly.model(from: set, role: .workload("shop/web")).section("shop/web/outbound")
        #expect(outbound?.access == nil)
    }

    @Test func operationsOnOtherPortsGo() throws {
        let rules = [
            AccessRule(to: [AccessOperation(ports: [8080, 1]), AccessOperation(paths: ["/x"], ports: [9000])]),
            AccessRule(to: [AccessOperation(ports: [1])]), AccessRule(to: [AccessOperation(methods: ["GET"])]),
        ]
        let set = Self.set([Self.policy("shop/ports", rules: rules)])
        #expect(
            try Self.inbound(set)?.policies[0].rules == [
                AccessRule(to: [AccessOperation()]), AccessRule(to: [AccessOperation(methods: ["GET"])]),
            ])
        #expect(
            try Self.inbound(set, 9000)?.policies[0].rules == [
                AccessRule(to: [AccessOperation(paths: ["/x"])]), AccessRule(to: [AccessOperation(methods: ["GET"])]),
            ])
    }

    /// An allowing policy shuts out whom it does not describe, also on ports that it does not speak of.
    @Test func aPolicyWithoutARuleLeftStays() throws {
        let set = Self.set([Self.policy("shop/one", rules: [AccessRule(to: [AccessOperation(ports: [1])])])])
        #expect(
            try Self.inbound(set)?.policies == [AccessPolicy(name: "shop/one", action: .allow, rules: [])])
    }
}
