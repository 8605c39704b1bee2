import CLinux
import Glibc
import MeshCore

/// Listening sockets.
extension Socket {
    /// A listening socket on `address`; port 0 takes a free one. IPv6 listeners take no IPv4 connections, so that both
    /// families can listen on one port.
    ///
    /// With `reusePort` several sockets of this user share the port; what another process of the same user holds that
    /// way is not noticed, so check with ``checkIsFree(_:)`` before the first. The file of a unix socket that nobody
    /// listens on is replaced. Errors say what to do.
    public static func listen(
        _ address: SocketAddress, reusePort: Bool, backlog: Int32 = 4096
    ) throws(ProxyError) -> Int32 {
        if case .unix(let path) = address { try removeStaleSocket(path) }
        let fd = try bound(address, reusePort: reusePort)
        if address.family != AF_UNIX { set(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
        guard Glibc.listen(fd, backlog) == 0 else {
            let code = linux_errno()
            close(fd)
            throw failed(address, code)
        }
        return fd
    }

    /// Throws what listening on `address` would throw, even where `reusePort` would hide that others do so already.
    public static func checkIsFree(_ address: SocketAddress) throws(ProxyError) {
        if case .unix = address { return }
        close(try bound(address, reusePort: false))
    }

    /// Lets only the owner connect to the unix socket at `path`.
    public static func restrictToOwner(_ path: String) { _ = unsafe chmod(path, 0o600) }

    private static func bound(_ address: SocketAddress, reusePort: Bool) throws(ProxyError) -> Int32 {
        let fd = linux_socket(address.family)
        guard fd >= 0 else { throw ProxyError("cannot open a socket for \(address): \(text(linux_errno()))") }
        set(fd, SOL_SOCKET, SO_REUSEADDR, 1)
        if reusePort && address.family != AF_UNIX { set(fd, SOL_SOCKET, SO_REUSEPORT, 1) }
        if address.family == AF_INET6 { set(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
        if unsafe address.withSockaddr({ unsafe Glibc.bind(fd, $0, $1) }) == 0 { return fd }
        let code = linux_errno()
        close(fd)
        throw failed(address, code)
    }

    /// Removes the file that a process which ended left at `path`; a socket that somebody serves stays, as does
    /// anything that is not a socket.
    private static func removeStaleSocket(_ path: String) throws(ProxyError) {
        var status = stat()
        guard !path.hasPrefix("@"), unsafe lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw ProxyError("cannot listen on unix:\(path): a file that is not a socket is there; remove it")
        }
        switch connect(.unix(path)) {
        case .connected(let fd), .inProgress(let fd): close(fd)
        case .failed(let code): if code == ECONNREFUSED { _ = unsafe unlink(path) }
        }
    }

    private static func failed(_ address: SocketAddress, _ code: Int32) -> ProxyError {
        ProxyError("cannot listen on \(address): \(text(code))\(remedy(code, address))")
    }

    private static func remedy(_ code: Int32, _ address: SocketAddress) -> String {
        switch code {
        case EADDRINUSE:
            "; stop what listens there or choose another \(address.family == AF_UNIX ? "path" : "port")"
        case EACCES where address.family == AF_UNIX: "; this user may not create a file in that directory"
        case EACCES: "; ports below 1024 need CAP_NET_BIND_SERVICE or a larger port"
        case EADDRNOTAVAIL: "; no interface of this machine has that address"
        case ENOENT where address.family == AF_UNIX: "; create the directory first"
        case EAFNOSUPPORT: "; this machine has IPv6 switched off"
        default: ""
        }
    }
}
