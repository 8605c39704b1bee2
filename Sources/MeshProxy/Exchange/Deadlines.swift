import MeshCore
import MeshModel

/// When one exchange has taken too long, of its four clocks: the whole request, the attempt, the silence, the pace of
/// the request's body. One timer serves them all; it is looked at when it fires, not when something moves.
struct Deadlines {
    private var started = Instant.never
    private var lastMove = Instant.never
    private var idle: UInt64 = .max
    private var request = Instant.never
    private var attemptLimit: UInt64 = .max
    private var attempt = Instant.never
    private var minimumRate = 0
    private var grace: UInt64 = .max
    private var bodyBytes = 0
    private var bodyStarted = Instant.never
    private var receiving = true

    /// An exchange begins under the limits of its listener.
    mutating func begin(_ limits: ListenerLimits, now: Instant) {
        self = Deadlines()
        started = now
        lastMove = now
        idle = limits.streamIdleTimeout.nanoseconds
        minimumRate = limits.bodyMinimumRate
        grace = limits.bodyGrace.nanoseconds
        bodyStarted = now
    }

    /// The rule is known.
    mutating func route(_ timeouts: Timeouts) {
        if let limit = timeouts.request { request = started.advanced(byNanoseconds: limit.nanoseconds) }
        if let limit = timeouts.backendRequest { attemptLimit = limit.nanoseconds }
    }

    /// An attempt starts.
    mutating func attempt(now: Instant) {
        attempt = attemptLimit == .max ? .never : now.advanced(byNanoseconds: attemptLimit)
    }

    /// Bytes moved, in either direction.
    mutating func moved(now: Instant) { lastMove = now }

    /// Body bytes came from the client.
    mutating func requestMoved(_ count: Int, now: Instant) {
        lastMove = now
        bodyBytes &+= count
    }

    /// The client has sent everything.
    mutating func requestEnded() { receiving = false }

    /// The client's stream has become a tunnel, or its reading is held up by the endpoint: its pace is its own.
    mutating func pauseRate(now: Instant) {
        bodyStarted = now
        bodyBytes = 0
    }

    /// When to look again.
    func next(now: Instant) -> Instant {
        var next = lastMove.advanced(byNanoseconds: idle)
        if request < next { next = request }
        if attempt < next { next = attempt }
        if receiving && minimumRate > 0 {
            let pace = max(now, bodyStarted).advanced(byNanoseconds: max(grace, 1_000_000))
            if pace < next { next = pace }
        }
        return next
    }

    /// What has taken too long, nil if nothing has.
    func passed(now: Instant, isTunnel: Bool) -> Reason? {
        if !isTunnel {
            if request <= now { return .requestTimeout }
            if attempt <= now { return .upstreamTimeout }
            if isTooSlow(now) { return .bodyTooSlow }
        }
        return lastMove.advanced(byNanoseconds: idle) <= now ? .idleTimeout : nil
    }

    private func isTooSlow(_ now: Instant) -> Bool {
        guard receiving, minimumRate > 0 else { return false }
        let elapsed = now.nanoseconds(since: bodyStarted)
        guard elapsed >= grace else { return false }
        return UInt64(bodyBytes) < UInt64(minimumRate) &* (elapsed / 1_000_000_000)
    }
}
