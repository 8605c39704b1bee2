import Foundation
internal import MeshDiscovery

/// How ready an instance is, as it says itself.
enum Readiness: String, Sendable {
    case starting, ready, unready, draining

    /// Nil: it did not say.
    init?(_ state: ControlState.Readiness) {
        switch state {
        case .starting: self = .starting
        case .ready: self = .ready
        case .unready: self = .unready
        case .draining: self = .draining
        case .unspecified, .UNRECOGNIZED: return nil
        }
    }
}

/// What an instance says when it connects.
struct InstanceHello: Sendable, Equatable {
    var id: StoredInstance.ID
    /// Of the program.
    var version = ""
    /// Where others reach it.
    var address = ""
    var zone = ""
    /// Different each time the program starts.
    var boot: UInt64 = 0
    /// What its clock is ahead of ours, in seconds.
    var skew: Int64 = 0
}

/// An instance that is connected, or was.
struct RegisteredInstance: Sendable {
    /// Whether there is a stream to it.
    enum Presence: Sendable, Equatable {
        /// This one.
        case connected(stream: UInt64)
        /// No more; it counts as it was until then.
        case lost(at: ContinuousClock.Instant, until: ContinuousClock.Instant)
        /// Not since the control plane started; what was stored counts until then.
        case remembered(until: ContinuousClock.Instant)
        /// No more, and it no longer counts.
        case gone
    }

    var hello: InstanceHello
    var presence: Presence
    /// nil: it has not said yet, or is only remembered.
    var readiness: Readiness?
    /// Why, for people.
    var reason = ""
    /// What others may use, as it last said while it was ready; empty: nothing.
    var serving: [StoredInstance.Port] = []
    var connectedSince: Date?
    var lastSeen: Date?

    var id: StoredInstance.ID { hello.id }

    var isConnected: Bool {
        if case .connected = presence { return true }
        return false
    }

    /// What is remembered of it.
    var stored: StoredInstance {
        StoredInstance(id: id, address: hello.address, zone: hello.zone, ports: serving)
    }
}
