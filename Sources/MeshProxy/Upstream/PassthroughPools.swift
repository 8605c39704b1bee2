import MeshCore
import MeshModel
import MeshNet

/// One loop's ways to where redirected connections were going that no backend knows. All of them count as one backend,
/// `passthrough`.
final class PassthroughPools {
    private struct Key: Hashable {
        let address: SocketAddress
        let spoken: Backend.`Protocol`
    }

    private struct Entry {
        let pool: BackendPool
        var used: Instant
    }

    private let worker: Worker
    private var entries: [Key: Entry] = [:]

    /// How metrics and the log call the backend.
    static let name = "passthrough"
    /// Destinations that are remembered. Forgotten ones keep the connections in use, and lose the idle ones.
    static let limit = 256

    init(_ worker: Worker) { self.worker = worker }

    /// The way to `address`; nil if there is none.
    func pool(to address: SocketAddress, _ spoken: Backend.`Protocol`) -> BackendPool? {
        let key = Key(address: address, spoken: spoken)
        if let known = entries[key] {
            entries[key]?.used = worker.loop.now
            return known.pool
        }
        if entries.count >= Self.limit { forgetOldest() }
        let backend = Backend(
            name: Self.name, protocol: spoken, endpoints: [Endpoint(.ip(address.host, port: address.port))])
        guard let served = try? ServedBackend(backend, ProxySettings(), previous: nil) else { return nil }
        let pool = BackendPool(served, worker: worker)
        entries[key] = Entry(pool: pool, used: worker.loop.now)
        return pool
    }

    /// Makes room for an eighth, so that a scan of many destinations does not look at all of them for each.
    private func forgetOldest() {
        let oldest = entries.sorted { $0.value.used < $1.value.used }.prefix(Self.limit / 8)
        for (key, entry) in oldest {
            entries[key] = nil
            entry.pool.retire()
            // An exchange that is between two attempts may still hold it; a caller up the stack may be in it.
            worker.retire(entry.pool)
        }
    }
}
