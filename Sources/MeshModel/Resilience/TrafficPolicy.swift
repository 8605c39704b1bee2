/// What of a TrafficPolicy concerns requests on their way: stands at a rule, or at a backend for all rules that say
/// nothing themselves.
public struct RequestPolicy: Sendable, Equatable {
    /// When to try again; nil: never after the upstream has answered.
    public var retry: Retry?
    /// How long it may take.
    public var timeouts: Timeouts
    /// So many requests in a time; all must allow it.
    public var rateLimits: [RequestRateLimit]
    /// Failures on purpose; the first that fits a request is used.
    public var faults: [Fault]
    /// Who is refused first while the proxy is overloaded; nil: `normal`.
    public var priority: RequestPriority?

    /// A policy; without any part, none.
    public init(
        retry: Retry? = nil, timeouts: Timeouts = Timeouts(), rateLimits: [RequestRateLimit] = [],
        faults: [Fault] = [], priority: RequestPriority? = nil
    ) {
        self.retry = retry
        self.timeouts = timeouts
        self.rateLimits = rateLimits
        self.faults = faults
        self.priority = priority
    }

    /// What counts for a request that this rule's policy sends to a backend with the policy `backend`: each part that
    /// the rule says nothing about is the backend's.
    public func inheriting(_ backend: RequestPolicy) -> RequestPolicy {
        RequestPolicy(
            retry: retry ?? backend.retry,
            timeouts: Timeouts(
                request: timeouts.request ?? backend.timeouts.request,
                backendRequest: timeouts.backendRequest ?? backend.timeouts.backendRequest,
                idle: timeouts.idle ?? backend.timeouts.idle),
            rateLimits: rateLimits.isEmpty ? backend.rateLimits : rateLimits,
            faults: faults.isEmpty ? backend.faults : faults, priority: priority ?? backend.priority)
    }
}
