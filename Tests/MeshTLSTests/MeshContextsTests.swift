import MeshCore
import Testing

@testable import MeshTLS

private let pki = DevelopmentPKI.shared
private let cart = "spiffe://mesh/ns/default/sa/cart"

private func contexts(_ name: String, bundle: [String] = ["root"]) throws(ProxyError) -> MeshContexts {
    try MeshContexts(
        certificate: pki.certificate(name), bundle: bundle.flatMap { pki.file("\($0).pem") })
}

@Suite struct MeshContextsTests {
    @Test func bothSidesProveWhoTheyAre() throws {
        let (server, client) = (try contexts("spiffe"), try contexts("spiffe"))
        #expect(server.id == cart)
        let pair = Pair(mesh: server, client, identities: ["spiffe://mesh/ns/a/svc/b", cart])
        let failures = pair.handshake()
        #expect(failures.server == nil && failures.client == nil)
        #expect(pair.server.version == "TLSv1.3" && pair.server.alpn == .http2)
        #expect(pair.server.serverName == nil)
        #expect(pair.server.peerCertificate?.facts.uris == [cart])
        #expect(pair.server.peerCertificate?.isVerified == true)
    }

    @Test func bytesNegotiateNothing() throws {
        let pair = Pair(mesh: try contexts("spiffe"), try contexts("spiffe"), identities: [cart], isHTTP2: false)
        pair.handshake()
        #expect(pair.server.isEstablished && pair.server.alpn == .none && pair.client.alpn == .none)
    }

    @Test func anotherIdentityIsToldFromAnotherRoot() throws {
        let expected = "spiffe://mesh/ns/default/sa/shop"
        let other = Pair(mesh: try contexts("spiffe"), try contexts("spiffe"), identities: [expected])
        let failure = try #require(other.handshake().client)
        #expect(failure.kind == .identityMismatch)
        #expect(failure.description == "the endpoint is \(cart), expected is \(expected)")
        let stranger = Pair(
            mesh: try contexts("other", bundle: ["root", "stranger"]), try contexts("spiffe"), identities: [expected])
        #expect(stranger.handshake().client?.kind == .peerNotTrusted)
    }

    @Test func clientsNeedACertificateThatTheBundleVouchesFor() throws {
        let server = try contexts("spiffe")
        let stranger = Pair(
            mesh: server, try contexts("other", bundle: ["root", "stranger"]), identities: [cart])
        #expect(stranger.handshake().server?.kind == .peerNotTrusted)
        let nobody = Pair(server.server, try TLSClientContext(trust: .none), name: "")
        #expect(nobody.handshake().server?.kind == .certificateRequired)
    }

    @Test func everyRootOfTheBundleIsBelieved() throws {
        let both = ["root", "stranger"]
        let pair = Pair(
            mesh: try contexts("spiffe", bundle: both), try contexts("other", bundle: both), identities: [cart])
        let failures = pair.handshake()
        #expect(failures.server == nil && failures.client == nil)
    }

    @Test func sessionsBelongToAnIdentityAndToWhomTheyWereFor() throws {
        let (server, client) = (try contexts("spiffe"), try contexts("spiffe"))
        func isResumed(_ server: MeshContexts, _ client: MeshContexts, _ identities: [String] = [cart]) -> Bool {
            let pair = Pair(mesh: server, client, identities: identities)
            pair.handshake()
            return pair.server.isResumed
        }
        #expect(!isResumed(server, client))
        #expect(isResumed(server, client))
        #expect(!isResumed(server, client, [cart, "spiffe://mesh/ns/a/svc/b"]))
        #expect(!isResumed(try contexts("spiffe"), client))
        #expect(!isResumed(server, try contexts("spiffe")))
    }

    @Test func whatIsNoIdentityIsNamed() throws {
        let host = #expect(throws: ProxyError.self) { try contexts("shop") }
        #expect(host?.description.hasPrefix("shop: the certificate is no identity of a mesh") == true)
        let bundle = #expect(throws: ProxyError.self) {
            try MeshContexts(certificate: pki.certificate("spiffe"), bundle: pki.file("shop.key"))
        }
        #expect(bundle?.description.hasPrefix("trust bundle of the mesh: ") == true)
        // A DNS name beside the identity does no harm.
        #expect(try contexts("client").id == "spiffe://mesh/ns/default/sa/shop")
    }
}
