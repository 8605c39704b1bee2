import MeshCore
import MeshModel
import MeshTLS

/// Who the peer of a connection is, as mutual TLS has proven it. Made once per connection, after the handshake.
final class PeerIdentity {
    /// The SPIFFE id.
    let uri: [UInt8]
    /// The namespace, if the peer is of the proxy's own trust domain; else empty.
    let namespace: [UInt8]
    /// The peer's service, a number of the loop's ``SourceNames``.
    let source: Int
    /// What `x-forwarded-client-cert` says of it, in Envoy's words.
    let forwarded: [UInt8]
    /// The end of its certificate, seconds since 1970.
    private let notAfter: Int64

    /// Reads `certificate`; nil if nobody vouches for it, or it is no X.509-SVID: one with exactly one URI, a SPIFFE id
    /// (SPIFFE X509-SVID §2).
    init?(_ certificate: PeerCertificate, _ sources: SourceNames, mesh: MeshContexts?) {
        let uris = certificate.facts.uris
        guard certificate.isVerified, uris.count == 1, uris[0].hasPrefix("spiffe://") else { return nil }
        uri = Array(uris[0].utf8)
        notAfter = certificate.facts.notAfter
        let id = SPIFFEID(uris[0])
        let own = mesh.flatMap { SPIFFEID($0.id) }
        namespace = id != nil && id?.trustDomain == own?.trustDomain ? Array(id!.namespace.utf8) : []
        source = id.map { sources.number(of: $0.name) } ?? SourceNames.unknown
        let by = mesh.map { "By=\($0.id);" } ?? ""
        forwarded = Array("\(by)Hash=\(certificate.facts.sha256);URI=\(uris[0])".utf8)
    }

    /// True if its certificate has come to its end.
    func isExpired(atWallTime nanoseconds: UInt64) -> Bool { Int64(nanoseconds / 1_000_000_000) > notAfter }
}

/// The services whose proxies have connected, numbered in the order in which they came: what counters of hops are
/// found by. One loop's; only identities that the mesh vouches for get a number, and no more than ``limit``.
final class SourceNames {
    /// Whoever has not said who it is, and whoever came when the list was full.
    static let unknown = 0
    static let limit = 4096

    private var numbers: [String: Int] = [:]
    private var names = [""]

    /// The number of `namespace/service`.
    func number(of name: String) -> Int {
        if let known = numbers[name] { return known }
        guard names.count < Self.limit else { return Self.unknown }
        numbers[name] = names.count
        names.append(name)
        return names.count - 1
    }

    /// `namespace/service` of a number; empty for ``unknown``.
    subscript(number: Int) -> String { names[number] }
}
