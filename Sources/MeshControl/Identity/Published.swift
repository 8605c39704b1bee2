import Foundation
internal import X509

/// The control plane's own certificate.
struct ServerCertificate: Sendable {
    /// The leaf first, the roots last.
    var chain: [Certificate]
    /// Secret.
    var keyPEM: String
    /// When it is to be replaced.
    var renewal: Date
}

/// What of an ``Authority`` is read at each call, without waiting for it.
struct Published: Sendable {
    var trust: TrustView
    var server: ServerCertificate?
    /// Serial numbers, and when those certificates end.
    private var revoked: [String: Date] = [:]
    /// When the newest certificate of an identity and instance ends.
    private var newest: [Holder: Date] = [:]

    /// Who has a certificate.
    struct Holder: Hashable, Sendable {
        var identity: String
        var instance: String
    }

    init(trust: TrustView) { self.trust = trust }

    func isRevoked(_ serial: String) -> Bool { revoked[serial] != nil }

    /// True if the holder's newest certificate holds at `time`.
    func isCurrent(_ holder: Holder, at time: Date) -> Bool { newest[holder].map { time < $0 } ?? false }

    mutating func remember(_ certificates: [StoredCertificate]) {
        for certificate in certificates {
            if certificate.revoked != nil {
                revoked[certificate.serial] = certificate.notAfter
            } else {
                let holder = Holder(identity: certificate.identity, instance: certificate.instance)
                newest[holder] = max(newest[holder] ?? .distantPast, certificate.notAfter)
            }
        }
    }

    mutating func revoke(_ certificates: [StoredCertificate]) {
        for certificate in certificates {
            revoked[certificate.serial] = certificate.notAfter
            newest[Holder(identity: certificate.identity, instance: certificate.instance)] = nil
        }
    }

    mutating func clean(_ time: Date) {
        // A day more than they hold: clocks differ.
        revoked = revoked.filter { $0.value.addingTimeInterval(86400) > time }
        newest = newest.filter { $0.value > time }
    }
}
