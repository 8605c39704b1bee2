import MeshCore
import MeshHTTP
import MeshModel
import MeshTraffic
import Testing

@Suite struct CORSTests {
    private let listed = CORS(
        allowOrigins: ["https://www.foo.com", "https://*.bar.com"], allowCredentials: true,
        allowMethods: ["GET", "OPTIONS"], allowHeaders: ["x-header-1", "x-header-2"],
        exposeHeaders: ["x-header-3", "x-header-4"], maxAge: 3600)

    private func preflight(_ cors: CORS, _ headers: [(String, String)]) -> MessageHead? {
        let answer = MessageHead()
        let filters = FilterChain([.cors(cors)]) { _ in nil }
        let facts = RequestFacts(isTLS: true, port: 443, prefixLength: 0)
        let verdict = filters.applyRequest(request("h", "/", method: "OPTIONS", headers), answer: answer, facts: facts)
        guard verdict == .respond(.corsPreflight) else { return nil }
        #expect(answer.status == 200 && answer.values("content-length") == ["0"])
        return answer
    }

    private func actual(_ cors: CORS, origin: String?, _ fields: [(String, String)] = []) -> MessageHead {
        let head = response(fields)
        let filters = FilterChain([.cors(cors)]) { _ in nil }
        filters.applyResponse(head, request: request("h", "/", origin.map { [("origin", $0)] } ?? []))
        return head
    }

    private func asking(_ origin: String, _ method: String = "GET", _ headers: String? = nil) -> [(String, String)] {
        [("Origin", origin), ("access-control-request-method", method)]
            + (headers.map { [("access-control-request-headers", $0)] } ?? [])
    }

    @Test(arguments: [
        "https://www.foo.com", "https://www.bar.com", "https://xpto.www.bar.com", "https://www.foo.com:443",
    ])
    func allowedOriginsAreToldWhatIsAllowed(origin: String) throws {
        let answer = try #require(preflight(listed, asking(origin, "GET", "x-header-1, x-header-2")))
        #expect(answer.values("access-control-allow-origin") == [origin])
        #expect(answer.values("access-control-allow-methods") == ["GET, OPTIONS"])
        #expect(answer.values("access-control-allow-headers") == ["x-header-1, x-header-2"])
        #expect(answer.values("access-control-expose-headers") == ["x-header-3, x-header-4"])
        #expect(answer.values("access-control-max-age") == ["3600"])
        #expect(answer.values("access-control-allow-credentials") == ["true"])
        #expect(answer.values("vary") == ["origin"])
    }

    @Test(arguments: [
        "https://foobar.com", "http://www.foo.com", "https://www.foo.com:8443", "https://bar.com",
        "https://evilbar.com",
        "https://www.bar.com.evil.org", "null", "https://", "https:/www.foo.com", "", "https://www.foo.com:x",
        "https://www.foo.com.", "ftp://www.bar.com",
    ])
    func otherOriginsAreToldNothing(origin: String) throws {
        let answer = try #require(preflight(listed, asking(origin)))
        #expect(answer.fieldCount == 2 && answer.values("vary") == ["origin"])
        let head = actual(listed, origin: origin, [("access-control-allow-origin", "*")])
        #expect(head.values("access-control-allow-origin").isEmpty)
        #expect(head.values("access-control-allow-credentials").isEmpty)
    }

    @Test func onlyPreflightRequestsAreAnswered() {
        #expect(preflight(listed, [("origin", "https://www.foo.com")]) == nil)
        #expect(preflight(listed, [("access-control-request-method", "GET")]) == nil)
        let get = request("h", "/", asking("https://www.foo.com"))
        let filters = FilterChain([.cors(listed)]) { _ in nil }
        let facts = RequestFacts(isTLS: true, port: 443, prefixLength: 0)
        #expect(filters.applyRequest(get, answer: MessageHead(), facts: facts) == .next)
    }

    @Test func actualResponsesNameTheOrigin() {
        let head = actual(
            listed, origin: "https://a.bar.com",
            [
                ("access-control-allow-origin", "*"), ("Access-Control-Allow-Methods", "X"), ("vary", "accept"),
                ("a", "b"),
            ])
        #expect(head.values("access-control-allow-origin") == ["https://a.bar.com"])
        #expect(head.values("access-control-allow-credentials") == ["true"])
        #expect(head.values("access-control-expose-headers") == ["x-header-3, x-header-4"])
        #expect(head.values("access-control-allow-methods").isEmpty && head.values("access-control-max-age").isEmpty)
        #expect(head.values("vary") == ["accept", "origin"] && head.values("a") == ["b"])
    }

    @Test func cachesAreToldThoughThereIsNoOrigin() {
        #expect(actual(listed, origin: nil).values("vary") == ["origin"])
        #expect(actual(listed, origin: nil).values("access-control-allow-origin").isEmpty)
        #expect(actual(listed, origin: nil, [("vary", "Accept, Origin")]).values("vary") == ["Accept, Origin"])
        #expect(actual(listed, origin: nil, [("vary", "*")]).values("vary") == ["*"])
    }

    @Test func wildcardsAreWrittenOnlyWithoutCredentials() throws {
        let open = CORS(allowOrigins: ["*"], allowMethods: ["*"], allowHeaders: ["*"], exposeHeaders: ["*"])
        let plain = try #require(preflight(open, asking("https://other.com:12345", "PUT", "x-a, x-b")))
        #expect(plain.values("access-control-allow-origin") == ["https://other.com:12345"])
        #expect(plain.values("access-control-allow-methods") == ["*"])
        #expect(plain.values("access-control-allow-headers") == ["*"])
        #expect(plain.values("access-control-expose-headers") == ["*"])
        #expect(plain.values("access-control-max-age") == ["5"])
        #expect(plain.values("access-control-allow-credentials").isEmpty)
        var secret = open
        secret.allowCredentials = true
        let echoed = try #require(preflight(secret, asking("https://other.com", "PUT", "x-a, x-b")))
        #expect(echoed.values("access-control-allow-methods") == ["PUT"])
        #expect(echoed.values("access-control-allow-headers") == ["x-a, x-b"])
        #expect(echoed.values("access-control-expose-headers").isEmpty)
        let short = try #require(preflight(secret, asking("null")))
        #expect(short.values("access-control-allow-origin") == ["null"])
        #expect(short.values("access-control-allow-headers").isEmpty)
        let head = actual(secret, origin: "https://other.com", [("x-one", "1"), ("set-cookie", "a=b"), ("x-two", "2")])
        let exposed = try #require(head.values("access-control-expose-headers").first)
        #expect(exposed.hasPrefix("x-one, x-two") && !exposed.contains("set-cookie") && !exposed.contains("*"))
    }

    @Test func patternsCanStandForEveryHostOfAScheme() throws {
        let cors = CORS(allowOrigins: ["https://*", "http://*.a.com:8080"])
        #expect(
            try #require(preflight(cors, asking("https://x.y"))).values("access-control-allow-origin") == [
                "https://x.y"
            ])
        #expect(try #require(preflight(cors, asking("http://x.y"))).values("access-control-allow-origin").isEmpty)
        #expect(
            try #require(preflight(cors, asking("http://b.a.com:8080"))).values("access-control-allow-origin")
                == ["http://b.a.com:8080"])
        #expect(try #require(preflight(cors, asking("http://b.a.com"))).values("access-control-allow-origin").isEmpty)
    }

    @Test func listsThatAreEmptyAreNotWritten() throws {
        let answer = try #require(preflight(CORS(allowOrigins: ["*"]), asking("https://a.b", "PUT", "x")))
        #expect(answer.values("access-control-allow-methods").isEmpty)
        #expect(answer.values("access-control-allow-headers").isEmpty)
        #expect(answer.values("access-control-expose-headers").isEmpty)
    }
}
