import MeshCore
import MeshHTTP
import MeshModel
import MeshTraffic
import Testing

@Suite struct HeaderMatchTests {
    private func fits(_ match: StringMatch, name: String = "x-a", _ headers: [(String, String)]) throws -> Bool {
        let table = try table(
            route(rule("yes", RouteMatch(headers: [NamedMatch(name: name, value: match)]))))
        return table.winner(request("h", "/", headers)) == "yes"
    }

    @Test func namesIgnoreCaseAndValuesDoNot() throws {
        #expect(try fits(.exact("one"), [("X-A", "one")]))
        #expect(try fits(.exact("one"), name: "X-a", [("x-A", "one")]))
        #expect(try !fits(.exact("one"), [("x-a", "One")]))
        #expect(try !fits(.exact("one"), [("x-a", "one two")]))
        #expect(try !fits(.exact("one"), [("x-b", "one")]))
        #expect(try !fits(.exact("one"), []))
        #expect(try fits(.exact("agent"), name: "user-agent", [("User-Agent", "agent")]))
    }

    @Test func severalFieldsOfOneNameAreOneList() throws {
        let list = [("x-a", "one"), ("y", "z"), ("X-A", "two"), ("x-a", "three")]
        #expect(try fits(.exact("one,two,three"), list))
        #expect(try !fits(.exact("one"), list))
        #expect(try !fits(.exact("one,two"), list))
        #expect(try !fits(.exact("one,two,three,four"), list))
        #expect(try fits(.regex("one,.*,three"), list))
        #expect(try !fits(.regex("one"), list))
        #expect(try fits(.exact("a=1; b=2"), name: "cookie", [("cookie", "a=1"), ("Cookie", "b=2")]))
    }

    @Test func regularExpressionsMatchTheWholeValue() throws {
        #expect(try fits(.regex("v[0-9]"), [("x-a", "v1")]))
        #expect(try !fits(.regex("v[0-9]"), [("x-a", "v12")]))
        #expect(try fits(.regex(""), [("x-a", "")]))
    }

    /// Too large for a table: the same answers, in one piece and in several.
    @Test func largeExpressionsMatchLikeSmallOnes() throws {
        let pattern = "(a|b)*a(a|b){20}(,z)?"
        let long = "b" + "a" + String(repeating: "ab", count: 10)
        #expect(try fits(.regex(pattern), [("x-a", long)]))
        #expect(try !fits(.regex(pattern), [("x-a", long + "c")]))
        #expect(try !fits(.regex(pattern), [("x-a", String(repeating: "b", count: 40))]))
        #expect(try fits(.regex(pattern), [("x-a", long), ("x-a", "z")]))
        #expect(try !fits(.regex(pattern), [("x-a", long), ("x-a", "y")]))
    }

    @Test func ofTwoMatchesForOneNameTheFirstCounts() throws {
        let both = [NamedMatch(name: "X", value: .exact("1")), NamedMatch(name: "x", value: .exact("2"))]
        let table = try table(route(rule("yes", RouteMatch(headers: both))))
        #expect(table.winner(request("h", "/", [("x", "1")])) == "yes")
        #expect(table.winner(request("h", "/", [("x", "2")])) == "404")
    }

    @Test func hostIsTheAuthorityInEveryVersion() throws {
        let table = try table(route(rule("yes", match(headers: [("host", "a:8080")]))))
        let head = request("a:8080", "/")
        head.removeAll(.host)
        #expect(table.winner(head) == "yes")
    }

    @Test func aBrokenExpressionIsAnError() {
        #expect(throws: ProxyError.self) { try table(route(rule("x", match(.regex("("))))) }
    }

    @Test func methodsAreComparedExactly() throws {
        let table = try table(route(rule("yes", match(method: "PURGE"))))
        #expect(table.winner(request("h", "/", method: "PURGE")) == "yes")
        #expect(table.winner(request("h", "/", method: "purge")) == "404")
        #expect(table.winner(request("h", "/")) == "404")
    }
}

@Suite struct QueryMatchTests {
    private func fits(_ name: String, _ match: StringMatch, _ target: String) throws -> Bool {
        let table = try table(
            route(rule("yes", RouteMatch(queryParams: [NamedMatch(name: name, value: match)]))))
        return table.winner(request("h", target)) == "yes"
    }

    @Test(arguments: [
        ("/?animal=whale", true), ("/?x=1&animal=whale&y", true), ("/?animal=whaledolphin", false),
        ("/?ANIMAL=whale", false), ("/?animal=Whale", false), ("/", false), ("/animal=whale", false),
        ("/?animal", false), ("/?animal=", false), ("/?animal=dog&animal=whale", false),
        ("/?animal=whale&animal=dog", true), ("/?anim%61l=wh%61le", true), ("/?animal=whale%", false),
        ("/?xanimal=whale", false), ("/?&&animal=whale", true), ("/?animal=wha=le", false),
    ])
    func exact(target: String, expected: Bool) throws {
        #expect(try fits("animal", .exact("whale"), target) == expected)
    }

    @Test func valuesAreWhatTheApplicationReads() throws {
        #expect(try fits("q", .exact("a b"), "/?q=a+b"))
        #expect(try fits("q", .exact("a b"), "/?q=a%20b"))
        #expect(try fits("q", .exact("a+b"), "/?q=a%2Bb"))
        #expect(try fits("q", .exact("a=b&c"), "/?q=a=b%26c"))
        #expect(try fits("q", .exact("50%"), "/?q=50%"))
        #expect(try fits("q", .exact("%zz"), "/?q=%zz"))
        #expect(try fits("q", .exact(""), "/?q"))
        #expect(try fits("q", .regex("[a-c ]+"), "/?q=a+%62"))
        #expect(try !fits("q", .regex("[a-c ]+"), "/?q=a+%64"))
    }

    /// The conformance table for combinations of query parameters with other matches.
    @Test func combinations() throws {
        let table = try table(
            route(
                rule("v1", match(query: [("animal", "whale")])),
                rule("v2", match(query: [("animal", "dolphin")])),
                rule(
                    "v3", match(query: [("animal", "dolphin"), ("color", "blue")]), match(query: [("ANIMAL", "Whale")])),
                rule("p1", match(.prefix("/path1"), query: [("animal", "whale")])),
                rule("h1", match(headers: [("version", "one")], query: [("animal", "whale")])),
                rule("ph", match(.prefix("/path2"), headers: [("version", "two")], query: [("animal", "whale")]))))
        let cases: [(String, [(String, String)], String)] = [
            ("/?animal=whale", [], "v1"), ("/?animal=dolphin", [], "v2"), ("/?animal=dolphin&color=blue", [], "v3"),
            ("/?ANIMAL=Whale", [], "v3"), ("/?animal=dolphin&color=yellow", [], "v2"), ("/?color=blue", [], "404"),
            ("/path1?animal=whale", [], "p1"), ("/?animal=whale", [("version", "one")], "h1"),
            ("/path2?animal=whale", [("version", "two")], "ph"), ("/path2?animal=whale", [], "v1"),
        ]
        for (target, headers, expected) in cases {
            #expect(table.winner(request("h", target, headers)) == expected, "\(target)")
        }
    }
}
