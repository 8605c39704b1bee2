import MeshCore
import Testing

@testable import MeshDiscovery

/// State-of-the-world discovery: type `a` is complete and referenced, as Envoy's clusters are, `b` and `c` are partial.
@Suite struct StateOfTheWorldTests {
    private static func ask(
        _ type: String, _ names: [String] = [], nonce: String = "", error: String? = nil
    ) -> DiscoveryDiscoveryRequest {
        var request = DiscoveryDiscoveryRequest()
        request.typeURL = type
        request.resourceNames = names
        request.responseNonce = nonce
        if let error { request.errorDetail.message = error }
        return request
    }

    /// A client that acknowledges with the names that it wants.
    private struct Client {
        var session: StateOfTheWorldSession
        var names: [String: [String]] = [:]

        init(_ scope: [String], _ names: [String: [String]], order: DiscoveryOrder = Plain.order) throws {
            session = StateOfTheWorldSession(order: order)
            session.update(Plain.scope(scope))
            for type in names.keys.sorted() {
                self.names[type] = names[type]
                _ = try session.receive(ask(type, names[type] ?? []))
            }
        }

        mutating func settle(refusing refused: String? = nil) throws -> [String] {
            var texts: [String] = []
            while let response = session.next() {
                texts.append(response.text)
                let isRefused = refused.map { response.text.contains($0) } ?? false
                _ = try session.receive(
                    ask(
                        response.typeURL, names[response.typeURL] ?? [], nonce: response.nonce,
                        error: isRefused ? "no" : nil))
            }
            return texts
        }
    }

    @Test func aCompleteTypeIsSentWholeAndAPartialOneByWhatChanged() throws {
        var client = try Client(["a/x=x1", "a/y=y1", "b/x=e1", "b/y=f1"], ["a": [], "b": ["x", "y"]])
        #expect(try client.settle() == ["a x1 y1", "b e1 f1"])
        client.session.update(Plain.scope("a/x=x2", "a/y=y1", "b/x=e1", "b/y=f2"))
        #expect(try client.settle() == ["a x2 y1", "b f2"])
        #expect(client.session.isSettled)
        #expect(client.session.acked("b") == ["x": Plain.version("e1"), "y": Plain.version("f2")])
    }

    @Test func namesBringOnlyThemselvesAsGRPCAsks() throws {
        var client = try Client(["a/x=x1", "a/y=y1"], ["a": ["x"], "b": ["x"]])
        #expect(try client.settle() == ["a x1"])
        client.session.update(Plain.scope("a/x=x1", "a/y=y2", "b/x=e1"))
        #expect(try client.settle() == ["b e1"])
        #expect(client.session.names("a") == ["x"])
    }

    @Test func anUnknownNameOfACompleteTypeIsAnsweredWithNothing() throws {
        var client = try Client([], ["a": ["no"], "b": ["no"]])
        #expect(try client.settle() == ["a"])
        client.session.update(Plain.scope("a/no=1", "b/no=2"))
        #expect(try client.settle() == ["a 1", "b 2"])
    }

    @Test func otherNamesAreAnOtherSubscription() throws {
        var client = try Client(["a/x=x1", "b/x=e1", "b/y=f1"], ["a": ["x"], "b": ["x"]])
        _ = try client.settle()
        client.names["b"] = ["y"]
        #expect(try client.session.receive(Self.ask("b", ["y"], nonce: "2")).namesChanged)
        #expect(try client.settle() == ["b f1"])
        client.names["b"] = ["x", "y"]
        _ = try client.session.receive(Self.ask("b", ["x", "y"], nonce: "3"))
        #expect(try client.settle() == ["b e1"])
        client.session.update(Plain.scope("a/x=x1", "a/z=1", "b/x=e1", "b/y=f1"))
        #expect(try client.settle() == [])
    }

    @Test func anOldNonceSaysNothing() throws {
        var client = try Client(["a/x=1"], ["a": [], "b": ["x"]])
        _ = try client.settle()
        client.session.update(Plain.scope("a/x=2"))
        let responseSent = client.session.next()
        let response = try #require(responseSent)
        let event = try client.session.receive(Self.ask("a", ["y"], nonce: "1", error: "late"))
        #expect(!event.namesChanged && !event.isAcknowledgement && event.rejection == nil)
        #expect(client.session.next() == nil)
        #expect(try client.session.receive(Self.ask("a", nonce: response.nonce)).isAcknowledgement)
    }

    @Test func whatIsGoneIsMissingAfterWhatIsNewIsThere() throws {
        var client = try Client(["a/x=x1", "c/r=to-x"], ["a": [], "c": ["r"]])
        _ = try client.settle()
        client.session.update(Plain.scope("a/y=y1", "c/r=to-y"))
        #expect(try client.settle() == ["a x1 y1", "c to-y", "a y1"])
    }

    @Test func whatIsRejectedIsNotSentUntilItChanges() throws {
        var client = try Client(["a/x=x1", "c/r=r1"], ["a": [], "c": ["r", "s"]])
        _ = try client.settle()
        client.session.update(Plain.scope("a/y=y1", "c/r=bad", "c/s=s1"))
        #expect(try client.settle(refusing: "bad") == ["a x1 y1", "c bad s1", "c bad", "c s1"])
        #expect(
            client.session.rejections == [
                DiscoveryRejection(typeURL: "c", name: "r", version: Plain.version("bad"), reason: "no")
            ])
        client.session.update(Plain.scope("a/y=y1", "c/r=r2", "c/s=s1"))
        #expect(try client.settle() == ["c r2", "a y1"])
        #expect(client.session.rejections.isEmpty)
    }

    @Test func aRejectedVersionOfACompleteTypeIsReplacedByTheOneBefore() throws {
        var client = try Client(["a/x=x1"], ["a": []])
        _ = try client.settle()
        client.session.update(Plain.scope("a/x=bad"))
        #expect(try client.settle(refusing: "bad") == ["a bad"])
        client.session.update(Plain.scope("a/x=bad", "a/y=y1"))
        #expect(try client.settle(refusing: "bad") == ["a x1 y1"])
    }

    @Test func endpointsFollowTheirChangedCluster() throws {
        let order = DiscoveryOrder([
            DiscoveryOrder.Kind("a", isComplete: true, renews: "b"), DiscoveryOrder.Kind("b"),
        ])
        var client = try Client(["a/x=x1", "b/x=e1", "b/y=f1"], ["a": [], "b": ["x", "y"]], order: order)
        #expect(try client.settle() == ["a x1", "b e1 f1"])
        client.session.update(Plain.scope("a/x=x2", "b/x=e1", "b/y=f1"))
        #expect(try client.settle() == ["a x2", "b e1"])
    }

    @Test func equalContentHasAnEqualVersion() throws {
        func version(_ scope: [String]) throws -> String? {
            var client = try Client(scope, ["a": []])
            return client.session.next()?.versionInfo
        }
        #expect(try version(["a/x=1", "a/y=2"]) == version(["a/y=2", "a/x=1"]))
        #expect(try version(["a/x=1", "a/y=2"]) != version(["a/x=2", "a/y=1"]))
        #expect(try version(["a/x=1"]) != version([]))
    }
}
