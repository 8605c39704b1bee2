import CLinux
import Glibc
import MeshCore
import Synchronization

/// Jobs for a loop from other threads, in the order in which they were posted.
///
/// Jobs posted after the loop has ended are kept, not run, and go with the mailbox.
public final class Mailbox: Sendable {
    private struct Job: @unchecked Sendable {
        let run: () -> Void
    }

    private let jobs = Mutex<[Job]>([])
    private let wakeup: Int32

    init() throws(ProxyError) {
        wakeup = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        if wakeup < 0 { throw ProxyError("cannot create an eventfd: \(Socket.text(linux_errno()))") }
    }

    deinit { Socket.close(wakeup) }

    /// Runs `job` on the loop's thread, between two events.
    public func post(_ job: @escaping @Sendable () -> Void) { enqueue(Job(run: job)) }

    /// The same for a job whose captures the compiler cannot prove safe.
    ///
    /// SAFETY: what the job captures must belong to this mailbox's loop, or be used by nobody else any more.
    @unsafe
    public func postUnchecked(_ job: @escaping () -> Void) { enqueue(Job(run: job)) }

    private func enqueue(_ job: Job) {
        let isFirst = jobs.withLock { jobs in
            jobs.append(job)
            return jobs.count == 1
        }
        // Whoever finds jobs waiting knows that the loop has been woken already.
        if isFirst {
            var one: UInt64 = 1
            _ = unsafe Glibc.write(wakeup, &one, 8)
        }
    }

    /// The eventfd that becomes readable when there are jobs.
    var descriptor: Int32 { wakeup }

    /// Runs all jobs posted so far.
    func runJobs() {
        // Cleared first: a job posted from here on writes again.
        var ignored: UInt64 = 0
        _ = unsafe Glibc.read(wakeup, &ignored, 8)
        let taken = jobs.withLock { jobs in
            let taken = jobs
            jobs = []
            return taken
        }
        for job in taken { job.run() }
    }
}

/// The loop's end of its mailbox. The mailbox owns the descriptor: this source is detached, never closed.
final class MailboxSource: EventSource {
    private let mailbox: Mailbox

    init(_ mailbox: Mailbox) {
        self.mailbox = mailbox
        super.init(fd: mailbox.descriptor)
    }

    override func handle(_ events: Events) { mailbox.runJobs() }
}
