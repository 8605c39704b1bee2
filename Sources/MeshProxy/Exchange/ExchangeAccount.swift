import MeshCore
import MeshHTTP

/// What is remembered of an exchange for its record: times, sizes, outcome.
struct ExchangeAccount {
    /// Counters of the route and backend; negative before they are known.
    var slot = -1
    private(set) var started = Instant.never
    private(set) var attemptStarted = Instant.never
    private(set) var firstByte: UInt64 = 0
    private(set) var attempts = 0
    private(set) var status = 0
    private(set) var grpcStatus = -1
    private var isGRPC = false
    var requestBytes = 0
    var responseBytes = 0
    var replays = 0
    var upstreamConnect: UInt64 = 0
    var reason: Reason?
    /// The access policy that refused the request, or would have.
    var policy: [UInt8] = []
    /// The last attempt's endpoint as text.
    var endpoint: [UInt8] = []
    /// Who the last attempt's endpoint was, as hops tell it.
    var hopSide = 0
    var wasCutOff = false
    /// Path and host as they were routed, in the request's arena: filters may rewrite them.
    var routedPath = ByteRange.empty
    var routedAuthority = ByteRange.empty

    /// The head arrived.
    mutating func begin(at now: Instant) {
        self = ExchangeAccount()
        started = now
    }

    /// The attempts of `other` come before those of this one: both are for one request.
    mutating func copyAttempts(of other: ExchangeAccount) { attempts = other.attempts }

    /// An attempt starts.
    mutating func attempt(at now: Instant) {
        attempts &+= 1
        attemptStarted = now
        firstByte = 0
        upstreamConnect = 0
        status = 0
        grpcStatus = -1
    }

    /// An attempt that waited for a limit starts.
    mutating func attemptAdmitted(at now: Instant) { attemptStarted = now }

    /// The endpoint's final head arrived.
    mutating func responded(_ head: MessageHead, at now: Instant) {
        firstByte = now.nanoseconds(since: attemptStarted)
        status = head.status
        isGRPC = head.flags.contains(.grpc)
        if isGRPC { readGRPCStatus(head) }
    }

    /// The endpoint's trailers arrived, or it has none.
    mutating func trailers(_ trailers: MessageHead, hasTrailers: Bool) {
        if isGRPC && hasTrailers { readGRPCStatus(trailers) }
    }

    private mutating func readGRPCStatus(_ head: MessageHead) {
        guard let index = head.firstIndex(of: .grpcStatus) else { return }
        grpcStatus = Grammar.decimal(head.span(head[index].valueRange)) ?? -1
    }

    /// The proxy answered itself.
    mutating func answered(_ head: MessageHead) {
        status = head.status
        readGRPCStatus(head)
    }

    /// New, for the next exchange.
    mutating func reset() { self = ExchangeAccount() }
}
