import MeshModel
import Testing

@testable import MeshDiscovery

/// The proxy's side of delta discovery, rule by rule.
@Suite struct DiscoveryClientTests {
    private static func policy(_ name: String, _ action: AccessAction = .allow) -> MeshResource {
        .accessPolicy(AccessPolicy(name: name, action: action))
    }

    private static func response(
        _ type: MeshResourceType, _ resources: [MeshResource] = [], removed: [String] = [], nonce: String = "1"
    ) throws -> DiscoveryDeltaDiscoveryResponse {
        var response = DiscoveryDeltaDiscoveryResponse()
        response.typeURL = type.url
        response.nonce = nonce
        response.resources = try resources.map { EncodedResource(try VersionedResource($0)).message }
        response.removedResources = removed
        return response
    }

    /// A client on its first stream, with what it has accepted.
    private static func client(_ resources: [MeshResource] = []) throws -> DiscoveryClient {
        var client = DiscoveryClient()
        _ = client.start()
        if !resources.isEmpty {
            let update = client.receive(try response(.accessPolicy, resources))
            _ = client.accept(update)
        }
        return client
    }

    @Test func aStreamBeginsWithAWildcardForEachType() throws {
        var node = DiscoveryNode()
        node.id = "web-1"
        var client = DiscoveryClient(node: node)
        let requests = client.start()
        #expect(requests.map(\.typeURL) == MeshResourceType.allCases.map(\.url))
        #expect(requests.allSatisfy { $0.resourceNamesSubscribe == ["*"] && $0.initialResourceVersions.isEmpty })
        #expect(requests.map(\.hasNode) == [true] + Array(repeating: false, count: requests.count - 1))
        #expect(requests[0].node.id == "web-1")
    }

    @Test func whatIsAcceptedIsThere() throws {
        var client = try Self.client()
        let update = client.receive(
            try Self.response(.accessPolicy, [Self.policy("n/a"), Self.policy("n/b")], nonce: "7"))
        #expect(update.rejection == nil)
        #expect(client.resources.names(.accessPolicy) == [])
        #expect(client.resources(after: [update]).names(.accessPolicy) == ["n/a", "n/b"])
        let requestSent = client.accept(update)
        let request = try #require(requestSent)
        #expect(request.responseNonce == "7")
        #expect(!request.hasErrorDetail)
        #expect(request.typeURL == MeshResourceType.accessPolicy.url)
        #expect(client.resources.names(.accessPolicy) == ["n/a", "n/b"])
        #expect(try client.versions == [Self.policy("n/a"), Self.policy("n/b")].map { try VersionedResource($0) })
    }

    @Test func whatIsRemovedIsGone() throws {
        var client = try Self.client([Self.policy("n/a"), Self.policy("n/b")])
        _ = client.accept(client.receive(try Self.response(.accessPolicy, removed: ["n/a", "n/never"])))
        #expect(client.resources.names(.accessPolicy) == ["n/b"])
        #expect(client.versions.map(\.name) == ["n/b"])
    }

    @Test func whatIsRejectedChangesNothing() throws {
        var client = try Self.client([Self.policy("n/a")])
        let before = client.versions
        let update = client.receive(
            try Self.response(.accessPolicy, [Self.policy("n/a", .deny)], removed: ["n/b"], nonce: "9"))
        let requestSent = client.reject(update, reason: "listener *:1: no")
        let request = try #require(requestSent)
        #expect(request.responseNonce == "9")
        #expect(request.errorDetail.code == 3)
        #expect(request.errorDetail.message == "listener *:1: no")
        #expect(client.versions == before)
    }

    @Test func theVersionsGoWithTheNextStream() throws {
        var client = try Self.client([Self.policy("n/a")])
        let request = try #require(client.start().first { $0.typeURL == MeshResourceType.accessPolicy.url })
        #expect(try request.initialResourceVersions == ["n/a": VersionedResource(Self.policy("n/a")).version])
    }

    @Test func updatesOfAnOldStreamAreVoid() throws {
        var client = try Self.client([Self.policy("n/a")])
        let update = client.receive(try Self.response(.accessPolicy, removed: ["n/a"]))
        _ = client.start()
        #expect(client.resources(after: [update]).names(.accessPolicy) == ["n/a"])
        #expect(client.accept(update) == nil)
        #expect(client.reject(update, reason: "x") == nil)
        #expect(client.resources.names(.accessPolicy) == ["n/a"])
    }

    @Test func updatesOfOneReadGoTogether() throws {
        var client = try Self.client()
        let first = client.receive(try Self.response(.accessPolicy, [Self.policy("n/a")]))
        let second = client.receive(try Self.response(.mesh, [.mesh(MeshSettings(trustDomain: "x"))], nonce: "2"))
        let both = client.resources(after: [first, second])
        _ = client.accept(first)
        _ = client.accept(second)
        #expect(client.resources == both)
    }

    @Test func itIsCompleteWhenEveryTypeWasAnswered() throws {
        var client = try Self.client()
        for type in MeshResourceType.allCases {
            #expect(!client.isComplete)
            _ = client.accept(client.receive(try Self.response(type)))
        }
        #expect(client.isComplete)
    }

    // MARK: Resuming

    @Test func itGoesOnWithWhatItHad() throws {
        let good = try VersionedResource(Self.policy("n/a"))
        var damaged = try VersionedResource(Self.policy("n/b"))
        damaged.bytes = [0xFF, 0xFF]
        var renamed = try VersionedResource(Self.policy("n/c"))
        renamed.name = "n/d"
        var client = DiscoveryClient(resuming: [good, damaged, renamed])
        #expect(client.isComplete)
        #expect(client.resources.names(.accessPolicy) == ["n/a"])
        let request = try #require(client.start().first { $0.typeURL == MeshResourceType.accessPolicy.url })
        #expect(request.initialResourceVersions == ["n/a": good.version])
    }

    // MARK: On demand

    @Test func servicesAreAskedForByName() throws {
        var client = DiscoveryClient()
        #expect(client.subscribe(service: "n/early") == nil)
        let first = try #require(client.start().first { $0.typeURL == MeshResourceType.service.url })
        #expect(first.resourceNamesSubscribe == ["*", "n/early"])
        let requestSent = client.subscribe(service: "n/late")
        let request = try #require(requestSent)
        #expect(request.resourceNamesSubscribe == ["n/late"])
        #expect(request.responseNonce.isEmpty)
        #expect(client.subscribe(service: "n/late") == nil)
        #expect(client.start()[5].resourceNamesSubscribe == ["*", "n/early", "n/late"])
        #expect(client.unsubscribe(service: "n/late")?.resourceNamesUnsubscribe == ["n/late"])
        #expect(client.unsubscribe(service: "n/late") == nil)
    }

    @Test func aServiceThatIsNotThereIsKnown() throws {
        var client = try Self.client()
        _ = client.subscribe(service: "n/s")
        _ = client.accept(client.receive(try Self.response(.service, removed: ["n/s", "n/other"])))
        #expect(client.missingServices == ["n/s"])
        _ = client.accept(client.receive(try Self.response(.service, [.service(MeshService(name: "n/s"))])))
        #expect(client.missingServices == [])
    }

    // MARK: What cannot be used

    /// What is done to a response of two policies, and what the reason says.
    static let damage: [(reason: String, change: @Sendable (inout DiscoveryDeltaDiscoveryResponse) -> Void)] = [
        ("'n/a' is twice", { $0.resources.append($0.resources[0]) }),
        ("'n/b' is twice", { $0.removedResources = ["n/b"] }),
        ("'gone' is twice", { $0.removedResources = ["gone", "gone"] }),
        ("there is no type 'x'", { $0.typeURL = "x" }),
        ("accessPolicy 'n/b' is a x", { $0.resources[1].resource.typeURL = "x" }),
        ("accessPolicy 'n/b' is empty", { $0.resources[1].clearResource() }),
        ("accessPolicy 'n/b'", { $0.resources[1].resource.value = .init([0xFF]) }),
        ("is sent as 'n/z' calls itself 'n/b'", { $0.resources[1].name = "n/z" }),
    ]

    @Test(arguments: damage.indices) func whatCannotBeUsedIsRejectedWithItsName(index: Int) throws {
        var response = try Self.response(.accessPolicy, [Self.policy("n/a"), Self.policy("n/b")], nonce: "5")
        Self.damage[index].change(&response)
        var client = try Self.client()
        let update = client.receive(response)
        let reason = try #require(update.rejection)
        #expect(reason.contains(Self.damage[index].reason))
        #expect(update.upserts.isEmpty && update.removals.isEmpty)
        // Who accepts all the same rejects.
        let requestSent = client.accept(update)
        let request = try #require(requestSent)
        #expect(request.errorDetail.message == reason)
        #expect(request.responseNonce == "5")
        #expect(request.typeURL == response.typeURL)
        #expect(client.versions.isEmpty)
    }
}
