import MeshCore
import Testing

@testable import MeshTLS

private let pki = DevelopmentPKI.shared

private func server(
    _ names: [String] = ["shop"], alpn: [ALPN] = [.http2, .http1], clients: ClientValidation = .none,
    minimum: TLSVersion = .v1_2
) throws -> TLSServerContext {
    try TLSServerContext(
        certificates: names.map { pki.certificate($0) }, minimumVersion: minimum, alpn: alpn, clientValidation: clients)
}

private func client(
    alpn: [ALPN] = [.http2, .http1], certificate: String? = nil, names: [SubjectAltName] = [],
    suites: TLSCipherSuites = .sane
) throws -> TLSClientContext {
    try TLSClientContext(
        trust: .authorities(caPEM: pki.file("root.pem")), clientCertificate: certificate.map { pki.certificate($0) },
        alpn: alpn, subjectAltNames: names, cipherSuites: suites)
}

@Suite struct HandshakeTests {
    @Test func agreesOnVersionCipherAndProtocol() throws {
        let pair = Pair(try server(), try client())
        let failures = pair.handshake()
        #expect(failures.server == nil && failures.client == nil)
        for session in [pair.server, pair.client] {
            #expect(session.version == "TLSv1.3")
            #expect(session.cipher == "TLS_AES_128_GCM_SHA256")
            #expect(session.alpn == .http2)
            #expect(session.serverName == "shop.example")
            #expect(!session.isResumed)
        }
        #expect(pair.client.peerCertificate?.facts.subject == "CN=shop,O=Martlet")
        #expect(pair.client.peerCertificate?.isVerified == true)
        #expect(pair.server.peerCertificate == nil)
    }

    @Test func worksWhenBytesArriveOneByOne() throws {
        let pair = Pair(try server(), try client())
        pair.chunk = 1
        pair.handshake()
        #expect(pair.server.isEstablished && pair.client.isEstablished)
    }

    @Test func serverPreferenceDecidesTheProtocol() throws {
        let first = Pair(try server(alpn: [.http1, .http2]), try client())
        first.handshake()
        #expect(first.server.alpn == .http1)
        let second = Pair(try server(), try client(alpn: [.http1]))
        second.handshake()
        #expect(second.client.alpn == .http1)
        let none = Pair(try server(), try client(alpn: []))
        none.handshake()
        #expect(none.server.isEstablished && none.server.alpn == .none)
    }

    @Test func noCommonProtocolIsRefused() throws {
        let pair = Pair(try server(alpn: [.http2]), try client(alpn: [.http1]))
        let failures = pair.handshake()
        #expect(failures.server?.kind == .nothingInCommon)
        #expect(failures.client?.kind == .peerAlert)
    }

    @Test func serverNameChoosesTheCertificate() throws {
        let context = try server(["wild", "shop", "spiffe"])
        for (name, subject) in [
            ("shop.example", "shop"), ("SHOP.example", "shop"), ("www.shop.example", "shop"),
            ("a.wild.example", "wild"),
        ] {
            let pair = Pair(context, try client(), name: name)
            pair.handshake()
            #expect(pair.client.peerCertificate?.facts.subject == "CN=\(subject),O=Martlet", "\(name)")
        }
        // Two labels are more than a wildcard covers: the first certificate answers, and the client refuses it.
        let deep = Pair(context, try client(), name: "a.b.wild.example")
        #expect(deep.handshake().client?.kind == .peerNotTrusted)
    }

    @Test func twoKeyAlgorithmsServeOneName() throws {
        let context = try server(["shop-rsa", "shop"])
        let modern = Pair(context, try client())
        modern.handshake()
        #expect(modern.client.isEstablished)
        let suites = TLSCipherSuites(tls12: "ECDHE-RSA-AES128-GCM-SHA256")
        let old = try TLSServerContext(
            certificates: [pki.certificate("shop"), pki.certificate("shop-rsa")], cipherSuites: suites)
        let pair = Pair(old, try tls12Client(suites))
        pair.handshake()
        #expect(pair.client.peerCertificate?.facts.subject == "CN=shop-rsa,O=Martlet")
        let ecdsa = Pair(
            try server(["shop-rsa", "shop"]), try tls12Client(.init(tls12: "ECDHE-ECDSA-AES128-GCM-SHA256")))
        ecdsa.handshake()
        #expect(ecdsa.client.peerCertificate?.facts.subject == "CN=shop,O=Martlet")
    }

    @Test func serverNamesServed() throws {
        let context = try server(["shop", "wild"])
        #expect(context.serves("shop.example"))
        #expect(context.serves("Shop.Example."))
        #expect(context.serves("x.wild.example"))
        #expect(!context.serves("wild.example"))
        #expect(!context.serves("x.y.wild.example"))
        #expect(!context.serves(".wild.example"))
        #expect(!context.serves("other.example"))
        #expect(!context.serves(""))
        #expect(context.certificate(askedBy: "shop.example", serves: "www.shop.example"))
        #expect(!context.certificate(askedBy: "shop.example", serves: "a.wild.example"))
        #expect(context.certificate(askedBy: "a.wild.example", serves: "b.wild.example"))
        #expect(context.certificate(askedBy: nil, serves: "shop.example"))
        #expect(context.certificate(askedBy: "unknown.example", serves: "shop.example"))
    }

    @Test func hostNameMismatchIsRefused() throws {
        let pair = Pair(try server(), try client(), name: "bank.example")
        let failures = pair.handshake()
        #expect(failures.client?.kind == .peerNotTrusted)
        #expect(failures.client?.description.contains("mismatch") == true)
        #expect(failures.server?.kind == .peerAlert)
        #expect(!pair.client.isEstablished)
    }

    @Test func untrustedAndExpiredServersAreRefused() throws {
        let stranger = try TLSClientContext(trust: .authorities(caPEM: pki.file("stranger.pem")))
        #expect(Pair(try server(), stranger).handshake().client?.kind == .peerNotTrusted)
        let context = try server(["expired"])
        #expect(context.warnings == ["expired: the certificate expired"])
        let failure = Pair(context, try client(), name: "expired.example").handshake().client
        #expect(failure?.description == "certificate verify failed: certificate has expired")
        let careless = Pair(try server(), try TLSClientContext(trust: .none), name: "bank.example")
        careless.handshake()
        #expect(careless.client.isEstablished)
        #expect(careless.client.peerCertificate?.isVerified == false)
    }

    @Test func anAddressIsCheckedAsSuchAndNotSentAsServerName() throws {
        for address in ["127.0.0.1", "::1"] {
            let pair = Pair(try server(["address"]), try client(), name: address)
            pair.handshake()
            #expect(pair.client.isEstablished)
            #expect(pair.server.serverName == nil)
        }
        #expect(Pair(try server(["address"]), try client(), name: "127.0.0.2").handshake().client != nil)
        #expect(Pair(try server(["address"]), try client(), name: "").handshake().client?.kind == .peerNotTrusted)
    }

    @Test func subjectAltNamesReplaceTheHostName() throws {
        let id = SubjectAltName.uri("spiffe://mesh/ns/default/sa/cart")
        let good = Pair(try server(["spiffe"]), try client(names: [.hostname("x.example"), id]), name: "cart.internal")
        good.handshake()
        #expect(good.client.isEstablished)
        #expect(good.server.serverName == "cart.internal")
        let other = SubjectAltName.uri("spiffe://mesh/ns/default/sa/car")
        #expect(Pair(try server(["spiffe"]), try client(names: [other])).handshake().client?.kind == .peerNotTrusted)
        #expect(Pair(try server(["shop"]), try client(names: [id])).handshake().client?.kind == .peerNotTrusted)
        let host = Pair(try server(["shop"]), try client(names: [.hostname("shop.example")]), name: "any.internal")
        host.handshake()
        #expect(host.client.isEstablished)
    }

    @Test func aServerNameThatCannotBeSentFailsAtOnce() throws {
        let pair = Pair(try server(), try client(), name: String(repeating: "a", count: 300))
        #expect(pair.handshake().client?.kind == .protocolError)
        #expect(pair.toServer.byteCount == 0)
    }

    @Test func oldVersionsAreRefused() throws {
        let pair = Pair(try server(minimum: .v1_3), try tls12Client(.sane))
        let failures = pair.handshake()
        #expect(failures.server?.kind == .nothingInCommon)
        #expect(failures.client != nil)
    }

    @Test func theStapleIsThatOfTheCertificateInUse() throws {
        let context = try TLSServerContext(certificates: [
            pki.certificate("shop", staple: [1, 2, 3]), pki.certificate("wild", staple: [4, 5]),
        ])
        for (name, staple) in [("shop.example", [1, 2, 3]), ("a.wild.example", [4, 5] as [UInt8])] {
            let pair = Pair(context, try client(), name: name)
            pair.client.requestStaple()
            pair.handshake()
            #expect(pair.client.isEstablished)
            #expect(pair.client.staple == staple)
        }
    }

    /// A client that speaks no more than TLS 1.2.
    private func tls12Client(_ suites: TLSCipherSuites) throws -> TLSClientContext {
        let context = try client(suites: suites)
        context.limitToTLS12()
        return context
    }
}

@Suite struct ClientCertificateTests {
    private let required = ClientValidation.required(caPEM: pki.file("root.pem"))
    private let fallback = ClientValidation.allowInsecureFallback(caPEM: pki.file("root.pem"))

    @Test func aTrustedClientIsKnown() throws {
        let pair = Pair(try server(clients: required), try client(certificate: "client"))
        pair.handshake()
        #expect(pair.server.isEstablished)
        let peer = try #require(pair.server.peerCertificate)
        #expect(peer.isVerified)
        #expect(peer.facts.spiffeID == "spiffe://mesh/ns/default/sa/shop")
        #expect(peer.facts.dnsNames == ["shop.internal"])
        #expect(peer.facts.issuer == "CN=root")
        #expect(peer.facts.sha256.count == 64)
        #expect(Array(peer.pem.utf8) == pki.file("client.pem"))
    }

    @Test func noCertificateIsRefused() throws {
        let failures = Pair(try server(clients: required), try client()).handshake()
        #expect(failures.server?.kind == .certificateRequired)
        #expect(failures.client?.kind == .peerAlert)
    }

    @Test func aStrangersCertificateIsRefused() throws {
        let failures = Pair(try server(clients: required), try client(certificate: "other")).handshake()
        #expect(failures.server?.kind == .peerNotTrusted)
        #expect(failures.client?.kind == .peerAlert)
    }

    @Test func fallbackLetsInAndTells() throws {
        let stranger = Pair(try server(clients: fallback), try client(certificate: "other"))
        stranger.handshake()
        #expect(stranger.server.isEstablished)
        #expect(stranger.server.peerCertificate?.isVerified == false)
        let nobody = Pair(try server(clients: fallback), try client())
        nobody.handshake()
        #expect(nobody.server.isEstablished && nobody.server.peerCertificate == nil)
        let friend = Pair(try server(clients: fallback), try client(certificate: "client"))
        friend.handshake()
        #expect(friend.server.peerCertificate?.isVerified == true)
    }

    @Test func validationHoldsForEveryServerName() throws {
        let context = try server(["shop", "wild"], clients: required)
        let pair = Pair(context, try client(), name: "a.wild.example")
        #expect(pair.handshake().server?.kind == .certificateRequired)
    }
}

@Suite struct ResumptionTests {
    @Test func theSecondHandshakeResumes() throws {
        let serverContext = try server()
        let clientContext = try client()
        for round in 0..<4 {
            let pair = Pair(serverContext, clientContext)
            pair.handshake()
            #expect(pair.client.isResumed == (round > 0))
            #expect(pair.server.isResumed == (round > 0))
            #expect(pair.server.serverName == "shop.example")
            #expect(clientContext.sessions.count == 1)
        }
    }

    @Test func tls12Resumes() throws {
        let serverContext = try server()
        let clientContext = try client()
        clientContext.limitToTLS12()
        for round in 0..<3 {
            let pair = Pair(serverContext, clientContext)
            pair.handshake()
            #expect(pair.server.version == "TLSv1.2")
            #expect(pair.server.isResumed == (round > 0))
        }
    }

    @Test func aReloadedContextWithTheSameKeysResumes() throws {
        let old = try server()
        let clientContext = try client()
        Pair(old, clientContext).handshake()
        let new = try TLSServerContext(
            certificates: [pki.certificate("wild"), pki.certificate("shop")], ticketKeys: old.ticketKeys)
        let pair = Pair(new, clientContext)
        pair.handshake()
        #expect(pair.server.isResumed)
        let stranger = Pair(try server(), clientContext)
        stranger.handshake()
        #expect(stranger.server.isEstablished && !stranger.server.isResumed)
    }

    @Test func aSessionDoesNotOpenAListenerThatValidatesClients() throws {
        let open = try server()
        let closed = try TLSServerContext(
            certificates: [pki.certificate("shop")], clientValidation: .required(caPEM: pki.file("root.pem")),
            ticketKeys: open.ticketKeys)
        let clientContext = try client()
        Pair(open, clientContext).handshake()
        #expect(Pair(closed, clientContext).handshake().server?.kind == .certificateRequired)
    }

    @Test func aResumedClientIsStillKnown() throws {
        let serverContext = try server(clients: .required(caPEM: pki.file("root.pem")))
        let clientContext = try client(certificate: "client")
        Pair(serverContext, clientContext).handshake()
        let pair = Pair(serverContext, clientContext)
        pair.handshake()
        #expect(pair.server.isResumed)
        #expect(pair.server.peerCertificate?.facts.spiffeID == "spiffe://mesh/ns/default/sa/shop")
        #expect(pair.server.peerCertificate?.isVerified == true)
    }

    @Test func sessionsAreKeptPerAddress() throws {
        let serverContext = try server()
        let clientContext = try client()
        Pair(serverContext, clientContext, address: "10.0.0.1:443").handshake()
        let other = Pair(serverContext, clientContext, address: "10.0.0.2:443")
        other.handshake()
        #expect(!other.client.isResumed)
    }

    @Test func theSessionStoreIsBounded() throws {
        let serverContext = try server()
        let clientContext = try TLSClientContext(trust: .none, sessionLimit: 3)
        for port in 0..<10 { Pair(serverContext, clientContext, address: "10.0.0.1:\(port)").handshake() }
        #expect(clientContext.sessions.count == 3)
    }

    @Test func ticketKeysAreReplaced() {
        let life = TLSTicketKeys.lifetime
        let keys = TLSTicketKeys(now: 1000)
        let first = keys.current(now: 1000 + life - 1)
        let known = { (key: TLSTicketKeys.Key, now: Int64) in
            unsafe key.name.withUnsafeBufferPointer { unsafe keys.key(named: $0, now: now) } != nil
        }
        let second = keys.current(now: 1000 + life)
        #expect(first.name != second.name && first.secret != second.secret)
        #expect(known(first, 1000 + life) && known(second, 1000 + life))
        _ = keys.current(now: 1000 + 2 * life)
        #expect(!known(first, 1000 + 2 * life))
        #expect(known(second, 1000 + 2 * life))
        // Nobody came for long: both are too old.
        #expect(!known(second, 1000 + 9 * life))
    }
}
