import MeshCore
import MeshHTTP
import MeshNet
import MeshTraffic

/// More than one attempt: the decision's answers carried out. What is worth an attempt is ``RetryRule``'s to say.
///
/// Memory: a request's body is kept while another attempt is possible, up to `retry.bufferBytes`. While an attempt takes
/// nothing, the client's window (HTTP/2) or one read (HTTP/1.1) may come on top. Kept bytes pin the chunks that they
/// arrived in, at most ``BodyPipe/pinLimit``. Of a response that is not forwarded up to ``KeptResponse/limit`` is kept.
extension Exchange {
    // MARK: The request's body

    /// A plan was found: bytes that come from here on are kept if they may be needed again.
    func beginKeeping(_ rule: RetryRule) {
        if upgrade.isWanted { return }
        if case .known(let count) = request.bodyLength, count > rule.bufferBytes { return }
        retrying.isKeeping = true
        if replay == nil { replay = BodyPipe(pools: worker.pools) }
    }

    /// Keeps the last `count` bytes of the request pipe.
    func keep(_ count: Int) {
        guard let replay, let rule = plan?.retry else { return }
        requestBody.shareLast(count, with: replay)
        // Between two attempts all of it is needed: the next one is the last then.
        if replay.byteCount > rule.bufferBytes && state.phase != .pausing { stopKeeping() }
    }

    /// What has left cannot be sent again from here on.
    func stopKeeping() {
        guard retrying.isKeeping else { return }
        retrying.isKeeping = false
        replay?.reset()
        if retrying.taken > 0 { state.bodyTaken() }
    }

    /// The next attempt begins with the request's first byte, and with nothing of a response.
    func rewind() {
        responseBody.reset()
        responseTrailers.reset()
        guard retrying.isKeeping, let replay, let rule = plan?.retry else { return }
        if retrying.taken > 0 {
            requestBody.reset()
            replay.shareLast(replay.byteCount, with: requestBody)
            if state.requestEnded { requestBody.end() }
            retrying.rewind()
        }
        if retrying.retries >= rule.attempts || replay.byteCount > rule.bufferBytes { stopKeeping() }
    }

    // MARK: The decision

    /// True if there is going to be another attempt, for `cause`. The attempt that failed is the caller's to end.
    func tryAgain(_ cause: RetryCause, pushback: Pushback = .none) -> Bool {
        if waitsForHedge(cause) { return true }
        endRetry()
        guard let rule = plan?.retry, state.mayRetry, let pool else { return false }
        let question = RetryQuestion(
            cause, isIdempotent: request.method.isIdempotent, isReplayable: !upgrade.isWanted || cause.isUnprocessed,
            retries: retrying.retries, pushback: pushback, remaining: deadlines.left(now: worker.loop.now))
        switch rule.decide(question, random: worker.random.next(), permit: { pool.beginRetry() }) {
        case .giveUp: return false
        case .retry(let delay):
            worker.metrics.upstreamRetry(backend: pool.metricsSlot, cause.event)
            retrying.hasPermit = true
            retrying.retries &+= 1
            if let endpoint { tried.insert(endpoint.index) }
            state.pause()
            deadlines.pause(until: worker.loop.now.advanced(byNanoseconds: delay))
            rearm()
            return true
        }
    }

    /// Gives the place in the budget back: the retry failed, or its response goes to the client.
    func endRetry() {
        guard retrying.hasPermit else { return }
        retrying.hasPermit = false
        pool?.endRetry()
    }

    /// True if the budget has no place for the replay that `failure` asks for: endpoints that refuse streams or
    /// connections must not make two requests of each. The end of an idle connection is nobody's trouble, and free.
    func isReplayRefused(_ failure: ExchangeState.Failure) -> Bool {
        switch failure {
        case .unprocessed: break
        case .staleConnection, .failed: return false
        }
        // The request has its place already.
        guard !retrying.hasPermit, let pool else { return false }
        retrying.hasPermit = pool.beginRetry() == nil
        return !retrying.hasPermit
    }

    /// The wait is over.
    func attemptAgain() {
        // What did not come by now of the response before is not waited for.
        detachUpstream(outcomeOfResponse)
        // An endpoint that answered is there; where none did, a connection that waits in the pool may be gone too.
        let isFresh = !retrying.isPutAside
        retrying.isPutAside = false
        startAttempt(fresh: isFresh)
    }

    // MARK: The response

    /// A final head is in ``response``: true if it is a reason to try again, and not to be forwarded.
    func retriesInsteadOfHead() -> Bool {
        guard let rule = plan?.retry, response.status >= 200 else { return false }
        let grpcStatus = account.grpcStatus
        let cause = grpcStatus >= 0 ? RetryCause.grpcStatus(grpcStatus) : .status(response.status)
        guard rule.lists(cause) else { return false }
        guard tryAgain(cause, pushback: Pushback(response, wallTime: worker.wallNow())) else { return false }
        putAside()
        return true
    }

    /// True if the head in ``response`` waits for what follows: the call's status may come in trailers.
    var holdsHead: Bool {
        guard let rule = plan?.retry, rule.holdsGRPCHeads else { return false }
        return request.flags.contains(.grpc) && response.status == 200 && response.bodyLength != .none
            && retrying.retries < rule.attempts && state.mayRetry
    }

    /// The held call ended before any message: true if its status is a reason to try again.
    func retriesInsteadOfTrailers(hasTrailers: Bool) -> Bool {
        guard hasTrailers, account.grpcStatus >= 0 else { return false }
        let pushback = Pushback(responseTrailers, wallTime: worker.wallNow())
        guard tryAgain(.grpcStatus(account.grpcStatus), pushback: pushback) else { return false }
        putAside()
        return true
    }

    /// Keeps the response in case that nothing better comes. Its connection can be used again if both directions come
    /// to their end before the next attempt does.
    private func putAside() {
        finishAttempt(status: response.status)
        retrying.isPutAside = true
        let kept = self.kept ?? KeptResponse(pools: worker.pools)
        self.kept = kept
        kept.begin(response)
        if !state.requestSent { detachUpstream(outcomeOfResponse) }
    }

    /// Bytes of a response that was put aside.
    func putAside(_ count: Int) {
        guard let kept else { return responseBody.reset() }
        guard kept.take(responseBody) else {
            kept.drop()
            return detachUpstream(outcomeOfResponse)
        }
        upstream.responseTaken(count)
    }

    /// The response that was put aside is complete.
    func putAsideEnded(hasTrailers: Bool) {
        if let kept { kept.end(hasTrailers ? responseTrailers : nil) }
        detachUpstream(outcomeOfResponse, reusable: state.requestSent)
    }

    /// All attempts failed: true if the client gets a response that was put aside, and no answer of the proxy's.
    func answersWithKept(_ reason: Reason) -> Bool {
        guard let kept, kept.isComplete, state.mayAnswer, case .answer = state.answer(reason) else { return false }
        response.copy(from: kept.head)
        responseTrailers.copy(from: kept.trailers)
        responseBody.reset()
        _ = kept.body.byteCount > 0 ? kept.body.shareLast(kept.body.byteCount, with: responseBody) : ()
        account.responded(response, at: worker.loop.now)
        account.trailers(responseTrailers, hasTrailers: responseTrailers.fieldCount > 0)
        account.responseBytes = responseBody.byteCount
        responseBody.end()
        forwardHead()
        downstream.sendBody()
        return true
    }

    /// Commits, if there is anything to let go of.
    func commitIfNeeded() { if plan != nil || retrying.hasPermit { commit() } }

    /// The response goes to the client: nothing can be tried again from here on.
    func commit() {
        if hedge != nil { endHedge() }
        endRetry()
        stopKeeping()
        kept = nil
    }
}
