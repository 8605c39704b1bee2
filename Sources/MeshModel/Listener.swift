/// One socket that is listened on, with the Gateway listeners ("sections") that share it.
public struct Listener: Sendable, Equatable {
    /// Where it listens; unique in a model, unless its port is 0: then the system chooses one, and keeps it while there
    /// is a listener on the same host whose first section has the same name.
    public var address: ListenAddress
    /// How far its clients are trusted.
    public var role: Role
    /// Every connection begins with a PROXY protocol header, version 1 or 2, which says who the client is.
    public var proxyProtocol: Bool
    /// The number of trusted proxies in front whose `x-forwarded-for` entries are believed.
    public var trustedHops: Int
    /// What clients may not exceed.
    public var limits: ListenerLimits
    /// For connections that the kernel redirects here; nil: connections are meant for this address.
    public var originalDestination: OriginalDestination?
    /// What is served here. Sections of one listener are either one `tcp`, or any number of `http`, or any number of
    /// `https` and `tls`, of different hostnames.
    public var sections: [Section]

    /// A listener; the defaults where nothing is said.
    public init(
        address: ListenAddress, role: Role = .edge, proxyProtocol: Bool = false, trustedHops: Int = 0,
        limits: ListenerLimits = ListenerLimits(), originalDestination: OriginalDestination? = nil,
        sections: [Section] = []
    ) {
        self.originalDestination = originalDestination
        self.address = address
        self.role = role
        self.proxyProtocol = proxyProtocol
        self.trustedHops = trustedHops
        self.limits = limits
        self.sections = sections
    }
}

/// What becomes of redirected connections, by the address that the client meant (`SO_ORIGINAL_DST`).
public struct OriginalDestination: Sendable, Equatable {
    /// Connections that meant `address` (numeric; nil: any) and `port` are for the section of this name. An entry with
    /// an address goes before one without.
    public struct Entry: Sendable, Equatable {
        /// The address that was meant; nil: any.
        public var address: String?
        /// The port that was meant.
        public var port: UInt16
        /// The name of the section.
        public var section: String

        /// `address` and `port` lead to `section`.
        public init(address: String? = nil, port: UInt16, section: String) {
            self.address = address
            self.port = port
            self.section = section
        }
    }

    /// Whose connections are known. The listener's sections are `http` or `tcp`, and only reached by an entry.
    public var entries: [Entry]
    /// True if other connections, and requests that no route takes, go on to where they were meant to go, as bytes;
    /// false: they are refused.
    public var passesUnknown: Bool

    /// What becomes of redirected connections.
    public init(entries: [Entry] = [], passesUnknown: Bool = true) {
        self.entries = entries
        self.passesUnknown = passesUnknown
    }
}

/// How far the clients of a listener are trusted.
public enum Role: Sendable, Equatable, CaseIterable {
    /// Strangers: forwarded headers are overwritten, paths normalised.
    case edge
    /// The workload beside the proxy and its mesh: what comes is preserved.
    case sidecar
}

/// Where a listener listens.
public enum ListenAddress: Sendable, Hashable {
    /// Every address of the machine, IPv6 and IPv4.
    case any(port: UInt16)
    /// One numeric IPv4 or IPv6 address, without brackets.
    case ip(String, port: UInt16)
    /// A unix socket at this path.
    case unix(path: String)
}

extension ListenAddress: CustomStringConvertible {
    /// The port; nil for a unix socket.
    public var port: UInt16? {
        switch self {
        case .any(let port), .ip(_, let port): port
        case .unix: nil
        }
    }

    /// `*:80`, `127.0.0.1:80`, `[::1]:80` or `unix:/path`.
    public var description: String {
        switch self {
        case .any(let port): "*:\(port)"
        case .ip(let ip, let port): ip.utf8.contains(UInt8(ascii: ":")) ? "[\(ip)]:\(port)" : "\(ip):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}

/// What a client speaks to a section, and who ends TLS.
public enum SectionProtocol: Sendable, Equatable, CaseIterable {
    /// HTTP/1.1, or HTTP/2 with prior knowledge, in clear text. Uses `routes`.
    case http
    /// HTTP/1.1 or HTTP/2 in TLS that ends here. Uses `tls` and `routes`.
    case https
    /// Bytes in TLS: it ends here if `tls` is there, and passes through untouched if not. Uses `streamRoutes`.
    case tls
    /// Bytes. Uses `streamRoutes`.
    case tcp
}

/// One listener of a Gateway: a hostname on a socket, with its own certificates and routes.
///
/// Which section takes a connection or request: in TLS the one whose hostname matches the server name best, in clear
/// text HTTP the one that matches the request's host best: exact, then the longest wildcard, then `any`. A request
/// that arrives over TLS for a host that a section other than the connection's matches better gets 421; one that no
/// section matches gets 404 (Gateway API, `Listener.hostname`).
public struct Section: Sendable, Equatable {
    /// `namespace/gateway/section`, unique in the model.
    public var name: String
    /// Which hosts or server names are served.
    public var hostname: Hostname
    /// What clients speak here.
    public var `protocol`: SectionProtocol
    /// Certificates, where TLS ends here.
    public var tls: ServerTLS?
    /// Not nil if the section serves the application beside the proxy to the mesh: whether it takes clear text. Then
    /// `protocol` is `https` or `tls`, `tls` is nil, and TLS is with the model's ``MeshIdentity``.
    public var mesh: MTLSMode?
    /// Who may do what; nil: all may do everything.
    public var access: AccessRules?
    /// The routes of `http` and `https`, in document order, which decides between equals.
    public var routes: [Route]
    /// The routes of `tls` and `tcp`, in document order.
    public var streamRoutes: [StreamRoute]
    /// Where it was written.
    public var origin: Origin?

    /// A section of these parts.
    public init(
        name: String, hostname: Hostname = .any, protocol: SectionProtocol, tls: ServerTLS? = nil,
        mesh: MTLSMode? = nil, access: AccessRules? = nil, routes: [Route] = [], streamRoutes: [StreamRoute] = [],
        origin: Origin? = nil
    ) {
        self.name = name
        self.hostname = hostname
        self.protocol = `protocol`
        self.tls = tls
        self.mesh = mesh
        self.access = access
        self.routes = routes
        self.streamRoutes = streamRoutes
        self.origin = origin
    }
}

/// A host pattern of the Gateway API.
public enum Hostname: Sendable, Hashable {
    /// Every host, and none.
    case any
    /// Exactly this name, in lower case, without port.
    case exact(String)
    /// One or more labels in front of this suffix: `example.com` for `*.example.com`, in lower case.
    case wildcard(suffix: String)
}

extension Hostname: CustomStringConvertible {
    /// The pattern that `text` writes: empty or `*`, `name`, or `*.suffix`; upper case becomes lower case. Nil if it
    /// is none.
    public init?(_ text: String) {
        let lower = text.lowercased()
        if lower.isEmpty || lower == "*" {
            self = .any
        } else if lower.hasPrefix("*.") {
            let suffix = String(lower.dropFirst(2))
            guard Self.isName(suffix) else { return nil }
            self = .wildcard(suffix: suffix)
        } else {
            guard Self.isName(lower) else { return nil }
            self = .exact(lower)
        }
    }

    /// As it is written in a document; `*` for ``any``.
    public var description: String {
        switch self {
        case .any: "*"
        case .exact(let name): name
        case .wildcard(let suffix): "*.\(suffix)"
        }
    }

    /// True if `host`, in lower case and without port, is served.
    public func matches(_ host: String) -> Bool {
        switch self {
        case .any: true
        case .exact(let name): host == name
        case .wildcard(let suffix): host.utf8.count > suffix.utf8.count + 1 && host.hasSuffix("." + suffix)
        }
    }

    /// The pattern of what both serve, as a route's hostnames are limited by its section's; nil if that is nothing.
    public func intersection(_ other: Hostname) -> Hostname? {
        switch (self, other) {
        case (.any, _): other
        case (_, .any): self
        case (.exact(let name), _): other.matches(name) ? self : nil
        case (_, .exact(let name)): matches(name) ? other : nil
        case (.wildcard(let left), .wildcard(let right)):
            if left == right || left.hasSuffix("." + right) {
                self
            } else if right.hasSuffix("." + left) {
                other
            } else {
                nil
            }
        }
    }

    /// True for 1 to 253 bytes of labels of letters, digits, `-` and `_`, separated by dots, or a numeric address.
    static func isName(_ text: String) -> Bool {
        guard (1...253).contains(text.utf8.count) else { return false }
        return text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.utf8.count) && label.utf8.first != UInt8(ascii: "-")
                && label.utf8.last != UInt8(ascii: "-")
                && label.utf8.allSatisfy { byte in
                    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                        || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
                }
        }
    }
}
