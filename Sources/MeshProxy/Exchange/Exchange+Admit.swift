import MeshCore
import MeshHTTP
import MeshModel
import MeshTraffic

/// What stands between a route and its first attempt, if a policy says so: rate limits, faults, deadlines.
extension Exchange {
    // MARK: Deadlines

    /// Reads how long the caller waits. Between proxies that is `x-martlet-timeout-ms`, which an edge believes nobody;
    /// `grpc-timeout` is believed everybody: it can only shorten what its caller gets.
    func readDeadlines() {
        if let plan {
            deadlines.route(plan.timeouts)
            if let rule = plan.retry { deadlines.limitTries(to: rule.perTryTimeout) }
        }
        if request.flags.contains(.grpc), let limit = CallerTimeout.grpc(of: request) { deadlines.limitCall(to: limit) }
        switch served?.role {
        case .sidecar: if let limit = CallerTimeout.milliseconds(of: request) { deadlines.limitRequest(to: limit) }
        case .edge, nil:
            request.removeAll(.xMartletTimeoutMs)
            request.removeAll(.xMartletAttempt)
        }
    }

    /// Tells the endpoint how much time there is, and which attempt this is.
    func announceAttempt() {
        let now = worker.loop.now
        let left = deadlines.leftForAttempt(now: now)
        if left != .max { CallerTimeout.writeMilliseconds(left, to: request) }
        let ofCall = deadlines.leftOfCall(now: now)
        if ofCall != .max { CallerTimeout.writeGRPC(ofCall, to: request) }
        guard account.attempts > 1 else { return }
        request.removeAll(.xMartletAttempt)
        let start = request.byteCount
        CallerTimeout.write(UInt64(account.attempts), to: request)
        request.append(.xMartletAttempt, value: request.stored(since: start))
    }

    /// True if the response that begins has no end that a timeout could be about.
    var isEventStream: Bool {
        let head = response
        guard let index = head.firstIndex(of: .contentType) else { return false }
        return head.span(head[index].valueRange).startsIgnoringCase(with: "text/event-stream")
    }

    // MARK: Rate limits

    /// True if the request is one too many, and answered.
    func isRefusedByRate(_ limiter: RateLimiter) -> Bool {
        let now = worker.loop.now
        let refusal: RateLimiter.Refusal? =
            downstream.withOrigin { origin, connection in
                let (high, low) = ForwardedFields.client(of: request, origin, connection).ipv6Halves
                let identity = connection.tls?.facts()?.peer ?? []
                return limiter.refusal(
                    request, RateLimiter.Client(identity: identity.span, address: (high, low)), now: now)
            } ?? nil
        guard let refusal else { return false }
        guard case .answer = state.answer(.rateLimited) else { return true }
        account.reason = .rateLimited
        LocalAnswer.write(.rateLimited, for: request, into: response, body: responseBody, pools: worker.pools)
        LocalAnswer.add(refusal, to: response)
        finishAnswer()
        return true
    }

    // MARK: Faults

    /// True if the request fails or waits on purpose: then what follows is done here.
    func isFaulty(_ faults: FaultPlan) -> Bool {
        guard let injection = faults.choose(request, random: &worker.random) else { return false }
        fault = injection.abort
        if injection.delay == 0 {
            guard fault != nil else { return false }
            endFault()
            return true
        }
        deadlines.pause(until: worker.loop.now.advanced(byNanoseconds: injection.delay))
        rearm()
        return true
    }

    /// The request has waited on purpose.
    func endFault() {
        guard let abort = fault else { return startAttempt(fresh: false) }
        fault = nil
        guard case .answer = state.answer(.faultInjected) else { return }
        account.reason = .faultInjected
        LocalAnswer.write(abort, for: request, into: response, body: responseBody, pools: worker.pools)
        finishAnswer()
    }
}
