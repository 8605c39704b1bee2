import MeshCore
import MeshNet

/// One loop's connections to one backend. Round robin over endpoints; last used first within one.
final class BackendPool {
    let backend: Snapshot.BackendAddresses
    private unowned let worker: Worker
    private var idle: [[UpstreamConnection]]
    private var turn = 0

    init(_ backend: Snapshot.BackendAddresses, worker: Worker) {
        self.backend = backend
        self.worker = worker
        idle = Array(repeating: [], count: backend.addresses.count)
    }

    /// A connection for one exchange, reused if one is alive; nil if there is no endpoint or connecting fails at once.
    func lease(fresh: Bool) -> Result<UpstreamConnection, ReasonError> {
        guard !backend.addresses.isEmpty else { return .failure(ReasonError(reason: .noEndpoint)) }
        let endpoint = turn
        turn = turn &+ 1 == backend.addresses.count ? 0 : turn &+ 1
        while !fresh, let connection = idle[endpoint].popLast() {
            if !connection.isClosed && Socket.isIdleAndAlive(connection.fd) {
                connection.leave()
                return .success(connection)
            }
            connection.shut()
        }
        switch Socket.connect(backend.addresses[endpoint]) {
        case .connected(let fd): return .success(open(fd, endpoint, connecting: false))
        case .inProgress(let fd): return .success(open(fd, endpoint, connecting: true))
        case .failed: return .failure(ReasonError(reason: .upstreamConnectFailed))
        }
    }

    /// Takes a connection back whose exchange is complete.
    func giveBack(_ connection: UpstreamConnection) {
        connection.rest(for: backend.model.idleTimeout.nanoseconds)
        idle[connection.endpoint].append(connection)
    }

    /// Forgets an idle connection that ended.
    func remove(_ connection: UpstreamConnection) { idle[connection.endpoint].removeAll { $0 === connection } }

    func closeIdle() {
        for connection in idle.joined() { connection.shut() }
        idle = idle.map { _ in [] }
    }

    private func open(_ fd: Int32, _ endpoint: Int, connecting: Bool) -> UpstreamConnection {
        let connection = UpstreamConnection(
            fd: fd, pool: self, worker: worker, endpoint: endpoint, connecting: connecting)
        worker.loop.add(connection, [.readable, .writable, .peerClosed])
        return connection
    }
}

/// A reason as an error value.
struct ReasonError: Error { let reason: Reason }
