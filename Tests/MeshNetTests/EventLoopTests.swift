import Glibc
import MeshCore
import Testing

@testable import MeshNet

/// One end of a socket pair that keeps what it is told.
private final class Probe: EventSource {
    var events: [Events] = []
    var fired = 0
    var onEvent: ((Probe) -> Void)?

    override func handle(_ events: Events) {
        self.events.append(events)
        onEvent?(self)
    }

    override func timerFired() { fired += 1 }
}

private final class CountingHooks: LoopHooks {
    var events = 0
    var turns = 0
    override func afterEvent() { events += 1 }
    override func afterTurn() { turns += 1 }
}

private func socketPair() -> (Int32, Int32) {
    var pair: [Int32] = [0, 0]
    _ = unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_NONBLOCK, 0, &pair)
    return (pair[0], pair[1])
}

private func send(_ fd: Int32) {
    let bytes: [UInt8] = [1]
    _ = unsafe bytes.withUnsafeBytes { unsafe Socket.send(fd, $0) }
}

@Suite struct EventLoopTests {
    @Test func edgesAreReportedOnceAndLevelsAgain() throws {
        let loop = try EventLoop()
        let (edge, edgePeer) = socketPair()
        let (level, levelPeer) = socketPair()
        let first = Probe(fd: edge)
        let second = Probe(fd: level)
        #expect(loop.add(first, [.readable]))
        #expect(loop.add(second, [.readable, .level]))
        send(edgePeer)
        send(levelPeer)
        loop.turn(atMost: 1000)
        loop.turn(atMost: 0)
        #expect(first.events == [.readable])
        #expect(second.events == [.readable, .readable])
        loop.update(first, [.readable, .writable])
        loop.turn(atMost: 0)
        #expect(first.events.last == [.readable, .writable])
        loop.close(first)
        loop.close(second)
        Socket.close(edgePeer)
        Socket.close(levelPeer)
        loop.turn(atMost: 0)
    }

    @Test func aSourceClosedInTheSameTurnHearsNothingAndStaysAliveUntilItsEnd() throws {
        let loop = try EventLoop()
        let (a, aPeer) = socketPair()
        let (b, bPeer) = socketPair()
        weak var weakFirst: Probe?
        weak var weakSecond: Probe?
        var heard = 0
        do {
            let first = Probe(fd: a)
            let second = Probe(fd: b)
            weakFirst = first
            weakSecond = second
            loop.add(first, [.readable])
            loop.add(second, [.readable])
            // Whichever comes first closes both.
            let closeBoth: (Probe) -> Void = { _ in
                heard += 1
                if let source = weakFirst { loop.close(source) }
                if let source = weakSecond { loop.close(source) }
                #expect(weakFirst != nil && weakSecond != nil)
            }
            first.onEvent = closeBoth
            second.onEvent = closeBoth
        }
        send(aPeer)
        send(bPeer)
        loop.turn(atMost: 1000)
        #expect(heard == 1)
        #expect(weakFirst == nil && weakSecond == nil)
        // The descriptors are closed: their peers see the end.
        #expect(!Socket.isIdleAndAlive(aPeer) && !Socket.isIdleAndAlive(bPeer))
        Socket.close(aPeer)
        Socket.close(bPeer)
    }

    @Test func aClosedSourceHasNoTimerAndGetsNone() throws {
        let loop = try EventLoop()
        let (fd, peer) = socketPair()
        let source = Probe(fd: fd)
        loop.add(source, [.readable])
        loop.schedule(source, at: loop.now)
        loop.close(source)
        loop.close(source)
        loop.schedule(source, at: loop.now)
        #expect(source.isClosed)
        for _ in 0..<5 { loop.turn(atMost: 10) }
        #expect(source.fired == 0)
        Socket.close(peer)
    }

    @Test func aDetachedDescriptorStaysOpen() throws {
        let loop = try EventLoop()
        let (fd, peer) = socketPair()
        let source = Probe(fd: fd)
        loop.add(source, [.readable])
        #expect(loop.detach(source) == fd)
        #expect(loop.detach(source) == -1)
        send(peer)
        loop.turn(atMost: 20)
        #expect(source.events.isEmpty)
        #expect(fcntl(fd, F_GETFD) >= 0)
        Socket.close(fd)
        Socket.close(peer)
    }

    @Test func whatTheSystemDoesNotWatchIsClosed() throws {
        let loop = try EventLoop()
        let fd = unsafe open("/etc/hosts", O_RDONLY)  // epoll refuses ordinary files
        let source = Probe(fd: fd)
        #expect(!loop.add(source, [.readable]))
        #expect(source.isClosed)
        loop.turn(atMost: 0)
    }

    @Test func timersFireInTime() throws {
        let loop = try EventLoop()
        let (fd, peer) = socketPair()
        let source = Probe(fd: fd)
        loop.add(source, [.readable])
        let start = Clock.now()
        loop.schedule(source, at: start.advanced(byNanoseconds: 30_000_000))
        while source.fired == 0 && Clock.now().nanoseconds(since: start) < 5_000_000_000 { loop.turn(atMost: 1000) }
        #expect(source.fired == 1)
        #expect(loop.now.nanoseconds(since: start) >= 30_000_000)
        loop.close(source)
        Socket.close(peer)
    }

    @Test func hooksRunAfterEachEventAndEachTurn() throws {
        let loop = try EventLoop()
        let hooks = CountingHooks()
        loop.hooks = hooks
        let (a, aPeer) = socketPair()
        let (b, bPeer) = socketPair()
        let sources = [Probe(fd: a), Probe(fd: b)]
        for source in sources { loop.add(source, [.readable]) }
        send(aPeer)
        send(bPeer)
        loop.turn(atMost: 1000)
        #expect(hooks.events == 2)
        #expect(hooks.turns == 1)
        #expect(loop.statistics.events == 2 && loop.statistics.turns == 1)
        #expect(loop.takeLongestTurn() > 0)
        #expect(loop.statistics.longestTurn == 0)
        for source in sources { loop.close(source) }
        Socket.close(aPeer)
        Socket.close(bPeer)
        loop.turn(atMost: 0)
    }
}

@Suite struct MailboxTests {
    private struct Box: @unchecked Sendable {
        let loop: EventLoop
        var mailbox: Mailbox { loop.mailbox }
    }

    private final class Counter: @unchecked Sendable {
        var values: [Int] = []
    }

    @Test func jobsOfAnotherThreadRunInOrderOnTheLoop() throws {
        let box = Box(loop: try EventLoop())
        let counter = Counter()
        let mailbox = box.mailbox
        let thread = try LoopThread.spawn(name: "poster") {
            for index in 0..<10_000 { mailbox.post { counter.values.append(index) } }
            // The loop stops itself, on its own thread.
            mailbox.post { box.loop.stop() }
        }
        box.loop.run()
        thread.join()
        #expect(counter.values == Array(0..<10_000))
    }

    @Test func aJobMayPostAnother() throws {
        let loop = try EventLoop()
        let counter = Counter()
        let mailbox = loop.mailbox
        mailbox.post {
            counter.values.append(1)
            mailbox.post { counter.values.append(2) }
        }
        loop.turn(atMost: 1000)
        loop.turn(atMost: 1000)
        #expect(counter.values == [1, 2])
    }

    @Test func aMailboxOutlivesItsLoop() throws {
        var loop: EventLoop? = try EventLoop()
        let mailbox = try #require(loop?.mailbox)
        weak let gone = loop
        loop = nil
        #expect(gone == nil)
        mailbox.post {}
    }
}
