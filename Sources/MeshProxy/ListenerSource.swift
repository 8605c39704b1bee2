import MeshCore
import MeshModel
import MeshNet

/// A listening socket on one loop.
final class ListenerSource: EventSource {
    private let worker: Worker
    private let index: Int
    private let limits: ListenerLimits

    init(fd: Int32, index: Int, limits: ListenerLimits, worker: Worker) {
        self.worker = worker
        self.index = index
        self.limits = limits
        super.init(fd: fd)
    }

    override func handle(_ events: Events) { acceptAll() }

    /// Descriptors had run out; perhaps there are some now.
    override func timerFired() { acceptAll() }

    private func acceptAll() {
        while true {
            switch Socket.accept(fd) {
            case .wouldBlock: return
            case .exhausted:
                worker.loop.schedule(self, at: worker.loop.now.advanced(byNanoseconds: 50_000_000))
                return
            case .connection(let fd, let peer):
                let connection = DownstreamConnection(
                    fd: fd, peer: peer, listener: index, limits: limits, worker: worker)
                worker.opened(connection)
                worker.loop.add(connection, [.readable, .writable, .peerClosed])
            }
        }
    }
}
