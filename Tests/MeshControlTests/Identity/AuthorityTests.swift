import Crypto
import Foundation
import MeshAuthority
import MeshCore
import Testing
import X509

@testable import MeshControl

struct AuthorityTests {
    @Test func aLeafNamesServiceAndInstanceAndIsForTLSOnly() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let issued = try await authority.join(try await authority.token())
        let (leaf, now) = (issued.leaf, fixture.clock.now)

        #expect(
            try leaf.extensions.subjectAlternativeNames.map { Array($0) }
                == [.uniformResourceIdentifier("spiffe://mesh.local/ns/shop/svc/cart")])
        #expect("\(leaf.subject)" == "CN=cart-1")
        #expect(try leaf.extensions.basicConstraints == .notCertificateAuthority)
        #expect(try leaf.extensions.keyUsage == KeyUsage(digitalSignature: true))
        #expect(try leaf.extensions.extendedKeyUsage == ExtendedKeyUsage([.serverAuth, .clientAuth]))
        #expect(abs(leaf.notValidBefore.timeIntervalSince(now) + 60) < 1)
        #expect(abs(leaf.notValidAfter.timeIntervalSince(now) - 86400) < 1)
        #expect(issued.bundle == authority.bundlePEM)
    }

    @Test func chainsVerifyWithOpenSSLAndHere() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let issued = try await authority.join(try await authority.token())
        #expect(try fixture.opensslVerifies(issued.chain, bundle: issued.bundle))
        let peer = try await authority.peer(issued)
        #expect(peer.spiffe.name == "shop/cart" && peer.instance == "cart-1")

        let other = try Fixture()
        let foreign = try await other.authority()
        #expect(try !fixture.opensslVerifies(issued.chain, bundle: foreign.bundlePEM))
        await #expect(throws: ProxyError.self) { try await foreign.peer(issued) }
    }

    @Test func aShortLifetimeIsKeptAndEnds() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        await authority.use(certificateLifetime: .seconds(10))
        let issued = try await authority.join(try await authority.token())
        fixture.clock.advance(9)
        #expect(try await authority.peer(issued).instance == "cart-1")
        fixture.clock.advance(2)
        let error = await #expect(throws: ProxyError.self) { try await authority.peer(issued) }
        #expect(error?.description.contains("has expired at") == true)
    }

    @Test func anOpenConnectionOutlivesItsLeafOnlyIfItsHolderRenewed() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let token = try await authority.token(uses: 2)
        let (first, second) = (try await authority.join(token), try await authority.join(token, instance: "cart-2"))
        fixture.clock.advance(12 * 3600)
        _ = try await authority.sign(try await authority.peer(first), csr: Proxy().csr)
        fixture.clock.advance(13 * 3600)
        #expect(try await authority.check(first.leaf, isVerified: true).instance == "cart-1")
        await #expect(throws: ProxyError.self) { try await authority.check(second.leaf, isVerified: true) }
        await #expect(throws: ProxyError.self) { try await authority.check(first.leaf, isVerified: false) }
    }

    @Test func onlyGoodRequestsAreSigned() throws {
        var forged = Proxy().csr
        forged[forged.count - 3] ^= 1
        #expect(throws: ProxyError.self) { try LeafRequest(der: forged) }
        #expect(throws: ProxyError.self) { try LeafRequest(der: []) }
        #expect(throws: ProxyError.self) { try LeafRequest(der: [UInt8](repeating: 0x30, count: 20_000)) }
        #expect(throws: ProxyError.self) { try LeafRequest(der: [UInt8](repeating: 0x30, count: 200)) }
        let ed25519 = Proxy.csr(Certificate.PrivateKey(Curve25519.Signing.PrivateKey()), algorithm: .ed25519)
        #expect(throws: ProxyError.self) { try LeafRequest(der: ed25519) }
        let p384 = Proxy.csr(Certificate.PrivateKey(P384.Signing.PrivateKey()), algorithm: .ecdsaWithSHA384)
        #expect(throws: Never.self) { try LeafRequest(der: p384) }
    }

    @Test func keysAreForTheirOwnerAndSurviveARestart() async throws {
        let fixture = try Fixture()
        let bundle = try await fixture.authority().bundlePEM
        for name in ["root-1.key", "intermediate-1.1.key"] {
            let attributes = try FileManager.default.attributesOfItem(atPath: fixture.directory + "/ca/" + name)
            #expect(attributes[.posixPermissions] as? Int == 0o600)
        }
        #expect(try await fixture.authority().bundlePEM == bundle)

        let path = fixture.directory + "/ca/intermediate-1.1.key"
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
        let error = await #expect(throws: ProxyError.self) { try await fixture.authority() }
        #expect(error?.description.contains("chmod 600 \(path)") == true)
    }

    @Test func theIntermediateIsRenewedAtHalfItsLifeIfTheRootsKeyIsThere() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let old = try await authority.join(try await authority.token())
        let before = await authority.signing.issuer.certificate
        #expect(await authority.remarks().isEmpty)
        fixture.clock.advance(183 * 86400)
        await authority.maintain()
        #expect(await authority.signing.issuer.certificate != before)
        let issued = try await authority.join(try await authority.token())
        #expect(issued.bundle == old.bundle)
        #expect(try await fixture.authority().peer(issued).instance == "cart-1")
    }

    @Test func withoutTheRootsKeyItWorksAndSaysUntilWhen() async throws {
        let fixture = try Fixture()
        _ = try await fixture.authority()
        try FileManager.default.removeItem(atPath: fixture.directory + "/ca/root-1.key")
        let authority = try await fixture.authority()
        _ = try await authority.join(try await authority.token())
        #expect(await authority.remarks().first?.contains("the root's key is not here") == true)
        fixture.clock.advance(200 * 86400)
        await authority.maintain()
        #expect(await authority.remarks().first?.contains("put root-1.key back") == true)
        fixture.clock.advance(200 * 86400)
        #expect(await authority.result(try await authority.token()) == .failed)
    }

    @Test func theControlPlanesOwnCertificateIsRenewedAtHalfItsLife() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let first = try #require(authority.published.withLock { $0.server })
        let peer = try PeerIdentity(first.chain[0], trustDomain: "mesh.local")
        #expect(peer.spiffe.description == "spiffe://mesh.local/ns/martlet/svc/control")
        await authority.maintain()
        #expect(authority.published.withLock { $0.server }?.chain == first.chain)
        fixture.clock.advance(12 * 3600 + 1)
        await authority.maintain()
        #expect(authority.published.withLock { $0.server }?.chain[0] != first.chain[0])
    }
}
