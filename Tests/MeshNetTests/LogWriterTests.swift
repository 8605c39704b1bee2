import Glibc
import MeshCore
import Testing

@testable import MeshNet

/// A pipe with a small buffer, as two descriptors.
private struct Pipe {
    let reader: Int32
    let writer: Int32

    init(nonBlocking: Bool) {
        var ends: [Int32] = [0, 0]
        _ = unsafe pipe(&ends)
        (reader, writer) = (ends[0], ends[1])
        if nonBlocking { _ = fcntl(writer, F_SETFL, O_NONBLOCK) }
    }

    /// Fills the buffer, so that nothing more can be written; returns how many bytes that took.
    func fill() -> Int {
        let flags = fcntl(writer, F_GETFL)
        _ = fcntl(writer, F_SETFL, flags | O_NONBLOCK)
        defer { _ = fcntl(writer, F_SETFL, flags) }
        let page = [UInt8](repeating: UInt8(ascii: "f"), count: 4096)
        var total = 0
        while true {
            let count = unsafe write(writer, page, page.count)
            if count < 0 { return total }
            total += count
        }
    }

    /// Reads exactly `count` bytes, or what comes before the end.
    func take(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while bytes.count < count {
            let size = unsafe read(reader, &buffer, min(buffer.count, count - bytes.count))
            if size <= 0 { break }
            bytes += buffer[..<size]
        }
        return bytes
    }
}

private func line(_ number: Int) -> [UInt8] { Array("line \(number)\n".utf8) }

@Suite struct LogWriterTests {
    @Test(arguments: [false, true])
    func batchesAreWrittenInOrder(nonBlocking: Bool) throws {
        let pipe = Pipe(nonBlocking: nonBlocking)
        let log = try LogWriter(descriptor: pipe.writer)
        var expected: [UInt8] = []
        for number in 0..<50_000 {
            expected += line(number)
            log.write(line(number))
        }
        // More than the pipe holds: the thread meets a full pipe, and goes on when there is room.
        #expect(pipe.take(expected.count) == expected)
        #expect(log.close(within: 10_000))
        #expect(log.droppedBytes == 0)
        #expect(log.writtenBytes == UInt64(expected.count))
        Socket.close(pipe.reader)
        Socket.close(pipe.writer)
    }

    @Test func closingWritesWhatIsQueued() throws {
        let pipe = Pipe(nonBlocking: false)
        let log = try LogWriter(descriptor: pipe.writer)
        for number in 0..<1000 { log.write(line(number)) }
        #expect(log.close(within: 10_000))
        #expect(log.close(within: 0))
        log.write(line(1000))
        #expect(log.droppedBytes == UInt64(line(1000).count))
        Socket.close(pipe.writer)
        #expect(pipe.take(1 << 20) == (0..<1000).flatMap(line))
        Socket.close(pipe.reader)
    }

    @Test(arguments: [false, true])
    func aStuckReaderCostsWholeBatchesAndNeverMoreMemoryThanTheLimit(nonBlocking: Bool) throws {
        let pipe = Pipe(nonBlocking: nonBlocking)
        let filler = pipe.fill()
        let log = try LogWriter(descriptor: pipe.writer, limit: 1000)
        let batch = [UInt8](repeating: UInt8(ascii: "b"), count: 300)
        for _ in 0..<10 { log.write(batch) }
        // Three fit, whether the thread has taken some of them or not.
        #expect(log.droppedBytes == 7 * 300)
        let rest = pipe.take(filler + 900)
        #expect(rest.count == filler + 900 && rest.suffix(900).allSatisfy { $0 == UInt8(ascii: "b") })
        #expect(log.close(within: 10_000))
        #expect(log.droppedBytes == 7 * 300)
        Socket.close(pipe.reader)
        Socket.close(pipe.writer)
    }

    @Test(arguments: [false, true])
    func closingIsBoundedInTimeWhenNobodyReads(nonBlocking: Bool) throws {
        let pipe = Pipe(nonBlocking: nonBlocking)
        _ = pipe.fill()
        let log = try LogWriter(descriptor: pipe.writer)
        log.write(line(1))
        let start = Clock.now()
        #expect(!log.close(within: 50))
        #expect(!log.close(within: 0))
        #expect(Clock.now().nanoseconds(since: start) < 5_000_000_000)
        #expect(log.droppedBytes == UInt64(line(1).count))
        // Lets a blocked thread go, which may use the descriptor until then.
        Socket.close(pipe.reader)
        if nonBlocking { Socket.close(pipe.writer) }
    }

    @Test func aReaderThatHasGoneCostsTheBatchesOnly() throws {
        let pipe = Pipe(nonBlocking: false)
        let log = try LogWriter(descriptor: pipe.writer)
        Socket.close(pipe.reader)
        log.write(line(1))
        // SIGPIPE would end the test here.
        #expect(log.close(within: 10_000))
        #expect(log.droppedBytes == UInt64(line(1).count))
        #expect(log.writtenBytes == 0)
        Socket.close(pipe.writer)
    }

    @Test func aWriterThatIsDroppedEndsItsThread() throws {
        let pipe = Pipe(nonBlocking: false)
        var log: LogWriter? = try LogWriter(descriptor: pipe.writer)
        log?.write(line(1))
        weak let queue = log?.queue
        log = nil
        // The thread holds the queue's last reference: it goes when the thread has ended.
        let start = Clock.now()
        while queue != nil && Clock.now().nanoseconds(since: start) < 10_000_000_000 { sched_yield() }
        #expect(queue == nil)
        Socket.close(pipe.reader)
        Socket.close(pipe.writer)
    }

    @Test func batchesOfSeveralThreadsStayWhole() throws {
        let pipe = Pipe(nonBlocking: false)
        let log = try LogWriter(descriptor: pipe.writer)
        var threads: [LoopThread.Handle] = []
        for name in ["a", "b", "c"] {
            threads.append(
                try LoopThread.spawn(name: name) {
                    for _ in 0..<1000 { log.write(Array("\(name)\(name)\(name)\n".utf8)) }
                })
        }
        let bytes = pipe.take(3 * 1000 * 4)
        for thread in threads { thread.join() }
        let lines = bytes.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
        #expect(lines.count == 3000 && Set(lines) == ["aaa", "bbb", "ccc"])
        #expect(log.close(within: 10_000))
        Socket.close(pipe.reader)
        Socket.close(pipe.writer)
    }
}
