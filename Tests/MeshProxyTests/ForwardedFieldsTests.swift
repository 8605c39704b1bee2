import MeshCore
import MeshHTTP
import MeshModel
import MeshNet
import Testing

@testable import MeshProxy

/// What an endpoint is told about the client, without a socket in the way.
@Suite struct ForwardedFieldsTests {
    private let worker: Worker

    init() throws { worker = try Worker(process: ProcessServices(), seed: 1) }

    private func origin(_ role: Role, trustedHops: Int = 0, isTLS: Bool = false) throws -> DownstreamOrigin {
        let listener = Listener(address: .ip("127.0.0.1", port: 80), role: role, trustedHops: trustedHops)
        let served = try ServedListener(listener, backend: { _ in nil }, previous: nil)
        let source = ListenerSource(fd: -1, address: .ipv4(0, port: 80), key: served.key, worker: worker)
        return DownstreamOrigin(source, served, section: isTLS ? "ns/g/s" : nil, isTLS: isTLS)
    }

    private func forward(_ request: MessageHead, _ origin: DownstreamOrigin) throws {
        let peer = try #require(SocketAddress(ip: "192.0.2.7", port: 4711))
        let connection = Connection(fd: -1, peer: peer, worker: worker)
        ForwardedFields.write(to: request, origin, connection, worker)
    }

    @Test(arguments: [
        (0, "192.0.2.7"),
        (1, "10.0.0.3, 192.0.2.7"),
        (2, "10.0.0.2, 10.0.0.3, 192.0.2.7"),
        (9, "10.0.0.1, 10.0.0.2, 10.0.0.3, 192.0.2.7"),
    ])
    func edgeBelievesAsManyHopsAsAreTrusted(hops: Int, expected: String) throws {
        let head = request("/", [("X-Forwarded-For", "10.0.0.1, 10.0.0.2, 10.0.0.3")])
        try forward(head, try origin(.edge, trustedHops: hops))
        #expect(head.values("x-forwarded-for") == [expected])
    }

    /// Limits and balancers that go by address mean the client, not the proxy in front.
    @Test(arguments: [
        (0, "10.0.0.1", "192.0.2.7"),
        (1, "10.0.0.1", "10.0.0.1"),
        (1, "10.0.0.1, 10.0.0.2", "10.0.0.2"),
        (2, "10.0.0.1 ,10.0.0.2", "10.0.0.1"),
        (3, "10.0.0.1, 10.0.0.2", "10.0.0.1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "10.0.0.1:4711", "10.0.0.1"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "fe80::1%lo", "192.0.2.7"),
        (1, "unknown", "192.0.2.7"),
        (1, "", "192.0.2.7"),
    ])
    func theClientIsWhomTrustedHopsName(hops: Int, field: String, expected: String) throws {
        let head = request("/", [("X-Forwarded-For", field)])
        let origin = try origin(.edge, trustedHops: hops)
        try forward(head, origin)
        let peer = try #require(SocketAddress(ip: "192.0.2.7", port: 4711))
        let connection = Connection(fd: -1, peer: peer, worker: worker)
        #expect(ForwardedFields.client(of: head, origin, connection).host == expected)
    }

    @Test func withoutAFieldOrAtASidecarThePeerIsTheClient() throws {
        let peer = try #require(SocketAddress(ip: "192.0.2.7", port: 4711))
        let connection = Connection(fd: -1, peer: peer, worker: worker)
        let named = request("/", [("X-Forwarded-For", "10.0.0.1")])
        #expect(ForwardedFields.client(of: named, try origin(.sidecar), connection) == peer)
        #expect(ForwardedFields.client(of: request("/", []), try origin(.edge, trustedHops: 1), connection) == peer)
    }

    @Test func sidecarKeepsAll() throws {
        let head = request(
            "/",
            [
                ("X-Forwarded-For", "10.0.0.1,10.0.0.2"), ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "a.example"),
                ("X-Forwarded-Client-Cert", "By=a"), ("X-Request-Id", "mine"),
            ])
        try forward(head, try origin(.sidecar))
        #expect(head.values("x-forwarded-for") == ["10.0.0.1,10.0.0.2, 192.0.2.7"])
        #expect(head.values("x-forwarded-proto") == ["https"])
        #expect(head.values("x-forwarded-host") == ["a.example"])
        #expect(head.values("x-forwarded-client-cert") == ["By=a"])
        #expect(head.values("x-request-id") == ["mine"])
    }

    @Test func edgeOverwritesWhatAStrangerSays() throws {
        let head = request(
            "/",
            [
                ("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-For", "10.0.0.2"), ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "a.example"), ("X-Forwarded-Port", "1"), ("Forwarded", "for=a"),
                ("X-Real-IP", "a"),
                ("X-Forwarded-Client-Cert", "By=a"),
            ])
        try forward(head, try origin(.edge))
        #expect(head.values("x-forwarded-for") == ["192.0.2.7"])
        #expect(head.values("x-forwarded-proto") == ["http"])
        #expect(head.values("x-forwarded-host") == ["shop.example"])
        for name in ["x-forwarded-port", "forwarded", "x-real-ip", "x-forwarded-client-cert"] {
            #expect(head.values(name) == [], "\(name)")
        }
    }

    @Test func aTrustedHopDoesNotVouchForCertificates() throws {
        let head = request("/", [("X-Forwarded-Client-Cert", "By=a"), ("X-Forwarded-Proto", "https")])
        try forward(head, try origin(.edge, trustedHops: 1))
        #expect(head.values("x-forwarded-client-cert") == [])
        #expect(head.values("x-forwarded-proto") == ["https"])
    }

    @Test func schemeIsTheConnections() throws {
        let head = request()
        try forward(head, try origin(.edge, isTLS: true))
        #expect(head.values("x-forwarded-proto") == ["https"])
    }

    @Test func everyRequestGetsItsOwnID() throws {
        let (one, other) = (request(), request())
        try forward(one, try origin(.edge))
        try forward(other, try origin(.edge))
        let ids = one.values("x-request-id") + other.values("x-request-id")
        #expect(ids.count == 2 && ids[0] != ids[1])
        #expect(ids.allSatisfy { $0.utf8.count == 32 && $0.allSatisfy(\.isHexDigit) })
    }

    @Test func hopByHopFieldsGo() throws {
        let head = request("/", [("Connection", "x-mine"), ("X-Mine", "1"), ("Keep-Alive", "1"), ("X-Yours", "1")])
        try forward(head, try origin(.edge))
        for name in ["connection", "x-mine", "keep-alive"] { #expect(head.values(name) == [], "\(name)") }
        #expect(head.values("x-yours") == ["1"])
    }

    @Test func underscoresAreForSidecarsOnly() throws {
        let fields = [("X_Forwarded_For", "1"), ("x-user_", "2"), ("_", "3"), ("X-User", "4_4")]
        let edge = request("/", fields)
        #expect(RequestRules.apply(to: edge, try origin(.edge)) == nil)
        for name in ["x_forwarded_for", "x-user_", "_"] { #expect(edge.values(name) == [], "\(name)") }
        #expect(edge.values("x-user") == ["4_4"])
        let sidecar = request("/", fields)
        #expect(RequestRules.apply(to: sidecar, try origin(.sidecar)) == nil)
        for (name, value) in fields { #expect(sidecar.values(name.lowercased()) == [value], "\(name)") }
    }

    @Test func aPathThatLeavesTheRootIsRefused() throws {
        #expect(RequestRules.apply(to: request("/a/../../b"), try origin(.edge)) == .invalidPath)
        let inside = request("/a/../b")
        #expect(RequestRules.apply(to: inside, try origin(.edge)) == nil)
        #expect(text(inside.span(inside.pathRange)) == "/b")
    }
}
