import MeshCore
import MeshModel
import MeshNet
import MeshTraffic

/// Looks at the process from time to time, on each loop, and tells the loop's worker whether it has too much to do.
final class OverloadMonitor: TimerNode {
    private let worker: Link<Worker>
    private var limits = OverloadProtection(maxDescriptorPercent: nil)
    private var snapshot: Snapshot?
    private var period: UInt64 = 0
    private var lastLag: UInt64 = 0
    /// Descriptors that are no connection of ours, when last counted.
    private var otherDescriptors = -1

    init(_ worker: Worker) {
        self.worker = Link(worker)
        super.init()
    }

    /// Looks at what `snapshot` wants to have looked at.
    func adopt(_ snapshot: Snapshot) {
        self.snapshot = snapshot
        limits = snapshot.model.settings.overload
        // Lag comes and goes within a second, the others do not.
        period = limits.maxLoopLag == nil ? 1_000_000_000 : 100_000_000
        let isOff = limits.maxLoopLag == nil && limits.maxMemoryBytes == nil && limits.maxDescriptorPercent == nil
        worker { worker in
            if isOff {
                worker.overload = OverloadState()
                worker.loop.cancel(self)
            } else {
                _ = worker.loop.takeLongestTurn()
                schedule(worker)
            }
        }
    }

    private func schedule(_ worker: Worker) {
        worker.loop.schedule(self, at: worker.loop.now.advanced(byNanoseconds: period))
    }

    override func timerFired() {
        worker { worker in
            schedule(worker)
            var sample = OverloadState.Sample()
            if limits.maxMemoryBytes != nil { sample.memoryBytes = ThisProcess.residentBytes() }
            if limits.maxDescriptorPercent != nil { sample.descriptorPercent = descriptorPercent() }
            // A turn that took long made everything else wait for as long. One such turn is no overload: a reload is
            // one.
            let lag = worker.loop.takeLongestTurn()
            sample.lag = min(lag, lastLag)
            lastLag = lag
            if worker.overload.take(sample, limits) { say(sample, worker) }
        }
    }

    private func descriptorPercent() -> Double {
        let most = ProcessLimits.descriptors()
        guard most > 0, let snapshot else { return 0 }
        var connections = 0
        for listener in snapshot.listeners { connections += listener.connections.current }
        for backend in snapshot.backends { connections += backend.connections.current }
        // Counting all takes time in proportion; the rest, logs and sockets that listen, hardly changes.
        if otherDescriptors < 0 || connections < 1000 {
            otherDescriptors = max(0, ThisProcess.openDescriptorCount() - connections)
        }
        return Double(otherDescriptors + connections) * 100 / Double(most)
    }

    private func say(_ sample: OverloadState.Sample, _ worker: Worker) {
        let refused = RequestPriority.allCases.filter { worker.overload.refuses($0) }.map { "\($0)" }
        let memory = limits.maxMemoryBytes == nil ? "" : "memory \(sample.memoryBytes >> 20) MiB, "
        let text = refused.isEmpty ? "no priority" : "priority \(refused.joined(separator: ", "))"
        let pause = worker.overload.pausesAccepting ? ", and accepting pauses" : ""
        worker.warn(
            "overload: \(text) is refused\(pause) (\(memory)descriptors \(Int(sample.descriptorPercent)) %, lag "
                + "\(sample.lag / 1_000_000) ms)")
    }
}
