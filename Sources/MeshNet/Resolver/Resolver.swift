import MeshCore

/// What came of resolving a name.
public enum ResolverAnswer: Sendable, Equatable {
    /// The addresses, IPv4 before IPv6, in the order in which the server gave them, each once; never empty. They hold
    /// for `timeToLive` seconds; 0 where nobody says how long (the hosts file, IP addresses), or where the server says 0.
    case addresses([SocketAddress], timeToLive: UInt32)
    /// There are none, with the reason in words. `isNegative` is true if the name has no address, by the word of a
    /// server; false if nobody could be asked, so that an older answer is the best that is known.
    case failed(String, isNegative: Bool)
}

/// Resolves names on one loop, with c-ares: the hosts file first, then the system's name servers or those given.
///
/// It belongs to its loop's thread, and dropping it there drops what is under way: no answer comes any more.
public final class Resolver {
    /// How names are resolved.
    public struct Settings: Sendable {
        /// Name servers as `address:port,[address]:port`; those of the system if nil, followed when they change.
        public var servers: String?
        /// Milliseconds until the first try at a server is given up; each further round of tries has twice as long.
        public var timeout: Int32 = 2000
        /// Tries at each server.
        public var tries: Int32 = 2
        /// Names being resolved at the same time.
        public var parallelLimit = 64
        /// Names waiting for their turn; what comes on top fails at once.
        public var waitingLimit = 4096
        /// Where the system's name servers are written.
        var systemFile = "/etc/resolv.conf"
        /// The port of the system's name servers.
        var systemPort: UInt16 = 53

        /// The system's name servers, asked twice: for 2 seconds, then for 4.
        public init(servers: String? = nil) { self.servers = servers }
    }

    private let channel: ResolverChannel

    /// A resolver on `loop`. Throws if the name servers in `settings` are not readable, or without memory.
    public init(loop: EventLoop, settings: Settings = Settings()) throws(ProxyError) {
        channel = try ResolverChannel(loop: loop, settings: settings)
    }

    deinit { channel.destroy() }

    /// Asks for the IPv4 and IPv6 addresses of `name`, which may be an IP address itself, and calls `done` once, on the
    /// loop's thread and after this call has returned. The addresses carry `port`.
    public func resolve(_ name: String, port: UInt16, _ done: @escaping (ResolverAnswer) -> Void) {
        channel.ask(ResolverLookup(name: name, port: port, done: done))
    }

    /// Names that are being resolved or wait for their turn.
    public var pendingCount: Int { channel.pendingCount }
}
