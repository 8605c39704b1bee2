import MeshCore
import MeshModel
import MeshTraffic

/// What one attempt has taken of its backend's limits, and who wants to know how it ends. Empty for backends without
/// such settings: then its end costs nothing.
struct Admission: OptionSet {
    let rawValue: UInt8

    /// One of `maxRequests`.
    static let request = Admission(rawValue: 1)
    /// One of `endpoint.maxRequests`.
    static let endpointRequest = Admission(rawValue: 2)
    /// One of the adaptive limit.
    static let concurrency = Admission(rawValue: 4)
    /// Connections are limited: its end may free one.
    static let connection = Admission(rawValue: 8)
    /// Outlier detection looks at it.
    static let watched = Admission(rawValue: 16)
    /// It is the one request that a half-open endpoint gets.
    static let probe = Admission(rawValue: 32)
}

/// What came of an attempt, for those who learn from it.
struct AttemptResult {
    var outcome = AttemptOutcome.none
    var started = Instant.never
    /// Until the final head, or until it was given up.
    var nanoseconds: UInt64 = 0
}

extension AttemptOutcome {
    /// What a failed attempt says about its endpoint.
    init(_ reason: Reason) {
        switch reason {
        case .upstreamConnectFailed, .upstreamConnectTimeout, .upstreamTlsFailed, .upstreamIdentityMismatch:
            self = .connectFailure
        case .upstreamClosed, .upstreamReset, .upstreamMalformedResponse, .upstreamHeadersTooLarge: self = .reset
        case .upstreamTimeout: self = .timeout
        // A refused stream is the endpoint's way to say that it is busy; everything else is not of its doing.
        default: self = .none
        }
    }
}

// MARK: - In

extension BackendPool {
    /// The same as ``attach(_:fresh:avoiding:)`` for a backend with limits or detection.
    func attachGuarded(_ exchange: Exchange, fresh: Bool, avoiding tried: TriedEndpoints) -> Attachment {
        if let first = queue.first, !exchange.isWaiting {
            return wait(exchange, first { $0.limit }, fresh: fresh, avoiding: tried)
        }
        var taken: Admission = []
        if let refused = takeSlots(&taken) {
            giveBack(taken)
            if refused == .concurrencyLimit { return refuse(refused) }
            return wait(exchange, refused, fresh: fresh, avoiding: tried)
        }
        let attachment = attachProbe(exchange, &taken) ?? attachAnywhere(exchange, fresh, tried, &taken)
        switch attachment {
        case .http1, .http2:
            exchange.admission = taken
            return attachment
        case .failed(let reason, let endpoint):
            giveBack(taken)
            guard endpoint < 0, reason.isLimit else { return attachment }
            return wait(exchange, reason, fresh: fresh, avoiding: tried)
        case .waiting: return attachment
        }
    }

    /// Takes what is limited per backend; a reason if there is none left.
    private func takeSlots(_ taken: inout Admission) -> Reason? {
        let limits = backend.limits
        if limits.maxConnections != nil || limits.endpoint.maxConnections != nil { taken.insert(.connection) }
        if backend.model.outlierDetection != nil { taken.insert(.watched) }
        if backend.model.adaptiveConcurrency != nil {
            guard share.gate.enter() else { return .concurrencyLimit }
            taken.insert(.concurrency)
        }
        if let limit = limits.maxRequests {
            guard share.requests.open(limit: limit) else { return .upstreamRequestLimit }
            taken.insert(.request)
        }
        return nil
    }

    /// Gives back what an attempt took that did not come about.
    private func giveBack(_ taken: Admission) {
        if taken.contains(.request) { share.requests.close() }
        if taken.contains(.concurrency) { share.gate.leave() }
    }

    /// At a half-open endpoint, if there is one: this request decides whether it comes back. One that belongs to a
    /// session is left where it is.
    private func attachProbe(_ exchange: Exchange, _ taken: inout Admission) -> Attachment? {
        guard taken.contains(.watched), share.wantsProbe, exchange.placement.session == nil,
            let probed = share.claimProbe()
        else { return nil }
        guard let endpoint = endpoints.first(where: { $0.share === probed }) else {
            _ = share.probeEnded(probed, .none, now: worker.loop.now)
            return nil
        }
        var attachment = attach(exchange, to: endpoint, fresh: true, &taken)
        if case .failed(.upstreamConnectionLimit, _) = attachment, giveUpIdleConnection(besides: endpoint) {
            // Else an endpoint would stay out for as long as the others keep all connections that there may be.
            attachment = attach(exchange, to: endpoint, fresh: true, &taken)
        }
        switch attachment {
        case .http1, .http2:
            taken.remove(.watched)
            taken.insert(.probe)
            return attachment
        case .failed(let reason, _):
            if share.probeEnded(probed, AttemptOutcome(reason), now: worker.loop.now) { tellAvailability() }
            // There are others, which are well.
            return nil
        case .waiting: return nil
        }
    }

    /// At the endpoint that is next, or if that has reached a limit of its own, at the one after it.
    private func attachAnywhere(
        _ exchange: Exchange, _ fresh: Bool, _ tried: TriedEndpoints, _ taken: inout Admission
    ) -> Attachment {
        var full: [Int] = []
        var limit: Reason?
        defer {
            for index in full { balancer.setAvailable(true, of: index, .limit, now: worker.loop.now) }
        }
        while full.count < endpoints.count {
            let chosen: EndpointPool
            switch pick(for: exchange, avoiding: tried) {
            case .failure(let failure): return .failed(limit ?? failure.reason, endpoint: -1)
            case .success(let endpoint): chosen = endpoint
            }
            let attachment = attach(exchange, to: chosen, fresh: fresh, &taken)
            guard case .failed(let reason, _) = attachment, reason.isLimit else {
                if case .failed(.upstreamConnectFailed, _) = attachment { noteConnectFailure(at: chosen, taken) }
                return attachment
            }
            limit = limit ?? reason
            full.append(chosen.index)
            balancer.setAvailable(false, of: chosen.index, .limit, now: worker.loop.now)
        }
        return .failed(limit ?? .noEndpoint, endpoint: -1)
    }

    private func attach(
        _ exchange: Exchange, to endpoint: EndpointPool, fresh: Bool, _ taken: inout Admission
    ) -> Attachment {
        let limit = backend.limits.endpoint.maxRequests
        if limit != nil {
            guard endpoint.share.requests.open(limit: limit) else {
                return .failed(.upstreamRequestLimit, endpoint: endpoint.index)
            }
        }
        let attachment = endpoint.attach(exchange, fresh: fresh)
        if limit != nil {
            if case .failed = attachment { endpoint.share.requests.close() } else { taken.insert(.endpointRequest) }
        }
        return attachment
    }

    // MARK: Tunnels

    /// What tunnels of the client behind `connection` are placed by; nil if they may go anywhere.
    func key(of connection: Connection) -> UInt64? { requestHash == nil ? nil : connection.peer.placementKey }

    /// The endpoint for a tunnel, and what outlier detection wants to know of the connect: with ``EndpointPool/giveBack``
    /// it has to be told in any case. A tunnel may be the probe of an endpoint, as a request may.
    func placeTunnel(
        key: UInt64?, avoiding tried: TriedEndpoints, probes: Bool
    ) -> Result<(endpoint: EndpointPool, admission: Admission), ReasonError> {
        let isWatched = isGuarded && backend.model.outlierDetection != nil
        if isWatched, probes, share.wantsProbe, let probed = share.claimProbe() {
            if let endpoint = endpoints.first(where: { $0.share === probed }), !tried.contains(endpoint.index) {
                return .success((endpoint, .probe))
            }
            _ = share.probeEnded(probed, .none, now: worker.loop.now)
        }
        return pick(key: key, avoiding: tried).map { ($0, isWatched ? .watched : []) }
    }

    /// Endpoints have as much as they may have, or not any more.
    func setFull(_ indices: [Int], _ isFull: Bool) {
        for index in indices { balancer.setAvailable(!isFull, of: index, .limit, now: worker.loop.now) }
    }

    /// A connect failed before there was an attempt that could tell.
    private func noteConnectFailure(at endpoint: EndpointPool, _ taken: Admission) {
        guard taken.contains(.watched), let settings = backend.model.outlierDetection else { return }
        if share.note(.connectFailure, endpoint.share, settings, now: worker.loop.now) { tellEjection(endpoint.share) }
    }

    private func refuse(_ reason: Reason) -> Attachment {
        worker.metrics.upstreamRefused(backend: metricsSlot, reason)
        return .failed(reason, endpoint: -1)
    }
}

extension Reason {
    /// True for the limits that a request can wait for.
    var isLimit: Bool { self == .upstreamConnectionLimit || self == .upstreamRequestLimit }
}

// MARK: - Out

extension EndpointPool {
    /// An attempt that was admitted is over: gives back what it took, and lets those learn who want to.
    func giveBack(_ admission: Admission, _ result: AttemptResult) {
        let backend = backend
        let now = worker.loop.now
        if admission.contains(.request) { backend.share.requests.close() }
        if admission.contains(.endpointRequest) { share.requests.close() }
        if admission.contains(.concurrency) { leave(backend.share.gate, result, now) }
        if admission.contains(.probe) {
            if backend.share.probeEnded(share, result.outcome, now: now) {
                worker.tellAvailability(backend.share)
                if result.outcome.isFailure { worker.warnOfEjection(backend.share, share) }
            }
        } else if admission.contains(.watched), let settings = backend.model.outlierDetection {
            if backend.share.note(result.outcome, share, settings, now: now) {
                worker.tellAvailability(backend.share)
                worker.warnOfEjection(backend.share, share)
            }
        }
        slotFreed()
    }

    private func leave(_ gate: AdaptiveGate, _ result: AttemptResult, _ now: Instant) {
        switch result.outcome {
        case .success, .timeout:
            gate.leave(
                started: result.started, nanoseconds: result.nanoseconds, now: now, random: worker.random.next())
        // What fails at once says nothing about how much the backend takes.
        case .serverError, .gatewayError, .connectFailure, .reset, .none: gate.leave()
        }
    }
}

// MARK: - Availability

extension BackendPool {
    func tellAvailability() { worker.tellAvailability(share) }

    func tellEjection(_ endpoint: EndpointShare) {
        worker.tellAvailability(share)
        worker.warnOfEjection(share, endpoint)
    }
}

extension Worker {
    /// An endpoint of `share` has become available or unavailable: this loop follows now, the others by their mailbox.
    func tellAvailability(_ share: BackendShare) {
        availabilityChanged(share)
        process.availabilityChanged(share.name)
        process.tellOthers(than: self) { $0.availabilityChanged(share) }
    }

    private func availabilityChanged(_ share: BackendShare) {
        for pool in pools(of: share) { pool.availabilityChanged() }
    }

    /// This loop's pools of the backend that all loops share `share` of.
    func pools(of share: BackendShare) -> [BackendPool] {
        configuration?.backends.filter { $0.share === share } ?? []
    }

    func warnOfEjection(_ share: BackendShare, _ endpoint: EndpointShare) {
        let cause = share.cause(of: endpoint)?.rawValue ?? ""
        warn("backend \(share.name): endpoint \(endpoint.address) is ejected: \(cause)")
    }
}
