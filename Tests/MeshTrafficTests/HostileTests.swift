import MeshCore
import MeshHTTP
import MeshModel
import MeshTraffic
import Testing

@Suite struct HostileTests {
    /// Nothing that a head can hold makes matching, normalising or a filter trap.
    @Test func anyBytesAreDecided() throws {
        let table = try table(
            route(
                rule("a", match(.prefix("/a"), query: [("q", "1")])), rule("b", match(.regex("/b.*"))),
                rule("c", match(.exact("/c"), headers: [("cookie", "a=1; b=2")])), rule("root", match())),
            route(["*.example.com"], rule("wide", match())),
            route(kind: .grpc, rule("g", match(.grpc(service: .regex(".*"), method: .exact("Get"))))))
        let filters = FilterChain([
            .urlRewrite(URLRewrite(path: .replacePrefixMatch("/x"))), .cors(CORS(allowOrigins: ["https://*.a.com:1"])),
            .requestRedirect(RequestRedirect(path: .replacePrefixMatch(""))),
        ]) { _ in nil }
        let pieces = [
            "/", "?", "%", "%2", "%00", "&", "=", "+", ".", "..", ":", "[", "]", "a", "example.com", "\u{0}", "\\", ";",
            "é", "q=1",
        ]
        var random = Random(seed: 9)
        func bytes() -> [UInt8] {
            Array(
                (0..<Int.random(in: 0..<8, using: &random)).map { _ in pieces.randomElement(using: &random)! }.joined()
                    .utf8)
        }
        for _ in 0..<5000 {
            let head = MessageHead()
            head.pathRange = head.store(bytes().span)
            head.authorityRange = head.store(bytes().span)
            head.methodRange = head.store(bytes().span)
            head.method = Bool.random(using: &random) ? .options : .get
            if Bool.random(using: &random) { head.flags.insert(.grpc) }
            for name in ["cookie", "cookie", "origin", "access-control-request-method"] {
                head.append(name: Array(name.utf8).span, value: bytes().span)
            }
            _ = PathNormalizer.normalize(head, role: Bool.random(using: &random) ? .edge : .sidecar)
            let verdict = table.match(head, section: nil)
            #expect(table.explain(head, section: nil).verdict == verdict)
            let facts = RequestFacts(
                isTLS: false, port: 80, prefixLength: Int.random(in: -1..<20, using: &random))
            #expect(filters.applyRequest(head, answer: MessageHead(), facts: facts) != .next)
            filters.applyResponse(response(), request: head)
        }
    }
}
