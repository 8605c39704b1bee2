/// The rules for what is configured of resilience.
extension ModelCheck {
    // MARK: Backends

    mutating func resilience(_ backend: Backend, _ place: String) {
        limits(backend.limits, place)
        balancer(backend.loadBalancer, place)
        if let check = backend.healthCheck { health(check, place) }
        if let detection = backend.outlierDetection { outlier(detection, place) }
        percent(backend.retryBudget.percent, "\(place): retryBudget.percent")
        count(backend.retryBudget.minConcurrency, "\(place): retryBudget.minConcurrency")
        if let adaptive = backend.adaptiveConcurrency {
            let place = "\(place): adaptiveConcurrency"
            let (low, first, high) = (adaptive.minLimit, adaptive.initialLimit, adaptive.maxLimit)
            expect(low > 0 && low <= first && first <= high, "\(place): not 0 < minLimit ≤ initialLimit ≤ maxLimit")
            expect(high <= Self.most, "\(place): maxLimit is more than \(Self.most)")
            duration(adaptive.interval, "\(place).interval")
            expect((100...10_000).contains(adaptive.tolerance), "\(place): tolerance is not 100 to 10000")
        }
        policy(backend.policy, place)
    }

    /// What no count may exceed: they are kept in 32 bits.
    private static var most: Int { 1 << 30 }

    private mutating func percent(_ value: Int, _ what: String) {
        expect((0...100).contains(value), "\(what) is not 0 to 100")
    }

    private mutating func count(_ value: Int?, _ what: String) {
        if let value { expect((0...Self.most).contains(value), "\(what) is not 0 to \(Self.most)") }
    }

    private mutating func limits(_ limits: ConnectionLimits, _ place: String) {
        let place = "\(place): connectionLimits"
        for (value, name) in [
            (limits.maxConnections, "maxConnections"), (limits.maxRequestsPerConnection, "maxRequestsPerConnection"),
            (limits.maxConcurrentStreams, "maxConcurrentStreams"), (limits.maxRequests, "maxRequests"),
            (limits.endpoint.maxConnections, "endpoint.maxConnections"),
            (limits.endpoint.maxRequests, "endpoint.maxRequests"),
        ] {
            positive(value, "\(place).\(name)")
            count(value, "\(place).\(name)")
        }
        count(limits.maxIdleConnections, "\(place).maxIdleConnections")
        count(limits.maxPendingRequests, "\(place).maxPendingRequests")
        count(limits.maxRetries, "\(place).maxRetries")
        duration(limits.pendingTimeout, "\(place).pendingTimeout")
    }

    private mutating func balancer(_ balancer: LoadBalancer, _ place: String) {
        let place = "\(place): loadBalancer"
        switch balancer.algorithm {
        case .roundRobin, .leastRequest, .random: break
        case .peakEWMA(let settings):
            duration(settings.decay, "\(place).peakEWMA.decay")
            duration(settings.initial, "\(place).peakEWMA.initial")
            duration(settings.penalty, "\(place).peakEWMA.penalty")
        case .ringHash(let size):
            let range = LoadBalancer.ringSizes
            expect(range.contains(size), "\(place).ringSize is not \(range.lowerBound) to \(range.upperBound)")
        case .maglev(let size):
            let range = LoadBalancer.tableSizes
            expect(
                range.contains(size) && LoadBalancer.isPrime(size),
                "\(place).tableSize is no prime from \(range.lowerBound) to \(range.upperBound)")
        }
        for source in balancer.hash {
            switch source {
            case .header(let name): expect(isToken(name), "\(place): '\(name)' is no header name")
            case .cookie(let name, let path, let timeToLive):
                expect(isToken(name), "\(place): '\(name)' is no cookie name")
                expect(isCookiePath(path), "\(place): '\(path)' is no path of a cookie")
                expect(timeToLive ?? .zero >= .zero, "\(place): a cookie lives for less than no time")
            case .queryParam(let name): expect(!name.isEmpty, "\(place): a query parameter has no name")
            case .sourceIP: break
            }
        }
        if let bound = balancer.boundedLoad {
            expect((100...100_000).contains(bound), "\(place).boundedLoad is not 100 to 100000")
        }
        percent(balancer.zonePreference?.minimumAvailable ?? 0, "\(place).zonePreference.minimumAvailable")
        if let start = balancer.slowStart {
            duration(start.window, "\(place).slowStart.window")
            expect((1...100).contains(start.minimumPercent), "\(place).slowStart.minimumPercent is not 1 to 100")
        }
        percent(balancer.panicThreshold, "\(place).panicThreshold")
    }

    private mutating func health(_ check: HealthCheck, _ place: String) {
        let place = "\(place): healthCheck"
        switch check.probe {
        case .http(let path, let host, let statuses):
            expect(isProbeTarget(path), "\(place): '\(path)' is no path")
            expect(host.map(isProbeHost) ?? true, "\(place): '\(host ?? "")' is no host")
            expect(!statuses.isEmpty, "\(place): no status counts as well")
            expect(
                statuses.allSatisfy { $0.lowerBound >= 100 && $0.upperBound <= 599 },
                "\(place): a status is not 100 to 599")
        case .grpc(let service):
            expect(
                service.utf8.count <= 1024 && service.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F },
                "\(place): '\(service)' is no gRPC service")
        case .tcp: break
        }
        duration(check.interval, "\(place).interval")
        duration(check.timeout, "\(place).timeout")
        for value in [check.healthyThreshold, check.unhealthyThreshold] {
            expect((1...1000).contains(value), "\(place): a threshold is not 1 to 1000")
        }
        expect(check.port != 0, "\(place).port is 0")
    }

    private mutating func outlier(_ detection: OutlierDetection, _ place: String) {
        let place = "\(place): outlierDetection"
        for (value, name) in [
            (detection.consecutive5xx, "consecutive5xx"),
            (detection.consecutiveGatewayErrors, "consecutiveGatewayErrors"),
            (detection.consecutiveConnectFailures, "consecutiveConnectFailures"),
            (detection.successRate?.minimumEndpoints, "successRate.minimumEndpoints"),
            (detection.successRate?.requestVolume, "successRate.requestVolume"),
            (detection.failurePercentage?.minimumEndpoints, "failurePercentage.minimumEndpoints"),
            (detection.failurePercentage?.requestVolume, "failurePercentage.requestVolume"),
        ] {
            positive(value, "\(place).\(name)")
            count(value, "\(place).\(name)")
        }
        if let rate = detection.successRate {
            expect((1...100_000).contains(rate.deviationThousandths), "\(place): deviation is not 0.001 to 100")
        }
        if let failures = detection.failurePercentage {
            expect((1...100).contains(failures.threshold), "\(place).failurePercentage.threshold is not 1 to 100")
        }
        duration(detection.interval, "\(place).interval")
        duration(detection.baseEjectionTime, "\(place).baseEjectionTime")
        duration(detection.maxEjectionTime, "\(place).maxEjectionTime")
        expect(
            detection.maxEjectionTime >= detection.baseEjectionTime,
            "\(place): maxEjectionTime is shorter than baseEjectionTime")
        percent(detection.maxEjectionPercent, "\(place).maxEjectionPercent")
    }

    // MARK: Requests

    mutating func policy(_ policy: RequestPolicy, _ place: String) {
        for (value, name) in [
            (policy.timeouts.request, "request timeout"), (policy.timeouts.backendRequest, "backendRequest timeout"),
            (policy.timeouts.idle, "idle timeout"),
        ] {
            if let value { duration(value, "\(place): \(name)") }
        }
        if let retry = policy.retry { self.retry(retry, place) }
        for limit in policy.rateLimits {
            expect((1...Self.most).contains(limit.requests), "\(place): a rate limit allows no request")
            expect((1...Self.most).contains(limit.burst), "\(place): a rate limit allows no burst")
            duration(limit.unit, "\(place): unit of a rate limit")
            if case .header(let name) = limit.key { expect(isToken(name), "\(place): '\(name)' is no header name") }
        }
        for fault in policy.faults { self.fault(fault, place) }
    }

    private mutating func retry(_ retry: Retry, _ place: String) {
        let place = "\(place): retry"
        expect((0...100).contains(retry.attempts), "\(place).attempts is not 0 to 100")
        expect(retry.codes.allSatisfy { (400...599).contains($0) }, "\(place): a code is not 400 to 599")
        expect(retry.grpcStatuses.allSatisfy { (1...16).contains($0) }, "\(place): a gRPC status is not 1 to 16")
        if let timeout = retry.perTryTimeout { duration(timeout, "\(place).perTryTimeout") }
        if let delay = retry.hedgeDelay { duration(delay, "\(place).hedgeDelay") }
        expect(retry.backoff.base >= .zero, "\(place).backoff.base is negative")
        expect(retry.backoff.max >= retry.backoff.base, "\(place): backoff.max is less than backoff.base")
        expect(retry.backoff.max <= .seconds(86_400), "\(place): backoff.max is more than a day")
        expect((0...1 << 30).contains(retry.bufferBytes), "\(place).bufferBytes is not 0 to 1 GiB")
        expect(
            retry.maxRetryAfter >= .zero && retry.maxRetryAfter <= .seconds(86_400),
            "\(place).maxRetryAfter is not 0 to a day")
    }

    private mutating func fault(_ fault: Fault, _ place: String) {
        expect(
            fault.denominator > 0 && fault.numerator >= 0 && fault.numerator <= fault.denominator,
            "\(place): the share of a fault is not 0 to 1")
        named(fault.headers, place)
        if let delay = fault.delay { duration(delay, "\(place): delay of a fault") }
        switch fault.abort {
        case .status(let status): expect((200...599).contains(status), "\(place): abort status is not 200 to 599")
        case .grpcStatus(let status): expect((1...16).contains(status), "\(place): abort grpcStatus is not 1 to 16")
        case nil: break
        }
    }

    mutating func session(_ session: SessionPersistence, _ place: String) {
        switch session.kind {
        case .cookie(let name, let path, _):
            expect(isToken(name), "\(place): '\(name)' is no cookie name")
            expect(isCookiePath(path), "\(place): '\(path)' is no path of a cookie")
        case .header(let name): expect(isToken(name), "\(place): '\(name)' is no header name")
        }
        if let timeout = session.absoluteTimeout { duration(timeout, "\(place): absoluteTimeout of the session") }
    }

    // MARK: Process

    mutating func overload(_ overload: OverloadProtection) {
        positive(overload.maxMemoryBytes, "overload.maxMemory")
        if let percent = overload.maxDescriptorPercent {
            expect((1...100).contains(percent), "overload.maxDescriptorPercent is not 1 to 100")
        }
        if let lag = overload.maxLoopLag { duration(lag, "overload.maxLoopLag") }
    }

    // MARK: Grammar

    /// What the proxy may write into `Set-Cookie` (RFC 6265 §4.1.1).
    private func isCookiePath(_ text: String) -> Bool {
        text.utf8.first == UInt8(ascii: "/")
            && text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ";") }
    }

    /// Path and query as they stand in a request line.
    private func isProbeTarget(_ text: String) -> Bool {
        text.utf8.first == UInt8(ascii: "/") && text.utf8.count <= 4096
            && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") }
    }

    private func isProbeHost(_ text: String) -> Bool {
        (1...255).contains(text.utf8.count) && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
    }
}

extension LoadBalancer {
    /// What a ring may have of points.
    public static let ringSizes = 1...8_388_608
    /// What a table may have of slots; only primes.
    public static let tableSizes = 2...5_000_011

    /// True for a prime number.
    public static func isPrime(_ number: Int) -> Bool {
        guard number >= 2 else { return false }
        var divisor = 2
        while divisor * divisor <= number {
            if number % divisor == 0 { return false }
            divisor += 1
        }
        return true
    }
}
