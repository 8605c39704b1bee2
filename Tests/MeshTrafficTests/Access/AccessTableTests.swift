import MeshCore
import MeshHTTP
import MeshModel
import Testing

@testable import MeshTraffic

@Suite struct AccessTableTests {
    private static let web = "spiffe://mesh.test/ns/shop/svc/web"

    /// IPv4 only, and `::N`.
    private static func address(_ text: String) -> (high: UInt64, low: UInt64)? {
        if text.hasPrefix("::"), let low = UInt64(text.dropFirst(2), radix: 16) { return (0, low) }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        guard parts.count == 4, !parts.contains(nil) else { return nil }
        return (0, 0xFFFF << 32 | parts.reduce(0) { $0 << 8 | UInt64($1!) })
    }

    private func table(_ policies: [AccessPolicy], _ action: AccessAction = .allow) throws(ProxyError) -> AccessTable {
        try AccessTable(AccessRules(policies: policies, defaultAction: action), port: 8080, address: Self.address)
    }

    private func policy(
        _ name: String, _ action: AccessAction, audit: Bool = false, from: [AccessSource] = [],
        to: [AccessOperation] = []
    ) -> AccessPolicy {
        AccessPolicy(name: name, action: action, isAudit: audit, rules: [AccessRule(from: from, to: to)])
    }

    private func judge(
        _ table: AccessTable, _ method: String = "GET", _ path: String = "/", host: String = "cart.shop:8080",
        identity: String = web, namespace: String = "shop", from: String = "10.1.2.3"
    ) throws -> AccessVerdict {
        let head = MessageHead()
        head.methodRange = head.store(Array(method.utf8).span)
        head.pathRange = head.store(Array(path.utf8).span)
        head.authorityRange = head.store(Array(host.utf8).span)
        let range = try #require(table.path(of: head))
        let (identity, namespace) = (Array(identity.utf8), Array(namespace.utf8))
        let address = try #require(Self.address(from))
        return table.judge(
            AccessCaller(identity: identity.span, namespace: namespace.span, address: address), head, path: range)
    }

    @Test func withoutPoliciesTheDefaultHolds() throws {
        #expect(try judge(table([])) == .allowed)
        #expect(try judge(table([], .deny)).denied == 0)
        #expect(try table([], .deny).names == ["default"])
    }

    @Test func denyComesFirstThenAllowThenDenial() throws {
        let table = try table([
            policy("a/allow", .allow, from: [AccessSource(namespaces: ["shop"])]),
            policy("a/deny", .deny, to: [AccessOperation(methods: ["DELETE"])]),
        ])
        #expect(try judge(table) == .allowed)
        #expect(try judge(table, "DELETE").denied == 2)
        #expect(table.names[2] == "a/deny")
        #expect(try judge(table, namespace: "other").denied == 0)
        #expect(try judge(table, identity: "", namespace: "").denied == 0)
    }

    @Test func aPolicyWithoutRulesFitsNobody() throws {
        #expect(try judge(table([AccessPolicy(name: "a", action: .allow)])).denied == 0)
        #expect(try judge(table([AccessPolicy(name: "a", action: .deny)])) == .allowed)
    }

    @Test(arguments: [
        ([web], web, true), ([web], "spiffe://mesh.test/ns/shop/svc/web2", false), ([web], "", false),
        (["spiffe://mesh.test/ns/shop/*"], web, true), (["spiffe://mesh.test/ns/sho*"], web, true),
        (["spiffe://mesh.test/ns/shop2/*"], web, false), (["*"], web, true), (["*"], "", false),
        (["spiffe://a/*", "spiffe://mesh.test/*", "spiffe://mesh.test/ns/x/*"], web, true),
        (["spiffe://a", "spiffe://z", web], web, true), (["SPIFFE://mesh.test/*"], web, false),
    ])
    func identities(patterns: [String], identity: String, fits: Bool) throws {
        let table = try table([policy("a", .allow, from: [AccessSource(identities: patterns)])])
        #expect(try judge(table, identity: identity).denied == (fits ? nil : 0))
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.4", false), ("0.0.0.0/0", "1.2.3.4", true), ("0.0.0.0/0", "::1", false),
        ("::0/0", "1.2.3.4", true), ("::10/124", "::1f", true), ("::10/124", "::20", false),
        ("10.1.2.128/25", "10.1.2.127", false),
    ])
    func addressRanges(range: String, address: String, fits: Bool) throws {
        let table = try table([policy("a", .allow, from: [AccessSource(cidrs: [range])])])
        #expect(table.looksAtAddresses)
        #expect(try judge(table, from: address).denied == (fits ? nil : 0))
    }

    @Test func allPartsOfASourceMustFit() throws {
        let source = AccessSource(identities: ["*"], namespaces: ["shop"], cidrs: ["10.0.0.0/8"])
        let table = try table([policy("a", .allow, from: [source])])
        #expect(try judge(table) == .allowed)
        #expect(try judge(table, from: "192.0.2.1").denied == 0)
        #expect(try judge(table, namespace: "").denied == 0)
    }

    @Test(arguments: [
        (AccessOperation(hosts: ["cart.shop"]), true), (AccessOperation(hosts: ["CART.shop"]), true),
        (AccessOperation(hosts: ["*.shop"]), true), (AccessOperation(hosts: ["shop"]), false),
        (AccessOperation(hosts: ["*"]), true), (AccessOperation(methods: ["GET", "HEAD"]), true),
        (AccessOperation(methods: ["get"]), false), (AccessOperation(paths: ["/a/b"]), true),
        (AccessOperation(paths: ["/a/*"]), true), (AccessOperation(paths: ["/a"]), false),
        (AccessOperation(paths: ["/a*"]), true), (AccessOperation(paths: ["*"]), true),
        (AccessOperation(ports: [8080]), true), (AccessOperation(ports: [80]), false),
        (AccessOperation(methods: ["GET"], paths: ["/b"]), false),
    ])
    func operations(operation: AccessOperation, fits: Bool) throws {
        let table = try table([policy("a", .allow, to: [operation])])
        #expect(try judge(table, "GET", "/a/b?c=/x").denied == (fits ? nil : 0))
    }

    @Test(arguments: [
        "/admin", "//admin", "/./admin", "/x/../admin", "/%61dmin", "/%61%64min?x", "/admin?", "/x/%2e%2e/admin",
    ])
    func thereIsOneWayToWriteAPath(path: String) throws {
        let table = try table([policy("a", .deny, to: [AccessOperation(paths: ["/%61dmin"])])])
        #expect(try judge(table, "GET", path).denied == 1)
    }

    @Test(arguments: ["/a%2fadmin", "/..;/admin", "/../admin", "/a\\admin", "/%zz"])
    func aPathWithTwoReadingsHasNoForm(path: String) throws {
        let table = try table([policy("a", .deny, to: [AccessOperation(paths: ["/admin"])])])
        let head = MessageHead()
        head.pathRange = head.store(Array(path.utf8).span)
        #expect(table.path(of: head) == nil)
        let kept = head.span(head.pathRange).equals(Array(path.utf8).span)
        #expect(kept)
    }

    @Test func onConnectionsOfBytesOnlyPortsFit() throws {
        func denied(_ operation: AccessOperation) throws -> Int? {
            let empty: [UInt8] = []
            let caller = AccessCaller(identity: empty.span, namespace: empty.span, address: (0, 0))
            return try table([policy("a", .deny, to: [operation])]).judge(caller, nil, path: .empty).denied
        }
        #expect(try denied(AccessOperation(ports: [8080])) == 1)
        #expect(try denied(AccessOperation()) == 1)
        #expect(try denied(AccessOperation(ports: [80])) == nil)
        #expect(try denied(AccessOperation(hosts: ["*"], ports: [8080])) == nil)
        #expect(try denied(AccessOperation(methods: ["GET"])) == nil)
        #expect(try denied(AccessOperation(paths: ["*"])) == nil)
    }

    @Test func auditedPoliciesOnlySaySo() throws {
        let table = try table([
            policy("a/deny", .deny, audit: true, to: [AccessOperation(methods: ["DELETE"])]),
            policy("a/allow", .allow, audit: true, from: [AccessSource(namespaces: ["shop"])]),
        ])
        #expect(try judge(table) == .allowed)
        #expect(try judge(table, "DELETE") == AccessVerdict(denied: nil, audited: 1))
        #expect(try judge(table, namespace: "other") == AccessVerdict(denied: nil, audited: 2))
    }

    @Test func whatIsRefusedIsNotAuditedToo() throws {
        let table = try table([
            policy("a", .deny, to: [AccessOperation(methods: ["DELETE"])]), policy("b", .deny, audit: true),
        ])
        #expect(try judge(table, "DELETE") == AccessVerdict(denied: 1, audited: nil))
    }

    @Test(arguments: ["10.0.0.0/33", "10.0.0/8", "", "x", "10.0.0.0/", "10.0.0.0/-1"])
    func rangesThatAreNone(text: String) {
        let error = #expect(throws: ProxyError.self) {
            try table([policy("shop/web", .allow, from: [AccessSource(cidrs: [text])])])
        }
        #expect(error?.description.contains("access policy shop/web: \"\(text)\" is no address range") == true)
    }

    @Test func manyIdentitiesAreFound() throws {
        let names = (0..<1000).map { "spiffe://mesh.test/ns/n\($0)/svc/s" }
        let table = try table([policy("a", .allow, from: [AccessSource(identities: names)])])
        for name in names { #expect(try judge(table, identity: name) == .allowed) }
        #expect(try judge(table, identity: "spiffe://mesh.test/ns/n1000/svc/s").denied == 0)
    }
}
