import MeshCore
import MeshModel

/// What the policies say of the requests that one rule sends to one backend, compiled: field by field what stands at
/// the rule, else what stands at the backend. An object, so that an exchange keeps it by one reference.
public final class RequestPlan: Sendable {
    /// When to try again; nil: only what nobody has processed.
    public let retry: RetryRule?
    /// How long it may take.
    public let timeouts: Timeouts
    /// So many requests in a time; nil: any number.
    public let limiter: RateLimiter?
    /// Failures on purpose; nil: none.
    public let faults: FaultPlan?
    /// Who is refused first while the proxy is overloaded.
    public let priority: RequestPriority

    /// The plan of a rule with `policy` toward a backend with `fallback`. The limiters belong to whom they stand at:
    /// all backends of a rule share the rule's, all rules that say nothing share the backend's.
    public init(
        _ policy: RequestPolicy, else fallback: RequestPolicy, limiter: RateLimiter?, name: String
    ) throws(ProxyError) {
        retry = (policy.retry ?? fallback.retry).map { RetryRule($0) }
        timeouts = Timeouts(
            request: policy.timeouts.request ?? fallback.timeouts.request,
            backendRequest: policy.timeouts.backendRequest ?? fallback.timeouts.backendRequest,
            idle: policy.timeouts.idle ?? fallback.timeouts.idle)
        self.limiter = limiter
        let faults = policy.faults.isEmpty ? fallback.faults : policy.faults
        self.faults = faults.isEmpty ? nil : try FaultPlan(faults, name: name)
        priority = policy.priority ?? fallback.priority ?? .normal
    }

    /// True if nothing is said: the exchange need not look.
    public static func isEmpty(_ policy: RequestPolicy) -> Bool { policy == RequestPolicy() }
}
