import CLinux
import Glibc
import MeshCore

/// Reading and writing. All calls are retried on EINTR.
extension Socket {
    /// What writing came to.
    public enum WriteResult: Sendable, Equatable {
        /// The queue is empty.
        case drained
        /// The socket takes no more now; an edge will tell when it does.
        case blocked
        /// The connection is gone.
        case failed
    }

    /// Nothing to read or no room to write now.
    public static let wouldBlock = -1
    /// The connection is gone.
    public static let failure = -2
    /// I/O vectors in one system call.
    static let vectorLimit = 64

    /// Reads into `buffer`: bytes read, 0 at the end, ``wouldBlock`` or ``failure``.
    public static func receive(_ fd: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        while true {
            let count = unsafe recv(fd, buffer.baseAddress, buffer.count, 0)
            if count >= 0 { return count }
            if let result = outcome(linux_errno()) { return result }
        }
    }

    /// Writes from `bytes`: bytes written, ``wouldBlock`` or ``failure``.
    public static func send(_ fd: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        while true {
            let count = unsafe Glibc.send(fd, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            if count >= 0 { return count }
            if let result = outcome(linux_errno()) { return result }
        }
    }

    /// Writes from `vectors`, at most 1024: bytes written, ``wouldBlock`` or ``failure``.
    public static func send(_ fd: Int32, _ vectors: UnsafeBufferPointer<iovec>) -> Int {
        var message = unsafe msghdr()
        // SAFETY: the caller's vectors outlive the call, which does not write through the pointer.
        unsafe message.msg_iov = UnsafeMutablePointer(mutating: vectors.baseAddress)
        unsafe message.msg_iovlen = vectors.count
        while true {
            let count = unsafe sendmsg(fd, &message, Int32(MSG_NOSIGNAL))
            if count >= 0 { return count }
            if let result = outcome(linux_errno()) { return result }
        }
    }

    /// Writes as much of `queue` as the socket takes, and drops that from the queue.
    public static func write(_ fd: Int32, _ queue: inout OutputQueue) -> WriteResult {
        while !queue.isEmpty {
            let (sent, offered) = queue.runCount == 1 ? sendOne(fd, queue) : sendMany(fd, queue)
            if sent < 0 { return sent == wouldBlock ? .blocked : .failed }
            queue.drop(sent)
            // A short write has filled the socket (epoll(7), questions and answers): no need to be told EAGAIN.
            if sent < offered { return .blocked }
        }
        return .drained
    }

    private static func sendOne(_ fd: Int32, _ queue: borrowing OutputQueue) -> (sent: Int, offered: Int) {
        // SAFETY: the run is valid while the queue is borrowed.
        let run = unsafe queue.firstRun()
        return (unsafe send(fd, run), run.count)
    }

    private static func sendMany(_ fd: Int32, _ queue: borrowing OutputQueue) -> (sent: Int, offered: Int) {
        unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: vectorLimit) { vectors in
            // SAFETY: the vectors are valid while the queue is borrowed, and outlive the call.
            let count = unsafe queue.fill(vectors)
            var offered = 0
            var index = 0
            while index < count {
                unsafe offered &+= vectors[index].iov_len
                index &+= 1
            }
            return (unsafe send(fd, UnsafeBufferPointer(start: vectors.baseAddress, count: count)), offered)
        }
    }

    /// The result that `code` stands for, or nil if the call is to be tried again.
    private static func outcome(_ code: Int32) -> Int? {
        switch code {
        case EINTR: nil
        case EAGAIN: wouldBlock
        default: failure
        }
    }
}
