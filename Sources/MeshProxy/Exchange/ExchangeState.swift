import MeshCore

/// The legal order of one exchange, as a pure state machine: events in, what to do out. It knows no bytes, no clock
/// and no connection, so that every order of events can be tried in a test.
///
/// ```
/// idle ─ begin ▸ choosing ─ attempt ▸ awaiting ─ final head ▸ responding ─ both ends ▸ done
///                   │                 ▲ │ │ └ replay            ▲ │
///                   │         attempt │ │ └─ held head ▸ holding ┘ │
///                   │                 │ ▼ retry             │     │
///                   │              pausing ◂── retry ───────┘     │
///                   └─ answer ─────────┴──▸ answering ────────────┴─ cut off ▸ done
/// ```
struct ExchangeState: Hashable {
    enum Phase: Equatable {
        /// Not in use.
        case idle
        /// The head is there; route, filters and backend are being chosen.
        case choosing
        /// An attempt is under way, and nothing final has come back.
        case awaiting
        /// The endpoint's final head is there, and kept back: what follows may be a reason to try again.
        case holding
        /// The last attempt came to nothing that the client has seen, and another follows.
        case pausing
        /// The endpoint's final head went to the client, its body follows.
        case responding
        /// Bytes go both ways after an upgrade.
        case tunnel
        /// The proxy's own answer goes to the client.
        case answering
        /// Over.
        case done
    }

    /// What the owner has to do after an event.
    enum Action: Equatable {
        /// Nothing.
        case none
        /// Start another attempt: nobody has seen this one.
        case replay
        /// Answer the client with the reason.
        case answer(Reason)
        /// End the response that has begun with trailers that give the reason.
        case endWithTrailers(Reason)
        /// Cut the response off in a way that the client can see.
        case abort(Reason)
        /// Forward the 1xx head.
        case inform
        /// Forward the final head.
        case respond
        /// Forward the head of the upgrade, and open the tunnel.
        case openTunnel
        /// Everything is said: account for it and let go of both sides.
        case finish
    }

    /// How an attempt failed, as far as trying again goes.
    enum Failure: Equatable {
        /// The endpoint says that it has not processed the request (RFC 9113 §8.7), or an idle connection was gone
        /// before the endpoint can have read from it.
        case unprocessed(Reason)
        /// A reused connection ended without a byte of an answer: the race of RFC 9112 §9.3.1.
        case staleConnection(Reason)
        /// Anything else.
        case failed(Reason)

        var reason: Reason {
            switch self {
            case .unprocessed(let reason), .staleConnection(let reason), .failed(let reason): reason
            }
        }
    }

    private(set) var phase = Phase.idle
    /// The client has sent its last byte.
    private(set) var requestEnded = false
    /// The endpoint has been sent the request's last byte.
    private(set) var requestSent = false
    /// The endpoint has sent its last byte, or the proxy's own answer is complete.
    private(set) var responseEnded = false
    /// The client has been sent the response's last byte.
    private(set) var responseSent = false
    /// Body bytes have left for an endpoint, and were not kept: they cannot be sent again.
    private(set) var bodyLeft = false
    /// Attempts so far.
    private(set) var attempts = 0
    private var replays = 0
    private var isGRPC = false
    private var bodyArrived = false

    /// Replays of one exchange: one for a stale connection, and a second for an endpoint that keeps refusing streams.
    static let replayLimit = 2

    /// A head arrived; `isGRPC`: the client reads how it went from trailers.
    mutating func begin(isGRPC: Bool = false) {
        self = ExchangeState()
        self.isGRPC = isGRPC
        phase = .choosing
    }

    /// An attempt starts.
    mutating func attempt() {
        guard phase == .choosing || phase == .awaiting || phase == .pausing else { return }
        phase = .awaiting
        attempts &+= 1
        requestSent = false
    }

    /// Body bytes left for the endpoint, or bytes that had left are kept no more.
    mutating func bodyTaken() { bodyLeft = true }

    /// The client's last byte arrived.
    mutating func endRequest() { requestEnded = true }

    /// The endpoint has been sent everything.
    mutating func sendRequest() { requestSent = true }

    /// The attempt failed. `isIdempotent`: the method may be repeated (RFC 9110 §9.2.2).
    mutating func fail(_ failure: Failure, isIdempotent: Bool) -> Action {
        switch phase {
        case .awaiting:
            if mayReplay(failure, isIdempotent: isIdempotent) {
                replays &+= 1
                return .replay
            }
            return answer(failure.reason)
        case .choosing, .holding: return answer(failure.reason)
        case .responding, .tunnel: return cut(failure.reason)
        case .idle, .pausing, .answering, .done: return .none
        }
    }

    /// True if ``fail(_:isIdempotent:)`` is going to ask for a replay: no retry is needed.
    func mayReplay(_ failure: Failure, isIdempotent: Bool) -> Bool {
        guard phase == .awaiting, !bodyLeft else { return false }
        switch failure {
        case .unprocessed: return replays < Self.replayLimit
        // RFC 9110 §9.2.2: a request that is not idempotent may have been processed, whatever the odds.
        case .staleConnection: return replays == 0 && isIdempotent
        case .failed: return false
        }
    }

    /// True if another attempt could be made: the client has seen nothing, and all that was sent can be sent again.
    var mayRetry: Bool { (phase == .awaiting || phase == .holding) && !bodyLeft }

    /// The attempt is given up for another, which ``attempt()`` starts. Only if ``mayRetry``.
    mutating func pause() {
        guard mayRetry else { return }
        phase = .pausing
    }

    /// True if the client can still be answered: it has seen nothing.
    var mayAnswer: Bool {
        switch phase {
        case .choosing, .awaiting, .holding, .pausing: true
        case .idle, .responding, .tunnel, .answering, .done: false
        }
    }

    /// The proxy answers itself: a reason of routing, a filter, a limit, a timeout.
    mutating func answer(_ reason: Reason) -> Action {
        switch phase {
        case .choosing, .awaiting, .holding, .pausing:
            phase = .answering
            responseEnded = true
            return .answer(reason)
        case .responding, .tunnel: return cut(reason)
        case .idle, .answering, .done: return .none
        }
    }

    /// A head from the endpoint; `isUpgrade` if it is a 101 (or 200 to an extended CONNECT) that was asked for. `holds`:
    /// a final head is kept back until ``release()``.
    mutating func receiveHead(status: Int, isUpgrade: Bool, holds: Bool = false) -> Action {
        guard phase == .awaiting else { return .none }
        if isUpgrade {
            phase = .tunnel
            return .openTunnel
        }
        if status == 101 { return fail(.failed(.upstreamMalformedResponse), isIdempotent: false) }
        if status < 200 { return .inform }
        if holds {
            phase = .holding
            return .none
        }
        phase = .responding
        return .respond
    }

    /// What follows the head that is kept back is no reason to try again.
    mutating func release() -> Action {
        guard phase == .holding else { return .none }
        phase = .responding
        return .respond
    }

    /// Body bytes arrived from the endpoint.
    mutating func receiveBody() { bodyArrived = true }

    /// The endpoint's last byte arrived.
    mutating func endResponse() { responseEnded = true }

    /// The client has been sent the response's last byte.
    mutating func sendResponse() -> Action {
        guard !responseSent else { return .none }
        switch phase {
        case .responding, .answering:
            responseSent = true
            return done()
        case .tunnel:
            responseSent = true
            return requestSent ? done() : .none
        case .idle, .choosing, .awaiting, .holding, .pausing, .done: return .none
        }
    }

    /// A tunnel's other direction has been sent to its end.
    mutating func endTunnel() -> Action {
        guard phase == .tunnel, requestSent, responseSent else { return .none }
        return done()
    }

    /// The client went away.
    mutating func lose() -> Action {
        switch phase {
        case .idle, .done: return .none
        case .choosing, .awaiting, .holding, .pausing, .responding, .tunnel, .answering: return done()
        }
    }

    /// A gRPC response of which no message has left can still end in order; anything else is cut off.
    private mutating func cut(_ reason: Reason) -> Action {
        // All that the endpoint had to say is here: what happens to it now concerns nobody.
        if responseEnded { return .none }
        if phase == .responding && isGRPC && !bodyArrived {
            phase = .answering
            responseEnded = true
            return .endWithTrailers(reason)
        }
        phase = .done
        return .abort(reason)
    }

    private mutating func done() -> Action {
        phase = .done
        return .finish
    }

    /// True if all that is missing is a client that takes what is there: nothing else can be said to it, so whatever
    /// clock runs out, it is given up.
    var waitsForClient: Bool {
        switch phase {
        case .answering: true
        case .responding, .tunnel: responseEnded
        case .idle, .choosing, .awaiting, .holding, .pausing, .done: false
        }
    }

    /// True if the endpoint's connection can serve another exchange: both directions came to their end.
    var leftCleanly: Bool { requestSent && responseEnded && phase == .done }
}
