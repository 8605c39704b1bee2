import MeshCore

/// Waiting for one of the backend's limits.
extension Exchange {
    /// The place of this exchange in a queue.
    func ticketForQueue() -> PendingTicket {
        if let ticket { return ticket }
        let made = PendingTicket(self)
        ticket = made
        return made
    }

    /// There may be room for the attempt that waits; false if there is none.
    func waitIsOver(_ ticket: PendingTicket, _ pool: BackendPool) -> Bool {
        deadlines.attempt(now: worker.loop.now)
        setHedgeAlarm()
        rearm()
        account.attemptAdmitted(at: worker.loop.now)
        return attach(pool, fresh: ticket.fresh, avoiding: ticket.tried)
    }

    /// There is none, and no use in waiting on.
    func waitEnded(_ reason: Reason) {
        leaveQueue()
        upstreamFailed(.failed(reason))
    }

    /// The wait is over, one way or another.
    func leaveQueue() {
        guard isWaiting else { return }
        isWaiting = false
        if let ticket, ticket.isQueued { ticket.leave() }
    }
}
