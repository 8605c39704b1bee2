import MeshModel

/// Checks of what an AccessPolicy describes requests by. Each reports what is wrong, and then gives nil.
enum AccessSyntax {
    // MARK: Identities

    /// A SPIFFE URI, the beginning of one and `*`, `namespace/service`, `namespace/*`, or `*`.
    static func identity(_ text: Located<String>, _ report: Report) -> AccessPolicyDocument.Identity? {
        let value = text.value
        if value == "*" { return .any }
        if value.hasPrefix("spiffe://") {
            if isURI(value) { return .uri(value) }
        } else {
            let parts = value.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            if parts.count == 2, SPIFFEID.isSegment(parts[0]), parts[1] == "*" || SPIFFEID.isSegment(parts[1]) {
                return .service(namespace: parts[0], name: parts[1])
            }
        }
        report.error("\"\(value)\" is not an identity", at: text.place, remedy: identityRemedy(value))
        return nil
    }

    private static func identityRemedy(_ value: String) -> String {
        let uri = "spiffe://TRUST-DOMAIN/ns/NAMESPACE/svc/SERVICE"
        if value.contains("*"), !value.hasSuffix("*") || value.dropLast().contains("*") {
            return "* stands at the end only, as in shop/* or spiffe://mesh.local/ns/shop/*"
        }
        if value.contains("/sa/") || value.contains("/ns/") {
            return "a whole URI, \(uri)"
        }
        if SPIFFEID.isSegment(value) { return "with its namespace: NAMESPACE/\(value)" }
        return "NAMESPACE/SERVICE, NAMESPACE/*, \(uri) or \"*\""
    }

    /// Trust domain and path of a SPIFFE id (SPIFFE-ID §2), or a beginning of it that ends in `*`.
    private static func isURI(_ value: String) -> Bool {
        let isOpen = value.hasSuffix("*")
        let text = isOpen ? value.dropLast() : value[...]
        guard text.utf8.count <= 2048, !text.contains("*") else { return false }
        var parts = text.dropFirst(9).split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard let domain = parts.first, SPIFFEID.isTrustDomain(domain) else { return false }
        parts.removeFirst()
        // A beginning may end anywhere behind the trust domain: a part of one would fit domains of strangers.
        if isOpen {
            guard let last = parts.popLast() else { return false }
            return (last.isEmpty || SPIFFEID.isSegment(last)) && parts.allSatisfy { SPIFFEID.isSegment($0) }
        }
        return !parts.isEmpty && parts.allSatisfy { SPIFFEID.isSegment($0) }
    }

    // MARK: Addresses

    /// An address range `ADDRESS/LENGTH`; an address alone is a range of one.
    static func cidr(_ text: Located<String>, _ report: Report) -> String? {
        let parts = text.value.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let isV4 = Syntax.isIPv4(parts[0])
        guard isV4 || Syntax.isIPv6(parts[0]), parts.count <= 2 else {
            return fail(text, "an address range", "for example 10.0.0.0/8 or fd00::/8", report)
        }
        let most = isV4 ? 32 : 128
        guard parts.count == 2 else { return "\(text.value)/\(most)" }
        let isNumber = !parts[1].isEmpty && parts[1].utf8.allSatisfy { (0x30...0x39).contains($0) }
        guard isNumber, let length = Int(parts[1]), length <= most else {
            return fail(text, "an address range", "a length from 0 to \(most), as in \(parts[0])/\(most)", report)
        }
        if isV4 {
            let network = network(parts[0], length)
            guard network == parts[0] else {
                return fail(text, "the beginning of a range of this length", "\(network)/\(length)", report)
            }
        }
        return text.value
    }

    /// The first address of the range.
    private static func network(_ address: String, _ length: Int) -> String {
        let bits = address.split(separator: ".").reduce(UInt32(0)) { $0 << 8 | (UInt32($1) ?? 0) }
        let network = length == 0 ? 0 : bits & (UInt32.max << UInt32(32 - length))
        return [24, 16, 8, 0].map { String(network >> UInt32($0) & 0xFF) }.joined(separator: ".")
    }

    // MARK: Operations

    /// A host, or `*.` and the end of one.
    static func host(_ text: Located<String>, _ report: Report) -> String? {
        guard text.value == "*" else { return Syntax.hostname(text, wildcard: true, report) }
        return fail(text, "a host name", "leave hosts out: every host is meant then", report)
    }

    /// A method, in capitals.
    static func method(_ text: Located<String>, _ report: Report) -> String? {
        let known = HTTPRouteDocument.Method.allCases.map(\.rawValue)
        if known.contains(text.value) { return text.value }
        let isToken =
            (1...32).contains(text.value.utf8.count)
            && text.value.utf8.allSatisfy { (0x41...0x5A).contains($0) || $0 == 0x2D || $0 == 0x5F }
        let close = Suggestion.closest(to: text.value, in: known)
        // Methods of other standards (PROPFIND) are fine, a misspelt one would let through what should be denied.
        if isToken, close == nil { return text.value }
        let remedy =
            text.value == "*"
            ? "leave methods out: every method is meant then"
            : close.map { "did you mean \"\($0)\"?" } ?? "in capitals, as in GET"
        return fail(text, "a method", remedy, report)
    }

    /// A path, or the beginning of one and `*`.
    static func path(_ text: Located<String>, _ report: Report) -> String? {
        let stem = text.value.hasSuffix("*") ? String(text.value.dropLast()) : text.value
        if stem.contains("*") { return fail(text, "a path", "* stands at the end only, as in /cart/*", report) }
        if stem.isEmpty { return fail(text, "a path", "leave paths out: every path is meant then", report) }
        return Syntax.path(Located(stem, at: text.place), report).map { _ in text.value }
    }

    private static func fail(_ text: Located<String>, _ what: String, _ remedy: String, _ report: Report) -> String? {
        report.error("\"\(text.value)\" is not \(what)", at: text.place, remedy: remedy)
        return nil
    }
}
