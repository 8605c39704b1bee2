import MeshCore
import MeshHTTP
import MeshModel
import MeshTraffic
import Testing

@Suite struct RoutingTests {
    private func head(_ host: String, _ path: String, headers: [(String, String)] = []) -> MessageHead {
        let head = MessageHead()
        var text = "GET \(path) HTTP/1.1\r\nHost: \(host)\r\n"
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        let bytes = Array((text + "\r\n").utf8)
        _ = HTTP1Parser.parseRequest(bytes.span, into: head, limits: HTTP1Limits())
        return head
    }

    private func entry(_ host: String, _ path: PathMatch, headers: [NamedMatch] = []) -> RouteTable.Entry {
        RouteTable.Entry(
            hostnames: [Hostname(host)!], rule: RouteRule(matches: [RouteMatch(path: path, headers: headers)]))
    }

    @Test func exactBeatsLongestPrefixBeatsShorter() throws {
        let table = try RouteTable([
            entry("*", .prefix("/")), entry("*", .prefix("/v2")), entry("*", .exact("/v2/x")),
            entry("*", .prefix("/v2/x/")),
        ])
        #expect(table.match(head("a", "/")) == 0)
        #expect(table.match(head("a", "/v2?x=/v3")) == 1)
        #expect(table.match(head("a", "/v2example")) == 0)
        #expect(table.match(head("a", "/v2/x")) == 2)
        #expect(table.match(head("a", "/v2/x/y")) == 3)
    }

    @Test func exactHostBeatsWildcardBeatsEveryHost() throws {
        let table = try RouteTable([
            entry("*", .prefix("/")), entry("*.example.com", .prefix("/")), entry("a.example.com", .prefix("/only")),
            entry("*.b.example.com", .prefix("/")),
        ])
        #expect(table.match(head("A.Example.com:80", "/only")) == 2)
        #expect(table.match(head("a.example.com", "/")) == 1)
        #expect(table.match(head("x.y.example.com", "/")) == 1)
        #expect(table.match(head("x.b.example.com", "/")) == 3)
        #expect(table.match(head("example.com", "/")) == 0)
    }

    @Test func moreHeadersWinAndMustHold() throws {
        let beta = NamedMatch(name: "X-Beta", value: .exact("1"))
        let table = try RouteTable([entry("*", .prefix("/")), entry("*", .prefix("/"), headers: [beta])])
        #expect(table.match(head("a", "/", headers: [("x-beta", "1")])) == 1)
        #expect(table.match(head("a", "/", headers: [("x-beta", "2")])) == 0)
    }

    @Test func weightsAreKept() {
        let split = Split(
            [
                WeightedBackend(.backend("a"), weight: 90), WeightedBackend(.backend("b"), weight: 10),
                WeightedBackend(.invalid(reason: "x"), weight: 0),
            ]
        ) { $0 == "a" ? 0 : 1 }
        var random = Random(seed: 1)
        var counts = [0, 0]
        for _ in 0..<10_000 {
            guard case .backend(let index, _) = split.choose(random.next()) else {
                Issue.record("a weight of 0 won")
                return
            }
            counts[index] += 1
        }
        // Five standard deviations of a binomial with p = 0.1 and n = 10,000.
        #expect(abs(counts[1] - 1000) < 150)
    }

    @Test func aMatchThatIsNotServedYetIsAnErrorNotAGuess() {
        #expect(throws: ProxyError.self) { try RouteTable([entry("*", .regex("/a.*"))]) }
    }
}
