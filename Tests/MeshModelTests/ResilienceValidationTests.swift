import MeshModel
import Testing

/// The last gate: models from elsewhere that break a rule of resilience.
@Suite struct ResilienceValidationTests {
    /// What is broken in a backend, and what the problem names.
    static let backends: [(problem: String, change: @Sendable (inout Backend) -> Void)] = [
        ("ringSize is not", { $0.loadBalancer.algorithm = .ringHash(size: 0) }),
        ("tableSize is no prime", { $0.loadBalancer.algorithm = .maglev(tableSize: 65_536) }),
        ("tableSize is no prime", { $0.loadBalancer.algorithm = .maglev(tableSize: .max) }),
        ("peakEWMA.decay", { $0.loadBalancer.algorithm = .peakEWMA(PeakEWMASettings(decay: .zero)) }),
        ("no header name", { $0.loadBalancer.hash = [.header(name: "a b")] }),
        ("no cookie name", { $0.loadBalancer.hash = [.cookie(name: "a;b", path: "/", timeToLive: nil)] }),
        ("no path of a cookie", { $0.loadBalancer.hash = [.cookie(name: "a", path: "/;b", timeToLive: nil)] }),
        ("boundedLoad", { $0.loadBalancer.boundedLoad = 99 }),
        ("minimumAvailable", { $0.loadBalancer.zonePreference = ZonePreference(minimumAvailable: 101) }),
        ("slowStart.window", { $0.loadBalancer.slowStart = SlowStart(window: .zero) }),
        ("panicThreshold", { $0.loadBalancer.panicThreshold = 101 }),
        ("maxRequests is not positive", { $0.limits.maxRequests = 0 }),
        ("maxPendingRequests", { $0.limits.maxPendingRequests = -1 }),
        ("maxRetries", { $0.limits.maxRetries = .max }),
        ("no path", { $0.healthCheck = HealthCheck(.http(path: "/a b", host: nil, statuses: [200...200])) }),
        ("no host", { $0.healthCheck = HealthCheck(.http(path: "/", host: "a\r\nb", statuses: [200...200])) }),
        ("no status counts", { $0.healthCheck = HealthCheck(.http(path: "/", host: nil, statuses: [])) }),
        ("status is not", { $0.healthCheck = HealthCheck(.http(path: "/", host: nil, statuses: [0...600])) }),
        ("no gRPC service", { $0.healthCheck = HealthCheck(.grpc(service: "a b")) }),
        ("threshold", { $0.healthCheck = HealthCheck(.tcp, healthyThreshold: 0) }),
        ("port is 0", { $0.healthCheck = HealthCheck(.tcp, port: 0) }),
        ("consecutive5xx", { $0.outlierDetection = OutlierDetection(consecutive5xx: 0) }),
        ("shorter than base", { $0.outlierDetection = OutlierDetection(maxEjectionTime: .seconds(1)) }),
        ("maxEjectionPercent", { $0.outlierDetection = OutlierDetection(maxEjectionPercent: 101) }),
        ("retryBudget.percent", { $0.retryBudget.percent = 101 }),
        ("minLimit", { $0.adaptiveConcurrency = AdaptiveConcurrency(minLimit: 30) }),
        ("retry.attempts", { $0.policy.retry = Retry(attempts: 101) }),
        ("code is not", { $0.policy.retry = Retry(codes: [200]) }),
        ("gRPC status", { $0.policy.retry = Retry(grpcStatuses: [0]) }),
        (
            "backoff.max is less",
            { $0.policy.retry = Retry(backoff: Backoff(base: .seconds(2), max: .seconds(1))) }
        ),
        ("bufferBytes", { $0.policy.retry = Retry(bufferBytes: -1) }),
        ("idle timeout", { $0.policy.timeouts.idle = .zero }),
        ("allows no request", { $0.policy.rateLimits = [RequestRateLimit(requests: 0, burst: 1)] }),
        ("unit of a rate limit", { $0.policy.rateLimits = [RequestRateLimit(requests: 1, unit: .zero)] }),
        ("share of a fault", { $0.policy.faults = [Fault(numerator: 2, denominator: 1)] }),
        ("abort status", { $0.policy.faults = [Fault(abort: .status(100))] }),
        ("abort grpcStatus", { $0.policy.faults = [Fault(abort: .grpcStatus(17))] }),
    ]

    @Test(arguments: backends.indices)
    func brokenBackend(_ index: Int) {
        var backend = Backend(name: "b")
        #expect(Model(backends: [backend]).problems() == [])
        Self.backends[index].change(&backend)
        let problems = Model(backends: [backend]).problems()
        #expect(problems.contains { $0.contains(Self.backends[index].problem) }, "\(problems)")
    }

    @Test func primesAreTold() {
        #expect((0...30).filter { LoadBalancer.isPrime($0) } == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29])
        #expect(LoadBalancer.isPrime(LoadBalancer.defaultTableSize))
    }
}
