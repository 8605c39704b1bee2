import MeshCore
import MeshHTTP

/// Which of its two sides the proxy speaks with.
public enum PeerSide: Sendable, CaseIterable {
    /// Clients.
    case downstream
    /// Endpoints.
    case upstream
}

/// What is counted of HTTP/2 beyond exchanges. Floods that ended a connection are counted as rejections, by reason.
public enum HTTP2Event: Sendable, CaseIterable {
    /// A faulty or pointless frame that the connection survived.
    case glitch
    /// RST_STREAM from the peer.
    case resetReceived
    /// RST_STREAM to the peer.
    case resetSent
    /// GOAWAY from the peer.
    case goawayReceived
    /// GOAWAY to the peer.
    case goawaySent
}

/// What one loop counts: plain numbers that only this loop touches, added up when they are scraped.
///
/// Labels become small numbers ("slots") when a configuration is adopted; counting is array arithmetic from there.
/// Nothing here allocates per exchange: a slot allocates when it first counts, and once more after each snapshot,
/// whose arrays are shared until they change. Not thread-safe.
public final class LoopMetrics {
    private var routes = SlotTable<RouteLabels, RouteCounters>()
    private var listeners = SlotTable<[UInt8], ListenerCounters>()
    private var backends = SlotTable<[UInt8], BackendCounters>()
    private var hops = SlotTable<HopLabels, HopRow>()
    private var hopSides = HopSides()
    private var policies = SlotTable<[UInt8], AccessCounters>()
    private var answers = Tally<Reason>()
    private var downstream = HTTP2Counters()
    private var upstream = HTTP2Counters()
    private var droppedLines: UInt64 = 0

    /// Nothing counted.
    public init() {}

    // MARK: Slots

    /// The counters of these labels. The same labels get the same slot again, so that counters go on after a reload.
    /// An exchange that ended without a route or a backend has slots of its own, with those names empty.
    public func slot(listener: String, route: String, backend: String) -> Int {
        routes.slot(
            RouteLabels(listener: Array(listener.utf8), route: Array(route.utf8), backend: Array(backend.utf8)))
    }

    /// The counters of the listener called `name`; the same name gets the same slot again.
    public func listenerSlot(_ name: String) -> Int { listeners.slot(Array(name.utf8)) }

    /// The counters of the backend called `name`; the same name gets the same slot again.
    public func backendSlot(_ name: String) -> Int { backends.slot(Array(name.utf8)) }

    /// The counters of these hops, to be told apart by their side. The same labels get the same slot again.
    public func hopSlot(_ labels: HopLabels) -> Int { hops.slot(labels) }

    /// The number of a side of hops, for good: inbound the service of the peer, outbound the version of the endpoint.
    /// Empty: unknown. At most 4096 are told apart, 512 of them for one slot; the others are called "other".
    public func hopSide(_ text: String, isMTLS: Bool) -> Int { hopSides.number(text, isMTLS: isMTLS) }

    /// As good as asking for the labels of these slots of ``slot(listener:route:backend:)`` again; negative ones are
    /// none.
    public func keepSlots(_ slots: [Int]) { routes.keep(slots) }

    /// As good as asking for the labels of these slots of ``hopSlot(_:)`` again; negative ones are none.
    public func keepHopSlots(_ slots: [Int]) { hops.keep(slots) }

    /// Said after all slots of a configuration were asked for. What older configurations had and this one has not
    /// stays exposed, unless it is more than 1024 of a kind: then it is forgotten, so that memory stays bounded
    /// however often names change. Slots that are held go on being valid.
    public func configurationAdopted() {
        routes.endRound()
        listeners.endRound()
        backends.endRound()
        hops.endRound()
        policies.endRound()
    }

    /// The listener's name of an exchange's slot, or else of a listener's slot; empty if neither is one.
    func listenerName(_ slot: Int, _ listener: Int) -> [UInt8] {
        if isSlot(slot) { return routes.labels[slot].listener }
        return listener >= 0 && listener < listeners.labels.count ? listeners.labels[listener] : []
    }

    /// The route's name of a slot; empty if it is none.
    func routeName(_ slot: Int) -> [UInt8] { isSlot(slot) ? routes.labels[slot].route : [] }

    /// The backend's name of a slot; empty if it is none.
    func backendName(_ slot: Int) -> [UInt8] { isSlot(slot) ? routes.labels[slot].backend : [] }

    private func isSlot(_ slot: Int) -> Bool { slot >= 0 && slot < routes.labels.count }

    // MARK: Downstream

    /// A client's connection was accepted.
    public func downstreamOpened(listener: Int) {
        listeners[listener].connections &+= 1
        listeners[listener].active &+= 1
    }

    /// A connection that was counted as opened is closed.
    public func downstreamClosed(listener: Int) { listeners[listener].active &-= 1 }

    /// A TLS handshake with a client is done.
    public func handshakeSucceeded(listener: Int, resumed: Bool) {
        listeners[listener].handshakes.add(resumed ? .resumed : .full)
    }

    /// A TLS handshake with a client failed; counts as a rejection too.
    public func handshakeFailed(listener: Int, _ reason: Reason) {
        listeners[listener].handshakes.add(.failed(reason))
        answers.add(reason)
    }

    /// The proxy ended a connection, or refused one, outside of any exchange.
    public func connectionRejected(_ reason: Reason) { answers.add(reason) }

    // MARK: Exchanges

    /// An exchange, or a TCP connection's way to a backend, began; ``exchangeFinished(_:)`` ends it.
    public func exchangeStarted(listener: Int) { listeners[listener].inFlight &+= 1 }

    /// An exchange is over. Called once for each that was started.
    public func exchangeFinished(_ record: borrowing ExchangeRecord) {
        if record.slot >= 0 { routes[record.slot].add(record) }
        if record.hopSlot >= 0 { hops[record.hopSlot].add(record) }
        if record.listener >= 0 { listeners[record.listener].finish(record.version) }
        if let reason = record.reason { answers.add(reason) }
    }

    // MARK: Upstream

    /// A connection to an endpoint became usable, `nanoseconds` after it was begun.
    public func upstreamOpened(backend: Int, connectNanoseconds nanoseconds: UInt64) {
        backends[backend].opened &+= 1
        backends[backend].active &+= 1
        backends[backend].connects.record(nanoseconds: nanoseconds)
    }

    /// An attempt took a connection that others had used before.
    public func upstreamReused(backend: Int) { backends[backend].reused &+= 1 }

    /// A connection to an endpoint could not be made.
    public func upstreamConnectFailed(backend: Int, _ reason: Reason) {
        backends[backend].failures.add(reason)
    }

    /// A connection that was counted as opened is closed.
    public func upstreamClosed(backend: Int) { backends[backend].active &-= 1 }

    /// A request waits for a limit of the backend; ``upstreamWaited(backend:nanoseconds:)`` ends it.
    public func upstreamWaits(backend: Int) { backends[backend].pending &+= 1 }

    /// A request waits no more, whatever became of it, after `nanoseconds`.
    public func upstreamWaited(backend: Int, nanoseconds: UInt64) {
        backends[backend].pending &-= 1
        backends[backend].waits.record(nanoseconds: nanoseconds)
    }

    /// A request was refused at a limit of the backend.
    public func upstreamRefused(backend: Int, _ reason: Reason) { backends[backend].refusals.add(reason) }

    /// A request was sent again because a reused connection died, or because the endpoint had not begun on it.
    public func upstreamReplayed(backend: Int) { backends[backend].replays &+= 1 }

    /// A request was tried again, or might have been but for a limit on retries.
    public func upstreamRetry(backend: Int, _ event: RetryEvent) { backends[backend].retries.add(event) }

    /// One attempt is over: `status` is what the endpoint answered, 0 if nothing, after `nanoseconds`.
    public func attemptFinished(backend: Int, status: Int, nanoseconds: UInt64) {
        backends[backend].add(status: status, nanoseconds: nanoseconds)
    }

    // MARK: Access

    /// The counters of the access policy called `name`; the same name gets the same slot again.
    public func accessSlot(_ name: String) -> Int { policies.slot(Array(name.utf8)) }

    /// An access policy refused a request or connection; `isAudit`: it would have, but is not in force.
    public func accessDenied(_ slot: Int, isAudit: Bool) {
        if isAudit { policies[slot].audited &+= 1 } else { policies[slot].denied &+= 1 }
    }

    // MARK: Other events

    /// `event` happened `count` times on one side.
    public func http2(_ event: HTTP2Event, _ side: PeerSide, count: UInt64 = 1) {
        switch side {
        case .downstream: Self.add(event, count, to: &downstream)
        case .upstream: Self.add(event, count, to: &upstream)
        }
    }

    private static func add(_ event: HTTP2Event, _ count: UInt64, to counters: inout HTTP2Counters) {
        switch event {
        case .glitch: counters.glitches &+= count
        case .resetReceived: counters.resetsReceived &+= count
        case .resetSent: counters.resetsSent &+= count
        case .goawayReceived: counters.goawaysReceived &+= count
        case .goawaySent: counters.goawaysSent &+= count
        }
    }

    /// The access log lost `count` lines (``LogBuffer/takeDropped()``).
    public func logLinesDropped(_ count: UInt64) { droppedLines &+= count }

    // MARK: Scrape

    /// What was counted so far, for another thread. Costs little: arrays are shared until this loop counts on.
    public func snapshot() -> MetricsSnapshot {
        MetricsSnapshot(
            routeLabels: routes.labels, routes: routes.pages, listenerNames: listeners.labels,
            listeners: listeners.pages, backendNames: backends.labels, backends: backends.pages,
            hops: HopSnapshot(rows: hops.labels, pages: hops.pages, sides: hopSides.sides),
            policyNames: policies.labels, policies: policies.pages, answers: answers, downstream: downstream,
            upstream: upstream, droppedLines: droppedLines)
    }
}
