import MeshCore
import MeshModel
import MeshNet
import MeshTraffic

extension Model {
    /// The proxy has a part in a mesh, or waits for its identity.
    var isInMesh: Bool {
        identity != nil || place != nil || listeners.contains { $0.sections.contains { $0.mesh != nil } }
    }
}

extension Section {
    /// Its access rules, compiled; nil if it has none.
    func accessTable(of listener: Listener) throws(ProxyError) -> AccessTable? {
        guard let access else { return nil }
        do throws(ProxyError) {
            return try AccessTable(access, port: servicePort ?? listener.address.port ?? 0) { text in
                SocketAddress(ip: text, port: 0)?.ipv6Halves
            }
        } catch {
            throw ProxyError("section \(name): \(error.description)")
        }
    }

    /// The port of the service that is served, which the name of a sidecar's inbound section ends with; nil: as in a
    /// gateway the port that is listened on.
    private var servicePort: UInt16? {
        guard let last = name.split(separator: "/").last, last.hasPrefix("inbound-") else { return nil }
        return UInt16(last.dropFirst("inbound-".count))
    }
}
