import MeshCore
import MeshHTTP
import MeshModel
import MeshNet
import MeshTelemetry
import MeshTraffic

/// What an exchange remembers between placing its request and telling the client where it is placed.
struct ExchangePlacement {
    /// The value of the cookie that the client is given, and of which source of the hash.
    var cookie: UInt64 = 0
    var cookieSource = -1
    /// The endpoint that the client's session is with, if it is there and was well.
    var session: UInt64?
}

extension Exchange {
    // MARK: The request

    /// The share that the client's session is with, or any by weight.
    func choose(_ compiled: CompiledRule) -> Split.Choice {
        if let session = compiled.session, let share = resume(session, compiled.split) { return share }
        return compiled.split.choose(worker.random.next())
    }

    /// Finds the share and the endpoint that the client's token names. A share without weight takes no requests, sessions
    /// or not.
    private func resume(_ session: SessionRule, _ split: Split) -> Split.Choice? {
        let head = request
        guard let range = session.token(in: head), let configuration else { return nil }
        let now = Clock.wall() / 1_000_000_000
        var number = 0
        while number < split.shares.count {
            if let index = split.shares[number].backend, split.shares[number].weight > 0 {
                let pool = configuration.backends[index]
                let key = pool.sessionKey
                if let named = session.endpoint(head.span(range), key: key, now: now) {
                    guard let endpoint = pool.balancer.index(of: named), pool.balancer.canPick(endpoint) else {
                        return nil
                    }
                    placement.session = named
                    return .backend(index, share: number)
                }
            }
            number &+= 1
        }
        return nil
    }

    /// The hash that the request is placed by in `pool`; nil if it may go anywhere.
    fileprivate func key(_ hash: RequestHash) -> UInt64? {
        if placement.cookieSource >= 0 { return RequestHash.key(ofCookie: placement.cookie) }
        let client =
            hash.usesClient
            ? downstream.withOrigin { ForwardedFields.client(of: request, $0, $1).placementKey } ?? nil : nil
        switch hash.placement(of: request, client: client) {
        case .anywhere: return nil
        case .key(let key): return key
        case .newCookie(let source):
            placement.cookie = worker.random.next()
            placement.cookieSource = source
            return RequestHash.key(ofCookie: placement.cookie)
        }
    }

    // MARK: The response

    /// Adds to the response what the client needs to come to the same endpoint again.
    func tellPlacement() {
        if placement.cookieSource < 0 && compiledRule?.session == nil { return }
        guard let pool, let endpoint, let served else { return }
        if placement.cookieSource >= 0 {
            pool.requestHash?.setCookie(
                placement.cookieSource, value: placement.cookie, in: response, isSecure: served.isTLS)
        }
        guard let session = compiledRule?.session else { return }
        if endpoint.identity == placement.session { return }
        session.begin(
            endpoint.identity, key: pool.sessionKey, now: Clock.wall() / 1_000_000_000, in: response,
            isSecure: served.isTLS)
    }

    /// Tells the balancer how the attempt went, whose final head had `status`, 0 if none came. What the client broke off
    /// says nothing; an attempt that was given up for a quicker one took so long at least.
    func observe(_ pool: EndpointPool, status: Int, isGivenUp: Bool) {
        if status == 0 && account.wasCutOff { return }
        let latency =
            account.firstByte > 0 ? account.firstByte : worker.loop.now.nanoseconds(since: account.attemptStarted)
        pool.observe(
            latency: latency, failed: status == 0 && !isGivenUp || status == 429 || status >= 500 || isGRPCFailure)
    }

    /// UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
    private var isGRPCFailure: Bool {
        switch account.grpcStatus {
        case 2, 4, 8, 13, 14, 15: true
        default: false
        }
    }
}

extension BackendPool {
    /// The endpoint for the next attempt of `exchange`: its session's, if that can take it, or the balancer's choice.
    func pick(for exchange: Exchange, avoiding tried: TriedEndpoints) -> Result<EndpointPool, ReasonError> {
        if let session = exchange.placement.session, let index = balancer.index(of: session),
            balancer.canPick(index), !tried.contains(index)
        {
            return .success(endpoints[index])
        }
        return pick(key: requestHash.flatMap { exchange.key($0) }, avoiding: tried)
    }
}

extension SocketAddress {
    /// What requests of the client at this address are placed by; nil for an address that does not tell clients apart.
    var placementKey: UInt64? {
        switch self {
        case .ipv4(let address, _): Hashing.mix(UInt64(address))
        case .ipv6(let high, let low, _, _): Hashing.mix(high ^ Hashing.mix(low))
        case .unix: nil
        }
    }
}
