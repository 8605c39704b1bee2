/// What is counted per access policy.
struct AccessCounters: ForgettableCounters, Sendable {
    var denied: UInt64 = 0
    var audited: UInt64 = 0

    var isIdle: Bool { true }

    mutating func merge(_ other: AccessCounters) {
        denied &+= other.denied
        audited &+= other.audited
    }
}

extension MetricsSnapshot {
    func appendPolicies(to text: inout PrometheusText) {
        let all = zip(policyNames, policies.joined()).map { (Labels("policy", $0.0), $0.1) }
        text.family(
            "martlet_access_denied_total", .counter,
            "Requests and connections that an access policy refused; default: that no policy allowed.")
        for (labels, counters) in all where counters.denied > 0 { text.sample(labels, counters.denied) }
        text.family(
            "martlet_access_audit_denied_total", .counter,
            "Requests and connections that an access policy would have refused, were it in force.")
        for (labels, counters) in all where counters.audited > 0 { text.sample(labels, counters.audited) }
    }
}
