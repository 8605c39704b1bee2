import MeshCore
import Testing

@testable import MeshTLS

private let pki = DevelopmentPKI.shared

private func connected() throws -> Pair {
    let pair = Pair(
        try TLSServerContext(certificates: [pki.certificate("shop")]),
        try TLSClientContext(trust: .authorities(caPEM: pki.file("root.pem"))))
    pair.handshake()
    precondition(pair.server.isEstablished && pair.client.isEstablished)
    return pair
}

private func noise(_ count: Int, seed: UInt64) -> [UInt8] {
    var random = Random(seed: seed)
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
}

@Suite struct DataTests {
    @Test(arguments: [(1, 1 << 16), (1021, 777), (16_401, 16_385), (65_536, 70_001)])
    func aMebibyteEachWay(carried: Int, room: Int) throws {
        let pair = try connected()
        pair.chunk = carried
        let bytes = noise(1 << 20, seed: 7)
        #expect(pair.transfer(bytes, from: pair.client, room: room) == bytes)
        #expect(pair.transfer(bytes, from: pair.server, room: room) == bytes)
        #expect(pair.server.read(count: 10, output: &pair.toClient).code == TLSSession.needsInput)
        #expect(!pair.server.pendingPlaintext)
        #expect(pair.pools.medium.liveCount == 0 && pair.pools.small.liveCount == 0)
    }

    @Test func queuesAreEncryptedInFewRecords() throws {
        let pair = try connected()
        var plain = OutputQueue(pools: pair.pools)
        var expected: [UInt8] = []
        for round in 0..<40 {
            // Small runs, and runs by reference of 3,000 bytes and of more than a record.
            let small = noise(100, seed: UInt64(round))
            plain.append(copying: small.span)
            let large = noise(round % 3 == 0 ? 40_000 : 3000, seed: UInt64(1000 + round))
            plain.append(Slice.copy(of: large.span, in: pair.pools.medium))
            expected += small + large
        }
        #expect(plain.runCount > 40)
        let total = plain.byteCount
        #expect(pair.client.write(queue: &plain, upTo: 100_001, output: &pair.toServer))
        #expect(plain.byteCount == total - 100_001)
        #expect(pair.client.write(queue: &plain, output: &pair.toServer))
        #expect(plain.byteCount == 0)
        // 22 bytes a record in TLS 1.3: at most one short record per run that is longer than a record.
        #expect(pair.toServer.byteCount <= total + 22 * (total / 16_384 + 1 + 40))
        pair.carry()
        var received: [UInt8] = []
        while received.count < total {
            let (code, bytes) = pair.server.read(count: 50_000, output: &pair.toClient)
            if code <= 0 { break }
            received += bytes
        }
        #expect(received == expected)
    }

    @Test func smallRunsShareOneRecord() throws {
        let pair = try connected()
        var plain = OutputQueue(pools: pair.pools)
        for _ in 0..<4 { plain.append(Slice.copy(of: noise(2500, seed: 1).span, in: pair.pools.small)) }
        #expect(plain.runCount == 4)
        #expect(pair.server.write(queue: &plain, output: &pair.toClient))
        #expect(pair.toClient.byteCount == 10_000 + 22)
    }

    @Test func closeNotifyIsAnEnd() throws {
        let pair = try connected()
        #expect(pair.client.write([1, 2, 3].span, output: &pair.toServer))
        pair.client.close(output: &pair.toServer)
        pair.carry()
        #expect(pair.server.read(count: 10, output: &pair.toClient).bytes == [1, 2, 3])
        #expect(pair.server.read(count: 10, output: &pair.toClient).code == TLSSession.closedByPeer)
        #expect(pair.server.read(count: 10, output: &pair.toClient).code == TLSSession.closedByPeer)
        #expect(pair.server.failure == nil)
        // The other direction stays open.
        #expect(pair.server.write([4].span, output: &pair.toClient))
        pair.carry()
        #expect(pair.client.read(count: 10, output: &pair.toServer).bytes == [4])
        #expect(!pair.client.write([5].span, output: &pair.toServer))
    }

    @Test func anEndWithoutCloseNotifyIsATruncation() throws {
        let pair = try connected()
        #expect(pair.client.write([1].span, output: &pair.toServer))
        pair.carry()
        pair.server.feedEnd()
        #expect(pair.server.read(count: 10, output: &pair.toClient).bytes == [1])
        #expect(pair.server.read(count: 10, output: &pair.toClient).code == TLSSession.broken)
        #expect(pair.server.failure?.kind == .truncated)
        let half = Pair(
            try TLSServerContext(certificates: [pki.certificate("shop")]), try TLSClientContext(trust: .none))
        half.server.feedEnd()
        guard case .failed(let failure) = half.server.handshake(output: &half.toClient) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.kind == .truncated)
    }

    @Test func aChangedBitBreaksTheConnection() throws {
        let pair = try connected()
        #expect(pair.client.write(noise(1000, seed: 3).span, output: &pair.toServer))
        var record = pair.toServer.drain()
        record[500] ^= 1
        pair.server.feed(Slice.copy(of: record.span, in: pair.pools.medium))
        #expect(pair.server.read(count: 2000, output: &pair.toClient).code == TLSSession.broken)
        #expect(pair.server.failure?.kind == .protocolError)
        // The peer is told.
        #expect(pair.toClient.byteCount > 0)
        pair.carry()
        #expect(pair.client.read(count: 10, output: &pair.toServer).code == TLSSession.broken)
        #expect(pair.client.failure?.kind == .peerAlert)
        #expect(!pair.server.write([1].span, output: &pair.toClient))
    }

    @Test func plainHTTPIsNotTLS() throws {
        let pair = Pair(
            try TLSServerContext(certificates: [pki.certificate("shop")]), try TLSClientContext(trust: .none))
        pair.server.feed(Slice.copy(of: Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8).span, in: pair.pools.small))
        guard case .failed(let failure) = pair.server.handshake(output: &pair.toClient) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.kind == .notTLS)
        #expect(failure.description == "http request")
    }

    @Test func garbageNeverCrashes() throws {
        let context = try TLSServerContext(certificates: [pki.certificate("shop")])
        let clientContext = try TLSClientContext(trust: .none)
        var random = Random(seed: 11)
        for round in 0..<500 {
            let pair = Pair(context, clientContext)
            _ = pair.client.handshake(output: &pair.toServer)
            var hello = pair.toServer.drain()
            for _ in 0...Int(random.next() % 8) {
                hello[Int(random.next() % UInt64(hello.count))] = UInt8(truncatingIfNeeded: random.next())
            }
            pair.server.feed(Slice.copy(of: hello.span, in: pair.pools.medium))
            _ = pair.server.handshake(output: &pair.toClient)
            pair.server.feedEnd()
            let after = pair.server.handshake(output: &pair.toClient)
            guard case .failed = after else {
                Issue.record("round \(round): \(after)")
                return
            }
        }
    }

    @Test func nothingIsSentOrReadBeforeTheHandshake() throws {
        let pair = Pair(
            try TLSServerContext(certificates: [pki.certificate("shop")]), try TLSClientContext(trust: .none))
        #expect(!pair.client.write([1].span, output: &pair.toServer))
        #expect(pair.client.read(count: 1, output: &pair.toServer).code == TLSSession.needsInput)
        #expect(pair.toServer.byteCount == 0)
    }
}

@Suite struct CertificateTests {
    private func error(_ certificate: TLSCertificate) -> String {
        do {
            _ = try TLSServerContext(certificates: [certificate])
            return "none"
        } catch {
            return error.description
        }
    }

    @Test func errorsNameTheCertificateAndTheCause() {
        var wrong = pki.certificate("shop")
        wrong.keyPEM = pki.file("client.key")
        #expect(error(wrong) == "shop: the private key does not belong to the certificate")
        wrong.keyPEM = pki.file("encrypted.key")
        #expect(error(wrong).hasPrefix("shop: the private key is encrypted"))
        wrong.keyPEM = pki.file("encrypted8.key")
        #expect(error(wrong).hasPrefix("shop: the private key is encrypted"))
        wrong.keyPEM = Array("hello".utf8)
        #expect(error(wrong) == "shop: no PEM private key (-----BEGIN PRIVATE KEY-----) found")
        wrong.keyPEM = []
        #expect(error(wrong) == "shop: the private key is empty")
        wrong = pki.certificate("shop")
        wrong.chainPEM = []
        #expect(error(wrong) == "shop: the certificate is empty")
        wrong.chainPEM = Array("hello".utf8)
        #expect(error(wrong) == "shop: no PEM certificate (-----BEGIN CERTIFICATE-----) found")
        wrong.chainPEM =
            pki.file("shop.pem") + Array("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".utf8)
        #expect(error(wrong).hasPrefix("shop: certificate 3 is broken"))
        wrong.keyPEM = Array("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".utf8)
        wrong.chainPEM = pki.file("shop.pem")
        #expect(error(wrong).hasPrefix("shop: the private key is broken"))
    }

    @Test func otherConfigurationErrors() {
        #expect(throws: ProxyError.self) { try TLSServerContext(certificates: []) }
        #expect(throws: ProxyError.self) {
            try TLSServerContext(
                certificates: [pki.certificate("shop")], clientValidation: .required(caPEM: Array("x".utf8)))
        }
        #expect(throws: ProxyError.self) {
            try TLSServerContext(certificates: [pki.certificate("shop")], cipherSuites: .init(tls12: "NOPE"))
        }
        #expect(throws: ProxyError.self) {
            try TLSServerContext(certificates: [pki.certificate("shop")], cipherSuites: .init(tls13: "NOPE"))
        }
        #expect(throws: ProxyError.self) { try TLSClientContext(trust: .authorities(caPEM: [])) }
    }

    @Test func factsAreReadable() throws {
        let context = try TLSServerContext(certificates: [pki.certificate("shop"), pki.certificate("address")])
        let facts = context.certificateFacts[0]
        #expect(facts.subject == "CN=shop,O=Martlet")
        #expect(facts.issuer == "CN=intermediate,O=Martlet")
        #expect(facts.dnsNames == ["shop.example", "www.shop.example"])
        #expect(facts.notAfter - facts.notBefore == 30 * 86_400)
        #expect(!facts.serial.isEmpty && facts.serial.allSatisfy(\.isHexDigit))
        #expect(context.certificateFacts[1].addresses == ["127.0.0.1", "::1"])
        #expect(context.warnings.isEmpty)
    }
}
