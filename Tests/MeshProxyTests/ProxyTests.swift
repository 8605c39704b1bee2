import Foundation
import Glibc
import MeshCore
import MeshModel
import MeshNet
import Synchronization
import Testing

@testable import MeshProxy

/// A blocking socket with a timeout, so that a test that fails does not hang.
private struct Peer: Sendable {
    let fd: Int32

    init(_ fd: Int32) {
        self.fd = fd
        let flags = fcntl(fd, F_GETFL)
        _ = fcntl(fd, F_SETFL, flags & ~O_NONBLOCK)
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            // SAFETY: `limit` lives across the call, which copies it.
            _ = unsafe setsockopt(fd, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    func send(_ text: String) { send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) {
        // SAFETY: the array lives across the call.
        _ = unsafe bytes.withUnsafeBytes { unsafe write(fd, $0.baseAddress, $0.count) }
    }

    /// Exactly `count` bytes; nil if the peer closes before, or says nothing for too long.
    func receive(count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        if count == 0 { return bytes }
        // SAFETY: the array lives across the call.
        let got = unsafe bytes.withUnsafeMutableBytes {
            unsafe recv(fd, $0.baseAddress, count, Int32(MSG_WAITALL))
        }
        return got == count ? bytes : nil
    }

    /// The type of the next HTTP/2 frame, and its stream.
    func receiveFrame() -> (type: UInt8, stream: Int)? {
        guard let head = receive(count: 9) else { return nil }
        let count = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
        guard receive(count: count) != nil else { return nil }
        return (head[3], Int(head[7]) << 8 | Int(head[8]))
    }

    /// What comes until it ends with `end`, or the peer closes.
    func receive(until end: String) -> String {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !String(decoding: all, as: UTF8.self).hasSuffix(end) {
            // SAFETY: the array lives across the call.
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(fd, $0.baseAddress, $0.count) }
            if count <= 0 { break }
            all += buffer[..<count]
        }
        return String(decoding: all, as: UTF8.self)
    }
}

@Suite struct ProxyTests {
    /// Waits until `fd` is readable, for ten seconds at most.
    private static func wait(_ fd: Int32, _ events: Int32) {
        var entry = pollfd(fd: fd, events: Int16(events), revents: 0)
        // SAFETY: `entry` lives across the call.
        _ = unsafe poll(&entry, 1, 10_000)
    }

    private static func accept(_ listener: Int32) -> Peer? {
        wait(listener, POLLIN)
        guard case .connection(let fd, _) = Socket.accept(listener) else { return nil }
        return Peer(fd)
    }

    private func model(_ upstream: SocketAddress, _ limits: ListenerLimits = ListenerLimits()) -> Model {
        let rule = RouteRule(backends: [WeightedBackend(.backend("ns/s:80"))])
        let section = Section(name: "ns/g/s", protocol: .http, routes: [Route(name: "ns/r", rules: [rule])])
        let endpoint = Endpoint(.ip("127.0.0.1", port: upstream.port))
        return Model(
            settings: ProxySettings(accessLog: .off),
            listeners: [Listener(address: .ip("127.0.0.1", port: 0), limits: limits, sections: [section])],
            backends: [Backend(name: "ns/s:80", endpoints: [endpoint])])
    }

    @Test func oneRequestAndDrain() throws {
        let wanted = try #require(SocketAddress(ip: "127.0.0.1", port: 0))
        let listener = try Socket.listen(wanted, reusePort: false)
        defer { Socket.close(listener) }
        let proxy = try Proxy(model(try #require(Socket.localAddress(listener))), ProxyOptions())
        let address = try #require(proxy.addresses.first)
        #expect(address.port != 0)

        let client = try connect(address)
        client.send("GET /a?b HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
        let upstream = try #require(Self.accept(listener))
        let seen = upstream.receive(until: "\r\n\r\n")
        #expect(seen.hasPrefix("GET /a?b HTTP/1.1\r\n"))
        #expect(seen.lowercased().contains("x-forwarded-for: 127.0.0.1\r\n"))
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Up: 1\r\n\r\nhello")
        let answer = client.receive(until: "no such end")
        #expect(answer.hasPrefix("HTTP/1.1 200 "))
        #expect(answer.lowercased().contains("x-up: 1\r\n"))
        #expect(answer.hasSuffix("\r\n\r\nhello"))
        Socket.close(client.fd)
        #expect(proxy.drain(within: 10))
        Socket.close(upstream.fd)
    }

    @Test func addressesOfListenersThatAreGoneAreForgotten() throws {
        var model = model(try #require(SocketAddress(ip: "127.0.0.1", port: 1)))
        let proxy = try Proxy(model, ProxyOptions())
        let first = proxy.addresses
        model.listeners.insert(
            Listener(address: .ip("127.0.0.2", port: 0), sections: model.listeners[0].sections), at: 0)
        try proxy.publish(model)
        #expect(proxy.addresses.count == 2 && proxy.addresses.last == first.first, "in the model's order")
        model.listeners.removeFirst()
        try proxy.publish(model)
        #expect(proxy.addresses == first)
        #expect(proxy.drain(within: 10))
    }

    /// The endpoint has said everything, and the client opens no window for it (CVE-2019-9517): such a stream was kept
    /// for ever, with its buffers.
    @Test func aStreamThatIsNotReadEndsInTime() throws {
        let wanted = try #require(SocketAddress(ip: "127.0.0.1", port: 0))
        let listener = try Socket.listen(wanted, reusePort: false)
        defer { Socket.close(listener) }
        var limits = ListenerLimits()
        limits.streamIdleTimeout = .milliseconds(200)
        let proxy = try Proxy(model(try #require(Socket.localAddress(listener)), limits), ProxyOptions())
        let client = try connect(try #require(proxy.addresses.first))
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        // SETTINGS_INITIAL_WINDOW_SIZE 0; HEADERS with END_STREAM and END_HEADERS: GET http /, and the authority.
        client.send([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0])
        client.send([0, 0, 17, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 12] + Array("shop.example".utf8))
        let upstream = try #require(Self.accept(listener))
        #expect(upstream.receive(until: "\r\n\r\n").hasPrefix("GET / HTTP/1.1\r\n"))
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        var types: [UInt8] = []
        while let frame = client.receiveFrame() {
            if frame.stream == 1 { types.append(frame.type) }
            if frame.type == 3 { break }
        }
        #expect(types == [1, 3], "HEADERS, then RST_STREAM")
        Socket.close(client.fd)
        #expect(proxy.drain(within: 10))
        Socket.close(upstream.fd)
    }

    private func connect(_ address: SocketAddress) throws -> Peer {
        switch Socket.connect(address) {
        case .connected(let fd), .inProgress(let fd):
            Self.wait(fd, POLLOUT)
            return Peer(fd)
        case .failed(let code): throw ProxyError("connect: \(Socket.text(code))")
        }
    }
}
