import Foundation
import MeshAuthority
import MeshCore
import Testing

@testable import MeshControl

struct JoinTests {
    @Test func eachReasonHasItsOwnAnswer() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let token = try await authority.token()
        #expect(await authority.result(token, role: "workload:shop/other") == .role)
        #expect(await authority.result(token, role: "gateway:shop/cart") == .role)
        #expect(await authority.result(token, role: "shop/cart") == .malformed)
        #expect(await authority.result(token, instance: "a b") == .malformed)
        #expect(await authority.result(token) == .issued)
        #expect(await authority.result(token) == .used)

        let short = try await authority.token(seconds: 1)
        fixture.clock.advance(2)
        #expect(await authority.result(short) == .expired)

        let revoked = try await authority.createToken(.init(role: "workload:shop/cart"))
        try await authority.revokeToken(revoked.token.id)
        #expect(await authority.result(revoked.secret) == .revoked)
        await #expect(throws: API.Problem.self) { try await authority.revokeToken("000000000000") }

        let counts = await authority.identityCounts.joins
        #expect(counts == [.role: 2, .malformed: 2, .issued: 1, .used: 1, .expired: 1, .revoked: 1])
    }

    @Test func anUnknownTokenAndAWrongSecretLookTheSame() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let real = try #require(JoinToken(try await authority.token()))
        var wrong = JoinToken(rootHash: real.rootHash)
        let unknown = await #expect(throws: IdentityRefusal.self) { try await authority.join(wrong.text) }
        wrong.id = real.id
        let mistyped = await #expect(throws: IdentityRefusal.self) { try await authority.join(wrong.text) }
        #expect(unknown == mistyped && unknown?.result == .unknown)
        for text in ["", "mt1", "mt1...", "mt2.\(real.id).x.y", String(repeating: "a", count: 10_000)] {
            #expect(await authority.result(text) == .unknown)
        }
    }

    @Test func ofTwoAtTheSameTimeOneJoins() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let token = try await authority.token()
        let results = await withTaskGroup(of: IdentityResult.self) { group in
            for index in 0..<8 {
                group.addTask { await authority.result(token, instance: "cart-\(index)", from: "ipv4:10.0.1.\(index)") }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results.count { $0 == .issued } == 1)
        #expect(results.count { $0 == .used } == 7)
    }

    @Test func aTokenForThreeAdmitsThree() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let token = try await authority.token(uses: 3)
        for _ in 0..<3 { #expect(await authority.result(token) == .issued) }
        #expect(await authority.result(token) == .used)
        #expect(try await authority.tokens().first?.usesLeft == 0)
    }

    @Test func aLostAnswerCanBeAskedForAgainWithTheSameKey() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let (token, proxy) = (try await authority.token(), Proxy())
        #expect(await authority.result(token, proxy) == .issued)
        #expect(await authority.result(token, proxy) == .issued)
        #expect(await authority.result(token, Proxy()) == .used)
        fixture.clock.advance(601)
        #expect(await authority.result(token, proxy) == .used)
    }

    @Test func whoFailsOftenMustWaitAndOthersNeedNot() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let token = try await authority.token(uses: 3)
        for _ in 0..<JoinLimiter.burst { #expect(await authority.result("mt1.no") == .unknown) }
        #expect(await authority.result(token) == .limited)
        #expect(await authority.result(token, from: "ipv4:10.0.0.2") == .issued)
        fixture.clock.advance(JoinLimiter.refill + 1)
        #expect(await authority.result(token) == .issued)
    }

    @Test func limitsAreByHostAndBounded() {
        #expect(JoinLimiter.address("ipv4:10.0.0.1:4711") == "ipv4:10.0.0.1")
        #expect(JoinLimiter.address("ipv6:[2001:db8:1:2:3::4]:4711") == "2001:db8:1:2")
        #expect(JoinLimiter.address("ipv6:[::1]:4711") == "::1")
        var limiter = JoinLimiter()
        let now = Date()
        for index in 0..<(JoinLimiter.capacity * 2) { limiter.failed("host-\(index)", now: now) }
        for _ in 0..<JoinLimiter.burst { limiter.failed("host", now: now) }
        #expect(limiter.wait("host", now: now) > 0)
        #expect(limiter.wait("host-0", now: now) == 0)
    }

    @Test func theIdentityIsThatOfTheWorkloadsService() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        await authority.use { role in role == "workload:shop/cart-v2" ? "shop/cart" : nil }
        let token = try await authority.token("workload:shop/cart-v2")
        let issued = try await authority.join(token, role: "workload:shop/cart-v2")
        #expect(try await authority.peer(issued).spiffe.name == "shop/cart")
        let absent = try await authority.token("workload:shop/absent")
        #expect(await authority.result(absent, role: "workload:shop/absent") == .absent)
        #expect(try await authority.tokens().first { $0.role == "workload:shop/absent" }?.usesLeft == 1)
    }

    @Test func onlyTheHashOfASecretIsKept() async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let text = try await authority.token()
        let token = try #require(JoinToken(text))
        let stored = try #require(try await fixture.store.token(token.id))
        #expect(stored.secretHash != token.secret && token.hasSecret(of: stored.secretHash))
        #expect(!token.hasSecret(of: [UInt8](repeating: 0, count: 32)) && !token.hasSecret(of: []))
    }
}
