import CLinux
import Glibc
import MeshCore

/// Where a socket listens or connects: an IP address with a port, or the path of a unix socket.
public enum SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// An IPv4 address as a number, and a port, both in host byte order.
    case ipv4(UInt32, port: UInt16)
    /// An IPv6 address in two halves and a port, all in host byte order.
    case ipv6(UInt64, UInt64, port: UInt16)
    /// The path of a unix socket.
    case unix(String)

    /// The address of `ip` in text form, or nil if it is neither IPv4 nor IPv6.
    public init?(ip: String, port: UInt16) {
        var v4 = in_addr()
        var v6 = in6_addr()
        if unsafe inet_pton(AF_INET, ip, &v4) == 1 {
            self = .ipv4(UInt32(bigEndian: v4.s_addr), port: port)
        } else if unsafe inet_pton(AF_INET6, ip, &v6) == 1 {
            self = Self.make(v6, port: port)
        } else {
            return nil
        }
    }

    /// Reads `1.2.3.4:80`, `[::1]:80` or `unix:/path`; nil if `text` is none of these.
    public init?(_ text: String) {
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst(5))
            guard path.utf8.count > 0, path.utf8.count < 108 else { return nil }
            self = .unix(path)
            return
        }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("[") && host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        self.init(ip: String(host), port: port)
    }

    /// The port; 0 for a unix socket.
    public var port: UInt16 {
        switch self {
        case .ipv4(_, let port), .ipv6(_, _, let port): port
        case .unix: 0
        }
    }

    /// The IP address in text form, or `unix`.
    public var host: String {
        switch self {
        case .ipv4(let address, _):
            [24, 16, 8, 0].map { String(address >> UInt32($0) & 255) }.joined(separator: ".")
        case .ipv6(let high, let low, _): Self.text(high, low)
        case .unix: "unix"
        }
    }

    /// `1.2.3.4:80`, `[::1]:80` or `unix:/path`.
    public var description: String {
        switch self {
        case .ipv4(_, let port): "\(host):\(port)"
        case .ipv6(_, _, let port): "[\(host)]:\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    var family: Int32 {
        switch self {
        case .ipv4: AF_INET
        case .ipv6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    /// Runs `body` on the address as the system calls want it.
    func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var storage = sockaddr_storage()
        let length = fill(&storage)
        return unsafe withUnsafePointer(to: &storage) {
            // SAFETY: a sockaddr_storage may be viewed as any sockaddr (POSIX).
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, length) }
        }
    }

    /// The address that a system call left in `storage`; nil for a family that is not ours.
    init?(_ storage: sockaddr_storage) {
        var storage = storage
        switch Int32(storage.ss_family) {
        case AF_INET:
            let v4 = unsafe withUnsafeBytes(of: &storage) { unsafe $0.loadUnaligned(as: sockaddr_in.self) }
            self = .ipv4(UInt32(bigEndian: v4.sin_addr.s_addr), port: UInt16(bigEndian: v4.sin_port))
        case AF_INET6:
            let v6 = unsafe withUnsafeBytes(of: &storage) { unsafe $0.loadUnaligned(as: sockaddr_in6.self) }
            self = Self.make(v6.sin6_addr, port: UInt16(bigEndian: v6.sin6_port))
        case AF_UNIX: self = .unix("")
        default: return nil
        }
    }

    private func fill(_ storage: inout sockaddr_storage) -> socklen_t {
        // SAFETY: each form is smaller than the storage that it is written to.
        unsafe withUnsafeMutableBytes(of: &storage) { bytes in
            switch self {
            case .ipv4(let address, let port):
                var v4 = sockaddr_in()
                v4.sin_family = sa_family_t(AF_INET)
                v4.sin_port = port.bigEndian
                v4.sin_addr.s_addr = address.bigEndian
                unsafe bytes.storeBytes(of: v4, as: sockaddr_in.self)
                return socklen_t(MemoryLayout<sockaddr_in>.size)
            case .ipv6(let high, let low, let port):
                var v6 = sockaddr_in6()
                v6.sin6_family = sa_family_t(AF_INET6)
                v6.sin6_port = port.bigEndian
                unsafe withUnsafeMutableBytes(of: &v6.sin6_addr) {
                    unsafe $0.storeBytes(of: high.bigEndian, as: UInt64.self)
                    unsafe $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
                }
                unsafe bytes.storeBytes(of: v6, as: sockaddr_in6.self)
                return socklen_t(MemoryLayout<sockaddr_in6>.size)
            case .unix(let path):
                unsafe bytes.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
                var offset = 2
                for byte in path.utf8.prefix(107) {
                    unsafe bytes[offset] = byte
                    offset += 1
                }
                return socklen_t(offset + 1)
            }
        }
    }

    private static func make(_ address: in6_addr, port: UInt16) -> SocketAddress {
        var address = address
        let (high, low) = unsafe withUnsafeBytes(of: &address) {
            unsafe ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
        return .ipv6(UInt64(bigEndian: high), UInt64(bigEndian: low), port: port)
    }

    private static func text(_ high: UInt64, _ low: UInt64) -> String {
        var address = in6_addr()
        unsafe withUnsafeMutableBytes(of: &address) {
            unsafe $0.storeBytes(of: high.bigEndian, as: UInt64.self)
            unsafe $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        var buffer = [CChar](repeating: 0, count: 46)
        _ = unsafe inet_ntop(AF_INET6, &address, &buffer, socklen_t(buffer.count))
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
