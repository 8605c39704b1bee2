import MeshModel
import MeshTraffic
import Testing

@Suite struct RetryRuleTests {
    private func rule(
        attempts: Int = 3, codes: [Int] = [503], grpc: [Int] = [14],
        triggers: RetryTriggers = [.connectFailure, .refusedStream, .reset, .timeout], nonIdempotent: Bool = false,
        backoff: Backoff = Backoff(base: .zero, max: .zero)
    ) -> RetryRule {
        RetryRule(
            Retry(
                attempts: attempts, codes: codes, grpcStatuses: grpc, triggers: triggers, backoff: backoff,
                nonIdempotent: nonIdempotent, maxRetryAfter: .seconds(1)))
    }

    private func decide(
        _ rule: RetryRule, _ question: RetryQuestion, permit: RetryVerdict.Refusal? = nil
    ) -> RetryVerdict {
        rule.decide(question, random: 0) { permit }
    }

    static let causes: [RetryCause] = [
        .connectFailure, .refusedStream, .reset, .timeout, .status(503), .grpcStatus(14),
    ]

    @Test(arguments: causes) func listedCausesAreRetried(cause: RetryCause) {
        #expect(decide(rule(), RetryQuestion(cause, isIdempotent: true)) == .retry(after: 0))
        let deaf = rule(codes: [], grpc: [], triggers: [])
        #expect(decide(deaf, RetryQuestion(cause, isIdempotent: true)) == .giveUp(.notListed))
    }

    @Test(arguments: [
        (RetryCause.status(502), false), (.status(504), false), (.status(99), false), (.status(0), false),
        (.status(-1), false), (.status(612), false), (.status(.max), false), (.grpcStatus(-1), false),
        (.grpcStatus(13), false), (.grpcStatus(32), false), (.grpcStatus(.max), false), (.status(503), true),
    ]) func onlyListedStatuses(cause: RetryCause, isListed: Bool) {
        #expect(rule().lists(cause) == isListed)
    }

    @Test func statusesOutsideTheSetAreIgnored() {
        let odd = rule(codes: [-1, 0, 99, 611, 612, .max], grpc: [-1, 32, 31])
        #expect(odd.lists(.status(611)))
        #expect(!odd.lists(.status(612)))
        #expect(odd.lists(.grpcStatus(31)))
    }

    @Test(arguments: [
        (RetryCause.connectFailure, true), (.refusedStream, true), (.reset, false), (.timeout, false),
        (.status(503), false), (.grpcStatus(14), true),
    ]) func otherMethodsOnlyIfNothingWasProcessed(cause: RetryCause, isAllowed: Bool) {
        let question = RetryQuestion(cause, isIdempotent: false)
        #expect(decide(rule(), question) == (isAllowed ? .retry(after: 0) : .giveUp(.notIdempotent)))
        #expect(decide(rule(nonIdempotent: true), question) == .retry(after: 0))
    }

    @Test func attemptsAreCounted() {
        for retries in 0..<3 {
            #expect(decide(rule(), RetryQuestion(.reset, isIdempotent: true, retries: retries)) == .retry(after: 0))
        }
        let question = RetryQuestion(.reset, isIdempotent: true, retries: 3)
        #expect(decide(rule(), question) == .giveUp(.attemptsSpent))
        #expect(decide(rule(attempts: 0), RetryQuestion(.reset, isIdempotent: true)) == .giveUp(.attemptsSpent))
    }

    @Test func aBodyThatIsGoneIsNotSentAgain() {
        let question = RetryQuestion(.connectFailure, isIdempotent: true, isReplayable: false)
        #expect(decide(rule(), question) == .giveUp(.notReplayable))
    }

    @Test(arguments: [
        (Pushback.after(0), RetryVerdict.retry(after: 0)), (.after(1_000_000_000), .retry(after: 1_000_000_000)),
        (.after(1_000_000_001), .giveUp(.pushedBack)), (.after(.max), .giveUp(.pushedBack)),
        (.never, .giveUp(.pushedBack)),
    ]) func pushback(pushback: Pushback, verdict: RetryVerdict) {
        let question = RetryQuestion(.status(503), isIdempotent: true, pushback: pushback)
        #expect(decide(rule(backoff: Backoff(base: .seconds(9), max: .seconds(9))), question) == verdict)
    }

    @Test func noWaitPastTheDeadline() {
        var question = RetryQuestion(.status(503), isIdempotent: true, pushback: .after(500), remaining: 501)
        #expect(decide(rule(), question) == .retry(after: 500))
        question.remaining = 500
        #expect(decide(rule(), question) == .giveUp(.deadline))
        question.pushback = .none
        question.remaining = 0
        #expect(decide(rule(), question) == .giveUp(.deadline))
    }

    @Test func theBudgetIsAskedLastAndOnlyOnce() {
        let question = RetryQuestion(.reset, isIdempotent: true)
        #expect(decide(rule(), question, permit: .budget) == .giveUp(.budget))
        #expect(decide(rule(), question, permit: .limit) == .giveUp(.limit))
        var asked = 0
        let spent = RetryQuestion(.reset, isIdempotent: true, retries: 9)
        for wrong in [
            spent, RetryQuestion(.reset, isIdempotent: false), RetryQuestion(.status(404), isIdempotent: true),
        ] {
            _ = rule().decide(wrong, random: 0) {
                asked += 1
                return nil
            }
        }
        #expect(asked == 0, "a place would be taken that nobody gives back")
        _ = rule().decide(question, random: 0) {
            asked += 1
            return nil
        }
        #expect(asked == 1)
    }

    @Test func waitsAreJittered() {
        let rule = rule(backoff: Backoff(base: .nanoseconds(100), max: .nanoseconds(300)))
        func wait(_ retries: Int, _ random: UInt64) -> RetryVerdict {
            rule.decide(RetryQuestion(.reset, isIdempotent: true, retries: retries), random: random) { nil }
        }
        #expect(wait(0, 0) == .retry(after: 0))
        #expect(wait(0, .max) == .retry(after: 100))
        #expect(wait(1, .max) == .retry(after: 200))
        #expect(wait(2, .max) == .retry(after: 300))
        #expect(wait(2, .max / 2) == .retry(after: 150))
    }
}
