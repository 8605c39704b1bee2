import MeshCore
import MeshHTTP
import MeshModel
import MeshTraffic
import Testing

@Suite struct ScaleTests {
    /// Ten prefixes on each of a thousand hosts, half of them under wildcards.
    @Test func tenThousandRoutesAreFound() throws {
        let routes = (0..<1000).map { host in
            Route(
                name: "ns/\(host)",
                hostnames: [Hostname(host % 2 == 0 ? "h\(host).example.com" : "*.w\(host).example.com")!],
                rules: (0..<10).map { rule("\(host)-\($0)", match(.prefix("/p\($0)/x"))) })
        }
        let table = try MeshTrafficTests.table([Section(name: "ns/g/s", protocol: .http, routes: routes)])
        #expect(table.rules.count == 10_000)
        var random = Random(seed: 5)
        for _ in 0..<2000 {
            let host = Int.random(in: 0..<1000, using: &random)
            let path = Int.random(in: 0..<10, using: &random)
            let name = host % 2 == 0 ? "h\(host).example.com" : "a.w\(host).example.com"
            #expect(
                table.match(request(name, "/p\(path)/x/y"), section: nil)
                    == .rule(host * 10 + path, prefixLength: path < 10 ? 5 : 6))
            #expect(table.match(request(name, "/p\(path)"), section: nil) == .notFound)
        }
    }
}
