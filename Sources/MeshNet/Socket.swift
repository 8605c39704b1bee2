import CLinux
import Glibc
import MeshCore

/// System calls on stream sockets: all non-blocking, close-on-exec, never raising SIGPIPE, retried on EINTR.
public enum Socket {
    /// What accepting came to.
    public enum Accepted: Sendable {
        /// A new connection and who opened it.
        case connection(Int32, SocketAddress)
        /// None is waiting.
        case wouldBlock
        /// The process or the system is out of descriptors or memory; try again later.
        case exhausted
    }

    /// What connecting came to.
    public enum Connecting: Sendable {
        case connected(Int32)
        case inProgress(Int32)
        case failed(Int32)
    }

    /// What writing came to.
    public enum WriteResult: Sendable, Equatable {
        /// The queue is empty.
        case drained
        /// The socket takes no more now.
        case blocked
        /// The connection is gone.
        case failed
    }

    /// Nothing to read or no room to write now.
    public static let wouldBlock = -1
    /// The connection is gone.
    public static let failure = -2

    /// A listening socket on `address`. Errors say what to do.
    public static func listen(
        _ address: SocketAddress, reusePort: Bool, backlog: Int32 = 4096
    ) throws(ProxyError) -> Int32 {
        let fd = linux_socket(address.family)
        guard fd >= 0 else { throw ProxyError("cannot open a socket for \(address): \(text(linux_errno()))") }
        set(fd, SOL_SOCKET, SO_REUSEADDR, 1)
        if reusePort { set(fd, SOL_SOCKET, SO_REUSEPORT, 1) }
        if case .ipv6 = address { set(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
        let bound = unsafe address.withSockaddr { unsafe Glibc.bind(fd, $0, $1) }
        guard bound == 0, Glibc.listen(fd, backlog) == 0 else {
            let code = linux_errno()
            close(fd)
            throw ProxyError("cannot listen on \(address): \(text(code))\(remedy(code))")
        }
        return fd
    }

    /// The next waiting connection of `listener`.
    public static func accept(_ listener: Int32) -> Accepted {
        while true {
            var storage = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let fd = unsafe withUnsafeMutablePointer(to: &storage) {
                // SAFETY: a sockaddr_storage may be viewed as any sockaddr (POSIX).
                unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe linux_accept(listener, $0, &length)
                }
            }
            if fd >= 0 {
                let peer = SocketAddress(storage) ?? .unix("")
                if peer.family != AF_UNIX { set(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
                return .connection(fd, peer)
            }
            switch linux_errno() {
            case EAGAIN: return .wouldBlock
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted
            default: continue  // EINTR, ECONNABORTED and network errors of a connection that is gone already.
            }
        }
    }

    /// Starts connecting to `address`.
    public static func connect(_ address: SocketAddress) -> Connecting {
        let fd = linux_socket(address.family)
        guard fd >= 0 else { return .failed(linux_errno()) }
        if address.family != AF_UNIX { set(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
        if unsafe address.withSockaddr({ unsafe Glibc.connect(fd, $0, $1) }) == 0 { return .connected(fd) }
        let code = linux_errno()
        if code == EINPROGRESS || code == EINTR { return .inProgress(fd) }
        close(fd)
        return .failed(code)
    }

    /// The error that `fd` has met, 0 if none (`SO_ERROR`): how a connection attempt ended.
    public static func error(_ fd: Int32) -> Int32 {
        var code: Int32 = 0
        var length = socklen_t(4)
        return unsafe getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) == 0 ? code : linux_errno()
    }

    /// The address that `fd` is bound to.
    public static func localAddress(_ fd: Int32) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe withUnsafeMutablePointer(to: &storage) {
            // SAFETY: a sockaddr_storage may be viewed as any sockaddr (POSIX).
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe getsockname(fd, $0, &length) }
        }
        return result == 0 ? SocketAddress(storage) : nil
    }

    /// Reads into `buffer`: bytes read, 0 at the end, ``wouldBlock`` or ``failure``.
    public static func receive(_ fd: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        while true {
            let count = unsafe recv(fd, buffer.baseAddress, buffer.count, 0)
            if count >= 0 { return count }
            let code = linux_errno()
            if code != EINTR { return code == EAGAIN ? wouldBlock : failure }
        }
    }

    /// True if an idle connection is still usable: open, and nothing to read, which on an idle connection can only be
    /// a close or rubbish.
    public static func isIdleAndAlive(_ fd: Int32) -> Bool {
        var byte: UInt8 = 0
        return unsafe recv(fd, &byte, 1, Int32(MSG_PEEK)) < 0 && linux_errno() == EAGAIN
    }

    /// Writes as much of `queue` as the socket takes, and drops that from the queue.
    public static func write(_ fd: Int32, _ queue: inout OutputQueue) -> WriteResult {
        while !queue.isEmpty {
            let sent = queue.runCount == 1 ? sendOne(fd, queue) : sendMany(fd, queue)
            if sent >= 0 {
                queue.drop(sent)
                continue
            }
            let code = linux_errno()
            if code != EINTR { return code == EAGAIN ? .blocked : .failed }
        }
        return .drained
    }

    private static func sendOne(_ fd: Int32, _ queue: borrowing OutputQueue) -> Int {
        // SAFETY: the run is valid while the queue is borrowed.
        let run = unsafe queue.firstRun()
        return unsafe send(fd, run.baseAddress, run.count, Int32(MSG_NOSIGNAL))
    }

    private static func sendMany(_ fd: Int32, _ queue: borrowing OutputQueue) -> Int {
        unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: 64) { vectors in
            var message = unsafe msghdr()
            // SAFETY: the vectors are valid while the queue is borrowed, and outlive the call.
            let count = unsafe queue.fill(vectors)
            unsafe message.msg_iov = vectors.baseAddress
            unsafe message.msg_iovlen = count
            return unsafe sendmsg(fd, &message, Int32(MSG_NOSIGNAL))
        }
    }

    /// Closes `fd`.
    public static func close(_ fd: Int32) { _ = Glibc.close(fd) }

    /// Says that nothing more will be written; reading goes on.
    public static func shutdownWrite(_ fd: Int32) { _ = shutdown(fd, Int32(SHUT_WR)) }

    private static func set(_ fd: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        _ = unsafe setsockopt(fd, level, option, &value, socklen_t(4))
    }

    static func text(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }

    private static func remedy(_ code: Int32) -> String {
        switch code {
        case EADDRINUSE: "; stop what listens there or choose another port"
        case EACCES: "; ports below 1024 need CAP_NET_BIND_SERVICE"
        case EADDRNOTAVAIL: "; no interface of this machine has that address"
        default: ""
        }
    }
}
