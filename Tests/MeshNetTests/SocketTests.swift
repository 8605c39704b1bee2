import Glibc
import MeshCore
import Testing

@testable import MeshNet

/// The two ends of a connection, closed with the value.
private final class Pair {
    let near: Int32
    let far: Int32

    init(_ address: SocketAddress = .ipv4(0x7f00_0001, port: 0)) throws {
        let listener = try Socket.listen(address, reusePort: false)
        defer { Socket.close(listener) }
        let bound = try #require(Socket.localAddress(listener))
        switch Socket.connect(bound) {
        case .connected(let fd), .inProgress(let fd): near = fd
        case .failed(let code): throw ProxyError(Socket.text(code))
        }
        var descriptor = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&descriptor, 1, 2000)
        guard case .connection(let fd, _) = Socket.accept(listener) else { throw ProxyError("nothing to accept") }
        far = fd
    }

    deinit {
        Socket.close(near)
        Socket.close(far)
    }
}

private func temporaryPath() -> String { "/tmp/meshnet-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).sock" }

private func readable(_ fd: Int32) {
    var descriptor = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
    _ = unsafe poll(&descriptor, 1, 2000)
}

private func receive(_ fd: Int32, into buffer: inout [UInt8]) -> Int {
    unsafe buffer.withUnsafeMutableBytes { unsafe Socket.receive(fd, into: $0) }
}

private func send(_ fd: Int32, _ bytes: [UInt8]) -> Int { unsafe bytes.withUnsafeBytes { unsafe Socket.send(fd, $0) } }

@Suite struct SocketTests {
    @Test func acceptedConnectionsHaveNoDelayAndKnowTheirPeer() throws {
        let listener = try Socket.listen(.ipv4(0x7f00_0001, port: 0), reusePort: true)
        defer { Socket.close(listener) }
        guard case .wouldBlock = Socket.accept(listener) else {
            Issue.record("accepted out of nothing")
            return
        }
        let bound = try #require(Socket.localAddress(listener))
        #expect(bound.port != 0)
        guard case .inProgress(let client) = Socket.connect(bound) else {
            Issue.record("a TCP connection cannot be there at once")
            return
        }
        defer { Socket.close(client) }
        readable(listener)
        guard case .connection(let server, let peer) = Socket.accept(listener) else {
            Issue.record("nothing to accept")
            return
        }
        defer { Socket.close(server) }
        #expect(peer == Socket.localAddress(client))
        #expect(peer == Socket.peerAddress(server))
        #expect(Socket.error(client) == 0)
        var value: Int32 = 0
        var length = socklen_t(4)
        _ = unsafe getsockopt(server, Int32(IPPROTO_TCP), TCP_NODELAY, &value, &length)
        #expect(value != 0)
        #expect(fcntl(server, F_GETFL) & O_NONBLOCK != 0)
        #expect(fcntl(server, F_GETFD) & FD_CLOEXEC != 0)
        #expect(Socket.originalDestination(server) == nil)
    }

    @Test func aTakenPortIsNamedWithARemedy() throws {
        let listener = try Socket.listen(.ipv4(0x7f00_0001, port: 0), reusePort: true)
        defer { Socket.close(listener) }
        let bound = try #require(Socket.localAddress(listener))
        let error = #expect(throws: ProxyError.self) { try Socket.listen(bound, reusePort: false) }
        #expect(error?.description.contains("\(bound)") == true)
        #expect(error?.description.contains("choose another port") == true)
        #expect(throws: ProxyError.self) { try Socket.checkIsFree(bound) }
        Socket.close(try Socket.listen(bound, reusePort: true))
    }

    @Test func aForeignAddressIsNamedWithARemedy() {
        let error = #expect(throws: ProxyError.self) {
            try Socket.listen(.ipv4(0xc000_0201, port: 0), reusePort: false)
        }
        #expect(error?.description.contains("no interface") == true)
    }

    @Test func aStaleUnixSocketIsReplacedAndAServedOneIsNot() throws {
        let path = temporaryPath()
        defer { unsafe unlink(path) }
        Socket.close(try Socket.listen(.unix(path), reusePort: false))  // leaves its file behind
        let served = try Socket.listen(.unix(path), reusePort: false)
        let error = #expect(throws: ProxyError.self) { try Socket.listen(.unix(path), reusePort: false) }
        #expect(error?.description.contains("choose another path") == true)
        guard case .connected(let client) = Socket.connect(.unix(path)) else {
            Issue.record("the served socket went")
            return
        }
        Socket.close(client)
        Socket.close(served)
    }

    @Test func anOrdinaryFileIsNeverRemoved() throws {
        let path = temporaryPath()
        defer { unsafe unlink(path) }
        Socket.close(unsafe open(path, O_CREAT | O_WRONLY, 0o600))
        #expect(throws: ProxyError.self) { try Socket.listen(.unix(path), reusePort: false) }
        let found = unsafe access(path, F_OK)
        #expect(found == 0)
    }

    @Test func aRefusedConnectionIsReported() throws {
        let listener = try Socket.listen(.ipv4(0x7f00_0001, port: 0), reusePort: false)
        let bound = try #require(Socket.localAddress(listener))
        Socket.close(listener)
        switch Socket.connect(bound) {
        case .failed(let code): #expect(code == ECONNREFUSED)
        case .connected(let fd): Issue.record("connected: \(fd)")
        case .inProgress(let fd):
            readable(fd)
            #expect(Socket.error(fd) == ECONNREFUSED)
            Socket.close(fd)
        }
        guard case .failed(ENOENT) = Socket.connect(.unix("/nowhere/at/all")) else {
            Issue.record("connected to nothing")
            return
        }
    }

    @Test func bytesArriveAndTheEndIsZero() throws {
        let pair = try Pair()
        var buffer = [UInt8](repeating: 0, count: 16)
        #expect(receive(pair.far, into: &buffer) == Socket.wouldBlock)
        #expect(send(pair.near, [1, 2, 3]) == 3)
        readable(pair.far)
        #expect(receive(pair.far, into: &buffer) == 3)
        #expect(buffer.prefix(3) == [1, 2, 3])
        Socket.shutdownWrite(pair.near)
        readable(pair.far)
        #expect(receive(pair.far, into: &buffer) == 0)
    }

    @Test func aLingerOfZeroResets() throws {
        let pair = try Pair()
        Socket.setLinger(pair.near, seconds: 0)
        // The descriptor stays the pair's, the connection behind it does not.
        let null = unsafe open("/dev/null", O_RDONLY)
        dup2(null, pair.near)
        Socket.close(null)
        readable(pair.far)
        var buffer = [UInt8](repeating: 0, count: 1)
        #expect(receive(pair.far, into: &buffer) == Socket.failure)
    }

    @Test func anIdleConnectionIsDeadOnceItsPeerClosedOrSpoke() throws {
        let closed = try Pair()
        #expect(Socket.isIdleAndAlive(closed.far))
        Socket.shutdownWrite(closed.near)
        readable(closed.far)
        #expect(!Socket.isIdleAndAlive(closed.far))
        let talkative = try Pair()
        #expect(send(talkative.near, [1]) == 1)
        readable(talkative.far)
        #expect(!Socket.isIdleAndAlive(talkative.far))
    }

    @Test(arguments: [SocketAddress.ipv4(0x7f00_0001, port: 0), .ipv6(0, 1, port: 0)])
    func aQueueIsWrittenUntilTheSocketIsFull(address: SocketAddress) throws {
        let pair = try Pair(address)
        let pools = BufferPools()
        var queue = OutputQueue(pools: pools)
        let total = 200 * 65_536
        var expected: UInt64 = 0
        for index in 0..<200 {
            let chunk = WritableChunk(from: pools.medium)
            let bytes = unsafe chunk.buffer()
            for offset in stride(from: 0, to: 65_536, by: 4096) {
                unsafe bytes[offset] = UInt8(truncatingIfNeeded: index &+ offset)
                expected &+= UInt64(UInt8(truncatingIfNeeded: index &+ offset))
            }
            queue.append(chunk.freeze(count: 65_536))
        }
        #expect(Socket.write(pair.near, &queue) == .blocked)
        #expect(queue.byteCount < total && queue.byteCount > 0)
        var received = 0
        var sum: UInt64 = 0
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while received < total {
            let count = receive(pair.far, into: &buffer)
            if count == Socket.wouldBlock {
                #expect(Socket.write(pair.near, &queue) != .failed)
                readable(pair.far)
                continue
            }
            guard count > 0 else { break }
            for offset in 0..<count where (received + offset) % 4096 == 0 { sum &+= UInt64(buffer[offset]) }
            received += count
        }
        #expect(received == total)
        #expect(sum == expected)
        #expect(Socket.write(pair.near, &queue) == .drained)
        #expect(pools.medium.liveCount == 0)
    }

    @Test func writingToAClosedPeerFailsWithoutASignal() throws {
        let pair = try Pair()
        shutdown(pair.near, Int32(SHUT_RDWR))
        let pools = BufferPools()
        var queue = OutputQueue(pools: pools)
        queue.append(copying: [1, 2, 3].span)
        #expect(Socket.write(pair.near, &queue) == .failed)
    }
}
