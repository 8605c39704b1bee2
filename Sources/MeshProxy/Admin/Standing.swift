import MeshCore
import MeshTelemetry
import MeshTraffic

extension ServedBackend {
    /// How its endpoints stand, for the metrics.
    var facts: ProcessFacts.Backend {
        let standing = share.standing
        var facts = ProcessFacts.Backend(name: name)
        facts.available = standing.available
        facts.ejected = standing.detects ? standing.ejected : nil
        facts.unhealthy = standing.checks ? standing.unhealthy : nil
        facts.ejections = standing.ejections
        facts.probes = standing.probes
        facts.concurrencyLimit = model.adaptiveConcurrency == nil ? nil : share.gate.limit
        return facts
    }
}

extension EndpointShare.Report {
    /// When the ejection is over, in nanoseconds since 1970; nil if there is none.
    func ejectionEnd(now: Instant, wallTime: UInt64) -> UInt64? {
        guard case .ejected(let until) = ejection else { return nil }
        return wallTime &+ until.nanoseconds(since: now)
    }
}
