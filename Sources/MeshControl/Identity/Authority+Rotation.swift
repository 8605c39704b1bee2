import Foundation
import MeshAuthority
import MeshCore
internal import X509

/// The root is replaced in three steps, none of which makes a request fail: the new root is believed before anything
/// is signed under it, and the old one is believed until nothing is. Between two steps proxies need a moment to learn of
/// the bundle; where the old root's key is at hand, the new root is also vouched for by the old one, so that even those
/// that learn late follow.
extension Authority {
    /// The first step: a new root and intermediate. Both roots are believed; the old one signs.
    public func beginRotation() throws(API.Problem) {
        try step(from: .none, "begun: go on with it") { directory, time throws(ProxyError) in
            try directory.begin(trustDomain: trustDomain, signing: signing, now: time)
        }
    }

    /// The second step: the new root signs. Proxies renew soon, because the first root of their bundle has changed.
    public func activateRotation() throws(API.Problem) {
        try step(from: .begun, "not begun, or activated already") { directory, time throws(ProxyError) in
            try directory.activate(now: time)
        }
    }

    /// The last step: the old root is believed no longer. Without `force` it is refused while somebody has no newer
    /// certificate than one of the old root: a proxy that is not connected may still come back with it. `known` and
    /// `service`, which tells whose service a role is, are for the refusal: it names each with what can be done.
    public func finishRotation(
        force: Bool = false, known: [API.Proxy] = [], service: (_ role: String) -> String? = { _ in nil }
    ) async throws(API.Problem) {
        let waiting = force ? [] : try await holdersOfOldRoot()
        guard waiting.isEmpty else {
            let holders = waiting.map { OldRootHolder($0, known: known, service: service) }
            throw API.Problem(
                .conflict,
                "\(waiting.count) \(waiting.count == 1 ? "proxy has a certificate" : "proxies have certificates") "
                    + "of the old root: \(Self.list(holders.map { $0.text(at: now()) }, separator: ", "))",
                remedy: "wait until they have renewed, or until \(Self.end(waiting))"
                    + Self.commands(holders.filter { !$0.isConnected }))
        }
        try step(from: .activated, "not activated") { directory, _ throws(ProxyError) in try directory.finish() }
    }

    /// How far it is. `role` tells the role of an identity (`namespace/service`) and instance. In the phase `begun`,
    /// who has not confirmed the bundle is for the caller to add.
    public func rotationStatus(
        role: @Sendable (_ service: String, _ instance: String) -> String = { service, _ in "workload:\(service)" }
    ) async throws(API.Problem) -> API.RootRotation {
        let waiting = try await holdersOfOldRoot()
        let proxies = waiting.compactMap { record in
            let parts = record.identity.split(separator: "/")
            let service = parts.count == 6 ? "\(parts[3])/\(parts[5])" : record.identity
            return API.ProxyID(role: role(service, record.instance), instance: record.instance)
        }
        let (phase, next): (API.RootRotation.Phase, API.RootRotation.Step?) =
            switch rotationPhase {
            case .none: (.none, nil)
            case .begun: (.begun, .activate)
            case .activated: (.activated, .finish)
            }
        return API.RootRotation(
            phase: phase, roots: rootDescriptions, waitingFor: proxies, next: next,
            safeAfter: waiting.map(\.notAfter).max())
    }

    /// Whom the mesh believes.
    public func trustBundle() -> API.TrustBundle {
        API.TrustBundle(trustDomain: trustDomain, pem: bundlePEM, roots: rootDescriptions)
    }

    /// What somebody should do about the authority's certificates, one line each, for people.
    public func remarks() -> [String] {
        var lines: [String] = problem.isEmpty ? [] : [problem]
        let issuer = signing.issuer
        if case .own = files, signing.rootKey == nil {
            let end = issuer.notAfter.formatted(.iso8601)
            lines.append(
                now() < Self.half(issuer.certificate)
                    ? "the root's key is not here: it is needed to renew the intermediate before \(end)"
                    : "the intermediate ends at \(end): put root-\(signing.number).key back for a moment")
        }
        if case .provided(let path) = files, now() >= Self.half(issuer.certificate) {
            lines.append(
                "\(path)/intermediate.pem ends at \(issuer.notAfter.formatted(.iso8601)): give a newer one and its key")
        }
        return lines
    }

    // MARK: Parts

    private var rotationPhase: AuthorityDirectory.State.Phase {
        guard case .own(let directory) = files else { return .none }
        return directory.state.phase
    }

    private var rootDescriptions: [API.Authority] {
        let (trust, first) = (published.withLock { $0.trust }, signing.root)
        return trust.roots.map { root in
            API.Authority(
                subject: "\(root.subject)", fingerprint: fingerprint(root).map { hex($0) }.joined(),
                notBefore: root.notValidBefore, notAfter: root.notValidAfter, isSigning: root == first)
        }
    }

    private func step(
        from phase: AuthorityDirectory.State.Phase, _ otherwise: String,
        _ change: (inout AuthorityDirectory, Date) throws(ProxyError) -> Void
    ) throws(API.Problem) {
        guard case .own(var directory) = files else {
            throw API.Problem(
                .conflict, "the authority is given from outside",
                remedy: "add the new root to root.pem, then replace intermediate.pem and intermediate.key, "
                    + "then take the old root out of root.pem")
        }
        guard directory.state.phase == phase else {
            throw API.Problem(.conflict, "the rotation of the root is \(otherwise)", remedy: "see martlet status")
        }
        do throws(ProxyError) {
            let time = now()
            try change(&directory, time)
            try adopt(directory, time)
        } catch {
            throw API.Problem(.unavailable, error.description)
        }
        announce(.bundle)
    }

    /// Whoever has no newer certificate than one of the old root, and could still use it.
    private func holdersOfOldRoot() async throws(API.Problem) -> [StoredCertificate] {
        guard case .own(let directory) = files, let activated = directory.state.activated else { return [] }
        let all: [StoredCertificate]
        do throws(StoreError) {
            all = try await store.certificates(identity: nil, instance: nil, endingAfter: now())
        } catch {
            throw API.Problem(.unavailable, error.description)
        }
        // As the store keeps it: a Date counts from 2001, and finer than seconds since 1970 can.
        let activation = activated.timeIntervalSince1970
        var seen: Set<Published.Holder> = []
        return all.filter { record in
            let isNewest = seen.insert(.init(identity: record.identity, instance: record.instance)).inserted
            return isNewest && record.revoked == nil && record.issued.timeIntervalSince1970 < activation
        }
    }

    /// What to do about those that are away.
    private static func commands(_ away: [OldRootHolder]) -> String {
        away.isEmpty
            ? ""
            : ". What takes away the certificate of one that is gone: " + list(away.map(\.command), separator: "; ")
    }

    /// The first 20 of `texts`, and how many more there are.
    private static func list(_ texts: [String], separator: String) -> String {
        let more = texts.count > 20 ? ["and \(texts.count - 20) more"] : []
        return (texts.prefix(20) + more).joined(separator: separator)
    }

    private static func end(_ records: [StoredCertificate]) -> String {
        (records.map(\.notAfter).max() ?? .distantPast).formatted(.iso8601)
    }
}
