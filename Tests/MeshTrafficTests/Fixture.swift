import MeshCore
import MeshHTTP
import MeshModel
import MeshTraffic
import Testing

/// A request head as the HTTP/1 parser makes it, except for paths that it would refuse.
func request(
    _ host: String, _ path: String, method: String = "GET", _ headers: [(String, String)] = []
) -> MessageHead {
    let head = MessageHead()
    var text = "\(method) / HTTP/1.1\r\nHost: \(host)\r\n"
    for (name, value) in headers { text += "\(name): \(value)\r\n" }
    let bytes = Array((text + "\r\n").utf8)
    let result = HTTP1Parser.parseRequest(bytes.span, into: head, limits: HTTP1Limits())
    #expect(result == .complete(bytes.count))
    head.pathRange = head.store(Array(path.utf8).span)
    return head
}

/// A gRPC call.
func call(_ host: String, _ path: String, _ headers: [(String, String)] = []) -> MessageHead {
    request(host, path, method: "POST", [("content-type", "application/grpc+proto")] + headers)
}

/// A response head with these fields.
func response(_ headers: [(String, String)] = []) -> MessageHead {
    let head = MessageHead()
    head.status = 200
    for (name, value) in headers { head.append(name: Array(name.utf8).span, value: Array(value.utf8).span) }
    return head
}

func text(_ bytes: Span<UInt8>) -> String { String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self) }

extension MessageHead {
    /// The values of all fields called `name`.
    func values(_ name: String) -> [String] {
        var values: [String] = []
        let bytes = Array(name.utf8)
        var index = firstIndex(named: bytes.span)
        while let found = index {
            values.append(text(span(self[found].valueRange)))
            index = firstIndex(named: bytes.span, from: found + 1)
        }
        return values
    }

    var path: String { text(span(pathRange)) }
    var authority: String { text(span(authorityRange)) }
}

/// A rule called `name` with these matches.
func rule(_ name: String, _ matches: RouteMatch...) -> RouteRule { RouteRule(name: name, matches: matches) }

func match(
    _ path: PathMatch = .everything, headers: [(String, String)] = [], query: [(String, String)] = [],
    method: String? = nil
) -> RouteMatch {
    RouteMatch(
        path: path, headers: headers.map { NamedMatch(name: $0.0, value: .exact($0.1)) },
        queryParams: query.map { NamedMatch(name: $0.0, value: .exact($0.1)) }, method: method)
}

/// A route for these hosts.
func route(_ hostnames: [String], kind: Route.Kind = .http, _ rules: RouteRule...) -> Route {
    Route(name: "ns/r", kind: kind, hostnames: hostnames.map { Hostname($0)! }, rules: rules)
}

/// A route for every host.
func route(kind: Route.Kind = .http, _ rules: RouteRule...) -> Route {
    Route(name: "ns/r", kind: kind, rules: rules)
}

/// A table of one clear-text section for every host.
func table(_ routes: Route...) throws -> ListenerTable {
    try table([Section(name: "ns/g/s", protocol: .http, routes: routes)])
}

func table(_ sections: [Section]) throws -> ListenerTable {
    try ListenerTable(Listener(address: .any(port: 80), sections: sections)) { _ in 0 }
}

extension ListenerTable {
    func section(for serverName: String) -> Int? {
        let bytes = Array(serverName.utf8)
        return section(serverName: bytes.span)
    }

    func streamChoice(_ section: Int, _ serverName: String) -> Split.Choice? {
        let bytes = Array(serverName.utf8)
        return streamRoute(section: section, serverName: bytes.span)?.choose(1)
    }

    /// The winning rule's own name, or the status code. Every look-up is explained too, and must say the same.
    func winner(_ head: MessageHead, section: Int? = nil) -> String {
        let verdict = match(head, section: section)
        #expect(explain(head, section: section).verdict == verdict)
        switch verdict {
        case .rule(let index, _): return String(rules[index].name.split(separator: "/").last ?? "")
        case .notFound: return "404"
        case .misdirected: return "421"
        }
    }
}
