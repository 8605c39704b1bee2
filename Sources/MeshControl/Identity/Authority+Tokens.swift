import Foundation
import MeshAuthority
import MeshCore
internal import X509

import struct MeshModel.SPIFFEID

/// Tokens and revocation, as the API has them.
extension Authority {
    /// Makes a token. The only time that its text is given away.
    public func createToken(_ request: API.TokenRequest) async throws(API.Problem) -> API.NewToken {
        let role: JoinRole
        do throws(ProxyError) { role = try JoinRole(request.role) } catch {
            throw API.Problem(.invalid, error.description)
        }
        guard (1...(366 * 86400)).contains(request.lifetimeSeconds) else {
            throw API.Problem(.invalid, "a token is good for 1 second to 366 days, not \(request.lifetimeSeconds) s")
        }
        guard (1...100_000).contains(request.uses) else {
            throw API.Problem(.invalid, "a token can be used 1 to 100000 times, not \(request.uses)")
        }
        let token = JoinToken(rootHash: Array(fingerprint(signing.root)))
        let time = now()
        let stored = StoredToken(
            id: token.id, secretHash: token.secretHash, role: role.text, created: time,
            expires: time.addingTimeInterval(TimeInterval(request.lifetimeSeconds)), uses: request.uses,
            author: request.author)
        do throws(StoreError) { try await store.insert(stored) } catch { throw Self.problem(error) }
        return API.NewToken(token: Self.token(stored), secret: token.text)
    }

    /// Every token that is not forgotten, newest first.
    public func tokens() async throws(API.Problem) -> [API.Token] {
        do throws(StoreError) { return try await store.tokens().map { Self.token($0) } } catch {
            throw Self.problem(error)
        }
    }

    /// Makes a token useless.
    public func revokeToken(_ id: String) async throws(API.Problem) {
        let isThere: Bool
        do throws(StoreError) { isThere = try await store.revokeToken(id) } catch { throw Self.problem(error) }
        guard isThere else { throw API.Problem(.notFound, "there is no token \(id)") }
    }

    /// Revokes one certificate. Its holder gets no other one and is cut off; other proxies believe it until it ends.
    public func revoke(serial: String) async throws(API.Problem) -> API.RevocationResult {
        let found: StoredCertificate?
        let serial = serial.lowercased().replacing(":", with: "")
        do throws(StoreError) { found = try await store.certificate(serial) } catch { throw Self.problem(error) }
        guard let found else { throw API.Problem(.notFound, "no certificate has the serial number \(serial)") }
        return try await revoke([found])
    }

    /// Revokes every certificate of a service (`namespace/name`), or of one instance of it, that could still be used.
    /// Who has a new token can join again.
    public func revoke(service: String, instance: String?) async throws(API.Problem) -> API.RevocationResult {
        let identity = "spiffe://\(trustDomain)/ns/\(service.replacing("/", with: "/svc/"))"
        guard SPIFFEID(identity) != nil else {
            throw API.Problem(.invalid, "\"\(service)\" is no service", remedy: "NAMESPACE/NAME")
        }
        let found: [StoredCertificate]
        do throws(StoreError) {
            found = try await store.certificates(identity: identity, instance: instance, endingAfter: now())
        } catch {
            throw Self.problem(error)
        }
        guard !found.isEmpty else {
            throw API.Problem(.notFound, "\(service)\(instance.map { " \($0)" } ?? "") has no certificate that holds")
        }
        return try await revoke(found)
    }

    private func revoke(_ records: [StoredCertificate]) async throws(API.Problem) -> API.RevocationResult {
        let serials: [String]
        do throws(StoreError) {
            serials = try await store.revokeCertificates(records.map(\.serial), at: now())
        } catch {
            throw Self.problem(error)
        }
        published.withLock { $0.revoke(records) }
        announce(.revoked(records.map(\.serial)))
        return API.RevocationResult(serials: serials)
    }

    private static func token(_ stored: StoredToken) -> API.Token {
        API.Token(
            id: stored.id, role: stored.role, created: stored.created, expires: stored.expires,
            usesLeft: stored.usesLeft, uses: stored.uses, isRevoked: stored.isRevoked, author: stored.author)
    }

    private static func problem(_ error: StoreError) -> API.Problem {
        API.Problem(error.kind == .conflict ? .conflict : .unavailable, error.description)
    }
}
