/// What became of a request for a service that its proxy did not know.
public enum DemandResult: String, CaseIterable, Sendable {
    /// The control plane knew it, and the request has a route.
    case found
    /// There is no such service.
    case missing
    /// There was none a moment ago: nobody was asked.
    case remembered
    /// The control plane could not be asked.
    case unavailable
    /// The control plane did not answer in time.
    case late
    /// Too many waited, or too much was asked.
    case refused

    /// Its place among all cases.
    public var index: Int {
        switch self {
        case .found: 0
        case .missing: 1
        case .remembered: 2
        case .unavailable: 3
        case .late: 4
        case .refused: 5
        }
    }
}

/// How a proxy stands with the control plane of its mesh.
public struct ControlFacts: Sendable {
    /// A connection is usable.
    public var isConnected = false
    /// Connections that became usable so far.
    public var connections: UInt64 = 0
    /// Attempts to connect that failed so far.
    public var failedConnections: UInt64 = 0
    /// Responses of discovery that were taken over.
    public var acks: UInt64 = 0
    /// Responses of discovery that were rejected.
    public var nacks: UInt64 = 0
    /// When the identity ends, in seconds since 1970-01-01 UTC; nil: there is none.
    public var identityExpiry: Int?
    /// First certificates that were asked for with a token: given, and refused.
    public var joins = (succeeded: UInt64(0), failed: UInt64(0))
    /// Renewals of the identity.
    public var renewals = (succeeded: UInt64(0), failed: UInt64(0))
    /// Times that the last good configuration could not be saved.
    public var failedSaves: UInt64 = 0
    /// Files of the state directory that could not be used at the start.
    public var damagedFiles: UInt64 = 0
    /// Requests for services that the proxy did not know, by ``DemandResult/index``.
    public var demands = [UInt64](repeating: 0, count: DemandResult.allCases.count)

    /// Nothing has happened yet.
    public init() {}

    func append(to text: inout PrometheusText) {
        text.family("martlet_control_connected", .gauge, "1 while the proxy is connected to its control plane.")
        text.sample(gauge: isConnected ? 1 : 0)
        text.family(
            "martlet_control_connections_total", .counter, "Attempts to connect to the control plane, by result.")
        text.sample(Labels("result", "succeeded"), connections)
        text.sample(Labels("result", "failed"), failedConnections)
        text.family("martlet_control_acks_total", .counter, "Responses of the control plane that were taken over.")
        text.sample(Labels(), acks)
        text.family("martlet_control_nacks_total", .counter, "Responses of the control plane that were rejected.")
        text.sample(Labels(), nacks)
        if let identityExpiry {
            text.family("martlet_identity_expiry_seconds", .gauge, "When the identity ends, in seconds since 1970.")
            text.sample(gauge: identityExpiry)
        }
        text.family("martlet_identity_joins_total", .counter, "First certificates asked for, by result.")
        text.sample(Labels("result", "succeeded"), joins.succeeded)
        text.sample(Labels("result", "failed"), joins.failed)
        text.family("martlet_identity_renewals_total", .counter, "Renewals of the identity, by result.")
        text.sample(Labels("result", "succeeded"), renewals.succeeded)
        text.sample(Labels("result", "failed"), renewals.failed)
        text.family(
            "martlet_state_failed_saves_total", .counter, "Times that the last good configuration was not saved.")
        text.sample(Labels(), failedSaves)
        text.family(
            "martlet_state_damaged_files_total", .counter, "Files of the state directory that could not be used.")
        text.sample(Labels(), damagedFiles)
        text.family(
            "martlet_on_demand_requests_total", .counter,
            "Requests for services that the workload does not declare and that were not known yet, by result.")
        for result in DemandResult.allCases {
            text.sample(Labels("result", Array(result.rawValue.utf8)), demands[result.index])
        }
    }
}
