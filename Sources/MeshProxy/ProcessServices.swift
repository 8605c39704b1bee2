import MeshCore
import MeshNet
import Synchronization

/// What the loops of a process share and none of them owns: who writes the access log, and warnings.
final class ProcessServices: Sendable {
    let warnings = Warnings()
    /// Loops without a client left, after draining began.
    let drained = Tally()
    private let writer = Mutex<LogWriter?>(nil)
    private let workers = Mutex<[WorkerReference]>([])
    private let availability = Mutex<(@Sendable (String) -> Void)?>(nil)
    private let unknownHosts = Mutex<(@Sendable ([UInt8], WorkerReference) -> Void)?>(nil)
    /// What became of requests for services that nobody here knew.
    let demand: DemandCounts

    init(demand: DemandCounts = DemandCounts()) { self.demand = demand }

    /// Is told the name of a backend when an endpoint of it has become available or unavailable, on the loop that found
    /// out.
    func observeAvailability(_ body: (@Sendable (String) -> Void)?) { availability.withLock { $0 = body } }

    func availabilityChanged(_ backend: String) { availability.withLock { $0 }?(backend) }

    /// Is told the host, in lower case and without port, of a request of the application that no route takes, on the loop
    /// that waits for an answer.
    func observeUnknownHosts(_ body: (@Sendable ([UInt8], WorkerReference) -> Void)?) {
        unknownHosts.withLock { $0 = body }
    }

    /// True if there is somebody to ask for hosts.
    var asksForHosts: Bool { unknownHosts.withLock { $0 != nil } }

    func ask(_ host: [UInt8], from loop: WorkerReference) { unknownHosts.withLock { $0 }?(host, loop) }

    /// All loops; set once, before they run.
    var loops: [WorkerReference] {
        get { workers.withLock { $0 } }
        set { workers.withLock { $0 = newValue } }
    }

    /// Runs `job` on every loop but `worker`'s.
    func tellOthers(than worker: Worker, _ job: @escaping @Sendable (Worker) -> Void) {
        for loop in loops where loop.worker !== worker { loop.post(job) }
    }

    /// The writer of the access log, to standard output; made when the first configuration wants a log. Nil if the
    /// system has no thread left for it.
    func logWriter() -> LogWriter? {
        writer.withLock { writer in
            if writer == nil { writer = try? LogWriter(descriptor: 1) }
            return writer
        }
    }

    /// Writes what is left of the log, for at most a second.
    func finish() { _ = writer.withLock { $0?.close(within: 1000) } }
}

/// Lines for people on standard error: at most ten a second, the rest is counted.
final class Warnings: Sendable {
    private struct State {
        var second: UInt64 = 0
        var count = 0
        var suppressed = 0
    }

    private let state = Mutex(State())

    /// Writes `line`, without its newline.
    func say(_ line: String) {
        let second = Clock.now().nanoseconds / 1_000_000_000
        let suppressed: Int? = state.withLock { state in
            if state.second != second {
                state.second = second
                state.count = 0
            }
            state.count += 1
            guard state.count <= 10 else {
                state.suppressed += 1
                return nil
            }
            defer { state.suppressed = 0 }
            return state.suppressed
        }
        guard let suppressed else { return }
        let more = suppressed > 0 ? " (\(suppressed) more lines were left out)" : ""
        StandardError.say("martlet: \(line)\(more)")
    }
}
