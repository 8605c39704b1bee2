import MeshModel

/// What probes say about one endpoint. It counts as well until its first result, and the first result counts at once:
/// only what is known already is worth defending by thresholds.
public struct HealthState: Sendable, Equatable {
    /// The endpoint may be given requests.
    public private(set) var isHealthy = true
    /// There was a result.
    public private(set) var wasProbed = false
    /// Results in a row that say the opposite of ``isHealthy``.
    private var contrary = 0

    /// Well, and never probed.
    public init() {}

    /// One probe is over. True if ``isHealthy`` changed.
    public mutating func note(success: Bool, _ check: HealthCheck) -> Bool {
        let isFirst = !wasProbed
        wasProbed = true
        if success == isHealthy {
            contrary = 0
            return false
        }
        contrary += 1
        let needed = isFirst ? 1 : max(1, isHealthy ? check.unhealthyThreshold : check.healthyThreshold)
        guard contrary >= needed else { return false }
        isHealthy = success
        contrary = 0
        return true
    }

    /// Nanoseconds from one probe to the next: the interval, a tenth more or less, so that many proxies do not ask in
    /// step.
    ///
    /// - Parameter random: 64 random bits.
    public static func delay(_ check: HealthCheck, random: UInt64) -> UInt64 {
        let interval = max(check.interval.nanoseconds, 1_000_000)
        let tenth = interval / 10
        return interval &- tenth &+ random.multipliedFullWidth(by: 2 &* tenth &+ 1).high
    }
}
