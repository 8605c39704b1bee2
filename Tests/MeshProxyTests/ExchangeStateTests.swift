import MeshCore
import Testing

@testable import MeshProxy

/// What each event does in each phase.
@Suite struct ExchangeStateTests {
    private static let reason = Reason.upstreamReset

    /// An exchange in `phase`, reached in the ordinary way.
    private func state(_ phase: ExchangeState.Phase, isGRPC: Bool = false) -> ExchangeState {
        var state = ExchangeState()
        if phase == .idle { return state }
        state.begin(isGRPC: isGRPC)
        if phase == .choosing { return state }
        state.attempt()
        switch phase {
        case .idle, .choosing, .awaiting: break
        case .holding: _ = state.receiveHead(status: 200, isUpgrade: false, holds: true)
        case .pausing: state.pause()
        case .responding: _ = state.receiveHead(status: 200, isUpgrade: false)
        case .tunnel: _ = state.receiveHead(status: 101, isUpgrade: true)
        case .answering: _ = state.answer(Self.reason)
        case .done: _ = state.lose()
        }
        #expect(state.phase == phase)
        return state
    }

    @Test(
        arguments: [
            (.idle, .none, .idle),
            (.choosing, .answer(reason), .answering),
            (.awaiting, .answer(reason), .answering),
            (.holding, .answer(reason), .answering),
            (.responding, .abort(reason), .done),
            (.tunnel, .abort(reason), .done),
            (.answering, .none, .answering),
            (.done, .none, .done),
        ] as [(ExchangeState.Phase, ExchangeState.Action, ExchangeState.Phase)])
    func answersAndFailures(phase: ExchangeState.Phase, action: ExchangeState.Action, after: ExchangeState.Phase) {
        var answered = state(phase)
        #expect(answered.answer(Self.reason) == action)
        #expect(answered.phase == after)
        var failed = state(phase)
        #expect(failed.fail(.failed(Self.reason), isIdempotent: true) == action)
        #expect(failed.phase == after)
    }

    @Test(
        arguments: [
            (.idle, .none), (.choosing, .none), (.awaiting, .respond), (.holding, .none), (.pausing, .none),
            (.responding, .none), (.tunnel, .none), (.answering, .none), (.done, .none),
        ] as [(ExchangeState.Phase, ExchangeState.Action)])
    func finalHeads(phase: ExchangeState.Phase, action: ExchangeState.Action) {
        var state = state(phase)
        #expect(state.receiveHead(status: 200, isUpgrade: false) == action)
        #expect(state.phase == (action == .respond ? .responding : phase))
    }

    @Test(
        arguments: [
            (100, false, .inform, .awaiting),
            (103, false, .inform, .awaiting),
            (199, false, .inform, .awaiting),
            (200, false, .respond, .responding),
            (599, false, .respond, .responding),
            (101, false, .answer(.upstreamMalformedResponse), .answering),
            (101, true, .openTunnel, .tunnel),
            (200, true, .openTunnel, .tunnel),
        ] as [(Int, Bool, ExchangeState.Action, ExchangeState.Phase)])
    func headsWhileAwaiting(status: Int, isUpgrade: Bool, action: ExchangeState.Action, after: ExchangeState.Phase) {
        var state = state(.awaiting)
        #expect(state.receiveHead(status: status, isUpgrade: isUpgrade) == action)
        #expect(state.phase == after)
    }

    @Test(
        arguments: [
            (.idle, .none), (.choosing, .finish), (.awaiting, .finish), (.holding, .finish), (.pausing, .finish),
            (.responding, .finish), (.tunnel, .finish), (.answering, .finish), (.done, .none),
        ] as [(ExchangeState.Phase, ExchangeState.Action)])
    func lostClients(phase: ExchangeState.Phase, action: ExchangeState.Action) {
        var state = state(phase)
        #expect(state.lose() == action)
        #expect(state.phase == (phase == .idle ? .idle : .done))
        #expect(state.lose() == .none)
    }

    @Test(
        arguments: [
            (.idle, .none), (.choosing, .none), (.awaiting, .none), (.holding, .none), (.pausing, .none),
            (.responding, .finish), (.tunnel, .none), (.answering, .finish), (.done, .none),
        ] as [(ExchangeState.Phase, ExchangeState.Action)])
    func responsesThatWereSent(phase: ExchangeState.Phase, action: ExchangeState.Action) {
        var state = state(phase)
        #expect(state.sendResponse() == action)
        #expect(state.phase == (action == .finish ? .done : phase))
    }

    /// What is left of an attempt that was given up says nothing any more; the proxy can still answer.
    @Test func aPauseIsDeafToTheAttemptBefore() {
        var failed = state(.pausing)
        #expect(failed.fail(.unprocessed(Self.reason), isIdempotent: true) == .none)
        #expect(failed.phase == .pausing)
        var answered = state(.pausing)
        #expect(answered.mayAnswer)
        #expect(answered.answer(Self.reason) == .answer(Self.reason))
    }

    @Test func retriesAreForAttemptsThatNobodyHasSeen() {
        for phase: ExchangeState.Phase in [.idle, .choosing, .pausing, .responding, .tunnel, .answering, .done] {
            var state = state(phase)
            let before = state
            #expect(!state.mayRetry, "\(phase)")
            state.pause()
            #expect(state == before, "\(phase)")
        }
        for phase: ExchangeState.Phase in [.awaiting, .holding] {
            var retried = state(phase)
            #expect(retried.mayRetry)
            retried.pause()
            #expect(retried.phase == .pausing)
            retried.attempt()
            #expect(retried.phase == .awaiting)
            #expect(retried.attempts == 2)
            var begun = state(phase)
            begun.bodyTaken()
            #expect(!begun.mayRetry, "what has left and was not kept is gone")
        }
    }

    @Test func aHeldHeadIsForwardedOnce() {
        var held = state(.holding)
        #expect(!held.mayReplay(.unprocessed(Self.reason), isIdempotent: true), "it has been processed")
        #expect(held.release() == .respond)
        #expect(held.phase == .responding)
        #expect(held.release() == .none)
        var informed = state(.awaiting)
        #expect(informed.receiveHead(status: 103, isUpgrade: false, holds: true) == .inform)
        #expect(informed.receiveHead(status: 101, isUpgrade: true, holds: true) == .openTunnel)
    }

    @Test func attemptsAreForChoosingAwaitingAndPausing() {
        for phase: ExchangeState.Phase in [.idle, .holding, .responding, .tunnel, .answering, .done] {
            var state = state(phase)
            let before = state
            state.attempt()
            #expect(state == before, "\(phase)")
        }
        var state = state(.choosing)
        state.attempt()
        state.sendRequest()
        state.attempt()
        #expect(state.attempts == 2)
        #expect(!state.requestSent, "the new endpoint has been sent nothing")
    }

    @Test(
        arguments: [
            (.unprocessed(reason), false, 2), (.unprocessed(reason), true, 2),
            (.staleConnection(reason), true, 1), (.staleConnection(reason), false, 0),
            (.failed(reason), true, 0), (.failed(reason), false, 0),
        ] as [(ExchangeState.Failure, Bool, Int)])
    func replays(failure: ExchangeState.Failure, isIdempotent: Bool, expected: Int) {
        var fresh = state(.awaiting)
        for _ in 0..<expected {
            #expect(fresh.fail(failure, isIdempotent: isIdempotent) == .replay)
            fresh.attempt()
        }
        #expect(fresh.fail(failure, isIdempotent: isIdempotent) == .answer(Self.reason))
        #expect(fresh.attempts == expected + 1)
        var begun = state(.awaiting)
        begun.bodyTaken()
        #expect(begun.fail(failure, isIdempotent: isIdempotent) == .answer(Self.reason))
    }

    @Test func staleAfterUnprocessedIsNotReplayed() {
        var state = state(.awaiting)
        #expect(state.fail(.unprocessed(Self.reason), isIdempotent: true) == .replay)
        state.attempt()
        #expect(state.fail(.staleConnection(Self.reason), isIdempotent: true) == .answer(Self.reason))
    }

    @Test func grpcEndsWithTrailersBeforeItsFirstMessage() {
        var early = state(.responding, isGRPC: true)
        #expect(early.fail(.failed(Self.reason), isIdempotent: false) == .endWithTrailers(Self.reason))
        #expect(early.phase == .answering)
        #expect(early.sendResponse() == .finish)
        var late = state(.responding, isGRPC: true)
        late.receiveBody()
        #expect(late.answer(Self.reason) == .abort(Self.reason))
        var tunnel = state(.tunnel, isGRPC: true)
        #expect(tunnel.answer(Self.reason) == .abort(Self.reason))
    }

    @Test func aCompleteResponseIsNotCutOff() {
        var state = state(.responding)
        state.endResponse()
        #expect(state.fail(.failed(Self.reason), isIdempotent: true) == .none)
        #expect(state.answer(Self.reason) == .none)
        #expect(state.phase == .responding)
        #expect(state.sendResponse() == .finish)
    }

    /// It was neither cut off nor given up: a client that read nothing more kept it for ever.
    @Test func aCompleteResponseWaitsForTheClientOnly() {
        for phase: ExchangeState.Phase in [
            .idle, .choosing, .awaiting, .holding, .pausing, .responding, .tunnel, .done,
        ] {
            #expect(!state(phase).waitsForClient, "\(phase)")
        }
        #expect(state(.answering).waitsForClient)
        var complete = state(.responding)
        complete.endResponse()
        #expect(complete.waitsForClient)
    }

    @Test func tunnelsEndWhenBothDirectionsHave() {
        var responseFirst = state(.tunnel)
        #expect(responseFirst.sendResponse() == .none)
        #expect(responseFirst.endTunnel() == .none)
        responseFirst.sendRequest()
        #expect(responseFirst.endTunnel() == .finish)
        #expect(responseFirst.endTunnel() == .none)
        var requestFirst = state(.tunnel)
        requestFirst.sendRequest()
        #expect(requestFirst.endTunnel() == .none)
        #expect(requestFirst.sendResponse() == .finish)
    }

    @Test(arguments: [(true, true), (true, false), (false, true), (false, false)])
    func leavesCleanlyIfBothDirectionsEnded(requestSent: Bool, responseEnded: Bool) {
        var state = state(.responding)
        if requestSent { state.sendRequest() }
        if responseEnded { state.endResponse() }
        #expect(!state.leftCleanly, "not before it is over")
        #expect(state.sendResponse() == .finish)
        #expect(state.leftCleanly == (requestSent && responseEnded))
    }

    @Test func beginForgetsEverything() {
        var used = state(.responding, isGRPC: true)
        used.bodyTaken()
        used.endRequest()
        used.sendRequest()
        used.receiveBody()
        used.endResponse()
        #expect(used.sendResponse() == .finish)
        used.begin()
        #expect(used == state(.choosing))
    }
}
