/// The name of a service as its certificate carries it: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/svc/SERVICE`
/// (SPIFFE-ID §2). Gateways are services, too.
public struct SPIFFEID: Sendable, Hashable {
    /// Whose authority it is under, in lower case.
    public var trustDomain: String
    /// The service's namespace.
    public var namespace: String
    /// The service's name.
    public var service: String

    /// The identity of a service.
    public init(trustDomain: String, namespace: String, service: String) {
        self.trustDomain = trustDomain
        self.namespace = namespace
        self.service = service
    }

    /// The identity that `uri` writes; nil if it has another form.
    public init?(_ uri: String) {
        guard uri.hasPrefix("spiffe://"), uri.utf8.count <= 2048 else { return nil }
        let parts = uri.dropFirst(9).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 5, parts[1] == "ns", parts[3] == "svc" else { return nil }
        let (domain, namespace, service) = (String(parts[0]), String(parts[2]), String(parts[4]))
        guard Self.isTrustDomain(domain), Self.isSegment(namespace), Self.isSegment(service) else { return nil }
        self.init(trustDomain: domain, namespace: namespace, service: service)
    }

    /// `namespace/service`.
    public var name: String { "\(namespace)/\(service)" }

    /// True for what a trust domain may be called: letters in lower case, digits, `.`, `-`, `_` (SPIFFE-ID §2.1).
    public static func isTrustDomain(_ text: String) -> Bool {
        (1...255).contains(text.utf8.count)
            && text.utf8.allSatisfy { isLower($0) || isDigit($0) || $0 == 0x2D || $0 == 0x2E || $0 == 0x5F }
    }

    /// True for what a part of the path may be: letters, digits, `.`, `-`, `_`, but not only dots (SPIFFE-ID §2.2).
    public static func isSegment(_ text: String) -> Bool {
        !text.isEmpty && text != "." && text != ".."
            && text.utf8.allSatisfy {
                isLower($0 | 0x20) || isDigit($0) || $0 == 0x2D || $0 == 0x2E || $0 == 0x5F
            }
    }

    private static func isLower(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte) }
    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
}

extension SPIFFEID: CustomStringConvertible {
    /// The URI.
    public var description: String { "spiffe://\(trustDomain)/ns/\(namespace)/svc/\(service)" }
}
