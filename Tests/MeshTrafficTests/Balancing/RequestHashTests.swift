import MeshCore
import MeshHTTP
import MeshModel
import MeshTraffic
import Testing

@Suite struct RequestHashTests {
    private func placement(
        _ sources: [HashSource], _ path: String = "/", _ headers: [(String, String)] = [], client: UInt64? = nil
    ) -> RequestHash.Placement {
        RequestHash(sources)!.placement(of: request("a.test", path, headers), client: client)
    }

    @Test func withoutSourcesThereIsNoHash() { #expect(RequestHash([]) == nil) }

    @Test func headersAreHashedByValue() {
        let source = [HashSource.header(name: "X-User")]
        let joe = placement(source, "/", [("x-user", "joe")])
        #expect(joe == placement(source, "/other", [("X-USER", "joe"), ("x-user", "ann")]))
        #expect(joe != placement(source, "/", [("x-user", "ann")]) && joe != .anywhere)
        #expect(placement(source) == .anywhere)
        // Names that the proxy knows by number, and the one that is no field.
        let agent = [HashSource.header(name: "User-Agent")]
        #expect(placement(agent, "/", [("user-agent", "x")]) != .anywhere)
        let host = [HashSource.header(name: "Host")]
        #expect(placement(host) != .anywhere && placement(host) == placement(host, "/b"))
    }

    @Test func cookiesAreFoundAmongOthers() {
        let source = [HashSource.cookie(name: "id", path: "/", timeToLive: nil)]
        let seven = placement(source, "/", [("cookie", "id=7")])
        #expect(seven != .anywhere)
        for cookies in ["a=1; id=7", "a=1;id=7;b=2", "xid=8; id=7 ", ";; id=7", "id2=9; id=7; id=8"] {
            #expect(placement(source, "/", [("cookie", cookies)]) == seven, "\(cookies)")
        }
        #expect(placement(source, "/", [("cookie", "a=1"), ("cookie", "id=7")]) == seven)
        for cookies in ["", "id", "id=", "ID=7", "xid=7", "a=id=7", "i", ";", "="] {
            #expect(placement(source, "/", [("cookie", cookies)]) == .anywhere, "\(cookies)")
        }
    }

    @Test func queryParametersAreHashedAsTheApplicationReadsThem() {
        let source = [HashSource.queryParam(name: "name")]
        let joe = placement(source, "/p?name=Joe")
        #expect(joe != .anywhere)
        #expect(placement(source, "/?a=b&name=J%6fe&name=x") == joe && placement(source, "/?n%61me=Joe") == joe)
        #expect(placement(source, "/?name=joe") != joe)
        #expect(placement(source, "/?named=Joe") == .anywhere && placement(source, "/name=Joe") == .anywhere)
        #expect(placement(source, "/?name=%4") != joe)
    }

    @Test func theFirstSourceThatIsThereCounts() {
        let sources = [HashSource.header(name: "x-user"), .queryParam(name: "u"), .sourceIP]
        let joe = placement([.header(name: "x-user")], "/", [("x-user", "joe")])
        #expect(placement(sources, "/?u=ann", [("x-user", "joe")], client: 5) == joe)
        #expect(placement(sources, "/?u=joe", client: 5) == joe)
        #expect(placement(sources, client: 5) == .key(5) && placement(sources) == .anywhere)
        #expect(RequestHash(sources)!.usesClient && !RequestHash(Array(sources[..<2]))!.usesClient)
    }

    @Test func aClientWithoutTheCookieGetsOne() {
        let hash = RequestHash([
            .header(name: "x-user"), .cookie(name: "lb", path: "/app", timeToLive: .seconds(3600)), .sourceIP,
        ])!
        #expect(hash.placement(of: request("a", "/"), client: 5) == .newCookie(1))
        let answer = response()
        hash.setCookie(1, value: 0x00ab_cdef_0123_4567, in: answer, isSecure: false)
        let field = answer.values("set-cookie")
        #expect(field == ["lb=00abcdef01234567; Path=/app; Max-Age=3600; HttpOnly; SameSite=Lax"])
        // What comes back leads where the first request went.
        let again = hash.placement(of: request("a", "/", [("cookie", "lb=00abcdef01234567")]), client: nil)
        #expect(again == .key(RequestHash.key(ofCookie: 0x00ab_cdef_0123_4567)))
        // Sources that make none.
        for number in [-1, 0, 2, 9] { hash.setCookie(number, value: 1, in: answer, isSecure: true) }
        #expect(answer.values("set-cookie").count == 1)
    }

    @Test func aCookieOfTheBrowserSessionHasNoAge() {
        let hash = RequestHash([.cookie(name: "lb", path: "", timeToLive: .zero)])!
        let answer = response([("set-cookie", "a=b")])
        hash.setCookie(0, value: 1, in: answer, isSecure: true)
        #expect(
            answer.values("set-cookie") == [
                "a=b", "lb=0000000000000001; Path=/; HttpOnly; SameSite=Lax; Secure",
            ])
    }
}

@Suite struct SessionRuleTests {
    private let key = SipKey(naming: "ns/Service/a:80")
    private let identity: UInt64 = 0x0123_4567_89ab_cdef

    private func rule(_ kind: SessionPersistence.Kind, _ timeout: Duration? = nil) -> SessionRule {
        SessionRule(SessionPersistence(kind: kind, absoluteTimeout: timeout))
    }

    /// The cookie that a response of `rule` sets: value and attributes.
    private func cookie(_ rule: SessionRule, now: UInt64 = 1000) -> (value: String, attributes: String) {
        let answer = response()
        rule.begin(identity, key: key, now: now, in: answer, isSecure: false)
        let text = answer.values("set-cookie").first ?? ""
        let parts = text.split(separator: ";", maxSplits: 1)
        let pair = parts[0].split(separator: "=")
        return (String(pair[1]), String(parts[1]))
    }

    private func endpoint(_ rule: SessionRule, _ token: String, key: SipKey? = nil, now: UInt64 = 1000) -> UInt64? {
        let head = request("a", "/", [("cookie", "x=y; s=\(token)")])
        guard let range = rule.token(in: head) else { return nil }
        let used = key ?? self.key
        return rule.endpoint(head.span(range), key: used, now: now)
    }

    @Test func aTokenNamesItsEndpoint() {
        let rule = rule(.cookie(name: "s", path: "/", permanent: false))
        let (token, attributes) = cookie(rule)
        #expect(token.count == 42 && attributes == " Path=/; HttpOnly; SameSite=Lax")
        #expect(endpoint(rule, token) == identity)
        #expect(endpoint(rule, token, now: 1_000_000_000) == identity, "for ever")
        #expect(endpoint(rule, token, key: SipKey(naming: "ns/Service/b:80")) == nil, "another backend's")
    }

    @Test func whatIsNotOursIsNoToken() {
        let rule = rule(.cookie(name: "s", path: "/", permanent: false))
        let token = Array(cookie(rule).value)
        for index in token.indices {
            var changed = token
            changed[index] = changed[index] == "5" ? "6" : "5"
            #expect(endpoint(rule, String(changed)) == nil)
            changed[index] = "g"
            #expect(endpoint(rule, String(changed)) == nil)
        }
        for text in ["", "0", String(token.dropLast()), String(token) + "0", String(repeating: "0", count: 42)] {
            #expect(endpoint(rule, text) == nil)
        }
        #expect(rule.token(in: request("a", "/")) == nil)
    }

    @Test func aSessionEnds() {
        let rule = rule(.cookie(name: "s", path: "/p", permanent: true), .seconds(60))
        let (token, attributes) = cookie(rule)
        #expect(attributes == " Path=/p; Max-Age=60; HttpOnly; SameSite=Lax")
        #expect(endpoint(rule, token, now: 1059) == identity)
        #expect(endpoint(rule, token, now: 1060) == nil)
        #expect(endpoint(rule, token, now: 990) == identity, "the clock of another proxy")
        let brief = self.rule(.cookie(name: "s", path: "/p", permanent: false), .seconds(60))
        #expect(cookie(brief).attributes == " Path=/p; HttpOnly; SameSite=Lax", "ends with the browser, or before")
    }

    @Test func aHeaderCarriesASession() {
        let rule = rule(.header(name: "X-Session"), .seconds(60))
        let answer = response([("x-session", "the endpoint's own")])
        rule.begin(identity, key: key, now: 1000, in: answer, isSecure: true)
        let values = answer.values("x-session")
        #expect(values.count == 1 && values[0].count == 42 && answer.values("set-cookie").isEmpty)
        let head = request("a", "/", [("x-session", values[0])])
        #expect(rule.endpoint(head.span(rule.token(in: head)!), key: key, now: 1030) == identity)
        #expect(rule.token(in: request("a", "/")) == nil)
    }
}
