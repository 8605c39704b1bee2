import MeshCore
import MeshModel
import MeshNet
import MeshTraffic

/// What policies say of requests, by listener, rule and share, for all loops.
struct RequestPlans: Sendable {
    /// By listener, rule and share; empty if no policy says anything.
    private var plans: [[[RequestPlan?]]] = []
    /// By whom they stand at: limiters that stay as they were keep what their buckets hold.
    private var limiters: [String: RateLimiter] = [:]

    /// Compiles the policies of `listeners` and `backends`. Throws for a regular expression that is not valid.
    init(_ listeners: [ServedListener], _ backends: [ServedBackend], previous: RequestPlans?) throws(ProxyError) {
        let ofBackends = backends.contains { !RequestPlan.isEmpty($0.model.policy) }
        let ofRules = listeners.contains { $0.table.rules.contains { !RequestPlan.isEmpty($0.policy) } }
        guard ofBackends || ofRules else { return }
        let now = Clock.now()
        for listener in listeners {
            var rules: [[RequestPlan?]] = []
            for rule in listener.table.rules {
                var shares: [RequestPlan?] = []
                for share in rule.split.shares {
                    let backend = share.backend.map { backends[$0].model }
                    shares.append(try plan(rule, backend, previous, now))
                }
                rules.append(shares)
            }
            plans.append(rules)
        }
    }

    private mutating func plan(
        _ rule: CompiledRule, _ backend: Backend?, _ previous: RequestPlans?, _ now: Instant
    ) throws(ProxyError) -> RequestPlan? {
        guard let backend else { return nil }
        if RequestPlan.isEmpty(rule.policy) && RequestPlan.isEmpty(backend.policy) { return nil }
        let limiter =
            rule.policy.rateLimits.isEmpty
            ? self.limiter("backend \(backend.name)", backend.policy.rateLimits, previous, now)
            : self.limiter("rule \(rule.name)", rule.policy.rateLimits, previous, now)
        return try RequestPlan(rule.policy, else: backend.policy, limiter: limiter, name: rule.name)
    }

    private mutating func limiter(
        _ key: String, _ limits: [RequestRateLimit], _ previous: RequestPlans?, _ now: Instant
    ) -> RateLimiter? {
        if limits.isEmpty { return nil }
        if let known = limiters[key], known.limits == limits { return known }
        let old = previous?.limiters[key]
        let limiter = old?.limits == limits ? old! : RateLimiter(limits, start: now)
        limiters[key] = limiter
        return limiter
    }

    /// The plan of a request; nil if nothing is said.
    func plan(listener: Int, rule: Int, share: Int) -> RequestPlan? {
        plans.isEmpty ? nil : plans[listener][rule][share]
    }
}
