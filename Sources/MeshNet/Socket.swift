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
        /// The process or the system is out of descriptors or memory, or the listener is broken; try again later.
        case exhausted
    }

    /// What connecting came to.
    public enum Connecting: Sendable {
        /// Connected at once, as unix sockets do.
        case connected(Int32)
        /// The descriptor becomes writable when the attempt has ended; ``Socket/error(_:)`` tells how.
        case inProgress(Int32)
        /// Not started, with the error number.
        case failed(Int32)
    }

    /// The next waiting connection of `listener`. TCP connections have `TCP_NODELAY`, inherited from the listener.
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
            if fd >= 0 { return .connection(fd, SocketAddress(storage, length: length) ?? .unix("")) }
            switch linux_errno() {
            case EAGAIN: return .wouldBlock
            // Errors of a connection that is gone already (accept(2), "Error handling").
            case EINTR, ECONNABORTED, ENETDOWN, EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, ENETUNREACH,
                EPERM:
                continue
            default: return .exhausted
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
        // An interrupted attempt goes on in the background (connect(2)).
        if code == EINPROGRESS || code == EINTR { return .inProgress(fd) }
        close(fd)
        return .failed(code)
    }

    /// The error that `fd` has met, 0 if none (`SO_ERROR`): how a connection attempt ended. Reading it clears it.
    public static func error(_ fd: Int32) -> Int32 {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return unsafe getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) == 0 ? code : linux_errno()
    }

    /// The address that `fd` is bound to.
    public static func localAddress(_ fd: Int32) -> SocketAddress? {
        unsafe address { unsafe getsockname(fd, $0, $1) }
    }

    /// The address that `fd` is connected to.
    public static func peerAddress(_ fd: Int32) -> SocketAddress? {
        unsafe address { unsafe getpeername(fd, $0, $1) }
    }

    /// Where the accepted connection `fd` was going before a netfilter REDIRECT rule sent it here; nil if none did.
    public static func originalDestination(_ fd: Int32) -> SocketAddress? {
        guard let local = localAddress(fd), local.family != AF_UNIX else { return nil }
        // A dual-stack socket answers for IPv4 connections on the IPv4 level.
        var storage = sockaddr_storage()
        guard unsafe linux_original_destination(fd, local.family, &storage) == 0 else { return nil }
        return SocketAddress(storage, length: socklen_t(MemoryLayout<sockaddr_storage>.size))
    }

    /// True if an idle connection is still usable: open, and nothing to read, which on an idle connection can only be
    /// a close or rubbish.
    public static func isIdleAndAlive(_ fd: Int32) -> Bool {
        var byte: UInt8 = 0
        while true {
            guard unsafe recv(fd, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) < 0 else { return false }
            let code = linux_errno()
            if code != EINTR { return code == EAGAIN }
        }
    }

    /// Closes `fd`.
    public static func close(_ fd: Int32) { _ = Glibc.close(fd) }

    /// Says that nothing more will be written; reading goes on.
    public static func shutdownWrite(_ fd: Int32) { _ = shutdown(fd, Int32(SHUT_WR)) }

    /// What closing does with bytes that the peer has not taken: with 0 seconds they are dropped and the peer gets a
    /// reset, otherwise the system goes on sending for that long.
    public static func setLinger(_ fd: Int32, seconds: Int32) {
        var value = linger(l_onoff: 1, l_linger: seconds)
        _ = unsafe setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    }

    static func set(_ fd: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        _ = unsafe setsockopt(fd, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// What the system calls error `code`, in words.
    public static func text(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }

    private static func address(
        _ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe withUnsafeMutablePointer(to: &storage) {
            // SAFETY: a sockaddr_storage may be viewed as any sockaddr (POSIX).
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, &length) }
        }
        return result == 0 ? SocketAddress(storage, length: length) : nil
    }
}
