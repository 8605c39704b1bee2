import MeshCore
import MeshHTTP
import MeshModel
import MeshTraffic
import Testing

private func chain(_ filters: Filter...) -> FilterChain { FilterChain(filters) { $0 == "known" ? 3 : nil } }

extension FilterChain {
    /// Applies the chain to a request that must go on.
    fileprivate func forward(_ request: MessageHead, prefixLength: Int = 0) -> MessageHead {
        let facts = RequestFacts(isTLS: false, port: 80, prefixLength: prefixLength)
        #expect(applyRequest(request, answer: MessageHead(), facts: facts) == .next)
        return request
    }
}

@Suite struct HeaderModifierTests {
    private let modifier = HeaderModifier(
        set: [Header(name: "X-Header-Set", value: "set-overwrites")],
        add: [Header(name: "X-Header-Add", value: "added"), Header(name: "Vary", value: "accept")],
        remove: ["X-Header-Remove", "USER-AGENT"])

    @Test func fieldsAreSetAddedAndRemovedWithoutCase() {
        let head = request(
            "h", "/",
            [
                ("x-header-set", "a"), ("X-HEADER-SET", "b"), ("x-header-add", "original"), ("x-header-remove", "1"),
                ("x-header-remove", "2"), ("user-agent", "u"), ("other", "stays"),
            ])
        let result = chain(.requestHeaderModifier(modifier)).forward(head)
        #expect(result.values("x-header-set") == ["set-overwrites"])
        #expect(result.values("X-Header-Add") == ["original", "added"])
        #expect(result.values("x-header-remove").isEmpty && result.values("user-agent").isEmpty)
        #expect(result.values("other") == ["stays"])
        #expect(result.firstIndex(of: .vary) != nil)
    }

    @Test func whatIsNotThereIsSetAndAddedToo() {
        let result = chain(.requestHeaderModifier(modifier)).forward(request("h", "/"))
        #expect(result.values("x-header-set") == ["set-overwrites"])
        #expect(result.values("x-header-add") == ["added"])
    }

    @Test func namesAreWrittenInLowerCase() {
        let result = chain(.requestHeaderModifier(modifier)).forward(request("h", "/"))
        let names = (0..<result.fieldCount).map { text(result.span(result[$0].nameRange)) }
        #expect(names.contains("x-header-set") && names.contains("x-header-add"))
    }

    @Test func aResponseIsChangedByItsOwnModifier() {
        let both = chain(.requestHeaderModifier(modifier), .responseHeaderModifier(HeaderModifier(remove: ["server"])))
        #expect(both.changesResponse)
        #expect(!chain(.requestHeaderModifier(modifier)).changesResponse)
        let head = response([("Server", "x"), ("a", "b")])
        both.applyResponse(head, request: request("h", "/"))
        #expect(head.values("server").isEmpty && head.values("a") == ["b"] && head.values("x-header-set").isEmpty)
    }

    @Test(arguments: [
        "connection", "Transfer-Encoding", "content-length", "upgrade", "TE", "keep-alive", "proxy-connection", ":path",
        "",
    ])
    func fieldsThatFrameTheMessageAreNotTouched(name: String) {
        #expect(FilterChain.isProtected(name))
        let all = HeaderModifier(
            set: [Header(name: name, value: "1")], add: [Header(name: name, value: "2")], remove: [name])
        let head = request("h", "/", [("content-length", "5"), ("connection", "close")])
        let count = head.fieldCount
        let result = chain(.requestHeaderModifier(all)).forward(head)
        #expect(result.fieldCount == count)
        #expect(result.values("content-length") == ["5"] && result.values("connection") == ["close"])
    }

    @Test func settingHostChangesTheAuthority() {
        let set = HeaderModifier(set: [Header(name: "Host", value: "new.example:81")])
        let result = chain(.requestHeaderModifier(set)).forward(request("old", "/"))
        #expect(result.authority == "new.example:81")
        let others = HeaderModifier(add: [Header(name: "Host", value: "x")], remove: ["host"])
        #expect(chain(.requestHeaderModifier(others)).forward(request("old", "/")).authority == "old")
        let broken = HeaderModifier(set: [Header(name: "Host", value: "a b")])
        #expect(chain(.requestHeaderModifier(broken)).forward(request("old", "/")).authority == "old")
        let head = response()
        chain(.responseHeaderModifier(set)).applyResponse(head, request: request("old", "/"))
        #expect(head.authority == "")
    }
}

@Suite struct RewriteTests {
    private func rewrite(_ path: PathModifier?, host: String? = nil) -> FilterChain {
        chain(.urlRewrite(URLRewrite(hostname: host, path: path)))
    }

    /// The standard's table (HTTPPathModifier), and what it implies. The prefix is what the verdict says.
    @Test(arguments: [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"), ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"), ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"), ("/foo/", "/foo", "/xyz", "/xyz/"), ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"), ("/foo", "/foo", "", "/"), ("/foo/", "/foo", "/", "/"), ("/foo", "/foo", "/", "/"),
        ("/foo?q=/1", "/foo", "", "/?q=/1"), ("/foo?q", "/foo", "/x", "/x?q"), ("/a", "/", "/x", "/x/a"),
        ("/", "/", "/x", "/x/"), ("/foo/a?b?c", "/foo", "/y", "/y/a?b?c"), ("/foo//a", "/foo", "", "//a"),
    ])
    func prefixes(path: String, prefix: String, replacement: String, expected: String) throws {
        let table = try table(route(rule("r", match(.prefix(prefix)))))
        let head = request("h", path)
        guard case .rule(_, let length) = table.match(head, section: nil) else {
            Issue.record("no match")
            return
        }
        #expect(rewrite(.replacePrefixMatch(replacement)).forward(head, prefixLength: length).path == expected)
    }

    @Test(arguments: [
        ("/a/b", "/one", "/one"), ("/a?b=c", "/one", "/one?b=c"), ("/", "/", "/"), ("/a?", "/x/", "/x/?"),
    ])
    func fullPaths(path: String, replacement: String, expected: String) {
        #expect(rewrite(.replaceFullPath(replacement)).forward(request("h", path)).path == expected)
    }

    @Test func aPathThatWasReplacedLosesNoPartOfAnElement() {
        let both = chain(
            .urlRewrite(URLRewrite(path: .replacePrefixMatch("/x"))),
            .urlRewrite(URLRewrite(path: .replacePrefixMatch("/new"))))
        #expect(both.forward(request("h", "/foo/bar"), prefixLength: 4).path == "/new/x/bar")
        #expect(rewrite(.replacePrefixMatch("/new")).forward(request("h", "/a?b"), prefixLength: 99).path == "/new/a?b")
    }

    @Test func theHostBecomesTheAuthority() {
        let result = rewrite(nil, host: "one.example.org").forward(request("h:8080", "/a"))
        #expect(result.authority == "one.example.org")
        #expect(result.path == "/a")
    }

    @Test func longPathsAreRewrittenThoughTheArenaGrows() {
        let long = "/" + String(repeating: "x", count: 5000)
        let result = rewrite(.replacePrefixMatch("/y")).forward(request("h", "/foo" + long), prefixLength: 4)
        #expect(result.path == "/y" + long)
    }
}

@Suite struct RedirectTests {
    private func location(
        _ redirect: RequestRedirect, _ request: MessageHead = request("example.org", "/a/b?c"), isTLS: Bool = false,
        port: UInt16 = 80, prefixLength: Int = 0
    ) -> String? {
        let answer = response([("stale", "1")])
        let facts = RequestFacts(isTLS: isTLS, port: port, prefixLength: prefixLength)
        let verdict = chain(.requestRedirect(redirect)).applyRequest(request, answer: answer, facts: facts)
        guard verdict == .respond(.redirected) else { return nil }
        #expect(answer.status == redirect.statusCode && answer.values("stale").isEmpty)
        #expect(answer.values("content-length") == ["0"])
        return answer.values("location").first
    }

    /// The conformance test of scheme and port, all three listeners.
    @Test func portsFollowTheScheme() {
        let cases: [(Bool, UInt16, String?, UInt16?, String)] = [
            (false, 80, nil, nil, "http://example.org"), (false, 80, nil, 80, "http://example.org"),
            (false, 80, nil, 8080, "http://example.org:8080"), (false, 80, "https", nil, "https://example.org"),
            (false, 80, "https", 443, "https://example.org"), (false, 80, "https", 8443, "https://example.org:8443"),
            (false, 8080, nil, nil, "http://example.org:8080"), (false, 8080, nil, 80, "http://example.org"),
            (false, 8080, "https", nil, "https://example.org"), (true, 443, nil, nil, "https://example.org"),
            (true, 443, nil, 443, "https://example.org"), (true, 443, nil, 8443, "https://example.org:8443"),
            (true, 443, "http", nil, "http://example.org"), (true, 443, "http", 80, "http://example.org"),
            (true, 443, "http", 8080, "http://example.org:8080"), (true, 8443, "https", nil, "https://example.org"),
            (true, 8443, nil, nil, "https://example.org:8443"), (false, 80, nil, 443, "http://example.org:443"),
            (false, 0, nil, nil, "http://example.org"),
        ]
        for (isTLS, listener, scheme, port, expected) in cases {
            let found = location(
                RequestRedirect(scheme: scheme, port: port), request("example.org:1234", "/"), isTLS: isTLS,
                port: listener)
            #expect(found == expected + "/", "\(listener) \(scheme ?? "-") \(port ?? 0)")
        }
    }

    @Test func partsThatAreNotGivenStayAsTheRequestHasThem() {
        #expect(location(RequestRedirect(statusCode: 301)) == "http://example.org/a/b?c")
        #expect(location(RequestRedirect(hostname: "new.org")) == "http://new.org/a/b?c")
        #expect(location(RequestRedirect(path: .replaceFullPath("/full"))) == "http://example.org/full?c")
        #expect(
            location(RequestRedirect(path: .replacePrefixMatch("/new")), prefixLength: 2)
                == "http://example.org/new/b?c")
        #expect(
            location(RequestRedirect(scheme: "https"), request("[::1]:80", "/")) == "https://[::1]/")
    }

    @Test func withoutAHostTheLocationIsAPath() {
        let head = request("h", "//evil.example/x")
        head.authorityRange = .empty
        #expect(location(RequestRedirect(statusCode: 308), head) == "/evil.example/x")
        #expect(location(RequestRedirect(hostname: "new.org"), head) == "http://new.org//evil.example/x")
    }

    @Test func filtersBehindARedirectDoNotRun() {
        let filters = chain(
            .requestRedirect(RequestRedirect()),
            .requestHeaderModifier(HeaderModifier(set: [Header(name: "x", value: "1")])))
        let head = request("h", "/")
        _ = filters.applyRequest(
            head, answer: MessageHead(), facts: RequestFacts(isTLS: false, port: 80, prefixLength: 0))
        #expect(head.values("x").isEmpty)
    }
}

@Suite struct ChainTests {
    @Test func filtersRunInTheirOrder() {
        let filters = chain(
            .requestHeaderModifier(HeaderModifier(set: [Header(name: "x", value: "1")])),
            .requestHeaderModifier(HeaderModifier(add: [Header(name: "x", value: "2")])),
            .urlRewrite(URLRewrite(path: .replaceFullPath("/new"))))
        let head = filters.forward(request("h", "/old?q", [("x", "0")]))
        #expect(head.values("x") == ["1", "2"] && head.path == "/new?q")
    }

    @Test func mirrorsAreData() {
        let filters = chain(
            .requestMirror(RequestMirror(target: .backend("known"), numerator: 1, denominator: 3)),
            .requestMirror(RequestMirror(target: .backend("unknown"))),
            .requestMirror(RequestMirror(target: .invalid(reason: "no"))))
        #expect(filters.mirrors == [Mirror(backend: 3, numerator: 1, denominator: 3)])
        #expect(!filters.isEmpty && !filters.changesResponse)
        #expect(chain().isEmpty)
        #expect(chain(.requestMirror(RequestMirror(target: .backend("unknown")))).isEmpty)
    }
}
