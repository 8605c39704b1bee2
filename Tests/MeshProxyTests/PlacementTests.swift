import Glibc
import MeshCore
import MeshModel
import MeshNet
import Testing

@testable import MeshProxy

/// A proxy in front of three endpoints that the test itself plays: one connection per request on either side, over two
/// loops.
private final class Site {
    let listeners: [Int32]
    let endpoints: [Endpoint]
    private let proxy: Proxy
    private let model: Model

    init(_ balancer: LoadBalancer, session: SessionPersistence? = nil) throws {
        listeners = try (0..<3).map { _ in
            try Socket.listen(try #require(SocketAddress(ip: "127.0.0.1", port: 0)), reusePort: false)
        }
        endpoints = try listeners.map {
            Endpoint(.ip("127.0.0.1", port: try #require(Socket.localAddress($0)).port))
        }
        let rule = RouteRule(backends: [WeightedBackend(.backend("ns/s:80"))], sessionPersistence: session)
        let section = Section(name: "ns/g/s", protocol: .http, routes: [Route(name: "ns/r", rules: [rule])])
        model = Model(
            settings: ProxySettings(accessLog: .off),
            listeners: [Listener(address: .ip("127.0.0.1", port: 0), sections: [section])],
            backends: [Backend(name: "ns/s:80", endpoints: endpoints, loadBalancer: balancer)])
        proxy = try Proxy(model, ProxyOptions(loops: 2))
    }

    deinit {
        _ = proxy.drain(within: 10)
        for listener in listeners { Socket.close(listener) }
    }

    /// Serves only these endpoints from now on.
    func keep(_ numbers: [Int]) throws {
        var changed = model
        changed.backends[0].endpoints = numbers.map { endpoints[$0] }
        try proxy.publish(changed)
    }

    /// Sends a request with these header lines; which endpoint got it, and the lines of the response.
    func ask(_ lines: [String] = [], path: String = "/") throws -> (endpoint: Int, lines: [String]) {
        let client = try connect(try #require(proxy.addresses.first))
        defer { Socket.close(client) }
        let head = ["GET \(path) HTTP/1.1", "Host: a.test", "Connection: close"] + lines
        send(client, head.joined(separator: "\r\n") + "\r\n\r\n")
        var entries = listeners.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        // SAFETY: the array lives across the call.
        _ = unsafe entries.withUnsafeMutableBufferPointer { unsafe poll($0.baseAddress, 3, 10_000) }
        let number = try #require(entries.firstIndex { $0.revents != 0 })
        guard case .connection(let upstream, _) = Socket.accept(listeners[number]) else { throw NothingCame() }
        defer { Socket.close(upstream) }
        _ = receive(upstream, until: "\r\n\r\n")
        send(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        let answer = receive(client, until: "no such end")
        return (number, answer.split(separator: "\r\n").map { String($0) })
    }

    private struct NothingCame: Error {}

    private func connect(_ address: SocketAddress) throws -> Int32 {
        guard case .connected(let fd) = finished(Socket.connect(address)) else { throw NothingCame() }
        return fd
    }

    private func finished(_ connecting: Socket.Connecting) -> Socket.Connecting {
        guard case .inProgress(let fd) = connecting else { return connecting }
        var entry = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
        // SAFETY: `entry` lives across the call.
        _ = unsafe poll(&entry, 1, 10_000)
        return .connected(fd)
    }

    private func send(_ fd: Int32, _ text: String) {
        let bytes = Array(text.utf8)
        // SAFETY: the array lives across the call.
        _ = unsafe bytes.withUnsafeBytes { unsafe write(fd, $0.baseAddress, $0.count) }
    }

    private func receive(_ fd: Int32, until end: String) -> String {
        var all = ""
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !all.hasSuffix(end) {
            var entry = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
            // SAFETY: `entry` and the array live across the calls.
            guard unsafe poll(&entry, 1, 10_000) == 1 else { break }
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(fd, $0.baseAddress, $0.count) }
            if count <= 0 { break }
            all += String(decoding: buffer[..<count], as: UTF8.self)
        }
        return all
    }
}

@Suite struct PlacementTests {
    private func value(_ name: String, _ lines: [String]) -> String? {
        lines.first { $0.lowercased().hasPrefix("\(name): ") }.map { String($0.dropFirst(name.count + 2)) }
    }

    @Test func requestsOfOneUserGoToOneEndpoint() throws {
        for algorithm in [LoadBalancer.Algorithm.ringHash(size: 1024), .maglev(tableSize: 1021)] {
            let site = try Site(LoadBalancer(algorithm: algorithm, hash: [.header(name: "x-user"), .sourceIP]))
            var homes: Set<Int> = []
            for user in 0..<12 {
                let first = try site.ask(["X-User: u\(user)"])
                #expect(try site.ask(["X-User: u\(user)"]).endpoint == first.endpoint)
                #expect(value("set-cookie", first.lines) == nil)
                homes.insert(first.endpoint)
            }
            #expect(homes.count > 1)
            // Without the header by address, which is the same for all here.
            let anonymous = try (0..<6).map { _ in try site.ask().endpoint }
            #expect(Set(anonymous).count == 1)
        }
    }

    @Test func aClientWithoutCookieIsGivenOneThatLeadsBack() throws {
        let cookie = HashSource.cookie(name: "lb", path: "/", timeToLive: .seconds(60))
        let site = try Site(LoadBalancer(algorithm: .maglev(tableSize: 1021), hash: [cookie]))
        for _ in 0..<6 {
            let first = try site.ask()
            let field = try #require(value("set-cookie", first.lines))
            #expect(field.hasSuffix("; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"))
            let pair = String(field.split(separator: ";")[0])
            for _ in 0..<2 {
                let again = try site.ask(["Cookie: a=b; \(pair)"])
                #expect(again.endpoint == first.endpoint && value("set-cookie", again.lines) == nil)
            }
        }
    }

    @Test func aSessionStaysUntilItsEndpointIsGone() throws {
        let session = SessionPersistence(kind: .cookie(name: "s", path: "/", permanent: false))
        let site = try Site(LoadBalancer(), session: session)
        let first = try site.ask()
        let field = try #require(value("set-cookie", first.lines))
        #expect(!field.contains("127.0.0.1"))
        let pair = String(field.split(separator: ";")[0])
        for _ in 0..<6 {
            let again = try site.ask(["Cookie: \(pair)"])
            #expect(again.endpoint == first.endpoint && value("set-cookie", again.lines) == nil)
        }
        // A token that nobody made is no session.
        #expect(value("set-cookie", try site.ask(["Cookie: s=0123"]).lines) != nil)

        try site.keep([0, 1, 2].filter { $0 != first.endpoint })
        // Loops adopt it in their own time.
        var moved = try site.ask(["Cookie: \(pair)"])
        for _ in 0..<500 where moved.endpoint == first.endpoint { moved = try site.ask(["Cookie: \(pair)"]) }
        #expect(moved.endpoint != first.endpoint)
        let other = try #require(value("set-cookie", moved.lines)).split(separator: ";")[0]
        for _ in 0..<4 { #expect(try site.ask(["Cookie: \(other)"]).endpoint == moved.endpoint) }
    }

    @Test func aSessionInAHeader() throws {
        let site = try Site(
            LoadBalancer(algorithm: .roundRobin), session: SessionPersistence(kind: .header(name: "X-Session")))
        let first = try site.ask()
        let token = try #require(value("x-session", first.lines))
        for _ in 0..<4 {
            let again = try site.ask(["X-Session: \(token)"])
            #expect(again.endpoint == first.endpoint && value("x-session", again.lines) == nil)
        }
    }
}
