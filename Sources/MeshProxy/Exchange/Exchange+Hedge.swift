import MeshCore
import MeshHTTP
import MeshTelemetry
import MeshTraffic

/// Hedging: a second attempt beside the first, of which the first to answer wins.
///
/// The second attempt is made by an exchange of its own, as a mirrored copy is. When its head comes first, the exchange
/// that the client waits for lets go of its own attempt and takes that one over; when the other answers first, or the
/// client goes, the copy ends. An attempt that fails waits for the other.
extension Exchange {
    /// An attempt starts: looks at it again when a second one beside it is due.
    func setHedgeAlarm() {
        guard let rule = plan?.retry, rule.hedgeDelay != .max else { return }
        deadlines.alarm(at: worker.loop.now.advanced(byNanoseconds: rule.hedgeDelay))
    }

    /// Nothing has come back for as long as a policy allows: asks another endpoint too, if that costs no more than a
    /// retry may.
    func startHedge() {
        rearm()
        guard let rule = plan?.retry, hedge == nil, endpoint != nil, state.requestEnded, state.mayRetry,
            !retrying.hasPermit, retrying.retries < rule.attempts, !upgrade.isWanted,
            retrying.isKeeping || account.requestBytes == 0, rule.mayRepeat(isIdempotent: request.method.isIdempotent),
            let pool
        else { return }
        if pool.beginRetry() != nil { return }
        worker.metrics.upstreamRetry(backend: pool.metricsSlot, .hedge)
        retrying.hasPermit = true
        retrying.retries &+= 1
        let copy = worker.leaseExchange()
        hedge = copy
        copy.beginHedge(of: self)
    }

    private func beginHedge(of original: Exchange) {
        keepsItself = self
        hedged = Link(original)
        state.begin()
        serial &+= 1
        account.begin(at: worker.loop.now)
        configuration = original.configuration
        served = original.served
        listener = original.listener
        backend = original.backend
        placement = original.placement
        deadlines = original.deadlines
        tried = original.tried
        if let busy = original.endpoint { tried.insert(busy.index) }
        request.copy(from: original.request)
        requestTrailers.copy(from: original.requestTrailers)
        account.copyAttempts(of: original.account)
        if let replay = original.replay, original.retrying.isKeeping {
            replay.shareLast(replay.byteCount, with: requestBody)
        }
        requestEnded(hasTrailers: requestTrailers.fieldCount > 0)
        startAttempt(fresh: false)
    }

    /// The copy's head is there: true if it was the first, and its attempt is the original's now.
    func winsHedge() -> Bool {
        guard let hedged, response.status >= 200 else { return false }
        if !hedged({ $0.takeOver(self) }) { giveUp() }
        return true
    }

    /// Makes the attempt of `copy` this exchange's own, which goes on with its head.
    private func takeOver(_ copy: Exchange) -> Bool {
        guard state.phase == .awaiting || state.phase == .pausing, copy.state.requestSent else { return false }
        if retrying.isPutAside {
            detachUpstream(outcomeOfResponse)
        } else {
            // It was slower than the other, and may have failed before; it is not known to have failed now.
            finishAttempt(status: 0, isGivenUp: true)
            detachUpstream()
        }
        retrying.isPutAside = false
        heldCause = nil
        state.attempt()
        state.sendRequest()
        deadlines.attempt(now: worker.loop.now)
        account.attempt(at: copy.account.attemptStarted)
        account.upstreamConnect = copy.account.upstreamConnect
        rearm()
        requestBody.reset()
        requestBody.end()
        responseBody.reset()
        responseTrailers.reset()
        response.copy(from: copy.response)
        copy.handAttempt(to: self)
        copy.perform(copy.state.lose())
        responseReceived(isUpgrade: false)
        return true
    }

    /// True if the attempt that failed for `cause` waits for the one beside it.
    func waitsForHedge(_ cause: RetryCause) -> Bool {
        guard hedge != nil, state.mayRetry, let rule = plan?.retry else { return false }
        switch cause {
        case .status, .grpcStatus: guard rule.lists(cause) else { return false }
        case .connectFailure, .refusedStream, .reset, .timeout: break
        }
        heldCause = cause
        state.pause()
        deadlines.pause(until: .never)
        rearm()
        return true
    }

    /// This exchange is a copy that nobody waits for any more, which is not its endpoint's failure.
    func giveUp() {
        account.wasCutOff = true
        perform(state.lose())
    }

    /// The copy is over, and did not win: if this exchange waited for it, it is where it was before.
    private func hedgeEnded() {
        hedge = nil
        endRetry()
        guard state.phase == .pausing, let cause = heldCause else { return }
        heldCause = nil
        if retrying.isPutAside {
            detachUpstream(outcomeOfResponse)
            retrying.isPutAside = false
        }
        state.attempt()
        if tryAgain(cause) { return }
        let reason: Reason = cause == .timeout ? .upstreamTimeout : .upstreamReset
        if !answersWithKept(reason) { perform(state.answer(reason)) }
    }

    /// This exchange is over, or has an answer: what was started beside it is not needed.
    func endHedge() {
        if let copy = hedge {
            hedge = nil
            copy.hedged = nil
            copy.giveUp()
        }
        if let original = hedged {
            hedged = nil
            original { $0.hedgeEnded() }
        }
    }
}
