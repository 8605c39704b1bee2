import MeshCore
import MeshModel
import Testing

@testable import MeshProxy

@Suite struct DeadlinesTests {
    private static let second: UInt64 = 1_000_000_000
    private static let start: UInt64 = 7 * second

    /// `nanoseconds` after the exchange began.
    private func at(_ nanoseconds: UInt64) -> Instant { Instant(nanoseconds: Self.start + nanoseconds) }

    private func deadlines(
        idle: Duration = .seconds(300), rate: Int = 240, grace: Duration = .seconds(5), isPaced: Bool = false,
        request: Duration? = nil, attempt: Duration? = nil
    ) -> Deadlines {
        var limits = ListenerLimits()
        limits.streamIdleTimeout = idle
        limits.bodyMinimumRate = rate
        limits.bodyGrace = grace
        var deadlines = Deadlines()
        deadlines.begin(limits, isPaced: isPaced, now: at(0))
        deadlines.route(Timeouts(request: request, backendRequest: attempt))
        return deadlines
    }

    private func expectPasses(
        _ deadlines: Deadlines, _ reason: Reason, after nanoseconds: UInt64, isTunnel: Bool = false,
        _ location: SourceLocation = #_sourceLocation
    ) {
        let before = deadlines.passed(now: at(nanoseconds - 1), isTunnel: isTunnel)
        #expect(before == nil, sourceLocation: location)
        #expect(deadlines.passed(now: at(nanoseconds), isTunnel: isTunnel) == reason, sourceLocation: location)
    }

    @Test func wholeRequestFromItsBegin() {
        var deadlines = deadlines(request: .nanoseconds(1_500_000_001))
        deadlines.attempt(now: at(Self.second))
        deadlines.moved(now: at(Self.second))
        expectPasses(deadlines, .requestTimeout, after: 1_500_000_001)
        #expect(deadlines.next(now: at(0)) == at(1_500_000_001))
    }

    @Test func attemptFromItsOwnBegin() {
        var deadlines = deadlines(attempt: .seconds(2))
        #expect(deadlines.passed(now: at(3 * Self.second), isTunnel: false) == nil, "no attempt yet")
        deadlines.attempt(now: at(Self.second))
        expectPasses(deadlines, .upstreamTimeout, after: 3 * Self.second)
        #expect(deadlines.next(now: at(Self.second)) == at(3 * Self.second))
        // The second attempt has its own time.
        deadlines.attempt(now: at(2 * Self.second))
        expectPasses(deadlines, .upstreamTimeout, after: 4 * Self.second)
    }

    @Test func attemptEndsWithItsResponse() {
        var deadlines = deadlines(idle: .seconds(10), attempt: .seconds(2))
        deadlines.attempt(now: at(0))
        deadlines.responseEnded()
        expectPasses(deadlines, .idleTimeout, after: 10 * Self.second)
    }

    @Test func requestCountsBeforeAttempt() {
        var deadlines = deadlines(request: .seconds(2), attempt: .seconds(2))
        deadlines.attempt(now: at(0))
        expectPasses(deadlines, .requestTimeout, after: 2 * Self.second)
    }

    @Test func silenceCountsFromTheLastMove() {
        var deadlines = deadlines(idle: .seconds(3))
        expectPasses(deadlines, .idleTimeout, after: 3 * Self.second)
        deadlines.moved(now: at(Self.second))
        expectPasses(deadlines, .idleTimeout, after: 4 * Self.second)
        deadlines.requestMoved(1, now: at(2 * Self.second))
        expectPasses(deadlines, .idleTimeout, after: 5 * Self.second)
        #expect(deadlines.next(now: at(0)) == at(5 * Self.second))
        #expect(!deadlines.endsInSilence)
    }

    @Test func idleTimeoutThatNeverComesOverflowsToNever() {
        let deadlines = deadlines(idle: .seconds(Int64.max))
        #expect(deadlines.next(now: at(0)) == .never)
        #expect(deadlines.passed(now: Instant(nanoseconds: .max - 1), isTunnel: false) == nil)
    }

    @Test func bodyPaceCountsWholeSecondsAfterTheGrace() {
        var deadlines = deadlines(rate: 100, grace: .seconds(5), isPaced: true)
        expectPasses(deadlines, .bodyTooSlow, after: 5 * Self.second)
        deadlines.requestMoved(499, now: at(Self.second))
        expectPasses(deadlines, .bodyTooSlow, after: 5 * Self.second)
        deadlines.requestMoved(1, now: at(Self.second))
        expectPasses(deadlines, .bodyTooSlow, after: 6 * Self.second)
        deadlines.requestEnded()
        #expect(deadlines.passed(now: at(100 * Self.second), isTunnel: false) == nil)
    }

    @Test func paceIsLookedAtAgainAfterAnotherGrace() {
        let deadlines = deadlines(rate: 100, grace: .seconds(5), isPaced: true)
        #expect(deadlines.next(now: at(0)) == at(5 * Self.second))
        #expect(deadlines.next(now: at(Self.second)) == at(6 * Self.second))
    }

    @Test func withoutGraceTheTimerDoesNotSpin() {
        let deadlines = deadlines(rate: 100, grace: .zero, isPaced: true)
        #expect(deadlines.next(now: at(0)) == at(1_000_000))
    }

    @Test func aPauseStartsThePaceAnew() {
        var deadlines = deadlines(rate: 100, grace: .seconds(5), isPaced: true)
        deadlines.requestMoved(10_000, now: at(0))
        deadlines.pauseRate(now: at(4 * Self.second))
        #expect(deadlines.next(now: at(0)) == at(9 * Self.second))
        expectPasses(deadlines, .bodyTooSlow, after: 9 * Self.second)
    }

    @Test func noPaceForStreamsOrWithoutARate() {
        #expect(deadlines().passed(now: at(100 * Self.second), isTunnel: false) == nil)
        #expect(deadlines(rate: 0, isPaced: true).passed(now: at(100 * Self.second), isTunnel: false) == nil)
    }

    @Test func aTunnelKnowsOnlySilence() {
        var deadlines = deadlines(
            idle: .seconds(10), rate: 100, isPaced: true, request: .seconds(1), attempt: .seconds(1))
        deadlines.attempt(now: at(0))
        expectPasses(deadlines, .idleTimeout, after: 10 * Self.second, isTunnel: true)
    }

    /// Whatever was set before: a timer that is armed for what is never looked at fires at every turn of the loop.
    @Test func aTunnelIsLookedAtForItsSilenceOnly() {
        var deadlines = deadlines(
            idle: .seconds(10), rate: 100, isPaced: true, request: .seconds(1), attempt: .seconds(1))
        deadlines.limitTries(to: Self.second / 2)
        deadlines.limitCall(to: Self.second)
        deadlines.attempt(now: at(0))
        deadlines.alarm(at: at(Self.second))
        deadlines.tunnelBegan()
        #expect(deadlines.next(now: at(2 * Self.second)) == at(10 * Self.second))
        expectPasses(deadlines, .idleTimeout, after: 10 * Self.second, isTunnel: true)
        let due = deadlines.isDue(now: at(2 * Self.second))
        #expect(!due)
        deadlines.linger(now: at(3 * Self.second))
        #expect(deadlines.next(now: at(3 * Self.second)) == at(4 * Self.second))
    }

    @Test func silenceCanBeShortenedOnly() {
        var deadlines = deadlines(idle: .seconds(10))
        deadlines.limitSilence(to: 20 * Self.second)
        #expect(deadlines.next(now: at(0)) == at(10 * Self.second))
        deadlines.limitSilence(to: 2 * Self.second)
        expectPasses(deadlines, .idleTimeout, after: 2 * Self.second)
    }

    @Test func halfATunnelLingersForASecond() {
        var long = deadlines(idle: .seconds(10))
        long.linger(now: at(4 * Self.second))
        #expect(long.endsInSilence)
        expectPasses(long, .idleTimeout, after: 5 * Self.second, isTunnel: true)
        long.moved(now: at(4 * Self.second + 7))
        expectPasses(long, .idleTimeout, after: 5 * Self.second + 7, isTunnel: true)
        var short = deadlines(idle: .milliseconds(10))
        short.linger(now: at(Self.second))
        expectPasses(short, .idleTimeout, after: Self.second + 10_000_000, isTunnel: true)
    }

    // MARK: What callers and policies say

    @Test func aProxyBeforeThisOneMayShortenTheRequest() {
        var shortened = deadlines(request: .seconds(5))
        shortened.limitRequest(to: 2 * Self.second)
        expectPasses(shortened, .deadlineExceeded, after: 2 * Self.second)
        #expect(shortened.overdue(now: at(2 * Self.second)) == .deadlineExceeded)
        #expect(shortened.overdue(now: at(2 * Self.second - 1)) == nil)
        #expect(shortened.left(now: at(Self.second)) == Self.second)
        var longer = deadlines(request: .seconds(1))
        longer.limitRequest(to: 2 * Self.second)
        expectPasses(longer, .requestTimeout, after: Self.second)
        var gone = deadlines()
        gone.limitRequest(to: 0)
        #expect(gone.overdue(now: at(0)) == .deadlineExceeded)
    }

    @Test func streamsAreNotCutOnceTheyHaveBegun() {
        var stream = deadlines(idle: .seconds(300), request: .seconds(2), attempt: .seconds(1))
        stream.attempt(now: at(0))
        #expect(stream.hasEnd)
        stream.responseBegan(isStream: true)
        #expect(!stream.hasEnd)
        #expect(stream.passed(now: at(299 * Self.second), isTunnel: false) == nil)
        expectPasses(stream, .idleTimeout, after: 300 * Self.second)
        var answer = deadlines(request: .seconds(2))
        answer.responseBegan(isStream: false)
        expectPasses(answer, .requestTimeout, after: 2 * Self.second)
    }

    @Test func whatACallerSaysHoldsForTheWholeCall() {
        var call = deadlines(request: .seconds(2))
        call.limitCall(to: 3 * Self.second)
        #expect(call.left(now: at(0)) == 2 * Self.second)
        #expect(call.leftOfCall(now: at(Self.second)) == 2 * Self.second)
        call.responseBegan(isStream: true)
        expectPasses(call, .deadlineExceeded, after: 3 * Self.second)
        #expect(call.next(now: at(0)) == at(3 * Self.second))
    }

    @Test func aTryEndsWhenItsResponseBegins() {
        var both = deadlines(attempt: .seconds(5))
        both.limitTries(to: Self.second)
        both.attempt(now: at(Self.second))
        expectPasses(both, .upstreamTimeout, after: 2 * Self.second)
        both.responseBegan(isStream: false)
        expectPasses(both, .upstreamTimeout, after: 6 * Self.second)
        var tries = deadlines()
        tries.limitTries(to: Self.second)
        tries.attempt(now: at(0))
        tries.responseBegan(isStream: false)
        #expect(tries.passed(now: at(100 * Self.second), isTunnel: false) == nil)
    }

    @Test func theEndpointIsToldTheShorterTime() {
        var deadlines = deadlines(request: .seconds(10))
        deadlines.limitTries(to: Self.second)
        deadlines.attempt(now: at(0))
        #expect(deadlines.leftForAttempt(now: at(0)) == Self.second)
        deadlines.attempt(now: at(9_500_000_000))
        #expect(deadlines.leftForAttempt(now: at(9_500_000_000)) == 500_000_000)
        #expect(self.deadlines(attempt: .seconds(1)).leftForAttempt(now: at(0)) == .max, "nobody waits for an answer")
    }

    @Test func aPauseHasItsOwnTimeAndNoAttempt() {
        var deadlines = deadlines(attempt: .seconds(1))
        deadlines.attempt(now: at(0))
        deadlines.pause(until: at(5 * Self.second))
        #expect(deadlines.passed(now: at(2 * Self.second), isTunnel: false) == nil)
        #expect(deadlines.next(now: at(0)) == at(5 * Self.second))
        var due = deadlines.isDue(now: at(5 * Self.second - 1))
        #expect(!due)
        due = deadlines.isDue(now: at(5 * Self.second))
        #expect(due)
        due = deadlines.isDue(now: at(6 * Self.second))
        #expect(!due, "once")
    }

    @Test func idleOfAPolicyReplacesTheListeners() {
        var limits = ListenerLimits()
        limits.streamIdleTimeout = .seconds(300)
        var deadlines = Deadlines()
        deadlines.begin(limits, isPaced: false, now: at(0))
        deadlines.route(Timeouts(idle: .seconds(7)))
        expectPasses(deadlines, .idleTimeout, after: 7 * Self.second)
    }

    @Test func beginForgetsTheLastExchange() {
        var deadlines = deadlines(idle: .seconds(1), isPaced: true, request: .seconds(1), attempt: .seconds(1))
        deadlines.attempt(now: at(0))
        deadlines.linger(now: at(0))
        deadlines.begin(ListenerLimits(), isPaced: false, now: at(0))
        #expect(deadlines.passed(now: at(299 * Self.second), isTunnel: false) == nil)
        #expect(!deadlines.endsInSilence)
    }
}
