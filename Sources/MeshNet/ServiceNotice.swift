import CLinux
import Glibc

/// What a process tells the service manager that started it (sd_notify(3)). Where none listens, or none is there,
/// nothing happens.
public enum ServiceNotice: String, Sendable {
    /// It serves.
    case ready = "READY=1"
    /// It ends, and takes its time.
    case stopping = "STOPPING=1"

    /// Says it.
    public func send() {
        guard let path = ChildProcess.variable("NOTIFY_SOCKET"), path.hasPrefix("/") || path.hasPrefix("@") else {
            return
        }
        let fd = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { return }
        defer { Socket.close(fd) }
        let bytes = Array(rawValue.utf8)
        // SAFETY: address and bytes are read during the call only.
        _ = unsafe SocketAddress.unix(path).withSockaddr { address, length in
            unsafe sendto(fd, bytes, bytes.count, Int32(MSG_NOSIGNAL), address, length)
        }
    }
}
