public import MeshDiscovery

/// How a proxy takes part in a mesh.
public struct ControlOptions: Sendable {
    /// Where the token for the first certificate is.
    public enum TokenSource: Sendable, Equatable {
        /// There is none: only a saved identity helps.
        case none
        /// This is it. A secret.
        case text(String)
        /// In this file, which is read each time that it is needed.
        case file(String)
    }

    /// The control plane's host, a name or an IP address.
    public var host: String
    /// The control plane's port.
    public var port: UInt16
    /// What the proxy is.
    public var role: ProxyRole
    /// The instance's name; nil: the one in the state directory, or one of chance.
    public var instance: String?
    /// The directory of what is kept across restarts.
    public var state: String
    /// Where the token for the first certificate is.
    public var token = TokenSource.none
    /// Where other proxies reach this one; empty: where its connections to the control plane come from.
    public var address = ""
    /// Where it stands, such as an availability zone; empty: unknown.
    public var zone = ""
    /// What this instance does otherwise than its document says.
    public var overrides = InstanceOverrides()
    /// Nothing is wanted but the first certificate.
    public var joinsOnly = false

    /// The control plane at `host`:`port`, for a proxy that keeps its state in the directory `state`.
    public init(host: String, port: UInt16, role: ProxyRole, state: String) {
        self.host = host
        self.port = port
        self.role = role
        self.state = state
    }

    /// `HOST:PORT`, `[IPV6]:PORT`; nil if `text` is neither.
    public static func server(_ text: String) -> (host: String, port: UInt16)? {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        return host.isEmpty || host.contains("/") ? nil : (String(host), port)
    }

    /// `HOST:PORT` again.
    var server: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
