import CLinux
import Glibc
import MeshCore

@testable import MeshNet

/// A name server on loopback, on the loop of the test: UDP and TCP on one port, answers as told.
final class NameServer {
    /// What is known of a name.
    struct Records {
        var ipv4: [String] = []
        var ipv6: [String] = []
        var timeToLive: UInt32 = 60
        /// The name is an alias, and the addresses are this one's.
        var alias: (name: String, timeToLive: UInt32)?
        /// RCODE by question type: 2 is SERVFAIL.
        var failures: [UInt16: UInt8] = [:]
        /// Question types that get no answer.
        var silent: Set<UInt16> = []
        /// Over UDP the answer is cut short.
        var isTruncated = false
    }

    static let typeA: UInt16 = 1
    static let typeAAAA: UInt16 = 28

    /// Names that are not here do not exist (NXDOMAIN).
    var zone: [String: Records] = [:]
    /// Questions asked, by name.
    private(set) var questions: [String: Int] = [:]
    private(set) var tcpCount = 0
    private(set) var port: UInt16 = 0
    fileprivate let loop: EventLoop
    fileprivate var sources: [EventSource] = []

    /// A server on 127.0.0.1 and any port, or on `address`.
    init(loop: EventLoop, address: SocketAddress = .ipv4(0x7f00_0001, port: 0)) throws {
        self.loop = loop
        // A free UDP port may be taken in TCP: try another then.
        for attempt in 0... {
            let udp = try Self.boundUDP(address)
            guard let bound = Socket.localAddress(udp) else { throw ProxyError("no local address") }
            do {
                let tcp = try Socket.listen(bound, reusePort: false)
                port = bound.port
                watch(DatagramSource(fd: udp, server: self))
                watch(ListeningSource(fd: tcp, server: self))
                return
            } catch {
                Socket.close(udp)
                if attempt == 20 { throw error }
            }
        }
    }

    var list: String { "127.0.0.1:\(port)" }

    func close() {
        for source in sources { loop.close(source) }
        sources = []
        loop.turn(atMost: 0)
    }

    fileprivate func watch(_ source: EventSource) {
        sources.append(source)
        loop.add(source, [.readable, .level])
    }

    private static func boundUDP(_ address: SocketAddress) throws -> Int32 {
        let fd = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | O_NONBLOCK, 0)
        let result = unsafe address.withSockaddr { unsafe bind(fd, $0, $1) }
        if result != 0 { throw ProxyError("cannot bind: \(Socket.text(linux_errno()))") }
        return fd
    }

    // MARK: Messages (RFC 1035 section 4)

    /// The answer to `query`; nil for none.
    fileprivate func answer(_ query: [UInt8], overTCP: Bool) -> [UInt8]? {
        guard query.count > 16, let (name, end) = Self.name(in: query) else { return nil }
        questions[name, default: 0] += 1
        if overTCP { tcpCount += 1 }
        let type = UInt16(query[end]) << 8 | UInt16(query[end + 1])
        let question = query[12..<end + 4]
        guard let records = zone[name] else { return Self.header(query, code: 3) + question }
        if records.silent.contains(type) { return nil }
        if let code = records.failures[type] { return Self.header(query, code: code) + question }
        if records.isTruncated && !overTCP { return Self.header(query, code: 0, isTruncated: true) + question }
        var owner: [UInt8] = [0xc0, 12]
        var answers: [[UInt8]] = []
        if let alias = records.alias {
            answers.append(Self.record(owner, 5, alias.timeToLive, Self.encoded(alias.name)))
            owner = Self.encoded(alias.name)
        }
        for ip in type == Self.typeA ? records.ipv4 : type == Self.typeAAAA ? records.ipv6 : [] {
            answers.append(Self.record(owner, type, records.timeToLive, Self.bytes(ip)))
        }
        return Self.header(query, code: 0, answers: answers.count) + question + answers.flatMap { $0 }
    }

    /// The question's name, in lower case, and where it ends.
    private static func name(in query: [UInt8]) -> (String, Int)? {
        var labels: [String] = []
        var offset = 12
        while offset < query.count, query[offset] > 0 {
            let next = offset + 1 + Int(query[offset])
            guard next < query.count else { return nil }
            labels.append(String(decoding: query[offset + 1..<next], as: UTF8.self).lowercased())
            offset = next
        }
        return offset + 5 <= query.count ? (labels.joined(separator: "."), offset + 1) : nil
    }

    private static func header(_ query: [UInt8], code: UInt8, answers: Int = 0, isTruncated: Bool = false) -> [UInt8] {
        [query[0], query[1], isTruncated ? 0x87 : 0x85, 0x80 | code, 0, 1, UInt8(answers >> 8), UInt8(answers & 255)]
            + [0, 0, 0, 0]
    }

    private static func record(_ owner: [UInt8], _ type: UInt16, _ timeToLive: UInt32, _ data: [UInt8]) -> [UInt8] {
        let time = (0..<4).map { UInt8(truncatingIfNeeded: timeToLive >> (24 - 8 * UInt32($0))) }
        return owner + [0, UInt8(type), 0, 1] + time + [UInt8(data.count >> 8), UInt8(data.count & 255)] + data
    }

    private static func encoded(_ name: String) -> [UInt8] {
        name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    private static func bytes(_ ip: String) -> [UInt8] {
        switch SocketAddress(ip: ip, port: 0) {
        case .ipv4(let address, _): return (0..<4).map { UInt8(truncatingIfNeeded: address >> (24 - 8 * UInt32($0))) }
        case .ipv6(let high, let low, _, _):
            return [high, low].flatMap { half in
                (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * UInt64($0))) }
            }
        case .unix, nil: return []
        }
    }
}

/// Reads questions and answers them at once.
private final class DatagramSource: EventSource {
    private unowned let server: NameServer

    init(fd: Int32, server: NameServer) {
        self.server = server
        super.init(fd: fd)
    }

    override func handle(_ events: Events) {
        var buffer = [UInt8](repeating: 0, count: 2048)
        var peer = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        unsafe withUnsafeMutablePointer(to: &peer) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                let count = unsafe recvfrom(fd, &buffer, buffer.count, 0, address, &length)
                guard count > 0, let answer = server.answer(Array(buffer[..<count]), overTCP: false) else { return }
                _ = unsafe sendto(fd, answer, answer.count, 0, address, length)
            }
        }
    }
}

private final class ListeningSource: EventSource {
    private unowned let server: NameServer

    init(fd: Int32, server: NameServer) {
        self.server = server
        super.init(fd: fd)
    }

    override func handle(_ events: Events) {
        if case .connection(let fd, _) = Socket.accept(fd) { server.watch(StreamSource(fd: fd, server: server)) }
    }
}

/// A TCP connection: each message has its length before it (RFC 1035 section 4.2.2).
private final class StreamSource: EventSource {
    private unowned let server: NameServer
    private var received: [UInt8] = []

    init(fd: Int32, server: NameServer) {
        self.server = server
        super.init(fd: fd)
    }

    override func handle(_ events: Events) {
        var buffer = [UInt8](repeating: 0, count: 2048)
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe Socket.receive(fd, into: $0) }
        guard count > 0 else { return server.forget(self) }
        received += buffer[..<count]
        while received.count > 2 {
            let end = 2 + Int(received[0]) << 8 + Int(received[1])
            guard received.count >= end else { return }
            let query = Array(received[2..<end])
            received.removeFirst(end)
            guard let answer = server.answer(query, overTCP: true) else { continue }
            let message = [UInt8(answer.count >> 8), UInt8(answer.count & 255)] + answer
            _ = unsafe message.withUnsafeBytes { unsafe Socket.send(fd, $0) }
        }
    }
}

extension NameServer {
    fileprivate func forget(_ source: EventSource) {
        sources.removeAll { $0 === source }
        loop.close(source)
    }
}
