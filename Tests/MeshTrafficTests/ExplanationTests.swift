import MeshCore
import MeshHTTP
import MeshModel
import MeshTraffic
import Testing

@Suite struct ExplanationTests {
    /// Rule name to what became of it; `won` or the reason.
    private func outcomes(_ table: ListenerTable, _ head: MessageHead) -> [String: String] {
        var result: [String: String] = [:]
        for match in table.explain(head, section: nil).matches {
            let name = String(match.ruleName.split(separator: "/").last ?? "")
            switch match.outcome {
            case .won: result[name] = "won"
            case .lost(let why): result[name] = why
            }
        }
        return result
    }

    @Test func everyMatchSaysWhyItLost() throws {
        let table = try table(
            route(
                rule("root", match()), rule("shop", match(.prefix("/shop"))), rule("cart", match(.prefix("/cart"))),
                rule("beta", match(.prefix("/cart"), headers: [("X-Beta", "1")])),
                rule("put", match(.prefix("/cart"), method: "PUT")), rule("exact", match(.exact("/cart/x"))),
                rule("regex", match(.regex("/c"))), rule("query", match(query: [("q", "1")])), rule("again", match())),
            route(kind: .grpc, rule("grpc", match(.grpc(service: .exact("a"), method: nil)))))
        let found = outcomes(table, request("h", "/cart?q=2"))
        #expect(
            found == [
                "cart": "won", "root": "beaten by ns/r/cart: longer prefix", "shop": "path /cart is not below /shop",
                "beta": "header X-Beta is missing", "put": "method GET is not PUT",
                "exact": "path /cart is not /cart/x",
                "regex": "path /cart does not match /c", "query": "query parameter q is \"2\", which is not \"1\"",
                "again": "beaten by ns/r/cart: longer prefix",
                "grpc": "the request is not gRPC: its content-type is not application/grpc",
            ])
        let other = outcomes(table, request("h", "/cart/x", method: "PUT", [("x-beta", "2"), ("x-beta", "3")]))
        #expect(other["exact"] == "won")
        #expect(other["put"] == "beaten by ns/r/exact: exact path")
        #expect(other["beta"] == "header X-Beta is \"2,3\", which is not \"1\"")
        #expect(other["query"] == "query parameter q is missing")
        #expect(
            outcomes(table, request("h", "/cart", method: "PUT", [("x-beta", "1")]))["beta"]
                == "beaten by ns/r/put: it asks for a method")
        #expect(outcomes(table, request("h", "/"))["again"] == "beaten by ns/r/root: it comes first")
    }

    @Test func matchesStandInOrderOfPrecedenceWithTheirOrigins() throws {
        var late = rule("late", match(.prefix("/a"), headers: [("x", "1")], method: "GET"))
        late.origin = Origin(file: "routes.yaml", line: 12)
        let table = try table(
            route(rule("every", match())), route(["*.b.com"], rule("wide", match())),
            route(["c.com"], rule("other", match())),
            Route(name: "ns/q", hostnames: [.exact("a.b.com")], rules: [rule("early", match(.prefix("/a"))), late]))
        let explanation = table.explain(request("a.b.com", "/a"), section: nil)
        #expect(explanation.matches.map { $0.ruleName } == ["ns/q/late", "ns/q/early", "ns/r/wide", "ns/r/every"])
        #expect(explanation.matches[0].origin == late.origin)
        #expect(explanation.matches[0].match == "path prefix /a, method GET, header x = \"1\"")
        #expect(explanation.matches[1].outcome == .won)
        #expect(
            explanation.matches[3].outcome == .lost(why: "beaten by ns/q/early: a.b.com is the more specific host"))
        #expect(explanation.otherHostnames == [.exact("c.com")])
        #expect(explanation.matches[2].hostname == .wildcard(suffix: "b.com"))
    }

    @Test func sectionsSayWhyTheyLost() throws {
        let sections = ["*", "*.b.com", "a.b.com", "c.com"].enumerated().map {
            Section(name: "ns/g/\($0.offset)", hostname: Hostname($0.element)!, protocol: .https)
        }
        let table = try table(sections)
        let own = table.explain(request("a.b.com", "/"), section: 2)
        #expect(
            own.sections.map(\.outcome) == [
                .lost(why: "a.b.com of ns/g/2 matches host a.b.com better"),
                .lost(why: "a.b.com of ns/g/2 matches host a.b.com better"), .won,
                .lost(why: "host a.b.com is not c.com"),
            ])
        #expect(own.verdict == .notFound)
        let wrong = table.explain(request("a.b.com", "/"), section: 1)
        #expect(wrong.verdict == .misdirected && wrong.matches.isEmpty)
        #expect(
            wrong.sections[1].outcome
                == .lost(why: "the connection is its own, but ns/g/2 matches host a.b.com better"))
        #expect(
            wrong.sections[2].outcome
                == .lost(why: "it matches host a.b.com best, but the connection is another section's"))
    }

    @Test func gRPCPartsAreNamed() throws {
        let table = try table(
            route(
                kind: .grpc, rule("get", match(.grpc(service: .exact("a.Shop"), method: .exact("Get")))),
                rule("put", match(.grpc(service: .exact("a.Shop"), method: .regex("P.*")))),
                rule("shop", match(.grpc(service: .exact("a.Shop"), method: nil))),
                rule("regex", match(.grpc(service: .regex("b.*"), method: nil)))))
        let found = outcomes(table, call("h", "/a.Shop/List"))
        #expect(
            found == [
                "shop": "won", "get": "path /a.Shop/List is not gRPC service a.Shop, method Get",
                "put": "method List does not match P.*", "regex": "service a.Shop does not match b.*",
            ])
    }
}
