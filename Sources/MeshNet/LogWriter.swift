import CLinux
import Glibc
import MeshCore

/// Writes what loops hand over to a descriptor, on a thread of its own: a slow or dead reader of the log never holds up
/// a loop. What does not fit into the bounded queue is dropped, a batch at a time, and counted.
///
/// The descriptor stays its owner's, and as it is: blocking or not. A reader that has gone (EPIPE) or a full disk costs
/// the batches that meet it.
public final class LogWriter: Sendable {
    let queue: LogQueue

    /// A writer to `descriptor` that keeps at most `limit` bytes waiting. Throws without descriptors or threads left.
    public init(descriptor: Int32, limit: Int = 4 << 20) throws(ProxyError) {
        let queue = try LogQueue(descriptor: descriptor, limit: limit)
        self.queue = queue
        try LoopThread.spawn(name: "log") { LogDrain(queue).run() }
    }

    /// Does not wait: close it to have everything written.
    deinit { queue.close(deadline: Clock.now()) }

    /// Hands `batch`, whole lines, over to be written after all batches before it. Never waits for the reader; from any
    /// thread.
    public func write(_ batch: consuming [UInt8]) { queue.append(batch) }

    /// Bytes that were handed over but never written: no room in the queue, a write that failed, or handed over after
    /// ``close(within:)``.
    public var droppedBytes: UInt64 { queue.counts.dropped }

    /// Bytes written.
    public var writtenBytes: UInt64 { queue.counts.written }

    /// Writes what is queued, and ends the thread: true if all of it was written within `milliseconds`. Otherwise the
    /// rest is dropped; a thread that a blocking descriptor holds is left behind and ends when it is let go.
    @discardableResult
    public func close(within milliseconds: Int) -> Bool {
        // A day at most.
        let wait = UInt64(min(max(milliseconds, 0), 86_400_000))
        let deadline = Clock.now().advanced(byNanoseconds: wait * 1_000_000)
        queue.close(deadline: deadline)
        return queue.waitForEnd(until: deadline)
    }
}

/// The thread: takes what is queued and writes it in large pieces.
struct LogDrain {
    /// Bytes in one write, unless a single batch is larger.
    private static let piece = 64 << 10
    /// After writing, this long goes by before the thread looks again: under load nobody needs to wake it.
    private static let pause: Int32 = 5

    private let queue: LogQueue

    init(_ queue: LogQueue) { self.queue = queue }

    func run() {
        Signals.blockBrokenPipe()
        while true {
            switch queue.next() {
            case .write(let batches):
                write(batches)
                queue.wait(milliseconds: Self.pause)
            case .sleep: queue.wait()
            case .end:
                queue.end()
                return
            }
        }
    }

    private func write(_ batches: [[UInt8]]) {
        var gathered: [UInt8] = []
        for batch in batches {
            if !gathered.isEmpty && gathered.count + batch.count > Self.piece {
                write(gathered)
                gathered.removeAll(keepingCapacity: true)
            }
            gathered.append(contentsOf: batch)
        }
        write(gathered)
    }

    private func write(_ bytes: [UInt8]) {
        var offset = 0
        while offset < bytes.count && !queue.isOver {
            let count = unsafe bytes.withUnsafeBytes { bytes in
                let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
                return unsafe Glibc.write(queue.descriptor, rest.baseAddress, rest.count)
            }
            if count >= 0 {
                offset += count
                queue.settle(written: count)
                continue
            }
            switch linux_errno() {
            case EINTR: continue
            case EAGAIN: queue.wait(room: true)
            default:
                queue.settle(dropped: bytes.count - offset)
                return
            }
        }
    }
}
