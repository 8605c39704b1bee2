import MeshCore

/// The requests of one loop that wait until the control plane has said what it knows of their host.
final class ServiceWaits {
    private var book = DemandBook()
    private var waiters: [(host: [UInt8], exchange: Link<Exchange>)] = []
    private let worker: Link<Worker>

    init(_ worker: Worker) { self.worker = Link(worker) }

    /// Lets `exchange` wait for word of `host`, if it should. ``Exchange/serviceAnswered(_:)`` follows, or
    /// ``leave(_:)``.
    func wait(_ exchange: Exchange, _ host: [UInt8], now: Instant) -> DemandBook.Verdict {
        let verdict = book.want(host, now: now)
        switch verdict {
        case .remembered, .full: return verdict
        case .wait: break
        case .ask: worker { $0.process.ask(host, from: $0.reference) }
        }
        waiters.append((host, Link(exchange)))
        return verdict
    }

    /// `exchange` waits no longer.
    func leave(_ exchange: Exchange) {
        guard let index = waiters.firstIndex(where: { $0.exchange.points(to: exchange) }) else { return }
        book.leave(waiters[index].host)
        waiters.remove(at: index)
    }

    /// The control loop has an answer for `host`.
    func settle(_ host: [UInt8], _ answer: DemandAnswer) {
        book.answered(host)
        // Each that goes on may take others with it: there is no index to be kept.
        var left = waiters.count
        while left > 0, let index = waiters.firstIndex(where: { $0.host == host }) {
            left -= 1
            let exchange = waiters.remove(at: index).exchange
            exchange { $0.serviceAnswered(answer) }
        }
    }

    /// There is no service called `host`.
    func remember(_ host: [UInt8], now: Instant) { book.remember(host, now: now) }
}
