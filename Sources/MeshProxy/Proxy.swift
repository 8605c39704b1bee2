import MeshCore
import MeshModel
import MeshNet

/// The data plane of one process: a loop per thread, each with its own listeners, pools and counters.
public final class Proxy: Sendable {
    private let workers: [WorkerReference]
    /// The addresses listened on, in the model's order; ports of 0 are filled in.
    public let addresses: [SocketAddress]

    private let finished = Tally()

    /// A worker for the one thread that runs it.
    private struct WorkerReference: @unchecked Sendable {
        let worker: Worker
        let mailbox: Mailbox
    }

    /// Binds every listener of `model`, then starts `loops` threads: an error leaves nothing running.
    public init(_ model: Model, loops: Int) throws(ProxyError) {
        let snapshot = try Snapshot(model)
        var workers: [WorkerReference] = []
        var sockets: [(address: SocketAddress, listener: Int)] = []
        for (index, listener) in model.listeners.enumerated() {
            for address in try Self.addresses(of: listener) { sockets.append((address: address, listener: index)) }
        }
        for loop in 0..<max(loops, 1) {
            let worker = try Worker(snapshot: snapshot, seed: Clock.now().nanoseconds &+ UInt64(loop))
            for index in sockets.indices {
                let (wanted, listener) = sockets[index]
                let fd = try Socket.listen(wanted, reusePort: loops > 1)
                // A port of 0 is chosen by the first loop; the others join it.
                if loop == 0 { sockets[index].address = Socket.localAddress(fd) ?? wanted }
                let limits = model.listeners[listener].limits
                let source = ListenerSource(fd: fd, index: listener, limits: limits, worker: worker)
                worker.listeners.append(source)
                worker.loop.add(source, [.readable])
            }
            workers.append(WorkerReference(worker: worker, mailbox: worker.loop.mailbox))
        }
        self.workers = workers
        addresses = sockets.map(\.address)
        let finished = finished
        for reference in workers {
            try LoopThread.spawn {
                reference.worker.loop.run()
                finished.add()
            }
        }
    }

    /// Hands a new model to every loop. Listeners must be the same; what changed there needs a restart.
    public func publish(_ model: Model) throws(ProxyError) {
        let snapshot = try Snapshot(model)
        for reference in workers { reference.mailbox.post { reference.worker.adopt(snapshot) } }
    }

    /// Stops accepting, ends idle connections, and waits until every exchange is done: true, or false if `seconds` pass
    /// before that.
    public func drain(within seconds: Int) -> Bool {
        for reference in workers { reference.mailbox.post { reference.worker.drain() } }
        return finished.wait(for: workers.count, seconds: seconds)
    }

    private static func addresses(of listener: Listener) throws(ProxyError) -> [SocketAddress] {
        switch listener.address {
        case .any(let port): return [.ipv4(0, port: port), .ipv6(0, 0, port: port)]
        case .unix(let path): return [.unix(path)]
        case .ip(let ip, let port):
            guard let address = SocketAddress(ip: ip, port: port) else {
                throw ProxyError("listener \(listener.address): that is not an IP address")
            }
            return [address]
        }
    }
}
