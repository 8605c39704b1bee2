import MeshCore

/// What happens when a clock has run out.
extension Exchange {
    func linger() {
        deadlines.linger(now: worker.loop.now)
        rearm()
    }

    func expire(_ reason: Reason) {
        if reason == .bodyTooSlow && !requestHasRoom {
            deadlines.pauseRate(now: worker.loop.now)
            return rearm()
        }
        if state.waitsForClient || deadlines.endsInSilence {
            if !deadlines.endsInSilence { account.reason = account.reason ?? reason }
            return downstreamGivenUp()
        }
        if reason == .upstreamTimeout { return upstreamFailed(.failed(reason)) }
        finishAttempt(status: account.status)
        detachUpstream(outcome(ofExpiry: reason))
        perform(state.answer(reason))
    }

    /// The client does not take an answer that is complete, or nothing more comes through a tunnel that is half closed.
    private func downstreamGivenUp() {
        let side = downstream
        detachUpstream()
        account.wasCutOff = !deadlines.endsInSilence
        if state.lose() == .finish { finish(side) }
        side.abort()
    }
}
