import MeshCore
import Testing

@testable import MeshDiscovery

/// The control plane's side of delta discovery, rule by rule.
@Suite struct DiscoverySessionTests {
    private static func session(
        _ scope: [String], wildcards: [String] = ["a", "b", "c"]
    ) throws -> DiscoverySession {
        var session = DiscoverySession(order: Plain.order)
        session.update(Plain.scope(scope))
        for type in wildcards { _ = try session.receive(.ask(type, ["*"])) }
        return session
    }

    private static func settled(_ scope: [String]) throws -> DiscoverySession {
        var session = try session(scope)
        _ = try session.settle()
        return session
    }

    // MARK: Subscriptions

    @Test func aWildcardBringsEverythingInTheOrderOfTypes() throws {
        var session = try Self.session(["c/r=1", "a/x=1", "a/y=2", "b/e=1"])
        #expect(session.drain().map(\.text) == ["a +x=1 +y=2", "b +e=1", "c +r=1"])
    }

    @Test func whoNamesNothingWantsEverything() throws {
        var session = try Self.session(["a/x=1"], wildcards: [])
        _ = try session.receive(.ask("a"))
        #expect(try session.settle() == ["a +x=1"])
        // Naming something later adds to it.
        _ = try session.receive(.ask("a", ["z"]))
        session.update(Plain.scope("a/x=2", "a/z=1"))
        #expect(try session.settle() == ["a +x=2 +z=1"])
    }

    @Test func aWildcardIsAnsweredEvenIfThereIsNothing() throws {
        var session = try Self.session([])
        #expect(session.drain().map(\.text) == ["a", "b", "c"])
        #expect(session.drain().isEmpty)
    }

    @Test func namesBringOnlyThemselves() throws {
        var session = try Self.session(["a/x=1", "a/y=1"], wildcards: [])
        let event = try session.receive(.ask("a", ["x"]))
        #expect(event.namesChanged)
        #expect(try session.settle() == ["a +x=1"])
        session.update(Plain.scope("a/x=1", "a/y=2"))
        #expect(try session.settle() == [])
        #expect(session.names("a") == ["x"])
    }

    @Test func whatDoesNotExistIsAnsweredAtOnceAndRemembered() throws {
        var session = try Self.session(["a/x=1"], wildcards: [])
        _ = try session.receive(.ask("a", ["x", "no"]))
        #expect(try session.settle() == ["a +x=1 -no"])
        session.update(Plain.scope("a/x=1", "a/no=1"))
        #expect(try session.settle() == ["a +no=1"])
        session.update(Plain.scope("a/x=1"))
        #expect(try session.settle() == ["a -no"])
        #expect(try session.settle() == [])
    }

    @Test func whoAsksAgainIsAnsweredAgain() throws {
        var session = try Self.session(["a/x=1"], wildcards: [])
        _ = try session.receive(.ask("a", ["x", "no"]))
        _ = try session.settle()
        #expect(try !session.receive(.ask("a", ["x"])).namesChanged)
        #expect(try session.settle() == ["a +x=1"])
        _ = try session.receive(.ask("a", ["no"]))
        #expect(try session.settle() == ["a -no"])
        var wild = try Self.settled(["a/x=1", "a/y=1"])
        _ = try wild.receive(.ask("a", ["*"]))
        #expect(try wild.settle() == ["a +x=1 +y=1"])
        _ = try wild.receive(.ask("a", ["y"]))
        #expect(try wild.settle() == ["a +y=1"])
    }

    @Test func whatIsAskedForNoMoreIsForgotten() throws {
        var session = try Self.session(["a/x=1"], wildcards: [])
        _ = try session.receive(.ask("a", ["x"]))
        _ = try session.settle()
        #expect(try session.receive(.ask("a", without: ["x"])).namesChanged)
        session.update(Plain.scope("a/x=2"))
        #expect(try session.settle() == [])
        _ = try session.receive(.ask("a", ["x"]))
        #expect(try session.settle() == ["a +x=2"])
    }

    @Test func whatAWildcardCoversTooIsAnswered() throws {
        var session = try Self.settled(["a/x=1"])
        _ = try session.receive(.ask("a", ["x", "no"]))
        #expect(try session.settle() == ["a +x=1 -no"])
        _ = try session.receive(.ask("a", without: ["x"]))
        #expect(try session.settle() == ["a +x=1"])
        _ = try session.receive(.ask("a", without: ["no"]))
        #expect(try session.settle() == ["a -no"])
    }

    @Test func withoutTheWildcardOnlyNamesAreKept() throws {
        var session = try Self.settled(["a/x=1", "a/y=1"])
        _ = try session.receive(.ask("a", ["x"], without: ["*"]))
        _ = try session.settle()
        session.update(Plain.scope("a/x=2", "a/y=2"))
        #expect(try session.settle() == ["a +x=2"])
    }

    @Test func subscriptionsCountEvenWithAnOldNonce() throws {
        var session = try Self.session(["a/x=1", "a/y=1"], wildcards: [])
        _ = try session.receive(.ask("a", ["x"]))
        let responseSent = session.next()
        let response = try #require(responseSent)
        let event = try session.receive(.ask("a", ["y"], nonce: "old", error: "not this one"))
        #expect(event.namesChanged)
        #expect(event.rejection == nil)
        #expect(!event.isAcknowledgement)
        #expect(session.next() == nil)
        _ = try session.receive(.ask("a", nonce: response.nonce))
        #expect(try session.settle() == ["a +y=1"])
    }

    // MARK: Reconnecting

    @Test func whatTheClientHasIsNotSentAgain() throws {
        var session = try Self.session(["a/x=1", "a/y=2"], wildcards: [])
        let has = [
            "x": Plain.version("1").description, "y": Plain.version("1").description,
            "gone": Plain.version("1").description, "odd": "v17",
        ]
        _ = try session.receive(.ask("a", ["*"], has: has))
        #expect(try session.settle() == ["a +y=2", "a -gone -odd"])
        #expect(session.acked("a") == ["x": Plain.version("1"), "y": Plain.version("2")])
    }

    @Test func aVersionThatIsNotOursIsSentAgain() throws {
        var session = try Self.session(["a/x=1"], wildcards: [])
        _ = try session.receive(.ask("a", ["x"], has: ["x": "v1", "other": "v2"]))
        #expect(session.acked("a") == [:])
        #expect(try session.settle() == ["a +x=1"])
    }

    @Test func whoHasEverythingIsToldSo() throws {
        var session = try Self.session(["a/x=1"], wildcards: [])
        _ = try session.receive(.ask("a", ["*"], has: ["x": Plain.version("1").description]))
        #expect(try session.settle() == ["a"])
    }

    // MARK: Acknowledgements

    @Test func oneResponsePerTypeIsUnderWayAndChangesMerge() throws {
        var session = try Self.settled(["a/x=1"])
        session.update(Plain.scope("a/x=2"))
        let firstSent = session.next()
        let first = try #require(firstSent)
        for text in ["a/x=3", "a/x=4"] {
            session.update(Plain.scope(text, "a/y=1"))
            #expect(session.next() == nil)
        }
        #expect(session.pending("a") == ["x", "y"])
        #expect(session.acked("a") == ["x": Plain.version("1")])
        _ = try session.receive(.ask("a", nonce: first.nonce))
        #expect(session.acked("a") == ["x": Plain.version("2")])
        #expect(try session.settle() == ["a +x=4 +y=1"])
        #expect(session.isSettled)
    }

    @Test func whatIsRejectedIsNotSentUntilItChanges() throws {
        var session = try Self.settled(["a/x=1"])
        session.update(Plain.scope("a/x=2"))
        let responseSent = session.next()
        let response = try #require(responseSent)
        #expect(try session.receive(.ask("a", nonce: response.nonce, error: "no")).rejection == "no")
        #expect(try session.settle() == [])
        session.update(Plain.scope("a/x=2", "a/y=1"))
        #expect(try session.settle() == ["a +y=1"])
        #expect(
            session.rejections == [
                DiscoveryRejection(typeURL: "a", name: "x", version: Plain.version("2"), reason: "no")
            ])
        #expect(session.acked("a")["x"] == Plain.version("1"))
        #expect(session.isSettled)
        session.update(Plain.scope("a/x=3", "a/y=1"))
        #expect(session.rejections.isEmpty)
        #expect(try session.settle() == ["a +x=3"])
    }

    @Test func goingBackToWhatTheClientHasEndsARejection() throws {
        var session = try Self.settled(["a/x=1"])
        session.update(Plain.scope("a/x=2"))
        let responseSent = session.next()
        let response = try #require(responseSent)
        _ = try session.receive(.ask("a", nonce: response.nonce, error: "no"))
        session.update(Plain.scope("a/x=1"))
        #expect(session.rejections.isEmpty)
        #expect(try session.settle() == [])
    }

    @Test func whoAsksForWhatItRejectedGetsItAgain() throws {
        var session = try Self.session(["a/x=1"], wildcards: [])
        _ = try session.receive(.ask("a", ["x"]))
        let responseSent = session.next()
        let response = try #require(responseSent)
        _ = try session.receive(.ask("a", nonce: response.nonce, error: "no"))
        _ = try session.receive(.ask("a", ["x"]))
        #expect(try session.settle() == ["a +x=1"])
    }

    /// One resource that is refused does not hold up the others of its response.
    @Test(arguments: [1, 2, 7, 20]) func theOneThatIsRefusedIsFound(count: Int) throws {
        var session = try Self.settled([])
        let names = (0..<count).map { "a/n\($0)=\($0)" }
        for bad in 0..<count {
            var session = session
            session.update(Plain.scope(names))
            var sent = 0
            while let response = session.next() {
                sent += 1
                let isRefused = response.resources.contains { $0.name == "n\(bad)" }
                _ = try session.receive(.ask("a", nonce: response.nonce, error: isRefused ? "bad" : nil))
            }
            #expect(session.rejections.map(\.name) == ["n\(bad)"])
            #expect(session.acked("a").count == count - 1)
            #expect(sent <= 4 * count)
        }
        session.update(Plain.scope(names))
        var sent = 0
        while let response = session.next() {
            sent += 1
            _ = try session.receive(.ask("a", nonce: response.nonce, error: "all"))
        }
        #expect(session.rejections.count == count)
        #expect(sent <= 4 * count)
    }

    @Test func aRemovalMayBeRejected() throws {
        var session = try Self.settled(["a/x=1"])
        session.update(Plain.scope())
        let responseSent = session.next()
        let response = try #require(responseSent)
        _ = try session.receive(.ask("a", nonce: response.nonce, error: "in use"))
        #expect(try session.settle() == [])
        #expect(session.rejections == [DiscoveryRejection(typeURL: "a", name: "x", version: nil, reason: "in use")])
        #expect(session.acked("a") == ["x": Plain.version("1")])
        session.update(Plain.scope("a/x=1"))
        #expect(session.rejections.isEmpty)
        #expect(try session.settle() == [])
    }

    @Test func aLostAnswerHoldsTheTypeAndNothingElse() throws {
        var session = try Self.settled(["a/x=1", "b/e=1"])
        session.update(Plain.scope("a/x=2", "b/e=1"))
        #expect(session.next()?.text == "a +x=2")
        session.update(Plain.scope("a/x=2", "b/e=2"))
        #expect(session.next()?.text == "b +e=2")
        session.update(Plain.scope("a/x=2", "b/e=3"))
        #expect(session.next() == nil)
        #expect(!session.isSettled)
    }

    // MARK: Make before break

    @Test func removalsWaitForEverythingNewAndComeInTheOppositeOrder() throws {
        var session = try Self.settled(["a/x=1", "b/e=1", "c/r=1"])
        session.update(Plain.scope("a/y=1", "c/s=1"))
        let responses = session.drain()
        #expect(responses.map(\.text) == ["a +y=1", "c +s=1"])
        _ = try session.receive(.ask("a", nonce: responses[0].nonce))
        #expect(session.next() == nil)
        _ = try session.receive(.ask("c", nonce: responses[1].nonce))
        #expect(try session.settle() == ["c -r", "b -e", "a -x"])
    }

    @Test func whatIsNewOfLaterTypesWaitsForWhatWaitsBefore() throws {
        var session = try Self.settled(["a/x=1"])
        session.update(Plain.scope("a/x=2"))
        let firstSent = session.next()
        let first = try #require(firstSent)
        session.update(Plain.scope("a/x=2", "a/y=1", "c/needs-y=1"))
        #expect(session.next() == nil)
        _ = try session.receive(.ask("a", nonce: first.nonce))
        #expect(session.drain().map(\.text) == ["a +y=1", "c +needs-y=1"])
    }

    @Test func whatAKeptResourceRefersToIsKept() throws {
        var session = try Self.settled(["a/x=1", "b/e=1", "c/r=1"])
        session.update(Plain.scope("a/y=1", "c/r=2"))
        let responses = session.drain()
        #expect(responses.map(\.text) == ["a +y=1", "c +r=2"])
        _ = try session.receive(.ask("a", nonce: responses[0].nonce))
        _ = try session.receive(.ask("c", nonce: responses[1].nonce, error: "no"))
        // The client still has r=1, which may refer to x; nothing refers to e.
        #expect(try session.settle() == ["b -e"])
        session.update(Plain.scope("a/y=1", "c/r=3"))
        #expect(try session.settle() == ["c +r=3", "a -x"])
    }

    @Test func whatDependsOnAChangedResourceIsSentAgain() throws {
        var session = DiscoverySession(
            order: DiscoveryOrder([DiscoveryOrder.Kind("a", renews: "b"), DiscoveryOrder.Kind("b")]))
        session.update(Plain.scope("a/x=1", "b/x=1", "b/y=1"))
        for type in ["a", "b"] { _ = try session.receive(.ask(type, ["*"])) }
        #expect(try session.settle() == ["a +x=1", "b +x=1 +y=1"])
        session.update(Plain.scope("a/x=2", "b/x=1", "b/y=1"))
        #expect(try session.settle() == ["a +x=2", "b +x=1"])
    }

    // MARK: Bounds

    @Test func muchIsSentInParts() throws {
        var session = DiscoverySession(order: Plain.order, maxResponseBytes: 4)
        session.update(Plain.scope("a/p=123", "a/q=1", "a/r=1234567", "a/s=1", "b/e=1"))
        for type in ["a", "b"] { _ = try session.receive(.ask(type, ["*"])) }
        #expect(session.drain().map(\.text) == ["a +p=123 +q=1"])
        #expect(try !session.isSettled && session.receive(.ask("a", nonce: "1")).isAcknowledgement)
        #expect(try session.settle() == ["a +r=1234567", "a +s=1", "b +e=1"])
    }

    @Test func whatIsNotServedDoesNotExist() throws {
        var session = try Self.session([], wildcards: [])
        _ = try session.receive(.ask("unknown", ["x"]))
        #expect(session.drain().map(\.text) == ["unknown -x"])
        #expect(throws: ProxyError.self) { try session.receive(.ask("")) }
        #expect(throws: ProxyError.self) {
            for number in 0..<100 { _ = try session.receive(.ask("unknown-\(number)")) }
        }
    }

    @Test func tooManyNamesAreRefused() throws {
        var session = try Self.session([])
        let names = (0...DiscoveryBounds.names).map { "n\($0)" }
        #expect(throws: ProxyError.self) { try session.receive(.ask("a", names)) }
    }

    @Test func longReasonsAreCut() throws {
        var session = try Self.settled([])
        session.update(Plain.scope("a/x=1"))
        let responseSent = session.next()
        let response = try #require(responseSent)
        let reason = String(repeating: "é", count: 9000)
        _ = try session.receive(.ask("a", nonce: response.nonce, error: reason))
        #expect(try #require(session.rejections.first).reason.utf8.count < 5000)
    }
}
