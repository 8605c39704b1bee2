import MeshCore
import MeshHTTP

/// What exchanges came to: one series of `martlet_requests_total` per slot.
struct Outcome: Hashable, Sendable {
    /// The status sent; 0 for none.
    var status: UInt16
    var reason: Reason?
    /// 0: none; 1...17: the status plus one; 18: a status that gRPC does not know.
    var grpcStatus: UInt8

    /// Outcomes that a slot tells apart. Only an endpoint that makes statuses up has more; they are added up as
    /// ``other``, so that no endpoint can grow the memory of the proxy and of those who scrape it.
    static let limit = 64
    static let other = Outcome(status: .max, reason: nil, grpcStatus: 0)

    init(status: UInt16, reason: Reason?, grpcStatus: UInt8) {
        self.status = status
        self.reason = reason
        self.grpcStatus = grpcStatus
    }

    init(_ record: borrowing ExchangeRecord) {
        status = record.status >= 0 && record.status <= 999 ? UInt16(truncatingIfNeeded: record.status) : 0
        reason = record.reason
        let grpc = record.grpcStatus
        grpcStatus = grpc < 0 ? 0 : grpc <= 16 ? UInt8(truncatingIfNeeded: grpc &+ 1) : 18
    }
}

/// Counts by key, for few keys: a list that is searched from the front costs less than any table.
struct Tally<Key: Hashable & Sendable>: Sendable {
    struct Entry: Sendable {
        var key: Key
        var count: UInt64
    }

    private(set) var entries: [Entry] = []

    /// Adds `count` to the key's number.
    mutating func add(_ key: Key, _ count: UInt64 = 1) {
        if !addIfKnown(key, count) { entries.append(Entry(key: key, count: count)) }
    }

    /// Adds to `rest` once `limit` keys are known.
    mutating func add(_ key: Key, limit: Int, rest: Key) {
        if addIfKnown(key, 1) { return }
        if entries.count < limit { entries.append(Entry(key: key, count: 1)) } else { add(rest) }
    }

    @inline(__always)
    private mutating func addIfKnown(_ key: Key, _ count: UInt64) -> Bool {
        var index = 0
        while index < entries.count {
            if entries[index].key == key {
                entries[index].count &+= count
                return true
            }
            index &+= 1
        }
        return false
    }

    /// Adds what `other` counted.
    mutating func merge(_ other: Tally) { for entry in other.entries { add(entry.key, entry.count) } }
}

/// The names of a slot.
struct RouteLabels: Hashable, Sendable {
    var listener: [UInt8]
    var route: [UInt8]
    var backend: [UInt8]
}

/// Counts of one listener, route and backend.
struct RouteCounters: ForgettableCounters, Sendable {
    var outcomes = Tally<Outcome>()
    var durations = Histogram()
    var requestBytes: UInt64 = 0
    var responseBytes: UInt64 = 0

    var isIdle: Bool { true }

    @inline(__always)
    mutating func add(_ record: borrowing ExchangeRecord) {
        outcomes.add(Outcome(record), limit: Outcome.limit, rest: .other)
        durations.record(nanoseconds: record.ended.nanoseconds(since: record.started))
        requestBytes &+= record.requestBytes
        responseBytes &+= record.responseBytes
    }

    mutating func merge(_ other: RouteCounters) {
        outcomes.merge(other.outcomes)
        durations.merge(other.durations)
        requestBytes &+= other.requestBytes
        responseBytes &+= other.responseBytes
    }
}

/// How a TLS handshake with a client ended.
enum HandshakeResult: Hashable, Sendable {
    case full, resumed
    case failed(Reason)
}

/// Counts of one listener.
struct ListenerCounters: ForgettableCounters, Sendable {
    var inFlight = 0
    var connections: UInt64 = 0
    var active = 0
    var handshakes = Tally<HandshakeResult>()
    var http10: UInt64 = 0
    var http11: UInt64 = 0
    var http2: UInt64 = 0
    var tcp: UInt64 = 0

    var isIdle: Bool { inFlight == 0 && active == 0 }

    /// One exchange less in flight.
    @inline(__always)
    mutating func finish(_ version: Version?) {
        inFlight &-= 1
        switch version {
        case .http11: http11 &+= 1
        case .http2: http2 &+= 1
        case .http10: http10 &+= 1
        case nil: tcp &+= 1
        }
    }

    mutating func merge(_ other: ListenerCounters) {
        inFlight &+= other.inFlight
        connections &+= other.connections
        active &+= other.active
        handshakes.merge(other.handshakes)
        http10 &+= other.http10
        http11 &+= other.http11
        http2 &+= other.http2
        tcp &+= other.tcp
    }
}

/// What is counted of retries: made, by what they were for, or refused.
public enum RetryEvent: Hashable, Sendable {
    /// An attempt after a connection that could not be made.
    case connectFailure
    /// An attempt after the endpoint had said that it has not processed the request.
    case refusedStream
    /// An attempt after one that ended before its response.
    case reset
    /// An attempt after one that took too long.
    case timeout
    /// An attempt after a listed status.
    case status
    /// An attempt after a listed gRPC status.
    case grpcStatus
    /// An attempt beside one that has not answered.
    case hedge
    /// None, for the retry budget.
    case refusedByBudget
    /// None, for `maxRetries`.
    case refusedByLimit

    /// The label's value.
    var text: StaticString {
        switch self {
        case .connectFailure: "connect_failure"
        case .refusedStream: "refused_stream"
        case .reset: "reset"
        case .timeout: "timeout"
        case .status: "status"
        case .grpcStatus: "grpc_status"
        case .hedge: "hedge"
        case .refusedByBudget: "budget"
        case .refusedByLimit: "limit"
        }
    }

    /// True if there was no other attempt.
    var isRefusal: Bool {
        switch self {
        case .refusedByBudget, .refusedByLimit: true
        case .connectFailure, .refusedStream, .reset, .timeout, .status, .grpcStatus, .hedge: false
        }
    }
}

/// Counts of one backend.
struct BackendCounters: ForgettableCounters, Sendable {
    /// Responses by hundreds; the first is "none", the last is everything else.
    var responses = InlineArray<7, UInt64>(repeating: 0)
    var durations = Histogram()
    var connects = Histogram()
    var opened: UInt64 = 0
    var reused: UInt64 = 0
    var active = 0
    var pending = 0
    var waits = Histogram()
    var refusals = Tally<Reason>()
    var replays: UInt64 = 0
    var failures = Tally<Reason>()
    var retries = Tally<RetryEvent>()

    var isIdle: Bool { active == 0 && pending == 0 }

    @inline(__always)
    mutating func add(status: Int, nanoseconds: UInt64) {
        let hundreds = status >= 100 && status < 600 ? status / 100 : status == 0 ? 0 : 6
        responses[hundreds] &+= 1
        durations.record(nanoseconds: nanoseconds)
    }

    mutating func merge(_ other: BackendCounters) {
        for index in responses.indices { responses[index] &+= other.responses[index] }
        durations.merge(other.durations)
        connects.merge(other.connects)
        opened &+= other.opened
        reused &+= other.reused
        active &+= other.active
        pending &+= other.pending
        waits.merge(other.waits)
        refusals.merge(other.refusals)
        replays &+= other.replays
        failures.merge(other.failures)
        retries.merge(other.retries)
    }
}

/// Counts of HTTP/2 events on one side of the proxy.
struct HTTP2Counters: Sendable {
    var glitches: UInt64 = 0
    var resetsReceived: UInt64 = 0
    var resetsSent: UInt64 = 0
    var goawaysReceived: UInt64 = 0
    var goawaysSent: UInt64 = 0

    mutating func merge(_ other: HTTP2Counters) {
        glitches &+= other.glitches
        resetsReceived &+= other.resetsReceived
        resetsSent &+= other.resetsSent
        goawaysReceived &+= other.goawaysReceived
        goawaysSent &+= other.goawaysSent
    }
}
