import MeshCore
import MeshHTTP
import MeshModel
import MeshTraffic
import Testing

@Suite struct PathMatchTests {
    @Test(arguments: [
        ("/abc", "/abc", true), ("/abc", "/abc/", true), ("/abc", "/abc/def", true), ("/abc", "/abcd", false),
        ("/abc/", "/abc", true), ("/abc/", "/abc/def", true), ("/abc/", "/abcd", false), ("/abc", "/ABC", false),
        ("/abc", "/ab", false), ("/abc", "/", false), ("/", "/", true), ("/", "/x/y", true), ("/", "*", true),
        ("/a/b", "/a/b/c?x=/a", true), ("/a/b", "/a?/b", false), ("/aaa/bbb", "/aaa/bbbxyz", false),
    ])
    func prefixesMatchElementByElement(prefix: String, path: String, fits: Bool) throws {
        let table = try table(route(rule("yes", match(.prefix(prefix)))))
        #expect(table.winner(request("a", path)) == (fits ? "yes" : "404"))
    }

    @Test(arguments: [
        ("/abc", true), ("/abc?q", true), ("/abc/", false), ("/Abc", false), ("/abcd", false), ("/ab", false),
        ("/", false),
    ])
    func exactPathsMatchExactly(path: String, fits: Bool) throws {
        let table = try table(route(rule("yes", match(.exact("/abc")))))
        #expect(table.winner(request("a", path)) == (fits ? "yes" : "404"))
    }

    @Test func regularExpressionsMatchTheWholePath() throws {
        let table = try table(route(rule("yes", match(.regex("/v[0-9]+/.*")))))
        #expect(table.winner(request("a", "/v12/x?y")) == "yes")
        #expect(table.winner(request("a", "/v12")) == "404")
        #expect(table.winner(request("a", "/a/v1/")) == "404")
    }

    /// The cases of the conformance test for the order of path matches, in spirit.
    @Test func exactBeatsRegexBeatsLongestPrefix() throws {
        let table = try table(
            route(
                rule("root", match()), rule("short", match(.prefix("/match"))),
                rule("exact", match(.exact("/match/exact/one"))), rule("regex", match(.regex("/match/exact/[a-z]+"))),
                rule("longRegex", match(.regex("/match/exact/(three|four)"))),
                rule("long", match(.prefix("/match/prefix/one/"))), rule("long2", match(.prefix("/match/prefix")))))
        #expect(table.winner(request("a", "/match/exact/one")) == "exact")
        #expect(table.winner(request("a", "/match/exact/two")) == "regex")
        #expect(table.winner(request("a", "/match/exact/three")) == "longRegex")
        #expect(table.winner(request("a", "/match/exact/4")) == "short")
        #expect(table.winner(request("a", "/match/prefix/one")) == "long")
        #expect(table.winner(request("a", "/match/prefix/one/any")) == "long")
        #expect(table.winner(request("a", "/match/prefix/two")) == "long2")
        #expect(table.winner(request("a", "/match/any")) == "short")
        #expect(table.winner(request("a", "/other")) == "root")
    }

    @Test func aLongerPrefixWhoseConditionsFailGivesWayToAShorter() throws {
        let table = try table(
            route(
                rule("one", match(.prefix("/a"))), rule("two", match(.prefix("/a/b"), headers: [("x", "1")])),
                rule("three", match(.prefix("/a/b/c"), method: "PUT")),
                rule("four", match(.exact("/a/b/c"), query: [("q", "1")]))))
        #expect(table.winner(request("a", "/a/b/c")) == "one")
        #expect(table.winner(request("a", "/a/b/c", [("x", "1")])) == "two")
        #expect(table.winner(request("a", "/a/b/c", method: "PUT", [("x", "1")])) == "three")
        #expect(table.winner(request("a", "/a/b/c?q=1", method: "PUT", [("x", "1")])) == "four")
    }

    @Test func theVerdictSaysHowMuchThePrefixCovers() throws {
        let table = try table(
            route(rule("a", match(.prefix("/foo/"))), rule("b", match(.exact("/x"))), rule("c", match(.prefix("/")))))
        #expect(table.match(request("a", "/foo/bar"), section: nil) == .rule(0, prefixLength: 4))
        #expect(table.match(request("a", "/x"), section: nil) == .rule(1, prefixLength: 0))
        #expect(table.match(request("a", "/y"), section: nil) == .rule(2, prefixLength: 0))
    }

    /// Requests are normalised before they are matched; a route may be written either way.
    @Test func pathsOfRoutesAreNormalisedLikeThoseOfRequests() throws {
        let route = route(rule("yes", match(.exact("/caf%c3%a9")), match(.prefix("/%7euser/"))))
        let edge = try table(route)
        for path in ["/caf%c3%a9", "/caf%C3%A9", "/~user/x", "/%7Euser"] {
            let head = request("h", path)
            #expect(PathNormalizer.normalize(head, role: .edge) == nil)
            #expect(edge.winner(head) == "yes", "\(path)")
        }
        // A sidecar compares bytes.
        let section = Section(name: "ns/g/s", protocol: .http, routes: [route])
        let sidecar = try ListenerTable(Listener(address: .any(port: 80), role: .sidecar, sections: [section])) { _ in 0
        }
        #expect(sidecar.winner(request("h", "/caf%c3%a9")) == "yes")
        #expect(sidecar.winner(request("h", "/caf%C3%A9")) == "404")
    }

    /// Against the plainest possible reading of the standard, for many random tables and requests.
    @Test func theIndexFindsWhatAScanFinds() throws {
        var random = Random(seed: 7)
        let parts = ["", "/a", "/b", "/a/b", "/a/b/a", "/a/a", "/ab", "/b/a/b/a"]
        for _ in 0..<60 {
            var rules: [RouteRule] = []
            for number in 0..<Int.random(in: 1...12, using: &random) {
                let path = parts.randomElement(using: &random)! + (Bool.random(using: &random) ? "/" : "")
                let kind = Int.random(in: 0..<2, using: &random)
                let text = path.isEmpty ? "/" : path
                rules.append(
                    rule(
                        "\(number)",
                        match(
                            kind == 0 ? .exact(text) : .prefix(text),
                            headers: Bool.random(using: &random) ? [("x", "1")] : [],
                            method: Bool.random(using: &random) ? "PUT" : nil)))
            }
            let table = try table(Route(name: "ns/r", rules: rules))
            for path in parts.map({ $0.isEmpty ? "/" : $0 }) + ["/a/b/", "/a/b/a/b", "/abc", "/b/a/b", "/c"] {
                for (method, headers) in [("GET", []), ("PUT", []), ("PUT", [("x", "1")]), ("GET", [("X", "1")])] {
                    let head = request("h", path, method: method, headers)
                    #expect(
                        table.winner(head) == scan(rules, path, method, !headers.isEmpty),
                        "\(path) \(method) \(headers) in \(rules.map(\.matches))")
                }
            }
        }
    }

    private func scan(_ rules: [RouteRule], _ path: String, _ method: String, _ hasHeader: Bool) -> String {
        var best: (name: String, rank: [Int])?
        for (order, rule) in rules.enumerated() {
            let match = rule.matches[0]
            if let wanted = match.method, wanted != method { continue }
            if !match.headers.isEmpty && !hasHeader { continue }
            var rank: [Int]
            switch match.path {
            case .exact(let text):
                guard path == text else { continue }
                rank = [1, 0]
            case .prefix(let text):
                let elements = text.split(separator: "/")
                guard path.split(separator: "/").starts(with: elements) else { continue }
                rank = [0, elements.joined(separator: "/").count]
            case .regex, .grpc: continue
            }
            rank += [match.method == nil ? 0 : 1, match.headers.count, -order]
            if let best, !best.rank.lexicographicallyPrecedes(rank) { continue }
            best = (rule.name, rank)
        }
        return best?.name ?? "404"
    }
}

@Suite struct PrecedenceTests {
    @Test func methodBeatsHeadersBeatQueryBeatsOrder() throws {
        let table = try table(
            route(
                rule("plain", match()), rule("again", match()), rule("query", match(query: [("q", "1")])),
                rule("queries", match(query: [("q", "1"), ("r", "1")])), rule("header", match(headers: [("a", "1")])),
                rule("headers", match(headers: [("a", "1"), ("b", "1")])), rule("method", match(method: "PUT"))))
        let both = [("a", "1"), ("b", "1")]
        #expect(table.winner(request("h", "/")) == "plain")
        #expect(table.winner(request("h", "/?q=1")) == "query")
        #expect(table.winner(request("h", "/?r=1&q=1")) == "queries")
        #expect(table.winner(request("h", "/?r=1&q=1", [("a", "1")])) == "header")
        #expect(table.winner(request("h", "/?r=1&q=1", both)) == "headers")
        #expect(table.winner(request("h", "/?r=1&q=1", method: "PUT", both)) == "method")
        // A longer prefix would go first, whatever else is asked for.
        let longer = try MeshTrafficTests.table(
            route(rule("a", match(headers: [("a", "1")], method: "PUT")), rule("b", match(.prefix("/p")))))
        #expect(longer.winner(request("h", "/p", method: "PUT", [("a", "1")])) == "b")
    }

    @Test func anyMatchOfARuleIsEnough() throws {
        let table = try table(
            route(rule("one", match(.prefix("/foo"), headers: [("version", "v2")]), match(.prefix("/v2/foo")))))
        #expect(table.winner(request("h", "/foo")) == "404")
        #expect(table.winner(request("h", "/foo", [("Version", "v2")])) == "one")
        #expect(table.winner(request("h", "/v2/foo/x")) == "one")
    }

    @Test func theOlderRouteWinsBetweenEquals() throws {
        let table = try table(route(rule("old", match(.prefix("/a")))), route(rule("new", match(.prefix("/a/")))))
        #expect(table.winner(request("h", "/a")) == "old")
    }
}

@Suite struct HostTests {
    @Test func moreSpecificHostsGoFirst() throws {
        let table = try table(
            route(rule("every", match())), route(["*.example.com"], rule("wide", match())),
            route(["*.b.example.com"], rule("narrow", match())),
            route(["a.example.com", "a.b.example.com"], rule("exact", match(.prefix("/only")))))
        let cases = [
            ("A.Example.com:80", "/only", "exact"), ("a.example.com", "/", "wide"), ("x.y.example.com", "/", "wide"),
            ("x.b.example.com", "/", "narrow"), ("a.b.example.com", "/other", "narrow"), ("example.com", "/", "every"),
            ("a.example.com.", "/only", "exact"), ("a.example.com.:8080", "/only", "exact"),
            ("notexample.com", "/", "every"),
            ("[::1]:80", "/", "every"), ("com", "/", "every"),
        ]
        for (host, path, expected) in cases { #expect(table.winner(request(host, path)) == expected, "\(host)") }
    }

    @Test func aRuleForTheExactHostBeatsALongerPathForAWildcard() throws {
        let table = try table(
            route(["*.example.com"], rule("wide", match(.exact("/a/b")))),
            route(["a.example.com"], rule("exact", match())))
        #expect(table.winner(request("a.example.com", "/a/b")) == "exact")
    }

    @Test func requestsWithoutHostGetTheRoutesOfEveryHost() throws {
        let table = try table(route(rule("every", match())), route(["a"], rule("a", match())))
        let head = request("a", "/")
        head.authorityRange = .empty
        #expect(table.winner(head) == "every")
    }

    @Test func aRouteForAHostIsNotForOthers() throws {
        let table = try table(route(["a.com"], rule("a", match())))
        #expect(table.winner(request("b.com", "/")) == "404")
    }
}

@Suite struct SectionTests {
    private func section(_ hostname: String, _ number: Int, _ kind: SectionProtocol, routeHosts: [String]? = nil)
        -> Section
    {
        Section(
            name: "ns/g/\(number)", hostname: Hostname(hostname)!, protocol: kind,
            routes: [route(routeHosts ?? [hostname], rule("\(number)", match(.prefix("/\(number)"))))])
    }

    /// The conformance test of isolation between listeners.
    @Test func clearTextRequestsBelongToTheBestSectionOnly() throws {
        let names = ["*", "*.example.com", "*.foo.example.com", "abc.foo.example.com"]
        let table = try table(names.enumerated().map { section($0.element, $0.offset, .http) })
        let hosts = ["bar.com", "bar.example.com", "bar.foo.example.com", "abc.foo.example.com"]
        for (own, host) in hosts.enumerated() {
            for number in names.indices {
                #expect(table.winner(request(host, "/\(number)")) == (number == own ? "\(number)" : "404"))
            }
        }
    }

    /// The conformance test of misdirected requests.
    @Test func requestsForAnotherSectionsHostAreMisdirected() throws {
        let any = Section(
            name: "ns/g/any", protocol: .https, routes: [route(["example.org"], rule("v1", match()))])
        func https(_ hostname: String, _ name: String) -> Section {
            Section(
                name: "ns/g/\(name)", hostname: Hostname(hostname)!, protocol: .https,
                routes: [route([hostname], rule(name, match()))])
        }
        let table = try table([
            any, https("second-example.org", "v2"), https("*.wildcard.org", "v3"), https("fourth.wildcard.org", "v4"),
        ])
        let cases = [
            ("example.org", "example.org", "v1"), ("example.org", "second-example.org", "421"),
            ("example.org", "unknown-example.org", "404"), ("second-example.org", "second-example.org", "v2"),
            ("second-example.org", "example.org", "421"), ("second-example.org", "unknown-example.org", "421"),
            ("third.wildcard.org", "third.wildcard.org", "v3"), ("third.wildcard.org", "fifth.wildcard.org", "v3"),
            ("third.wildcard.org", "fourth.wildcard.org", "421"), ("third.wildcard.org", "second-example.org", "421"),
            ("fourth.wildcard.org", "fourth.wildcard.org", "v4"), ("fourth.wildcard.org", "fifth.wildcard.org", "421"),
            ("unknown-example.org", "example.org", "v1"), ("", "example.org", "v1"),
        ]
        for (serverName, host, expected) in cases {
            let section = table.section(for: serverName)
            #expect(table.winner(request(host, "/"), section: section) == expected, "\(serverName) \(host)")
        }
    }

    @Test func noSectionMatchesIsNotFound() throws {
        let table = try table([section("a.com", 0, .https)])
        #expect(table.section(for: "b.com") == nil)
        #expect(table.section(for: "") == nil)
        #expect(table.section(for: "A.COM") == 0)
        #expect(table.section(for: "a.com.") == 0)
        #expect(table.winner(request("b.com", "/0"), section: 0) == "404")
    }

    @Test func streamsGoByServerName() throws {
        let routes = [
            StreamRoute(
                name: "ns/a", hostnames: [Hostname("*.example.com")!], backends: [WeightedBackend(.backend("wide"))]),
            StreamRoute(
                name: "ns/b", hostnames: [Hostname("a.example.com")!], backends: [WeightedBackend(.backend("exact"))]),
            StreamRoute(
                name: "ns/c", hostnames: [Hostname("a.example.com")!], backends: [WeightedBackend(.backend("late"))]),
        ]
        let sections = [
            Section(name: "ns/g/0", hostname: Hostname("*.example.com")!, protocol: .tls, streamRoutes: routes),
            Section(name: "ns/g/1", hostname: Hostname("other.com")!, protocol: .tls),
        ]
        let names = ["wide", "exact", "late"]
        let table = try ListenerTable(Listener(address: .any(port: 443), sections: sections)) {
            names.firstIndex(of: $0)
        }
        #expect(table.streamChoice(0, "A.example.com") == .backend(1, share: 0))
        #expect(table.streamChoice(0, "b.example.com") == .backend(0, share: 0))
        #expect(table.streamChoice(0, "b.a.example.com") == .backend(0, share: 0))
        #expect(table.streamChoice(0, "example.com") == nil)
        #expect(table.streamChoice(1, "other.com") == nil)
        let tcp = try ListenerTable(
            Listener(
                address: .any(port: 1),
                sections: [Section(name: "t", protocol: .tcp, streamRoutes: [StreamRoute(name: "ns/t", backends: [])])])
        ) { _ in nil }
        #expect(tcp.streamChoice(0, "") == Split.Choice.none)
    }
}

@Suite struct GRPCTests {
    private func grpc(
        _ name: String, _ service: StringMatch?, _ method: StringMatch?, _ headers: [(String, String)] = []
    )
        -> RouteRule
    {
        rule(name, match(.grpc(service: service, method: method), headers: headers))
    }

    @Test func mostCharactersOfTheServiceThenOfTheMethodGoFirst() throws {
        let table = try table(
            route(
                kind: .grpc, grpc("any", nil, nil), grpc("method", nil, .exact("Get")),
                grpc("service", .exact("a.Shop"), nil), grpc("header", .exact("a.Shop"), nil, [("x", "1")]),
                grpc("both", .exact("a.Shop"), .exact("Get")), grpc("methods", .exact("a.Shop"), .regex("(Put|Post)")),
                grpc("services", .regex("b\\.[A-Za-z]+"), nil),
                grpc("servicesGet", .regex("b\\.[A-Za-z]+"), .exact("Get"))))
        let cases = [
            ("/a.Shop/Get", "both"), ("/a.Shop/Put", "methods"), ("/a.Shop/List", "service"), ("/c.X/Get", "method"),
            ("/c.X/List", "any"), ("/b.X/List", "services"), ("/b.X/Get", "servicesGet"), ("/a.shop/get", "any"),
            ("/", "any"), ("/a.Shop", "any"),
        ]
        for (path, expected) in cases { #expect(table.winner(call("h", path)) == expected, "\(path)") }
        #expect(table.winner(call("h", "/a.Shop/List", [("X", "1")])) == "header")
        #expect(table.winner(call("h", "/a.Shop/Get", [("X", "1")])) == "both")
    }

    @Test func otherRequestsAreNotForGRPCRoutes() throws {
        let table = try table(
            route(kind: .grpc, grpc("grpc", nil, nil), grpc("exact", .exact("a"), .exact("b"))),
            route(rule("http", match(.prefix("/web")))))
        #expect(table.winner(request("h", "/a/b", method: "POST")) == "404")
        #expect(table.winner(request("h", "/web", method: "POST")) == "http")
        #expect(table.winner(call("h", "/web")) == "grpc")
        #expect(table.winner(call("h", "/a/b")) == "exact")
    }

    @Test func gRPCMayGoByAnHTTPRoute() throws {
        let table = try table(route(rule("http", match(.exact("/a.Shop/Get")))))
        #expect(table.winner(call("h", "/a.Shop/Get")) == "http")
    }
}
