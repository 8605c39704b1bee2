import MeshTelemetry
import Synchronization

/// What became of requests that no route took at first, over all loops. Only such requests come here.
final class DemandCounts: Sendable {
    private let counts = Mutex([UInt64](repeating: 0, count: DemandResult.allCases.count))

    /// One more that came to `result`.
    func add(_ result: DemandResult) { counts.withLock { $0[result.index] += 1 } }

    /// By ``DemandResult/index``.
    var all: [UInt64] { counts.withLock { $0 } }
}
