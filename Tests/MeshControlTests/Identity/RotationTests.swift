import Foundation
import MeshAuthority
import MeshCore
import Testing
import X509

@testable import MeshControl

struct RotationTests {
    @Test func theRootIsReplacedInThreeStepsThatEverybodyCanFollow() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let token = try await authority.token(uses: 10)
        let old = try await authority.join(token)

        try await authority.beginRotation()
        let during = try await authority.join(token, instance: "cart-2")
        #expect(try await authority.rotationStatus().phase == .begun)
        #expect(await authority.trustBundle().roots.map(\.isSigning) == [true, false])
        #expect(try fixture.opensslVerifies(during.chain, bundle: old.bundle))

        fixture.clock.advance(5)
        try await authority.activateRotation()
        let new = try await authority.join(token, instance: "cart-3")
        #expect(await authority.trustBundle().roots.map(\.isSigning) == [true, false])
        // Who still has the old bundle believes the new leaf, and who has only the new root does, too.
        #expect(try fixture.opensslVerifies(new.chain, bundle: old.bundle))
        #expect(try fixture.opensslVerifies(new.chain, bundle: new.bundle))
        #expect(try fixture.opensslVerifies(old.chain, bundle: new.bundle))

        let status = try await authority.rotationStatus()
        #expect(status.next == .finish && Set(status.waitingFor.map(\.instance)) == ["cart-1", "cart-2"])
        let problem = await #expect(throws: API.Problem.self) { try await authority.finishRotation() }
        #expect(problem?.kind == .conflict && problem?.message.contains("2 proxies") == true)

        fixture.clock.advance(1)
        for issued in [old, during] {
            _ = try await authority.sign(try await authority.peer(issued), csr: Proxy().csr)
        }
        try await authority.finishRotation()
        #expect(await authority.trustBundle().roots.count == 1)
        #expect(try fixture.opensslVerifies(new.chain, bundle: authority.bundlePEM))
        #expect(try !fixture.opensslVerifies(old.chain, bundle: authority.bundlePEM))
        await #expect(throws: ProxyError.self) { try await authority.peer(old) }
        #expect(try await authority.rotationStatus().phase == .none)
    }

    @Test func everyStepSurvivesARestart() async throws {
        let fixture = try Fixture()
        try await fixture.authority().beginRotation()
        var authority = try await fixture.authority()
        #expect(try await authority.rotationStatus().phase == .begun)
        let bundle = authority.bundlePEM
        try await authority.activateRotation()
        authority = try await fixture.authority()
        #expect(try await authority.rotationStatus().phase == .activated)
        #expect(authority.bundlePEM != bundle && authority.bundlePEM.count == bundle.count)
        try await authority.finishRotation()
        authority = try await fixture.authority()
        #expect(await authority.trustBundle().roots.count == 1)
        try await authority.beginRotation()
        #expect(FileManager.default.fileExists(atPath: fixture.directory + "/ca/root-3.pem"))
    }

    @Test func stepsHaveAnOrder() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        await #expect(throws: API.Problem.self) { try await authority.activateRotation() }
        await #expect(throws: API.Problem.self) { try await authority.finishRotation(force: true) }
        try await authority.beginRotation()
        await #expect(throws: API.Problem.self) { try await authority.beginRotation() }
        await #expect(throws: API.Problem.self) { try await authority.finishRotation(force: true) }
    }

    @Test func finishingCanBeForced() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        _ = try await authority.join(try await authority.token())
        try await authority.beginRotation()
        fixture.clock.advance(1)
        try await authority.activateRotation()
        await #expect(throws: API.Problem.self) { try await authority.finishRotation() }
        try await authority.finishRotation(force: true)
    }

    @Test func whoHoldsUpTheEndIsNamedWithWhatToDo() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let token = try await authority.token(uses: 2)
        _ = try await authority.join(token)
        _ = try await authority.join(token, instance: "cart-2")
        try await authority.beginRotation()
        fixture.clock.advance(3 * 3600 + 60)
        try await authority.activateRotation()
        let connected = API.Proxy(
            id: try #require(API.ProxyID(role: "workload:shop/basket", instance: "cart-2")), address: "",
            sync: .synced, desiredVersion: "", ackedVersion: "")
        let thrown = await #expect(throws: API.Problem.self) {
            try await authority.finishRotation(known: [connected]) { $0 == "workload:shop/basket" ? "shop/cart" : nil }
        }
        let problem = try #require(thrown)
        #expect(problem.message.contains("workload:shop/cart cart-1 (of 3 h ago, ends "))
        #expect(problem.message.contains("not seen since the control plane started"))
        #expect(problem.message.contains("workload:shop/basket cart-2 (of 3 h ago, connected)"))
        #expect(problem.remedy.hasSuffix("one that is gone: martlet revoke --workload shop/cart cart-1"))
        // Whoever was revoked cannot come back.
        _ = try await authority.revoke(service: "shop/cart", instance: "cart-1")
        _ = try await authority.revoke(service: "shop/cart", instance: "cart-2")
        try await authority.finishRotation()
    }

    @Test func expiredCertificatesHoldUpNobody() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let issued = try await authority.join(try await authority.token())
        try await authority.beginRotation()
        fixture.clock.advance(1)
        try await authority.activateRotation()
        await #expect(throws: API.Problem.self) { try await authority.finishRotation() }
        fixture.clock.advance(issued.leaf.notValidAfter.timeIntervalSince(fixture.clock.now))
        try await authority.finishRotation()
    }

    @Test func aTokenMadeBeforeIsGoodUntilTheEnd() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let token = try #require(JoinToken(try await authority.token()))
        try await authority.beginRotation()
        try await authority.activateRotation()
        let server = try #require(authority.published.withLock { $0.server })
        let root = try #require(server.chain.first { Array(fingerprint($0)) == token.rootHash })
        // As a proxy does that knows only the hash.
        let chain = CertificateFile.pem(server.chain)
        #expect(try fixture.opensslVerifies(chain, bundle: CertificateFile.pem([root])))
    }

    @Test func changesOfTheBundleAreAnnounced() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        var events = await authority.events().makeAsyncIterator()
        try await authority.beginRotation()
        #expect(await events.next() == .serverCertificate)
        #expect(await events.next() == .bundle)
    }

    @Test func revokedMeansNoOtherCertificateUntilANewToken() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let token = try await authority.token(uses: 3)
        let (first, second) = (try await authority.join(token), try await authority.join(token, instance: "cart-2"))
        let (one, two) = (try await authority.peer(first), try await authority.peer(second))
        var events = await authority.events().makeAsyncIterator()
        #expect(try await authority.revoke(service: "shop/cart", instance: "cart-1").serials == [one.serial])
        #expect(await events.next() == .revoked([one.serial]))
        await #expect(throws: IdentityRefusal.self) { try await authority.sign(one, csr: Proxy().csr) }
        _ = try await authority.sign(two, csr: Proxy().csr)

        let again = try await fixture.authority()
        #expect(again.isRevoked(one.serial) && !again.isRevoked(two.serial))
        #expect(try await again.revoke(serial: two.serial.uppercased()).serials == [two.serial])
        await #expect(throws: API.Problem.self) { try await again.revoke(serial: "00") }
        await #expect(throws: API.Problem.self) { try await again.revoke(service: "shop/none", instance: nil) }
        #expect(await again.result(token) == .issued)
    }
}
