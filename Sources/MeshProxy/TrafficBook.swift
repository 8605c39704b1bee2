import MeshNet
import MeshTelemetry
import Synchronization

/// What each loop said last of the requests between services.
final class TrafficBook: Sendable {
    private let latest = Mutex<[MetricsSnapshot?]>([])

    /// Asks every loop, waits for at most so long, and adds up what is known then: counters of a loop that is late must
    /// not seem to have gone back.
    func collect(_ workers: [WorkerReference], milliseconds: Int) -> MetricsSnapshot {
        let answers = Answers(workers.count)
        for (number, reference) in workers.enumerated() {
            reference.post { answers.add($0.metrics.snapshot(), of: number) }
        }
        let fresh = answers.wait(milliseconds: milliseconds)
        return latest.withLock { latest in
            if latest.count < fresh.count { latest = Array(repeating: nil, count: fresh.count) }
            for (number, snapshot) in fresh.enumerated() { if let snapshot { latest[number] = snapshot } }
            return MetricsSnapshot.merged(latest.compactMap { $0 })
        }
    }
}

/// Answers of loops to one question.
private final class Answers: Sendable {
    private let all: Mutex<[MetricsSnapshot?]>
    private let gate = WaitGate()

    init(_ count: Int) { all = Mutex(Array(repeating: nil, count: count)) }

    func add(_ snapshot: MetricsSnapshot, of number: Int) {
        let isLast = all.withLock { all in
            all[number] = snapshot
            return all.allSatisfy { $0 != nil }
        }
        if isLast { gate.open() }
    }

    func wait(milliseconds: Int) -> [MetricsSnapshot?] {
        gate.wait(milliseconds: milliseconds)
        return all.withLock { $0 }
    }
}
