import MeshModel

/// Hosts that services are called by: `name`, `name.namespace`, `name.namespace.svc`, `name.namespace.svc.cluster.local`.
enum ServiceHost {
    /// Of a host name (RFC 1035 §2.3.4).
    private static let longestLabel = 63

    /// True if a service may be called `host`, which is in lower case and has no port. An IPv4 address is none.
    static func isPossible(_ host: [UInt8]) -> Bool {
        guard let first = host.first, first != UInt8(ascii: "[") else { return false }
        return host.contains { $0 &- 0x30 > 9 && $0 != UInt8(ascii: ".") }
    }

    /// The service `namespace/name` that `host` is for, called from `home`; nil: none can be.
    static func service(of host: String, home: String) -> String? {
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        let isName = labels.prefix(2).allSatisfy { $0.utf8.count <= longestLabel && SPIFFEID.isSegment(String($0)) }
        guard isName else { return nil }
        switch labels.count {
        case 1: return "\(home)/\(labels[0])"
        case 2: return "\(labels[1])/\(labels[0])"
        default:
            let rest = labels.dropFirst(2).joined(separator: ".")
            return rest == "svc" || rest == "svc.cluster.local" ? "\(labels[1])/\(labels[0])" : nil
        }
    }
}
