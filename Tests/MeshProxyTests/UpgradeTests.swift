import MeshCore
import MeshHTTP
import Testing

@testable import MeshProxy

@Suite struct UpgradeTests {
    /// The example of RFC 6455 §1.3.
    private static let key = "dGhlIHNhbXBsZSBub25jZQ=="
    private static let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

    private func handshake(_ protocolName: String = "websocket") -> MessageHead {
        request(
            "/chat",
            [
                ("Upgrade", protocolName), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", Self.key),
                ("Sec-WebSocket-Version", "13"),
            ])
    }

    private func extendedConnect(_ protocolName: String = "websocket") -> MessageHead {
        let head = request("/chat", [("sec-websocket-version", "13")])
        head.version = .http2
        head.method = .connect
        head.methodRange = head.store(Array("CONNECT".utf8).span)
        head.protocolRange = head.store(Array(protocolName.utf8).span)
        head.flags.insert(.extendedConnect)
        head.bodyLength = .unknown
        return head
    }

    private func worker() throws -> Worker { try Worker(process: ProcessServices(), seed: 1) }

    @Test func plainRequestsAskForNothing() {
        #expect(!Upgrade(request()).isWanted)
        // Without the Connection option the field means nothing (RFC 9110 §7.8).
        #expect(!Upgrade(request("/", [("Upgrade", "websocket")])).isWanted)
    }

    @Test(arguments: ["h2c", "H2C", "websocket, h2c", "h2c, websocket"])
    func h2cIsNeverHonoured(token: String) {
        #expect(!Upgrade(request("/", [("Upgrade", token), ("Connection", "Upgrade")])).isWanted)
    }

    @Test func anUpgradeWithABodyIsNone() {
        let head = request("/", [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Content-Length", "3")])
        #expect(!Upgrade(head).isWanted)
    }

    @Test func fieldToHTTP1StaysAField() throws {
        let head = handshake()
        var upgrade = Upgrade(head)
        #expect(upgrade.isWanted && upgrade.isField)
        let prepared = upgrade.prepareHTTP1(head, try worker())
        let token = try #require(prepared)
        #expect(text(head.span(token)) == "websocket")
        #expect(head.values("sec-websocket-key") == [Self.key])

        let answer = response(
            101,
            [
                ("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", "from the endpoint"),
            ])
        upgrade.complete(request: head, response: answer)
        #expect(answer.status == 101)
        #expect(answer.values("connection") == ["upgrade"])
        #expect(answer.values("upgrade") == ["websocket"])
        #expect(answer.values("sec-websocket-accept") == ["from the endpoint"])
    }

    @Test func fieldToHTTP2AndBack() {
        let head = handshake()
        var upgrade = Upgrade(head)
        upgrade.prepareHTTP2(head)
        #expect(head.method == .connect)
        #expect(head.methodText == "CONNECT")
        #expect(head.protocolText == "websocket")
        #expect(head.flags.contains(.extendedConnect))
        #expect(head.values("sec-websocket-key") == [])
        #expect(head.values("sec-websocket-version") == ["13"])

        let answer = response(200, [("sec-websocket-protocol", "chat")])
        upgrade.complete(request: head, response: answer)
        #expect(answer.status == 101)
        #expect(answer.bodyLength == .none)
        #expect(answer.values("connection") == ["upgrade"])
        #expect(answer.values("upgrade") == ["websocket"])
        #expect(answer.values("sec-websocket-accept") == [Self.accept])
        #expect(answer.values("sec-websocket-protocol") == ["chat"])
    }

    @Test func otherProtocolsGetNoAccept() {
        let head = request("/", [("Upgrade", "spdy/3"), ("Connection", "Upgrade")])
        var upgrade = Upgrade(head)
        upgrade.prepareHTTP2(head)
        let answer = response(200)
        upgrade.complete(request: head, response: answer)
        #expect(answer.values("upgrade") == ["spdy/3"])
        #expect(answer.values("sec-websocket-accept") == [])
    }

    @Test func extendedConnectToHTTP1AndBack() throws {
        let head = extendedConnect()
        var upgrade = Upgrade(head)
        #expect(upgrade.isWanted && !upgrade.isField)
        let worker = try worker()
        let prepared = upgrade.prepareHTTP1(head, worker)
        let token = try #require(prepared)
        #expect(text(head.span(token)) == "websocket")
        #expect(head.method == .get)
        #expect(head.methodText == "GET")
        #expect(!head.flags.contains(.extendedConnect))
        #expect(head.bodyLength == .none)
        let keys = head.values("sec-websocket-key")
        // 16 bytes in Base64 (RFC 6455 §4.1).
        #expect(keys.count == 1 && keys[0].utf8.count == 24 && keys[0].hasSuffix("=="))
        // A replay of the attempt asks again, with what is there.
        let again = upgrade.prepareHTTP1(head, worker)
        #expect(again == token)
        #expect(head.values("sec-websocket-key") == keys)

        let answer = response(
            101,
            [
                ("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", "x"),
                ("sec-websocket-protocol", "chat"),
            ])
        upgrade.complete(request: head, response: answer)
        #expect(answer.status == 200)
        #expect(answer.bodyLength == .unknown)
        for name in ["upgrade", "connection", "sec-websocket-accept", "content-length"] {
            #expect(answer.values(name) == [], "\(name)")
        }
        #expect(answer.values("sec-websocket-protocol") == ["chat"])
    }

    @Test func extendedConnectOfAnotherProtocolHasNoKey() throws {
        let head = extendedConnect("connect-udp")
        var upgrade = Upgrade(head)
        let token = upgrade.prepareHTTP1(head, try worker())
        #expect(token != nil)
        #expect(head.values("sec-websocket-key") == [])
    }

    @Test func extendedConnectThatHasEndedIsNone() {
        let head = extendedConnect()
        head.bodyLength = .none
        #expect(!Upgrade(head).isWanted)
    }
}
