import MeshCore

extension RequestPolicy {
    init(protobuf: ProtoRequestPolicy) throws(ProxyError) {
        self.init(
            retry: protobuf.hasRetry ? try Retry(protobuf: protobuf.retry) : nil,
            timeouts: Timeouts(
                request: protobuf.hasRequestTimeout ? Duration(protobuf: protobuf.requestTimeout) : nil,
                backendRequest: protobuf.hasBackendRequestTimeout
                    ? Duration(protobuf: protobuf.backendRequestTimeout) : nil,
                idle: protobuf.hasIdleTimeout ? Duration(protobuf: protobuf.idleTimeout) : nil),
            priority: protobuf.hasPriority ? try RequestPriority(protobuf: protobuf.priority) : nil)
        for limit in protobuf.rateLimits { rateLimits.append(try RequestRateLimit(protobuf: limit)) }
        for fault in protobuf.faults { faults.append(try Fault(protobuf: fault)) }
    }

    func protobuf() -> ProtoRequestPolicy {
        var message = ProtoRequestPolicy()
        if let retry { message.retry = retry.protobuf() }
        if let timeout = timeouts.request { message.requestTimeout = timeout.protobuf() }
        if let timeout = timeouts.backendRequest { message.backendRequestTimeout = timeout.protobuf() }
        if let timeout = timeouts.idle { message.idleTimeout = timeout.protobuf() }
        message.rateLimits = rateLimits.map { $0.protobuf() }
        message.faults = faults.map { $0.protobuf() }
        switch priority {
        case .low: message.priority = .low
        case .normal: message.priority = .normal
        case .high: message.priority = .high
        case nil: break
        }
        return message
    }
}

extension RequestPriority {
    init(protobuf: ProtoRequestPriority) throws(ProxyError) {
        switch protobuf {
        case .low: self = .low
        case .normal: self = .normal
        case .high: self = .high
        case .unspecified, .UNRECOGNIZED: throw Protobuf.unknown("priority")
        }
    }
}

extension Retry {
    init(protobuf: ProtoRetry) throws(ProxyError) {
        self.init(
            attempts: Int(protobuf.attempts), codes: protobuf.codes.map { Int($0) },
            grpcStatuses: protobuf.grpcStatuses.map { Int($0) }, triggers: [],
            perTryTimeout: protobuf.hasPerTryTimeout ? Duration(protobuf: protobuf.perTryTimeout) : nil,
            backoff: Backoff(
                base: Duration(protobuf: protobuf.backoffBase), max: Duration(protobuf: protobuf.backoffMax)),
            nonIdempotent: protobuf.nonIdempotent, bufferBytes: Int(protobuf.bufferBytes),
            maxRetryAfter: Duration(protobuf: protobuf.maxRetryAfter),
            hedgeDelay: protobuf.hasHedgeDelay ? Duration(protobuf: protobuf.hedgeDelay) : nil)
        for trigger in protobuf.triggers {
            switch trigger {
            case .connectFailure: triggers.insert(.connectFailure)
            case .refusedStream: triggers.insert(.refusedStream)
            case .reset: triggers.insert(.reset)
            case .timeout: triggers.insert(.timeout)
            case .unspecified, .UNRECOGNIZED: throw Protobuf.unknown("trigger of retries")
            }
        }
    }

    func protobuf() -> ProtoRetry {
        var message = ProtoRetry()
        message.attempts = Int64(attempts)
        message.codes = codes.map { Int32(clamping: $0) }
        message.grpcStatuses = grpcStatuses.map { Int32(clamping: $0) }
        let all: [(RetryTriggers, ProtoRetryTrigger)] = [
            (.connectFailure, .connectFailure), (.refusedStream, .refusedStream), (.reset, .reset),
            (.timeout, .timeout),
        ]
        message.triggers = all.filter { triggers.contains($0.0) }.map(\.1)
        if let perTryTimeout { message.perTryTimeout = perTryTimeout.protobuf() }
        message.backoffBase = backoff.base.protobuf()
        message.backoffMax = backoff.max.protobuf()
        message.nonIdempotent = nonIdempotent
        message.bufferBytes = Int64(bufferBytes)
        message.maxRetryAfter = maxRetryAfter.protobuf()
        if let hedgeDelay { message.hedgeDelay = hedgeDelay.protobuf() }
        return message
    }
}

extension RequestRateLimit {
    init(protobuf: ProtoRequestRateLimit) throws(ProxyError) {
        let key: Key =
            switch protobuf.key {
            case .rule: .rule
            case .identity: .identity
            case .header(let name): .header(name: name)
            case .address: .address
            case nil: throw Protobuf.unknown("kind of rate limit")
            }
        self.init(
            key: key, requests: Int(protobuf.requests), unit: Duration(protobuf: protobuf.unit),
            burst: Int(protobuf.burst))
    }

    func protobuf() -> ProtoRequestRateLimit {
        var message = ProtoRequestRateLimit()
        switch key {
        case .rule: message.rule = ProtoEmpty()
        case .identity: message.identity = ProtoEmpty()
        case .header(let name): message.header = name
        case .address: message.address = ProtoEmpty()
        }
        message.requests = Int64(requests)
        message.unit = unit.protobuf()
        message.burst = Int64(burst)
        return message
    }
}

extension Fault {
    init(protobuf: ProtoFault) throws(ProxyError) {
        let abort: Abort? =
            switch protobuf.abort {
            case .status(let status): .status(Int(status))
            case .grpcStatus(let status): .grpcStatus(Int(status))
            case nil: nil
            }
        self.init(
            numerator: Int(protobuf.numerator), denominator: Int(protobuf.denominator),
            headers: try NamedMatch.list(protobuf.headers),
            delay: protobuf.hasDelay ? Duration(protobuf: protobuf.delay) : nil, abort: abort)
    }

    func protobuf() -> ProtoFault {
        var message = ProtoFault()
        message.numerator = Int64(numerator)
        message.denominator = Int64(denominator)
        message.headers = headers.map { $0.protobuf() }
        if let delay { message.delay = delay.protobuf() }
        switch abort {
        case .status(let status): message.status = Int32(clamping: status)
        case .grpcStatus(let status): message.grpcStatus = Int32(clamping: status)
        case nil: break
        }
        return message
    }
}
