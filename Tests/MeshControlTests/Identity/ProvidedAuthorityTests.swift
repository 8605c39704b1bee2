import Crypto
import Foundation
import MeshAuthority
import MeshCore
import Testing
import X509

@testable import MeshControl

struct ProvidedAuthorityTests {
    /// Writes root.pem, intermediate.pem and intermediate.key.
    private func provide(
        _ fixture: Fixture, roots: [Certificate], intermediate: [Certificate], key: String
    ) throws -> String {
        let path = fixture.directory + "/given"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        _ = try fixture.write(CertificateFile.pem(roots), "given/root.pem")
        _ = try fixture.write(CertificateFile.pem(intermediate), "given/intermediate.pem")
        _ = try fixture.write(key, "given/intermediate.key")
        return path
    }

    private func message(_ fixture: Fixture, _ path: String) async -> String {
        do throws(ProxyError) {
            let clock = fixture.clock
            _ = try await Authority(
                .init(directory: fixture.directory + "/ca", provided: path), store: fixture.store, now: { clock.now })
            return ""
        } catch {
            return error.description
        }
    }

    @Test func itSignsAndFollowsItsFiles() async throws {
        let fixture = try Fixture()
        let now = fixture.clock.now
        let root = try AuthorityMaker.root(trustDomain: "acme", now: now)
        let first = try AuthorityMaker.intermediate(trustDomain: "acme", root: root, now: now)
        let path = try provide(fixture, roots: [root.certificate], intermediate: [first.certificate], key: first.keyPEM)
        let authority = try await fixture.authority(provided: path)
        let old = try await authority.join(try await authority.token())
        #expect(try fixture.opensslVerifies(old.chain, bundle: CertificateFile.pem([root.certificate])))
        await #expect(throws: API.Problem.self) { try await authority.beginRotation() }

        let next = try AuthorityMaker.root(trustDomain: "acme", now: now)
        let second = try AuthorityMaker.intermediate(trustDomain: "acme", root: next, now: now)
        _ = try provide(
            fixture, roots: [root.certificate, next.certificate], intermediate: [second.certificate],
            key: second.keyPEM)
        await authority.maintain()
        let new = try await authority.join(try await authority.token())
        #expect(try fixture.opensslVerifies(new.chain, bundle: CertificateFile.pem([next.certificate])))
        #expect(try await authority.peer(old).instance == "cart-1")

        // What cannot be used changes nothing, and is said.
        _ = try fixture.write("nothing", "given/root.pem")
        await authority.maintain()
        #expect(await authority.remarks().first?.contains("root.pem has no certificate") == true)
        #expect(try await authority.peer(new).instance == "cart-1")
    }

    @Test func eachMistakeIsNamedWithItsFile() async throws {
        let fixture = try Fixture()
        let now = fixture.clock.now
        let root = try AuthorityMaker.root(trustDomain: "acme", now: now)
        let other = try AuthorityMaker.root(trustDomain: "acme", now: now)
        let good = try AuthorityMaker.intermediate(trustDomain: "acme", root: root, now: now)
        let wrong = try AuthorityMaker.intermediate(trustDomain: "acme", root: root, now: now)

        var path = try provide(fixture, roots: [root.certificate], intermediate: [good.certificate], key: wrong.keyPEM)
        #expect(await message(fixture, path).contains("intermediate.key does not fit"))
        path = try provide(fixture, roots: [other.certificate], intermediate: [good.certificate], key: good.keyPEM)
        #expect(await message(fixture, path).contains("is not issued by any root of \(path)/root.pem"))
        path = try provide(fixture, roots: [root.certificate], intermediate: [root.certificate], key: root.keyPEM)
        #expect(await message(fixture, path).contains("is the root itself"))
        path = try provide(fixture, roots: [root.certificate], intermediate: [good.certificate], key: "secret")
        let unreadable = await message(fixture, path)
        #expect(unreadable.contains("intermediate.key has no private key") && !unreadable.contains("secret"))
        path = try provide(
            fixture, roots: [root.certificate], intermediate: [good.certificate, wrong.certificate], key: good.keyPEM)
        #expect(await message(fixture, path).contains("allows 0 authorities below it, and there are 1"))

        let leaf = try Issuer(certificate: good.certificate, key: good.key, root: root.certificate).leaf(
            LeafSubject(identity: .init(trustDomain: "acme", namespace: "a", service: "b"), instance: "c"),
            key: good.key.publicKey, lifetime: 3600, now: now)
        path = try provide(fixture, roots: [root.certificate], intermediate: [leaf], key: good.keyPEM)
        #expect(await message(fixture, path).contains("is no authority"))
        try FileManager.default.removeItem(atPath: path + "/root.pem")
        #expect(await message(fixture, path).contains("root.pem does not exist"))
    }

    @Test func clocksAndEndsAreNamed() async throws {
        let fixture = try Fixture()
        let now = fixture.clock.now
        let root = try AuthorityMaker.root(trustDomain: "acme", now: now.addingTimeInterval(-86400 * 400))
        let ended = try AuthorityMaker.intermediate(
            trustDomain: "acme", root: root, now: now.addingTimeInterval(-86400 * 399))
        var path = try provide(fixture, roots: [root.certificate], intermediate: [ended.certificate], key: ended.keyPEM)
        #expect(await message(fixture, path).contains("intermediate.pem has expired at"))
        let early = try AuthorityMaker.intermediate(trustDomain: "acme", root: root, now: now.addingTimeInterval(7200))
        path = try provide(fixture, roots: [root.certificate], intermediate: [early.certificate], key: early.keyPEM)
        let text = await message(fixture, path)
        #expect(text.contains("is not valid before") && text.contains("check the clock"))
    }
}
