import MeshCore
import MeshHTTP
import MeshModel
import MeshTraffic
import Testing

@Suite struct RoutePortTests {
    private func routes() -> [Route] {
        var web = route(["svc"], rule("web", match()))
        web.port = 80
        var admin = route(["svc"], rule("admin", match()))
        admin.port = 8080
        let any = route(["svc"], rule("any", match(.prefix("/any"))))
        return [web, admin, any]
    }

    private func clear() throws -> ListenerTable {
        try table([Section(name: "ns/g/s", protocol: .http, routes: routes())])
    }

    @Test(arguments: [
        ("svc", "/", "web"), ("svc:80", "/", "web"), ("svc:8080", "/", "admin"), ("SVC.:8080", "/", "admin"),
        ("svc:81", "/", "404"), ("svc:81", "/any", "any"), ("svc:8080", "/any", "any"), ("svc:08080", "/", "admin"),
    ])
    func requestsNameTheirPort(host: String, path: String, winner: String) throws {
        #expect(try clear().winner(request(host, path)) == winner)
    }

    @Test func inTLSNoPortIs443() throws {
        var secure = route(["svc"], rule("secure", match()))
        secure.port = 443
        let table = try table([Section(name: "ns/g/s", protocol: .https, routes: [secure] + routes())])
        let verdict = table.match(request("svc", "/"), section: 0)
        guard case .rule(let index, _) = verdict else {
            Issue.record("\(verdict)")
            return
        }
        #expect(table.rules[index].name.hasSuffix("secure"))
    }

    @Test func ofEqualMatchesTheOneForThePortGoesFirst() throws {
        var late = route(["svc"], rule("late", match()))
        late.port = 8080
        let table = try table(route(["svc"], rule("early", match())), late)
        #expect(table.winner(request("svc:8080", "/")) == "late")
        #expect(table.winner(request("svc:1", "/")) == "early")
    }

    @Test func explanationsNameThePort() throws {
        let explanation = try clear().explain(request("svc:8080", "/"), section: nil)
        let web = try #require(explanation.matches.first { $0.ruleName.hasSuffix("web") })
        #expect(web.outcome == .lost(why: "port 8080 is not 80"))
        #expect(web.match == "path prefix /, port 80")
    }

    @Test func redirectedConnectionsBringTheirSection() throws {
        let sections = ["a", "b"].map {
            Section(name: "ns/w/\($0)", protocol: .http, routes: [route(rule($0, match()))])
        }
        let listener = Listener(
            address: .any(port: 1),
            originalDestination: OriginalDestination(
                entries: [.init(port: 80, section: "ns/w/a"), .init(port: 81, section: "ns/w/b")]),
            sections: sections)
        let table = try ListenerTable(listener, backend: { _ in nil })
        for number in 0..<2 {
            guard case .rule(let index, _) = table.match(request("x", "/"), section: number) else {
                Issue.record("no rule for section \(number)")
                continue
            }
            #expect(table.rules[index].section == number)
        }
        #expect(table.match(request("x", "/"), section: nil) == .notFound)
        let explained = table.explain(request("x", "/"), section: 1)
        #expect(explained.sections.map(\.outcome) == [.lost(why: "the connection was not going to it"), .won])
    }
}
