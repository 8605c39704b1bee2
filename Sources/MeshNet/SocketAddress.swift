import CLinux
import Glibc
import MeshCore

/// Where a socket listens or connects: an IP address with a port, or the path of a unix socket.
///
/// IPv4 addresses mapped into IPv6 (`::ffff:1.2.3.4`) become IPv4 wherever they come from.
public enum SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// An IPv4 address as a number, and a port, both in host byte order.
    case ipv4(UInt32, port: UInt16)
    /// An IPv6 address in two halves, a port, all in host byte order, and for link-local addresses the interface's
    /// index.
    case ipv6(UInt64, UInt64, port: UInt16, scope: UInt32 = 0)
    /// The path of a unix socket, at most 107 bytes; `@name` in Linux's abstract namespace; empty for a client's
    /// unnamed one.
    case unix(String)

    /// The address of `ip` in text form, with `%interface` behind a link-local one; nil if it is neither IPv4 nor
    /// IPv6.
    public init?(ip: String, port: UInt16) {
        var v4 = in_addr()
        var v6 = in6_addr()
        // The C library would stop at a NUL.
        guard !ip.utf8.contains(0) else { return nil }
        if unsafe inet_pton(AF_INET, ip, &v4) == 1 {
            self = .ipv4(UInt32(bigEndian: v4.s_addr), port: port)
            return
        }
        let parts = ip.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = parts.first, unsafe inet_pton(AF_INET6, String(address), &v6) == 1 else { return nil }
        var scope: UInt32 = 0
        if parts.count == 2 {
            scope = unsafe UInt32(parts[1]) ?? if_nametoindex(String(parts[1]))
            if scope == 0 { return nil }
        }
        self = Self.make(v6, port: port, scope: scope)
    }

    /// Reads `1.2.3.4:80`, `[::1]:80` or `unix:/path`; nil if `text` is none of these.
    public init?(_ text: String) {
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst(5))
            guard path.utf8.count > 0, path.utf8.count < 108, !path.utf8.contains(0) else { return nil }
            self = .unix(path)
            return
        }
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let digits = text[text.index(after: colon)...]
        guard digits.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), let port = UInt16(digits) else { return nil }
        let host = text[..<colon]
        if host.hasPrefix("[") && host.hasSuffix("]") {
            let inner = host.dropFirst().dropLast()
            guard inner.contains(":") else { return nil }
            self.init(ip: String(inner), port: port)
        } else {
            guard !host.contains(":") else { return nil }
            self.init(ip: String(host), port: port)
        }
    }

    /// The port; 0 for a unix socket.
    public var port: UInt16 {
        switch self {
        case .ipv4(_, let port), .ipv6(_, _, let port, _): port
        case .unix: 0
        }
    }

    /// The IP address in text form (RFC 5952), without a scope, or `unix`.
    public var host: String {
        unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.hostLimit) { buffer in
            // SAFETY: `writeHost` writes at most as many bytes as the buffer has, and says how many.
            guard let start = buffer.baseAddress else { return "" }
            let count = unsafe writeHost(into: start)
            return unsafe String(decoding: buffer[..<count], as: UTF8.self)
        }
    }

    /// Bytes that ``writeHost(into:)`` may need.
    public static let hostLimit = 46

    /// Writes ``host`` and returns its length, at most ``hostLimit``. Nothing is allocated.
    ///
    /// SAFETY: `target` must have room for ``hostLimit`` bytes.
    @unsafe
    public func writeHost(into target: UnsafeMutablePointer<UInt8>) -> Int {
        switch self {
        case .ipv4(let address, _): return unsafe Self.write(address, into: target)
        case .ipv6(let high, let low, _, _):
            var address = Self.address(high, low)
            return unsafe target.withMemoryRebound(to: CChar.self, capacity: Self.hostLimit) {
                _ = unsafe inet_ntop(AF_INET6, &address, $0, socklen_t(Self.hostLimit))
                return unsafe strlen($0)
            }
        case .unix:
            for (index, byte) in "unix".utf8.enumerated() { unsafe target[index] = byte }
            return 4
        }
    }

    /// `1.2.3.4:80`, `[::1]:80` or `unix:/path`.
    public var description: String {
        switch self {
        case .ipv4(_, let port): "\(host):\(port)"
        case .ipv6(_, _, let port, 0): "[\(host)]:\(port)"
        case .ipv6(_, _, let port, let scope): "[\(host)%\(scope)]:\(port)"
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

    /// The address that a system call left in the first `length` bytes of `storage`; nil for a family that is not ours.
    init?(_ storage: sockaddr_storage, length: socklen_t) {
        var storage = storage
        switch Int32(storage.ss_family) {
        case AF_INET:
            let v4 = unsafe withUnsafeBytes(of: &storage) { unsafe $0.loadUnaligned(as: sockaddr_in.self) }
            self = .ipv4(UInt32(bigEndian: v4.sin_addr.s_addr), port: UInt16(bigEndian: v4.sin_port))
        case AF_INET6:
            let v6 = unsafe withUnsafeBytes(of: &storage) { unsafe $0.loadUnaligned(as: sockaddr_in6.self) }
            self = Self.make(v6.sin6_addr, port: UInt16(bigEndian: v6.sin6_port), scope: v6.sin6_scope_id)
        case AF_UNIX:
            let end = min(max(Int(length), 2), 110)
            var path = unsafe withUnsafeBytes(of: &storage) { unsafe Array($0[2..<end]) }
            if path.first == 0 && path.count > 1 { path[0] = UInt8(ascii: "@") }
            self = .unix(String(decoding: path.prefix { $0 != 0 }, as: UTF8.self))
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
            case .ipv6(let high, let low, let port, let scope):
                var v6 = sockaddr_in6()
                v6.sin6_family = sa_family_t(AF_INET6)
                v6.sin6_port = port.bigEndian
                v6.sin6_addr = Self.address(high, low)
                v6.sin6_scope_id = scope
                unsafe bytes.storeBytes(of: v6, as: sockaddr_in6.self)
                return socklen_t(MemoryLayout<sockaddr_in6>.size)
            case .unix(let path):
                unsafe bytes.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
                var offset = 2
                for byte in path.utf8.prefix(107) {
                    unsafe bytes[offset] = byte
                    offset += 1
                }
                // An abstract name starts with a NUL and ends without one.
                guard path.utf8.first == UInt8(ascii: "@") else { return socklen_t(offset + 1) }
                unsafe bytes[2] = 0
                return socklen_t(offset)
            }
        }
    }

    static func make(_ address: in6_addr, port: UInt16, scope: UInt32) -> SocketAddress {
        var address = address
        let halves = unsafe withUnsafeBytes(of: &address) {
            unsafe ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
        return SocketAddress(
            high: UInt64(bigEndian: halves.0), low: UInt64(bigEndian: halves.1), port: port, scope: scope)
    }

    /// An IPv6 address in two halves; a mapped IPv4 address becomes IPv4.
    init(high: UInt64, low: UInt64, port: UInt16, scope: UInt32 = 0) {
        if high == 0 && low >> 32 == 0xffff {
            self = .ipv4(UInt32(truncatingIfNeeded: low), port: port)
        } else {
            self = .ipv6(high, low, port: port, scope: scope)
        }
    }

    /// The address as IPv6, IPv4 being mapped; zeros for a unix socket.
    public var ipv6Halves: (high: UInt64, low: UInt64) {
        switch self {
        case .ipv4(let address, _): (0, 0xffff << 32 | UInt64(address))
        case .ipv6(let high, let low, _, _): (high, low)
        case .unix: (0, 0)
        }
    }

    private static func address(_ high: UInt64, _ low: UInt64) -> in6_addr {
        var address = in6_addr()
        unsafe withUnsafeMutableBytes(of: &address) {
            unsafe $0.storeBytes(of: high.bigEndian, as: UInt64.self)
            unsafe $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        return address
    }

    /// Writes four decimal numbers with dots: at most 15 bytes.
    private static func write(_ address: UInt32, into target: UnsafeMutablePointer<UInt8>) -> Int {
        var offset = 0
        // SAFETY: each number takes at most three bytes and one for the dot; the caller has room for 46.
        for shift: UInt32 in [24, 16, 8, 0] {
            let number = UInt8(truncatingIfNeeded: address >> shift)
            if number >= 100 {
                unsafe target[offset] = 48 &+ number / 100
                offset &+= 1
            }
            if number >= 10 {
                unsafe target[offset] = 48 &+ number / 10 % 10
                offset &+= 1
            }
            unsafe target[offset] = 48 &+ number % 10
            unsafe target[offset &+ 1] = UInt8(ascii: ".")
            offset &+= 2
        }
        return offset &- 1
    }
}
