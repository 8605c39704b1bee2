import Testing

@testable import MeshModel

/// The compiled form keeps everything, and refuses what this version does not know.
@Suite struct WireTests {
    /// A model in which nothing of resilience stands at its default.
    static func everything() -> Model {
        var retry = Retry(attempts: 3, codes: [500, 503], grpcStatuses: [14, 8], triggers: [.reset, .timeout])
        retry.perTryTimeout = .milliseconds(250)
        retry.backoff = Backoff(base: .milliseconds(5), max: .seconds(2))
        retry.nonIdempotent = true
        retry.bufferBytes = 1024
        retry.maxRetryAfter = .seconds(3)
        retry.hedgeDelay = .milliseconds(30)
        let policy = RequestPolicy(
            retry: retry,
            timeouts: Timeouts(request: .seconds(9), backendRequest: .seconds(3), idle: .seconds(60)),
            rateLimits: [
                RequestRateLimit(requests: 1), RequestRateLimit(key: .identity, requests: 2, unit: .seconds(60)),
                RequestRateLimit(key: .header(name: "x-key"), requests: 3, burst: 7),
                RequestRateLimit(key: .address, requests: 4),
            ],
            faults: [
                Fault(numerator: 1, denominator: 1000, delay: .seconds(2)),
                Fault(headers: [NamedMatch(name: "x", value: .regex("a+"))], abort: .status(503)),
                Fault(abort: .grpcStatus(14)),
            ], priority: .high)
        var model = Model(
            revision: "r",
            settings: ProxySettings(
                zone: "a",
                overload: OverloadProtection(
                    maxMemoryBytes: 1 << 29, maxDescriptorPercent: 80, maxLoopLag: .milliseconds(50))))
        model.backends = backends(policy)
        let rule = RouteRule(
            backends: [WeightedBackend(.backend("b0"))], policy: policy,
            sessionPersistence: SessionPersistence(
                kind: .cookie(name: "s", path: "/", permanent: true), absoluteTimeout: .seconds(60)))
        model.listeners = [
            Listener(
                address: .any(port: 80),
                sections: [Section(name: "s", protocol: .http, routes: [Route(name: "r", rules: [rule])])])
        ]
        return model
    }

    private static func backends(_ policy: RequestPolicy) -> [Backend] {
        let algorithms: [LoadBalancer.Algorithm] = [
            .ringHash(size: 7), .maglev(tableSize: 11), .random, .roundRobin, .leastRequest,
            .peakEWMA(PeakEWMASettings(decay: .seconds(1), initial: .seconds(2), penalty: .seconds(3))),
        ]
        let probes: [HealthCheck.Probe] = [
            .http(path: "/h", host: "x.example", statuses: [200...204, 301...301]), .grpc(service: "a.B"), .tcp,
        ]
        return algorithms.enumerated().map { index, algorithm in
            var backend = Backend(name: "b\(index)", policy: policy)
            backend.endpoints = [
                Endpoint(.ip("127.0.0.1", port: 1), weight: 2, zone: "z", labels: ["version": "v2"], isBackup: true)
            ]
            backend.loadBalancer = LoadBalancer(
                algorithm: algorithm,
                hash: [
                    .header(name: "a"), .cookie(name: "c", path: "/", timeToLive: .seconds(5)),
                    .cookie(name: "d", path: "/x", timeToLive: nil), .sourceIP, .queryParam(name: "q"),
                ], boundedLoad: 150, zonePreference: ZonePreference(minimumAvailable: 60),
                slowStart: SlowStart(window: .seconds(30), minimumPercent: 5), panicThreshold: 0)
            backend.limits.maxConnections = 1
            backend.limits.maxRequests = 2
            backend.limits.maxPendingRequests = 3
            backend.limits.pendingTimeout = .milliseconds(4)
            backend.limits.maxRetries = 0
            backend.limits.endpoint = EndpointLimits(maxConnections: 6, maxRequests: 7)
            backend.healthCheck = HealthCheck(
                probes[index % 3], interval: .seconds(5), timeout: .seconds(2), healthyThreshold: 4,
                unhealthyThreshold: 5, port: 99)
            backend.outlierDetection = OutlierDetection(
                consecutive5xx: nil, consecutiveGatewayErrors: 3, consecutiveConnectFailures: 2,
                successRate: SuccessRateDetection(
                    minimumEndpoints: 3, requestVolume: 10, deviationThousandths: 1500),
                failurePercentage: FailurePercentageDetection(threshold: 50, minimumEndpoints: 2, requestVolume: 9),
                interval: .seconds(1), baseEjectionTime: .seconds(2), maxEjectionTime: .seconds(3),
                maxEjectionPercent: 100)
            backend.retryBudget = RetryBudget(percent: 0, minConcurrency: 9)
            backend.adaptiveConcurrency = AdaptiveConcurrency(
                minLimit: 1, maxLimit: 5, initialLimit: 2, interval: .seconds(1), tolerance: 200)
            return backend
        }
    }

    @Test func everythingReadsBackEqual() throws {
        let model = Self.everything()
        #expect(model.problems() == [])
        let bytes = try model.encode()
        #expect(try Model.decode(bytes) == model)
        #expect(try Model.decode(bytes).encode() == bytes)
    }

    @Test func defaultsReadBackEqual() throws {
        let model = Model(backends: [Backend(name: "b")])
        #expect(try Model.decode(model.encode()) == model)
    }

    @Test func anotherVersionIsNamed() throws {
        var bytes = try Model().encode()
        bytes[7] = 1
        let error = #expect(throws: (any Error).self) { try Model.decode(bytes) }
        #expect("\(try #require(error))".contains("has version 1, this program reads version 2"))
    }

    /// What is changed, and what the refusal names.
    static let unknown: [(what: String, change: @Sendable (inout ProtoBackend) -> Void)] = [
        ("way of balancing", { $0.loadBalancer.algorithm = nil }),
        ("way of balancing", { $0.clearLoadBalancer() }),
        ("source of hashes", { $0.loadBalancer.hash = [ProtoHashSource()] }),
        ("kind of health check", { $0.healthCheck.probe = nil }),
        ("priority", { $0.policy.priority = .UNRECOGNIZED(9) }),
        ("priority", { $0.policy.priority = .unspecified }),
        ("trigger of retries", { $0.policy.retry.triggers = [.reset, .UNRECOGNIZED(9)] }),
        ("kind of rate limit", { $0.policy.rateLimits = [ProtoRequestRateLimit()] }),
    ]

    @Test(arguments: unknown.indices)
    func whatIsNotKnownIsRefused(_ index: Int) throws {
        let backend = try #require(Self.everything().backends.first)
        var message = backend.protobuf()
        #expect(try Backend(protobuf: message) == backend)
        Self.unknown[index].change(&message)
        let changed = message
        let error = #expect(throws: (any Error).self) { try Backend(protobuf: changed) }
        #expect("\(try #require(error))".contains(Self.unknown[index].what))
    }
}
