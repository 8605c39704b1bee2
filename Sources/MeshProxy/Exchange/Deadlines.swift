import MeshCore
import MeshModel

/// When one exchange has taken too long, of its five clocks: the whole request, the call as its caller sees it, the
/// attempt, the silence, the pace of the request's body. One timer serves them all, and what the exchange itself waits
/// for; it is looked at when it fires, not when something moves.
///
/// `timeouts.request`, and what a proxy before this one has left of it, is for requests that have an answer. A stream is
/// not cut by it once it has begun, nor by `timeouts.backendRequest`: it may live for as long as something moves
/// (`timeouts.idle`). Streams are tunnels, server-sent events, and gRPC calls from their first message on. What
/// a gRPC caller says itself, `grpc-timeout`, is meant for the whole call, and holds for all of it.
struct Deadlines {
    private var started = Instant.never
    private var lastMove = Instant.never
    private var idle: UInt64 = .max
    private var request = Instant.never
    /// ``request`` is what the caller has left, not what is configured here.
    private var isCallers = false
    private var call = Instant.never
    private var attemptLimit: UInt64 = .max
    private var tryLimit: UInt64 = .max
    private var attemptStarted = Instant.never
    private var attempt = Instant.never
    private var wake = Instant.never
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
        if let limit = timeouts.idle { idle = limit.nanoseconds }
    }

    /// One attempt may take so many nanoseconds until its response is forwarded.
    mutating func limitTries(to nanoseconds: UInt64) { tryLimit = nanoseconds }

    /// A proxy before this one waits for so many nanoseconds.
    mutating func limitRequest(to nanoseconds: UInt64) {
        let end = started.advanced(byNanoseconds: nanoseconds)
        if end < request {
            request = end
            isCallers = true
        }
    }

    /// Silence may last for so many nanoseconds, if not for less.
    mutating func limitSilence(to nanoseconds: UInt64) { idle = min(idle, nanoseconds) }

    /// The caller of a gRPC method waits for so many nanoseconds.
    mutating func limitCall(to nanoseconds: UInt64) { call = started.advanced(byNanoseconds: nanoseconds) }

    /// An attempt starts.
    mutating func attempt(now: Instant) {
        wake = .never
        attemptStarted = now
        let limit = min(attemptLimit, tryLimit)
        attempt = limit == .max ? .never : now.advanced(byNanoseconds: limit)
    }

    /// The attempt is over, and the exchange waits until `instant`.
    mutating func pause(until instant: Instant) {
        wake = instant
        attempt = .never
    }

    /// The exchange wants to be woken at `instant`, whatever the attempt does.
    mutating func alarm(at instant: Instant) { wake = instant }

    /// True once if what the exchange waited for is due.
    mutating func isDue(now: Instant) -> Bool {
        guard wake <= now else { return false }
        wake = .never
        return true
    }

    /// The response goes to the client: there is no other try. A stream has no end of its own from here on.
    mutating func responseBegan(isStream: Bool) {
        if isStream {
            request = .never
            attempt = .never
        } else if tryLimit != .max {
            attempt = attemptLimit == .max ? .never : attemptStarted.advanced(byNanoseconds: attemptLimit)
        }
    }

    /// The exchange is a tunnel from here on: nothing but silence ends it, and nothing else is waited for.
    mutating func tunnelBegan() {
        responseBegan(isStream: true)
        call = .never
        wake = .never
        isPaced = false
    }

    /// True if there is an end that ``responseBegan(isStream:)`` could take away.
    var hasEnd: Bool { request != .never || attempt != .never }

    /// Nanoseconds until the caller is answered whatever comes; `.max`: no end is known.
    func left(now: Instant) -> UInt64 {
        let end = min(request, call)
        return end == .never ? .max : end.nanoseconds(since: now)
    }

    /// Nanoseconds that the endpoint has: what is left, or less if the attempt has less.
    func leftForAttempt(now: Instant) -> UInt64 {
        let left = left(now: now)
        return left == .max ? .max : min(left, attempt == .never ? .max : attempt.nanoseconds(since: now))
    }

    /// Nanoseconds that are left of the call's own time; `.max`: its caller gave none.
    func leftOfCall(now: Instant) -> UInt64 { call == .never ? .max : call.nanoseconds(since: now) }

    /// Why nobody waits for an answer any more; nil: somebody does.
    func overdue(now: Instant) -> Reason? {
        if request <= now { return isCallers ? .deadlineExceeded : .requestTimeout }
        return call <= now ? .deadlineExceeded : nil
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
        if call < next { next = call }
        if wake < next { next = wake }
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
            if let reason = overdue(now: now) { return reason }
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
