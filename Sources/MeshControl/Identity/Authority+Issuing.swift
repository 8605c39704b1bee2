internal import Crypto
import Foundation
import MeshAuthority
import MeshCore
internal import X509

import struct MeshModel.SPIFFEID

/// What came of attempts to join and to renew. Also the label `result` in metrics.
enum IdentityResult: String, Sendable, CaseIterable {
    case issued
    /// Not understood.
    case malformed
    /// No such token, or the wrong secret.
    case unknown
    case used, expired, revoked
    /// The token is for another role.
    case role
    /// The role is not known.
    case absent
    /// Too many failures from the address.
    case limited
    /// The store or the authority could not.
    case failed
}

/// How often each result was.
struct IdentityCounts: Sendable, Equatable {
    var joins: [IdentityResult: Int] = [:]
    var signs: [IdentityResult: Int] = [:]
}

/// Why there is no certificate; `message` is for the proxy's log.
struct IdentityRefusal: Error, Sendable, Equatable {
    var result: IdentityResult
    var message: String
}

/// A certificate that was made.
struct IssuedCertificate: Sendable {
    var leaf: Certificate
    /// PEM: the leaf, then intermediates.
    var chain: String
    /// PEM: every root that is believed.
    var bundle: String
}

extension Authority {
    /// How long an answer that was lost can be asked for again, with the same token and key.
    static let joinMemory: TimeInterval = 600

    /// How often each result was.
    var identityCounts: IdentityCounts { counts }

    // MARK: Joining

    /// A certificate for whoever has a token. `address` is where the call comes from.
    func join(
        token: String, role: String, instance: String, csr: [UInt8], from address: String
    ) async throws(IdentityRefusal) -> IssuedCertificate {
        do throws(IdentityRefusal) {
            let wait = limiter.wait(address, now: now())
            guard wait == 0 else {
                throw IdentityRefusal(
                    result: .limited, message: "too many failing joins from \(address): wait \(wait) seconds")
            }
            let issued = try await admit(token: token, role: role, instance: instance, csr: csr)
            counts.joins[.issued, default: 0] += 1
            return issued
        } catch {
            counts.joins[error.result, default: 0] += 1
            if error.result != .failed, error.result != .limited { limiter.failed(address, now: now()) }
            throw error
        }
    }

    private func admit(
        token text: String, role roleText: String, instance: String, csr: [UInt8]
    ) async throws(IdentityRefusal) -> IssuedCertificate {
        let (role, request) = try Self.parse(roleText, instance, csr)
        guard let token = JoinToken(text) else {
            throw IdentityRefusal(
                result: .unknown, message: "the token has not the form mt1.ID.SECRET.HASH: pass it as it was given")
        }
        let isRepeated = try await check(token, role)
        let service = await resolver(role.text)
        guard let service,
            let identity = SPIFFEID("spiffe://\(trustDomain)/ns/\(service.replacing("/", with: "/svc/"))")
        else {
            throw IdentityRefusal(
                result: .absent,
                message: "the control plane knows no \(role.text): apply it first; the token stays good")
        }
        let key = Array(SHA256.hash(data: request.publicKey.subjectPublicKeyInfoBytes))
        if isRepeated {
            guard let join = recentJoins[token.id], join.key == key,
                now().timeIntervalSince(join.time) < Self.joinMemory
            else { throw Self.used(token) }
        } else {
            let isTaken: Bool
            do throws(StoreError) { isTaken = try await store.useToken(token.id, at: now()) } catch {
                throw Self.failed(error)
            }
            guard isTaken else { throw Self.used(token) }
            recentJoins[token.id] = (key, now())
        }
        return try await issue(LeafSubject(identity: identity, instance: instance), request.publicKey)
    }

    private static func parse(
        _ role: String, _ instance: String, _ csr: [UInt8]
    ) throws(IdentityRefusal) -> (JoinRole, LeafRequest) {
        do throws(ProxyError) {
            guard LeafSubject.isInstance(instance) else {
                throw ProxyError(
                    "\(instance.prefix(100).debugDescription) cannot be an instance: 1 to 64 letters, digits, . - _")
            }
            return (try JoinRole(role), try LeafRequest(der: csr))
        } catch {
            throw IdentityRefusal(result: .malformed, message: error.description)
        }
    }

    /// Throws if the token is not good for the role. True if all its uses are taken.
    private func check(_ token: JoinToken, _ role: JoinRole) async throws(IdentityRefusal) -> Bool {
        let stored: StoredToken?
        do throws(StoreError) { stored = try await store.token(token.id) } catch { throw Self.failed(error) }
        // An id that is not known costs the same comparison, and is answered like a wrong secret.
        guard token.hasSecret(of: stored?.secretHash ?? [UInt8](repeating: 0, count: 32)), let stored else {
            throw IdentityRefusal(
                result: .unknown,
                message: "no token has this id and secret: it was mistyped, is of another mesh, or is long expired")
        }
        guard !stored.isRevoked else {
            throw IdentityRefusal(
                result: .revoked, message: "the token \(token.id) was revoked: make one with martlet token create")
        }
        guard now() < stored.expires else {
            throw IdentityRefusal(
                result: .expired,
                message: "the token \(token.id) has expired at \(stored.expires.formatted(.iso8601)): "
                    + "make one with martlet token create")
        }
        guard stored.role == role.text else {
            throw IdentityRefusal(
                result: .role, message: "the token \(token.id) is for \(stored.role), not for \(role.text)")
        }
        return stored.usesLeft <= 0
    }

    private static func used(_ token: JoinToken) -> IdentityRefusal {
        IdentityRefusal(
            result: .used, message: "the token \(token.id) was used already: make one with martlet token create")
    }

    // MARK: Renewing

    /// A certificate with a new key for whom `peer` is already. The caller has checked `peer`.
    func sign(_ peer: PeerIdentity, csr: [UInt8]) async throws(IdentityRefusal) -> IssuedCertificate {
        do throws(IdentityRefusal) {
            guard !isRevoked(peer.serial) else {
                throw IdentityRefusal(result: .revoked, message: Self.revokedMessage(peer))
            }
            let request: LeafRequest
            do throws(ProxyError) { request = try LeafRequest(der: csr) } catch {
                throw IdentityRefusal(result: .malformed, message: error.description)
            }
            guard LeafSubject.isInstance(peer.instance) else {
                throw IdentityRefusal(result: .malformed, message: "the certificate names no instance: join again")
            }
            let issued = try await issue(
                LeafSubject(identity: peer.spiffe, instance: peer.instance), request.publicKey)
            counts.signs[.issued, default: 0] += 1
            return issued
        } catch {
            counts.signs[error.result, default: 0] += 1
            throw error
        }
    }

    private func issue(
        _ subject: LeafSubject, _ key: Certificate.PublicKey
    ) async throws(IdentityRefusal) -> IssuedCertificate {
        let (time, issuer) = (now(), signing.issuer)
        let leaf: Certificate
        do throws(ProxyError) {
            leaf = try issuer.leaf(subject, key: key, lifetime: Self.seconds(lifetime), now: time)
        } catch {
            throw IdentityRefusal(result: .failed, message: error.description)
        }
        let record = StoredCertificate(
            serial: PeerIdentity.serial(leaf), identity: subject.identity.description, instance: subject.instance,
            issued: time, notAfter: leaf.notValidAfter)
        do throws(StoreError) { try await store.insert(record) } catch { throw Self.failed(error) }
        published.withLock { $0.remember([record]) }
        return IssuedCertificate(leaf: leaf, chain: issuer.chain(leaf), bundle: bundlePEM)
    }

    private static func failed(_ error: StoreError) -> IdentityRefusal {
        IdentityRefusal(result: .failed, message: "the control plane's store does not answer (\(error.kind.rawValue))")
    }

    // MARK: Peers

    /// True if the certificate of this serial number was revoked.
    public nonisolated func isRevoked(_ serial: String) -> Bool { published.withLock { $0.isRevoked(serial) } }

    static func revokedMessage(_ peer: PeerIdentity) -> String {
        "the certificate \(peer.serial) of \(peer.spiffe.name) \(peer.instance) was revoked: join again with a token"
    }
}
