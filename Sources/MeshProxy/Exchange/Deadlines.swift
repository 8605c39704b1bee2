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
    /// The pace of the body is looked at.
    private var isPaced = false
    private var isLingering = false

    /// How long a tunnel whose one direction has ended waits for the other: nobody uses half a WebSocket.
    static let tunnelLinger: UInt64 = 1_000_000_000

    /// An exchange begins under the limits of its listener. `isPaced`: the body has a minimum rate, as an upload has and
    /// a stream of messages has not.
    mutating func begin(_ limits: ListenerLimits, isPaced: Bool, now: Instant) {
        self = Deadlines()
        started = now
        lastMove = now
        idle = limits.streamIdleTimeout.nanoseconds
        self.isPaced = isPaced && limits.bodyMinimumRate > 0
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
    mutating func requestEnded() { isPaced = false }

    /// The endpoint has sent everything: a slow client is not its fault.
    mutating func responseEnded() { attempt = .never }

    /// The client was not read, because the endpoint does not take what it has: its pace counts from here on.
    mutating func pauseRate(now: Instant) {
        bodyStarted = now
        bodyBytes = 0
    }

    /// One direction of a tunnel has ended.
    mutating func linger(now: Instant) {
        isLingering = true
        idle = min(idle, Self.tunnelLinger)
        lastMove = now
    }

    /// True if silence is the way in which this exchange ends.
    var endsInSilence: Bool { isLingering }

    /// When to look again.
    func next(now: Instant) -> Instant {
        var next = lastMove.advanced(byNanoseconds: idle)
        if request < next { next = request }
        if attempt < next { next = attempt }
        if isPaced {
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
        guard isPaced else { return false }
        let elapsed = now.nanoseconds(since: bodyStarted)
        guard elapsed >= grace else { return false }
        return UInt64(bodyBytes) < UInt64(minimumRate) &* (elapsed / 1_000_000_000)
    }
}
