import MeshCore
import MeshNet

/// What one loop knows of hosts that no route takes, and that the control plane may know: which are asked for, and which
/// were found to be unknown. All of it is bounded, because applications choose the names; it decides, and does nothing.
struct DemandBook {
    /// What a request for a host has to do.
    enum Verdict: Equatable {
        /// Ask the control plane, and wait.
        case ask
        /// Wait: the control plane is being asked.
        case wait
        /// The control plane has said a moment ago that there is no such service.
        case remembered
        /// Too many wait, or too much was asked.
        case full
    }

    /// Requests that wait at once.
    static let mostWaiting = 256
    /// Hosts that are asked for at once, and without a pause.
    static let mostAsked = 64
    /// Hosts that are asked for in a second, in the long run.
    static let askedPerSecond: UInt64 = 32
    /// Hosts that are remembered.
    static let mostRemembered = 256
    /// How long an unknown host is remembered, in nanoseconds.
    static let memory: UInt64 = 5_000_000_000
    /// How long a request waits, in nanoseconds.
    static let patience: UInt64 = 1_000_000_000

    /// Requests that wait, by host.
    private var asked: [[UInt8]: Int] = [:]
    private(set) var waiting = 0
    private var unknown: [[UInt8]: Instant] = [:]
    /// Keys of ``unknown``, the oldest at ``oldest``.
    private var order: [[UInt8]] = []
    private var oldest = 0
    private var tokens = UInt64(mostAsked)
    private var refilled = Instant(nanoseconds: 0)

    /// How many hosts are remembered.
    var rememberedCount: Int { unknown.count }

    /// A request for `host`, in lower case and without port. If the verdict is ``Verdict/ask`` or ``Verdict/wait`` it
    /// counts as waiting until ``leave(_:)`` or ``answered(_:)``.
    mutating func want(_ host: [UInt8], now: Instant) -> Verdict {
        if let until = unknown[host], now < until { return .remembered }
        if waiting >= Self.mostWaiting { return .full }
        if let count = asked[host] {
            asked[host] = count + 1
            waiting += 1
            return .wait
        }
        guard asked.count < Self.mostAsked, takeToken(now) else { return .full }
        asked[host] = 1
        waiting += 1
        return .ask
    }

    /// One request for `host` waits no longer.
    mutating func leave(_ host: [UInt8]) {
        guard let count = asked[host] else { return }
        asked[host] = count > 1 ? count - 1 : nil
        waiting -= 1
    }

    /// The control plane has answered: nobody waits for `host` any longer.
    mutating func answered(_ host: [UInt8]) { waiting -= asked.removeValue(forKey: host) ?? 0 }

    /// There is no service called `host`; of too many the oldest is forgotten.
    mutating func remember(_ host: [UInt8], now: Instant) {
        let until = now.advanced(byNanoseconds: Self.memory)
        if unknown.updateValue(until, forKey: host) != nil { return }
        if order.count < Self.mostRemembered { return order.append(host) }
        unknown[order[oldest]] = nil
        order[oldest] = host
        oldest = (oldest + 1) % Self.mostRemembered
    }

    private mutating func takeToken(_ now: Instant) -> Bool {
        let earned = now.nanoseconds(since: refilled) / (1_000_000_000 / Self.askedPerSecond)
        if earned > 0 {
            tokens = min(UInt64(Self.mostAsked), tokens + min(earned, UInt64(Self.mostAsked)))
            refilled = now
        }
        if tokens == 0 { return false }
        tokens -= 1
        return true
    }
}

/// What the control loop says of a host.
enum DemandAnswer: Sendable, Equatable {
    /// All that the control plane knows of it is served; that may be nothing.
    case known
    /// The control plane cannot be asked.
    case unavailable
}

/// How far an exchange is with a service that nobody here knows.
enum DemandStage: Equatable {
    case none
    case waiting
    case answered
    case unavailable
    /// There was no answer in time.
    case late
}
