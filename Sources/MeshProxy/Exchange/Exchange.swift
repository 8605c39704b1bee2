import MeshCore
import MeshHTTP
import MeshModel
import MeshNet
import MeshTelemetry
import MeshTraffic

/// One request with all its attempts, from head to last byte. Reads top to bottom in the order in which things happen;
/// the only place that knows that order. What is legal when is ``ExchangeState``'s to say.
///
/// Reused by its loop for exchange after exchange. Both sides are links: they outlive their part in the exchange, and
/// each tells the exchange before it goes.
final class Exchange: TimerNode {
    let worker: Worker
    let request = MessageHead()
    let requestTrailers = MessageHead()
    let requestBody: BodyPipe
    let response = MessageHead()
    let responseTrailers = MessageHead()
    let responseBody: BodyPipe

    /// Counts the uses of this object, so that who waits for one can tell.
    var serial = 0
    var state = ExchangeState()
    private(set) var downstream = DownstreamSide.none
    private(set) var upstream = UpstreamSide.none
    private(set) var endpoint: EndpointPool?
    /// Endpoints that failed this request: others are asked before them.
    var tried = TriedEndpoints()
    /// What the attempt has taken of its backend's limits.
    var admission: Admission = []
    /// The attempt waits for one of them.
    var isWaiting = false
    var ticket: PendingTicket?
    /// A mirrored copy belongs to nobody: it keeps itself until it is over.
    var keepsItself: Exchange?
    /// It is a copy for a mirror, and not one beside a slow attempt.
    var isMirror = false
    /// The configuration that this exchange began with, to its end; another one if it waited for a service.
    var configuration: LoopConfiguration?
    var served: ServedListener?
    private(set) var compiledRule: CompiledRule?
    var listener = 0
    private(set) var rule = -1
    private(set) var share = 0
    var backend = -1
    /// The way to where the client's connection was going, if no backend is known for the request.
    var passthrough: BackendPool?
    /// Whether the control plane was asked for the service that is meant.
    var demand = DemandStage.none
    var placement = ExchangePlacement()
    var upgrade = Upgrade.none
    var mirrors: [MirroredCopy] = []
    var deadlines = Deadlines()
    var account = ExchangeAccount()
    /// What policies say of this request; nil: nothing.
    private(set) var plan: RequestPlan?
    var retrying = RetryProgress()
    /// The request's body from its first byte, while it may be needed again; made when a policy first wants it.
    var replay: BodyPipe?
    var kept: KeptResponse?
    /// The exchange of a second attempt beside this one's, and in that exchange the first one.
    var hedge: Exchange?
    var hedged: Link<Exchange>?
    /// Why this exchange's own attempt failed, while it waits for the other.
    var heldCause: RetryCause?
    /// The answer that the request gets on purpose, once it has waited.
    var fault: Fault.Abort?

    /// Where the request goes, once that is known.
    var pool: BackendPool? { backend >= 0 ? configuration?.backends[backend] : passthrough }

    init(worker: Worker) {
        self.worker = worker
        requestBody = BodyPipe(pools: worker.pools)
        responseBody = BodyPipe(pools: worker.pools)
        super.init()
    }

    // MARK: 1. The request's head

    /// The head is in ``request``: finds out what is to happen with it.
    func begin(on side: DownstreamSide, bodyFollows: Bool) {
        start(side)
        upgrade = Upgrade(request)
        if !bodyFollows && !upgrade.isWanted { requestEnded(hasTrailers: false) }
        if request.method == .connect && !request.flags.contains(.extendedConnect) { return answer(.connectRefused) }
        if let reason = side.withOrigin({ origin, _ in RequestRules.apply(to: request, origin) }) ?? nil {
            side.endAfterExchange()
            return answer(reason)
        }
        if let limit = served?.limits.maxBodyBytes, case .known(let count) = request.bodyLength, count > limit {
            return answer(.bodyTooLarge)
        }
        route()
    }

    /// A head that is not valid: only an answer is to be made of it.
    func reject(on side: DownstreamSide, _ reason: Reason) {
        start(side)
        answer(reason)
    }

    private func start(_ side: DownstreamSide) {
        state.begin(isGRPC: request.flags.contains(.grpc) && request.version == .http2)
        serial &+= 1
        downstream = side
        account.begin(at: worker.loop.now)
        readConfiguration()
        if let served { deadlines.begin(served.limits, isPaced: isUpload, now: worker.loop.now) }
        worker.loop.schedule(self, at: deadlines.next(now: worker.loop.now))
        account.slot = configuration?.unroutedSlot(listener) ?? -1
        if metricsListener >= 0 { worker.metrics.exchangeStarted(listener: metricsListener) }
    }

    /// A body that is sent as fast as it can be, unlike the messages of a stream.
    private var isUpload: Bool { request.bodyLength != .none && !request.flags.contains(.grpc) }

    // MARK: 2. Route

    func route() {
        guard let configuration, let served else { return answer(.notConfigured) }
        if let admin = served.admin { return admin.answer(self) }
        let section = downstream.withOrigin { origin, _ in origin.section(in: configuration.snapshot) } ?? nil
        let prefixLength: Int
        switch served.table.match(request, section: section) {
        case .notFound:
            return missed()
        case .misdirected: return answer(.misdirectedRequest)
        case .rule(let index, let length):
            if demand != .none { worker.process.demand.add(.found) }
            rule = index
            prefixLength = length
            account.routedPath = request.pathRange
            account.routedAuthority = request.authorityRange
        }
        let compiled = served.table.rules[rule]
        compiledRule = compiled
        downstream.withOrigin { origin, connection in ForwardedFields.write(to: request, origin, connection, worker) }
        if let access = served.access[compiled.section], isDenied(access, section: compiled.section) { return }
        let facts = RequestFacts(isTLS: served.isTLS, port: served.port, prefixLength: prefixLength)
        filter(compiled, facts)
    }

    // MARK: 3. Filters, backend

    private func filter(_ compiled: CompiledRule, _ facts: RequestFacts) {
        if case .respond(let reason) = compiled.filters.applyRequest(request, answer: response, facts: facts) {
            return answerFromFilter(reason)
        }
        switch choose(compiled) {
        case .none: return answer(.backendNotConfigured)
        case .notValid: return answer(.backendNotValid)
        case .backend(let index, let share):
            backend = index
            self.share = share
        }
        let own = compiled.split.shares[share].filters
        if !own.isEmpty, case .respond(let reason) = own.applyRequest(request, answer: response, facts: facts) {
            return answerFromFilter(reason)
        }
        account.slot = configuration?.slot(listener: listener, rule: rule, share: share) ?? account.slot
        plan = configuration?.snapshot.plans.plan(listener: listener, rule: rule, share: share)
        if worker.overload.level > 0 && isShed { return answer(.overloaded) }
        admit(compiled.filters.mirrors, own.mirrors)
    }

    /// What policies say before anything is asked of an endpoint.
    func admit(_ mirrors: [Mirror], _ own: [Mirror]) {
        readDeadlines()
        if let limiter = plan?.limiter, isRefusedByRate(limiter) { return }
        if let retry = plan?.retry { beginKeeping(retry) }
        if !mirrors.isEmpty || !own.isEmpty { mirror(mirrors + own) }
        if let faults = plan?.faults, isFaulty(faults) { return }
        startAttempt(fresh: false)
    }

    // MARK: 4. Attempt

    func startAttempt(fresh: Bool) {
        guard let pool else { return answer(.internalError) }
        if let reason = deadlines.overdue(now: worker.loop.now) { return answer(reason) }
        state.attempt()
        if state.attempts > 1 { rewind() }
        deadlines.attempt(now: worker.loop.now)
        setHedgeAlarm()
        rearm()
        account.attempt(at: worker.loop.now)
        attach(pool, fresh: fresh, avoiding: tried)
    }

    /// False if the attempt has to wait.
    @discardableResult
    func attach(_ pool: BackendPool, fresh: Bool, avoiding tried: TriedEndpoints) -> Bool {
        switch pool.attach(self, fresh: fresh, avoiding: tried) {
        case .waiting:
            isWaiting = true
            // The attempt's own clock starts with the attempt.
            deadlines.responseEnded()
            return false
        case .failed(let reason, let endpoint):
            leaveQueue()
            self.tried.insert(endpoint)
            upstreamFailed(endpoint >= 0 && pool.endpoints.count > 1 ? .unprocessed(reason) : .failed(reason))
        case .http1(let connection):
            leaveQueue()
            announceAttempt()
            upstream = .http1(Link(connection))
            connection.begin(self)
        case .http2(let stream):
            leaveQueue()
            announceAttempt()
            upstream = .http2(Link(stream))
            stream.begin(self)
        }
        return true
    }

    /// The endpoint of the attempt is `endpoint`.
    func attached(to endpoint: EndpointPool) { self.endpoint = endpoint }

    /// Lets go of the attempt, which came to `outcome`.
    func detachUpstream(_ outcome: AttemptOutcome = .none, reusable: Bool = false) {
        let side = upstream
        upstream = .none
        leaveEndpoint(outcome)
        side.release(reusable: reusable)
    }

    /// Gives the attempt to another exchange for the same request.
    func handAttempt(to other: Exchange) {
        other.upstream = upstream
        other.endpoint = endpoint
        other.admission = admission
        upstream = .none
        endpoint = nil
        admission = []
        other.upstream.move(to: other)
    }

    private func leaveEndpoint(_ outcome: AttemptOutcome) {
        leaveQueue()
        guard let endpoint else { return }
        endpoint.detach()
        account.endpoint = endpoint.text
        account.hopSide = endpoint.hopSide
        self.endpoint = nil
        if admission.isEmpty { return }
        let taken = admission
        admission = []
        let now = worker.loop.now.nanoseconds(since: account.attemptStarted)
        endpoint.giveBack(
            taken,
            AttemptResult(
                outcome: outcome, started: account.attemptStarted,
                nanoseconds: account.firstByte > 0 ? account.firstByte : now))
    }

    /// True while the client may be read on: what it sent and the endpoint has not taken is bounded.
    var requestHasRoom: Bool {
        requestBody.byteCount &+ upstream.queuedBytes < Connection.highWatermark
    }

    /// `count` bytes were added to ``requestBody``.
    func requestArrived(_ count: Int) {
        if count == 0 { return }
        account.requestBytes &+= count
        deadlines.requestMoved(count, now: worker.loop.now)
        if let limit = served?.limits.maxBodyBytes, account.requestBytes > limit, state.phase != .tunnel {
            return requestFailed(.bodyTooLarge)
        }
        if retrying.isKeeping { keep(count) }
        for mirror in mirrors { mirror.current?.mirrorBody(of: self, count) }
        upstream.sendBody()
    }

    /// The last byte of the request is in ``requestBody``.
    func requestEnded(hasTrailers: Bool) {
        guard !state.requestEnded else { return }
        state.endRequest()
        deadlines.requestEnded()
        requestBody.end()
        if state.phase == .tunnel { linger() }
        if !hasTrailers { requestTrailers.reset() }
        for mirror in mirrors { mirror.current?.requestEnded(hasTrailers: false) }
        upstream.sendBody()
    }

    /// `count` bytes of the request went to the endpoint.
    func requestTaken(_ count: Int) {
        if plan == nil {
            state.bodyTaken()
            return downstream.requestTaken(count)
        }
        if !retrying.isKeeping { state.bodyTaken() }
        downstream.requestTaken(retrying.take(count))
    }

    /// The endpoint has been sent the last byte of the request.
    func requestSent() {
        state.sendRequest()
        perform(state.endTunnel())
    }

    /// The endpoint took what was queued for it.
    func requestDrained() {
        upstream.sendBody()
        downstream.requestTaken(0)
    }

    /// The request's body is not valid, too large or too slow.
    func requestFailed(_ reason: Reason) { perform(state.answer(reason)) }

    // MARK: 5. Response

    /// True while the endpoint may be read on.
    var responseHasRoom: Bool {
        responseBody.byteCount &+ downstream.queuedBytes < Connection.highWatermark
    }

    /// A head is in ``response``; `isUpgrade` if the endpoint agreed to what was asked for.
    func responseReceived(isUpgrade: Bool) {
        if hedged != nil && winsHedge() { return }
        if response.status >= 200 || isUpgrade { account.responded(response, at: worker.loop.now) }
        deadlines.moved(now: worker.loop.now)
        // An endpoint that answers a WebSocket request like any other must not look like one that agreed.
        if !isUpgrade && upgrade.isConnect && response.status / 100 == 2 {
            return upstreamFailed(.failed(.upgradeRefused))
        }
        var holds = false
        if plan?.retry != nil && !isUpgrade {
            if retriesInsteadOfHead() { return }
            holds = holdsHead
        }
        perform(state.receiveHead(status: response.status, isUpgrade: isUpgrade, holds: holds))
    }

    func forwardHead() {
        if deadlines.hasEnd { deadlines.responseBegan(isStream: isEventStream) }
        if admission.contains(.probe) && isEventStream { settleProbe() }
        commitIfNeeded()
        response.removeHopByHop()
        if upgrade.isWanted { declineUpgrade() }
        if let compiled = compiledRule {
            compiled.filters.applyResponse(response, request: request)
            let own = compiled.split.shares[share].filters
            if own.changesResponse { own.applyResponse(response, request: request) }
        }
        tellPlacement()
        downstream.respond(response, to: request, hasBody: response.bodyLength != .none)
    }

    /// The endpoint answered in the ordinary way: an HTTP/1.1 request that asked for more has ended after all.
    private func declineUpgrade() {
        let endsNow = upgrade.isField
        upgrade = .none
        if endsNow { requestEnded(hasTrailers: false) }
    }

    /// `count` bytes were added to ``responseBody``.
    func responseArrived(_ count: Int) {
        if count == 0 { return }
        if state.phase == .pausing { return putAside(count) }
        if keepsItself != nil { return dropResponse(count) }
        perform(state.release())
        account.responseBytes &+= count
        messageArrived()
        deadlines.moved(now: worker.loop.now)
        downstream.sendBody()
    }

    /// A gRPC stream begins with its first message: a head alone is no answer yet.
    private func messageArrived() {
        if deadlines.hasEnd && request.flags.contains(.grpc) { deadlines.responseBegan(isStream: true) }
        if admission.contains(.probe) && request.flags.contains(.grpc) { settleProbe() }
        state.receiveBody()
    }

    /// The last `count` bytes of the response were added to ``responseBody``.
    func lastResponseBytes(_ count: Int, hasTrailers: Bool) {
        if count > 0 {
            if state.phase == .pausing {
                putAside(count)
            } else {
                perform(state.release())
                account.responseBytes &+= count
                messageArrived()
            }
        }
        responseEnded(hasTrailers: hasTrailers)
    }

    /// The last byte of the response is in ``responseBody``.
    func responseEnded(hasTrailers: Bool) {
        if state.phase == .pausing { return putAsideEnded(hasTrailers: hasTrailers) }
        account.trailers(responseTrailers, hasTrailers: hasTrailers)
        if state.phase == .holding {
            if retriesInsteadOfTrailers(hasTrailers: hasTrailers) {
                return putAsideEnded(hasTrailers: hasTrailers)
            }
            perform(state.release())
        }
        state.endResponse()
        deadlines.responseEnded()
        if !hasTrailers { responseTrailers.reset() }
        responseBody.end()
        if state.phase == .tunnel { linger() }
        if keepsItself != nil { return perform(state.sendResponse()) }
        downstream.sendBody()
    }

    /// `count` bytes of the response went to the client.
    func responseTaken(_ count: Int) {
        deadlines.moved(now: worker.loop.now)
        upstream.responseTaken(count)
    }

    /// The client took what was queued for it.
    func responseDrained() {
        deadlines.moved(now: worker.loop.now)
        downstream.sendBody()
        upstream.responseTaken(0)
    }

    /// The client has been sent the last byte of the response.
    func responseSent() { perform(state.sendResponse()) }

    // MARK: 6. Failure: the one decision

    /// The attempt's stream came to its end, response and all: it is gone, while the response is on its way.
    func upstreamCompleted() { upstream = .none }

    /// The connection to the endpoint could not be made: no byte of the request has left.
    func connectFailed(_ reason: Reason) {
        let others = (pool?.endpoints.count ?? 0) > 1
        if let endpoint { tried.insert(endpoint.index) }
        upstreamFailed(others ? .unprocessed(reason) : .failed(reason))
    }

    /// The attempt failed.
    func upstreamFailed(_ failure: ExchangeState.Failure) {
        // What is left of a response that was put aside.
        if state.phase == .pausing { return detachUpstream(outcomeOfResponse) }
        finishAttempt(status: 0)
        let isIdempotent = request.method.isIdempotent
        let replays = state.mayReplay(failure, isIdempotent: isIdempotent)
        if replays && isReplayRefused(failure) {
            detachUpstream(AttemptOutcome(failure))
            if !answersWithKept(failure.reason) { perform(state.answer(failure.reason)) }
            return
        }
        let mayRetry = !replays && plan?.retry != nil
        // Asked while the endpoint is still known, which the next attempt avoids.
        let isRetried = mayRetry && (RetryCause(failure).map { tryAgain($0) } ?? false)
        detachUpstream(AttemptOutcome(failure))
        if isRetried || (mayRetry && answersWithKept(failure.reason)) { return }
        perform(state.fail(failure, isIdempotent: isIdempotent))
    }

    /// The client went away.
    func downstreamLost(_ reason: Reason) {
        account.reason = account.reason ?? reason
        account.wasCutOff = true
        perform(state.lose())
    }

    /// Answers the client itself, and says why.
    func answer(_ reason: Reason) { perform(state.answer(reason)) }

    func perform(_ action: ExchangeState.Action) {
        switch action {
        case .none: break
        case .replay:
            account.replays &+= 1
            if let pool {
                worker.metrics.upstreamReplayed(backend: pool.metricsSlot)
            }
            startAttempt(fresh: true)
        case .answer(let reason): write(reason)
        case .abort(let reason):
            account.reason = reason
            account.wasCutOff = true
            let side = downstream
            detachUpstream()
            downstream = .none
            finish(side)
            side.abort()
        case .endWithTrailers(let reason): endWithTrailers(reason)
        case .inform: inform()
        case .respond: forwardHead()
        case .openTunnel: openTunnel()
        case .finish: finish(downstream)
        }
    }

    /// HTTP/1.0 clients do not know 1xx.
    private func inform() {
        guard request.version != .http10 else { return }
        response.removeHopByHop()
        downstream.inform(response)
    }

    private func openTunnel() {
        deadlines.tunnelBegan()
        commitIfNeeded()
        settleProbe()
        upgrade.complete(request: request, response: response)
        tellPlacement()
        downstream.openTunnel(response)
        downstream.sendBody()
        upstream.sendBody()
    }

    // MARK: 7. Time

    func rearm() { worker.loop.schedule(self, at: deadlines.next(now: worker.loop.now)) }

    override func timerFired() {
        guard state.phase != .idle, state.phase != .done else { return }
        if let reason = deadlines.passed(now: worker.loop.now, isTunnel: state.phase == .tunnel) {
            return expire(reason)
        }
        if deadlines.isDue(now: worker.loop.now) { return wake() }
        rearm()
    }

    /// What the exchange waited for is due.
    private func wake() {
        switch state.phase {
        case .choosing: if demand == .waiting { serviceIsLate() } else { endFault() }
        case .pausing: attemptAgain()
        case .awaiting: startHedge()
        case .idle, .holding, .responding, .tunnel, .answering, .done: rearm()
        }
    }

    // MARK: 8. End

    /// Lets go of both sides, accounts, and is new.
    func finish(_ side: DownstreamSide) {
        if !retrying.isPutAside { finishAttempt(status: account.status) }
        commitIfNeeded()
        let attempt = upstream
        let reusable = state.leftCleanly
        upstream = .none
        leaveEndpoint(outcomeOfResponse)
        downstream = .none
        // One store: the node stays where it is filed, and is moved by the next exchange.
        worker.loop.schedule(self, at: .never)
        record(side)
        let copies = mirrors
        mirrors = []
        for mirror in copies { mirror.current?.mirroredEnded() }
        requestBody.reset()
        responseBody.reset()
        configuration = nil
        served = nil
        compiledRule = nil
        rule = -1
        share = 0
        backend = -1
        if passthrough != nil { passthrough = nil }
        if demand != .none { leaveDemand() }
        upgrade = .none
        placement = ExchangePlacement()
        account.reset()
        tried = TriedEndpoints()
        if plan != nil {
            retrying = RetryProgress()
            fault = nil
            plan = nil
        }
        attempt.release(reusable: reusable)
        if hedge != nil || hedged != nil { endHedge() }
        side.exchangeEnded()
        if let itself = keepsItself {
            keepsItself = nil
            if isMirror { worker.mirrorsInFlight &-= 1 }
            isMirror = false
            worker.release(itself)
        }
    }

    /// Counts the attempt for its backend; `status` 0 if no final head came. `isGivenUp`: because it was not waited for.
    func finishAttempt(status: Int, isGivenUp: Bool = false) {
        guard let pool = endpoint else { return }
        pool.attemptFinished(status: status, nanoseconds: worker.loop.now.nanoseconds(since: account.attemptStarted))
        observe(pool, status: status, isGivenUp: isGivenUp)
    }

    var metricsListener: Int { configuration?.listenerSlot(listener) ?? -1 }
}
