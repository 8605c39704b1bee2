import MeshCore
import Testing

@testable import MeshProxy

/// Everything that can happen to an exchange, in every order, to the last state that can be reached.
@Suite struct ExchangeStateExplorationTests {
    /// What its owner is told. An attempt starts only where the owner starts one; bytes of a response come only after
    /// its head, as both codecs see to.
    enum Event: Hashable, CaseIterable {
        case attempt, bodyTaken, endRequest, sendRequest
        case unprocessed, staleIdempotent, staleOther, failed
        case answer, inform, head, upgrade, uninvitedUpgrade
        case heldHead, release, pause
        case receiveBody, endResponse, sendResponse, lose
    }

    /// What the owner has done so far, as far as a client or an endpoint can see.
    struct Seen: Hashable {
        var heads = 0
        var endings = 0
        var replays = 0
        var retries = 0
        var isHeld = false
        var isGRPC = false
        var bodyLeft = false
        var bodyArrived = false
        var isTunnel = false
        var requestWasSent = false
        var endpointEnded = false
        var isAttached = false
        var responseWasSent = false
    }

    struct Node: Hashable {
        var state = ExchangeState()
        var seen = Seen()

        var isOver: Bool { state.phase == .done }
    }

    static let reason = Reason.upstreamClosed

    @Test(arguments: [false, true]) func everyOrder(isGRPC: Bool) {
        var first = Node()
        first.state.begin(isGRPC: isGRPC)
        first.seen.isGRPC = isGRPC
        var trails: [Node: [Event]] = [first: []]
        var frontier = [first]
        var depth = 0
        while !frontier.isEmpty {
            depth += 1
            #expect(depth < 40, "the number of states is finite")
            var next: [Node] = []
            for node in frontier {
                let trail = trails[node] ?? []
                if isDeaf(node) {
                    Issue.record("no clock can end it: \(trail)")
                    return
                }
                for event in Event.allCases where mayHappen(event, node) {
                    var after = node
                    let action = apply(event, to: &after)
                    if let broken = violation(of: event, action, node, after) {
                        Issue.record("\(broken): \(trail + [event]) gave \(action)")
                        return
                    }
                    guard trails[after] == nil else { continue }
                    trails[after] = trail + [event]
                    next.append(after)
                }
            }
            frontier = next
        }
        #expect(depth > 9)
        #expect(trails.count > 500)
        expectCovered(trails.keys, isGRPC: isGRPC)
    }

    /// The exploration is worth what it has reached.
    private func expectCovered(_ nodes: Dictionary<Node, [Event]>.Keys, isGRPC: Bool) {
        for phase: ExchangeState.Phase in [
            .choosing, .awaiting, .holding, .pausing, .responding, .tunnel, .answering, .done,
        ] {
            #expect(nodes.contains { $0.state.phase == phase }, "\(phase)")
        }
        #expect(nodes.contains { $0.seen.replays == ExchangeState.replayLimit })
        #expect(nodes.contains { $0.state.leftCleanly })
        #expect(nodes.contains { $0.seen.isTunnel && $0.isOver && $0.state.leftCleanly })
    }

    /// True for an exchange that goes on when a clock has run out, and that its owner does not give up either: a client
    /// that does not read a complete response would keep it for ever.
    private func isDeaf(_ node: Node) -> Bool {
        if node.isOver || node.state.waitsForClient { return false }
        var state = node.state
        return state.answer(Self.reason) == .none
    }

    private func mayHappen(_ event: Event, _ node: Node) -> Bool {
        switch event {
        case .attempt: node.state.phase == .choosing || node.state.phase == .pausing
        // Its owner asks first, and releases a head before what follows it; a few retries show what many would.
        case .pause: node.state.mayRetry && node.seen.retries < 2
        case .receiveBody: node.seen.heads > 0 && node.seen.isAttached && !node.seen.endpointEnded
        case .endResponse: node.seen.heads > 0 && node.seen.isAttached
        case .head, .heldHead, .inform, .upgrade, .uninvitedUpgrade:
            (node.seen.isAttached && !node.seen.isHeld) || node.isOver
        case .bodyTaken, .sendRequest, .unprocessed, .staleIdempotent, .staleOther, .failed:
            // A side that was let go of says nothing more; done is asked everything.
            node.seen.isAttached || node.isOver
        case .endRequest, .answer, .sendResponse, .lose, .release: true
        }
    }

    private func apply(_ event: Event, to node: inout Node) -> ExchangeState.Action {
        let action = act(event, &node)
        switch action {
        case .none, .inform: break
        case .replay:
            node.seen.replays += 1
            startAttempt(&node)
        case .answer:
            node.seen.heads += 1
            node.seen.isAttached = false
        case .endWithTrailers: node.seen.isAttached = false
        case .respond:
            node.seen.heads += 1
            node.seen.isHeld = false
        case .openTunnel:
            node.seen.heads += 1
            node.seen.isTunnel = true
        case .abort, .finish:
            node.seen.endings += 1
        }
        return action
    }

    private func startAttempt(_ node: inout Node) {
        node.state.attempt()
        node.seen.isAttached = true
        node.seen.isHeld = false
        node.seen.requestWasSent = false
    }

    private func act(_ event: Event, _ node: inout Node) -> ExchangeState.Action {
        switch event {
        case .attempt: startAttempt(&node)
        case .bodyTaken:
            node.state.bodyTaken()
            node.seen.bodyLeft = true
        case .endRequest: node.state.endRequest()
        case .sendRequest:
            node.state.sendRequest()
            node.seen.requestWasSent = true
            return node.state.endTunnel()
        case .unprocessed: return fail(.unprocessed(Self.reason), isIdempotent: false, &node)
        case .staleIdempotent: return fail(.staleConnection(Self.reason), isIdempotent: true, &node)
        case .staleOther: return fail(.staleConnection(Self.reason), isIdempotent: false, &node)
        case .failed: return fail(.failed(Self.reason), isIdempotent: true, &node)
        case .answer: return node.state.answer(Self.reason)
        case .inform: return node.state.receiveHead(status: 103, isUpgrade: false)
        case .head: return node.state.receiveHead(status: 200, isUpgrade: false)
        case .heldHead:
            if node.state.phase == .awaiting { node.seen.isHeld = true }
            return node.state.receiveHead(status: 200, isUpgrade: false, holds: true)
        case .release: return node.state.release()
        case .pause:
            node.state.pause()
            node.seen.retries += 1
            node.seen.isAttached = false
            node.seen.isHeld = false
        case .upgrade: return node.state.receiveHead(status: 101, isUpgrade: true)
        case .uninvitedUpgrade: return node.state.receiveHead(status: 101, isUpgrade: false)
        case .receiveBody:
            node.state.receiveBody()
            node.seen.bodyArrived = true
        case .endResponse:
            node.state.endResponse()
            node.seen.endpointEnded = true
        case .sendResponse:
            if node.seen.heads > 0 { node.seen.responseWasSent = true }
            return node.state.sendResponse()
        case .lose: return node.state.lose()
        }
        return .none
    }

    /// The owner lets go of an attempt that failed before it asks what follows.
    private func fail(
        _ failure: ExchangeState.Failure, isIdempotent: Bool, _ node: inout Node
    ) -> ExchangeState.Action {
        if !node.isOver { node.seen.isAttached = false }
        return node.state.fail(failure, isIdempotent: isIdempotent)
    }

    /// What must not have happened.
    private func violation(
        of event: Event, _ action: ExchangeState.Action, _ before: Node, _ after: Node
    ) -> String? {
        if before.isOver && action != .none { return "something after the end" }
        if before.isOver != after.isOver && !before.isOver && after.seen.endings != 1 { return "ended without a word" }
        if after.seen.heads > 1 { return "two final heads" }
        if after.seen.endings > 1 { return "ended twice" }
        if after.isOver != (after.seen.endings == 1) { return "over and ended differ" }
        if event == .lose && !after.isOver { return "goes on without a client" }
        return ending(event, action, before, after) ?? replay(event, action, before)
            ?? retry(event, action, before, after) ?? trailers(action, before) ?? leaving(event, after)
    }

    private func ending(
        _ event: Event, _ action: ExchangeState.Action, _ before: Node, _ after: Node
    ) -> String? {
        let seen = after.seen
        if action == .finish && event != .lose {
            if seen.heads != 1 { return "finished without a final head" }
            if !seen.responseWasSent { return "finished before the response was sent" }
            if seen.isTunnel && !seen.requestWasSent { return "half a tunnel is not over" }
        }
        let everythingSent = seen.responseWasSent && (!seen.isTunnel || seen.requestWasSent)
        if everythingSent && !after.isOver { return "everything is sent, and it goes on" }
        if case .abort = action, before.seen.heads == 0 { return "cut off what has not begun" }
        if case .abort = action, before.seen.endpointEnded { return "cut off a response that was complete" }
        // The endpoint is gone in the middle of its response: the client hears of it.
        let isLost = before.seen.isAttached && !seen.isAttached && before.seen.heads == 1 && !before.seen.endpointEnded
        if isLost && action == .none { return "a lost response goes on" }
        return nil
    }

    private func replay(_ event: Event, _ action: ExchangeState.Action, _ before: Node) -> String? {
        guard action == .replay else { return nil }
        if before.seen.bodyLeft { return "replay of a body that has left" }
        if before.seen.heads > 0 { return "replay after a final head" }
        if before.seen.replays >= ExchangeState.replayLimit { return "too many replays" }
        if event == .staleIdempotent { return before.seen.replays == 0 ? nil : "second replay of a stale connection" }
        return event == .unprocessed ? nil : "replay of what may have been processed"
    }

    private func retry(_ event: Event, _ action: ExchangeState.Action, _ before: Node, _ after: Node) -> String? {
        if before.state.mayRetry {
            if before.seen.heads > 0 { return "a retry of what the client has seen" }
            if before.seen.bodyLeft { return "a retry of a body that has left" }
            if before.isOver { return "a retry after the end" }
        }
        if event == .pause && after.state.phase != .pausing { return "no retry where one may be" }
        if action == .respond && before.seen.isHeld && event != .release { return "a held head went with another" }
        return nil
    }

    private func trailers(_ action: ExchangeState.Action, _ before: Node) -> String? {
        guard case .endWithTrailers = action else { return nil }
        if !before.seen.isGRPC { return "trailers for who does not read them" }
        if before.seen.bodyArrived { return "trailers after a message" }
        if before.seen.heads != 1 || before.seen.isTunnel { return "trailers of what is no response" }
        return nil
    }

    private func leaving(_ event: Event, _ after: Node) -> String? {
        guard after.state.leftCleanly, after.seen.isAttached else { return nil }
        return after.seen.requestWasSent && after.seen.endpointEnded ? nil : "reuse of a connection in use"
    }
}
