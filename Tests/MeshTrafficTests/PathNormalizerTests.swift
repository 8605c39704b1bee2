import MeshCore
import MeshHTTP
import MeshModel
import MeshTraffic
import Testing

@Suite struct PathNormalizerTests {
    private func normal(_ path: String, _ role: Role) -> String? {
        let head = request("h", path)
        return PathNormalizer.normalize(head, role: role) == nil ? head.path : nil
    }

    @Test(arguments: [
        ("/", "/"), ("/a/b", "/a/b"), ("/a/b/", "/a/b/"), ("/a?b=../c", "/a?b=../c"), ("/?", "/?"),
        ("/%41%7e%2D", "/A~-"), ("/a%20b", "/a%20b"), ("/%c3%a9", "/%C3%A9"), ("/%3a%3A", "/%3A%3A"),
        ("/a/./b", "/a/b"), ("/a/../b", "/b"), ("/a/b/..", "/a/"), ("/a/b/.", "/a/b/"), ("/a/..", "/"), ("/.", "/"),
        ("/./", "/"), ("/a/b/c/./../../g", "/a/g"), ("/a/%2e%2E/b", "/b"), ("/a/.%2e/b", "/b"), ("/a/%2e", "/a/"),
        ("/...", "/..."), ("/.well-known/x", "/.well-known/x"), ("/..a/.b", "/..a/.b"), ("/a.b/c..d/", "/a.b/c..d/"),
        ("//", "/"), ("//a", "/a"), ("/a//b///c//", "/a/b/c/"), ("/a//../b", "/b"), ("/a/.//b", "/a/b"),
        ("/%252F", "/%252F"), ("/a;x=1/b", "/a;x=1/b"), ("/a%3Bb", "/a%3Bb"), ("/a/../b?%", "/b?%"),
        ("/a%20b?x=%2f%00", "/a%20b?x=%2f%00"), ("/a/../?x", "/?x"), ("/.;", nil), ("/..;/a", nil), ("/a/..;x/b", nil),
        ("/a/%2e%2e%3b/b", nil), ("/a/.%2e;/b", nil), ("/..", nil), ("/a/../..", nil), ("/a/../../b", nil),
        ("/%2e%2e/a", nil), ("//..", nil), ("/a%2fb", nil), ("/a%2Fb", nil), ("/a%5cb", nil), ("/a\\b", nil),
        ("/%00", nil), ("/a%", nil), ("/a%4", nil), ("/a%4?1", nil), ("/a%zz", nil), ("a", nil), ("", nil), ("?a", nil),
    ])
    func edge(path: String, expected: String?) {
        #expect(normal(path, .edge) == expected, "\(path)")
    }

    @Test(arguments: [
        ("/", "/"), ("/a/../b//c", "/a/../b//c"), ("/%2e%2E%2f%5c\\", "/%2e%2E%2f%5c\\"), ("/..;/", "/..;/"),
        ("/a?%", "/a?%"), ("/%00", nil), ("/a%", nil), ("/a%4", nil), ("/%g0", nil), ("/\u{0}", nil), ("a", nil),
    ])
    func sidecarKeepsBytes(path: String, expected: String?) {
        #expect(normal(path, .sidecar) == expected, "\(path)")
    }

    @Test func aNormalPathIsNotWrittenAgain() {
        for path in ["/", "/a/b-c_d~e.f/g;h=1?x=%2f//", "/a.b/c..d/"] {
            let head = request("h", path)
            let (bytes, range) = (head.byteCount, head.pathRange)
            #expect(PathNormalizer.normalize(head, role: .edge) == nil)
            #expect(head.byteCount == bytes && head.pathRange == range)
        }
    }

    @Test func aRefusedPathLeavesTheHeadAsItWas() {
        let head = request("h", "/a/b/../../../c")
        let bytes = head.byteCount
        #expect(PathNormalizer.normalize(head, role: .edge) == .invalidPath)
        #expect(head.path == "/a/b/../../../c" && head.byteCount == bytes)
    }

    @Test func otherTargetsAreNotLookedAt() {
        #expect(normal("*", .edge) == "*")
        let connect = request("h:1", "")
        connect.method = .connect
        #expect(PathNormalizer.normalize(connect, role: .edge) == nil)
        // A WebSocket over HTTP/2 has a path like any other request.
        connect.flags.insert(.extendedConnect)
        connect.pathRange = connect.store(Array("/a/../b".utf8).span)
        #expect(PathNormalizer.normalize(connect, role: .edge) == nil)
        #expect(connect.path == "/b")
    }

    /// What is normal stays, and the normal form has none of what it must not have.
    @Test func normalFormsAreStable() {
        var random = Random(seed: 3)
        let pieces = ["/", "/", ".", "..", "a", "%2e", "%41", "%20", ";", "%3b", "?", "//", "/../", "/./", "~", "%2f"]
        var accepted = 0
        for _ in 0..<4000 {
            var path = "/"
            for _ in 0..<Int.random(in: 0..<9, using: &random) { path += pieces.randomElement(using: &random)! }
            guard let once = normal(path, .edge) else { continue }
            accepted += 1
            #expect(normal(once, .edge) == once, "\(path)")
            let plain = once.prefix { $0 != "?" }
            let segments = plain.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
            #expect(!segments.contains(".") && !segments.contains(".."), "\(path)")
            #expect(!segments.dropLast().contains(""), "\(path)")
        }
        #expect(accepted > 500)
    }
}
