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
    }
}
