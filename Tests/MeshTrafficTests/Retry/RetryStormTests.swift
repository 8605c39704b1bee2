import MeshCore
import MeshModel
import MeshTraffic
import Testing

/// A backend at twice its capacity, which refuses what it has no time for: refusals cost it time too, and each retry is
/// one more to be refused. Virtual clock, seeded.
@Suite struct RetryStormTests {
    /// One worker that answers 100 requests a second, or refuses 500; it holds up to 20.
    struct Backend {
        static let service = 10
        static let refusal = 2
        static let room = 20
        var accepted: [Int] = []
        var refused: [Int] = []
        /// Milliseconds that what is being done still takes.
        var busy = 0
        var current: (request: Int, isAnswer: Bool)?

        mutating func arrive(_ request: Int) {
            if accepted.count < Self.room { accepted.append(request) } else { refused.append(request) }
        }

        /// One millisecond; what is done by its end.
        mutating func tick() -> (request: Int, isAnswer: Bool)? {
            if current == nil {
                if !refused.isEmpty {
                    current = (refused.removeFirst(), false)
                    busy = Self.refusal
                } else if !accepted.isEmpty {
                    current = (accepted.removeFirst(), true)
                    busy = Self.service
                }
            }
            guard let doing = current else { return nil }
            busy -= 1
            if busy > 0 { return nil }
            current = nil
            return doing
        }
    }

    /// What the proxy itself lets through to the backend. Whom it refuses is not tried again, and costs the backend no
    /// time.
    enum Door {
        case open
        case maxRequests(Int)
        case adaptive(AdaptiveGate)

        func enter(active: Int) -> Bool {
            switch self {
            case .open: true
            case .maxRequests(let limit): active < limit
            case .adaptive(let gate): gate.enter()
            }
        }

        /// An attempt is over, milliseconds after the beginning; a refusal of the backend says nothing about its time.
        func leave(began: Int, now: Int, isAnswer: Bool, _ random: inout Random) {
            guard case .adaptive(let gate) = self else { return }
            guard isAnswer else { return gate.leave() }
            gate.leave(
                started: Instant(nanoseconds: UInt64(began + 1) * 1_000_000),
                nanoseconds: UInt64(now - began + 1) * 1_000_000,
                now: Instant(nanoseconds: UInt64(now + 1) * 1_000_000), random: random.next())
        }
    }

    /// Answers per second over 20 seconds, and attempts per request that reach the backend.
    private func storm(
        _ retry: Retry?, budget: RetryBudget, door: Door = .open
    ) -> (goodput: Double, attempts: Double) {
        let rule = retry.map { RetryRule($0) }
        let shared = RetryCounter()
        var (gate, backend, random) = (RetryGate(), Backend(), Random(seed: 42))
        var (retries, began): ([Int], [Int]) = ([], [])
        var waiting: [Int: [Int]] = [:]
        var (answers, attempts, active) = (0, 0, 0)
        let seconds = 20
        for now in 0..<seconds * 1000 {
            // 200 a second: one in five milliseconds.
            if random.next() % 5 == 0 {
                retries.append(0)
                began.append(now)
                waiting[now, default: []].append(retries.count - 1)
            }
            for request in waiting.removeValue(forKey: now) ?? [] {
                guard door.enter(active: active) else {
                    if retries[request] > 0 { gate.end(shared) }
                    continue
                }
                began[request] = now
                attempts += 1
                active += 1
                backend.arrive(request)
            }
            guard let (request, isAnswer) = backend.tick() else { continue }
            active -= 1
            door.leave(began: began[request], now: now, isAnswer: isAnswer, &random)
            if retries[request] > 0 { gate.end(shared) }
            if isAnswer {
                answers += 1
            } else if let rule {
                let question = RetryQuestion(.status(503), isIdempotent: true, retries: retries[request])
                let verdict = rule.decide(question, random: random.next()) {
                    gate.begin(budget, maxRetries: nil, active: active, shared: shared)
                }
                if case .retry(let delay) = verdict {
                    retries[request] += 1
                    waiting[now + 1 + Int(delay / 1_000_000), default: []].append(request)
                }
            }
        }
        #expect(gate.inFlight == shared.current)
        return (Double(answers) / Double(seconds), Double(attempts) / Double(retries.count))
    }

    private static let retry = Retry(attempts: 4, codes: [503])
    private static let none = RetryBudget(percent: 1_000_000, minConcurrency: 1_000_000)

    @Test func theBudgetKeepsTheGoodput() {
        let without = storm(nil, budget: Self.none)
        let budget = storm(Self.retry, budget: RetryBudget())
        let storm = storm(Self.retry, budget: Self.none)
        #expect(without.attempts == 1)
        // 200 requests a second of which x are answered: 10 x + 2 (200 - x) = 1000.
        #expect(abs(without.goodput - 75) < 5)
        #expect(storm.attempts > 3, "everybody tries again, which makes it worse for everybody")
        #expect(storm.goodput < 0.4 * without.goodput)
        #expect(budget.goodput > 0.85 * without.goodput, "\(budget)")
        #expect(budget.attempts < 1.3, "\(budget)")
    }

    /// A limit below what the backend holds: it never has to refuse, does nothing but answer, and nothing is left to
    /// retry.
    @Test(arguments: [RetryBudget(), Self.none]) func aLimitKeepsAllOfIt(_ budget: RetryBudget) {
        let limited = storm(Self.retry, budget: budget, door: .maxRequests(15))
        #expect(limited.goodput > 98, "\(limited)")
        #expect(abs(limited.attempts - 0.5) < 0.05, "half of the requests are let through, each once: \(limited)")
    }

    /// A limit above it keeps nothing: the backend refuses, and without a budget the storm is as before.
    @Test func aLimitThatIsTooHighNeedsTheBudget() {
        let without = storm(nil, budget: Self.none)
        let budget = storm(Self.retry, budget: RetryBudget(), door: .maxRequests(200))
        let storm = storm(Self.retry, budget: Self.none, door: .maxRequests(200))
        #expect(budget.goodput > 0.85 * without.goodput, "\(budget)")
        #expect(storm.goodput < 0.5 * without.goodput, "\(storm)")
    }

    /// The same as with the limit, though nobody has said what the backend can do.
    @Test(arguments: [RetryBudget(), Self.none]) func adaptiveConcurrencyFindsTheLimit(_ budget: RetryBudget) {
        let gate = AdaptiveGate(AdaptiveConcurrency())
        let adaptive = storm(Self.retry, budget: budget, door: .adaptive(gate))
        #expect(adaptive.goodput > 95, "\(adaptive)")
        #expect(adaptive.attempts < 0.7, "\(adaptive)")
        #expect(gate.limit < Backend.room, "\(gate.limit)")
    }

    /// Refusals say nothing about the time that answers take, so that it needs answers to come down: the budget sees to
    /// it that there are some.
    @Test func adaptiveConcurrencyComesDownBesideTheBudget() {
        let gate = AdaptiveGate(AdaptiveConcurrency(initialLimit: 200))
        let adaptive = storm(Self.retry, budget: RetryBudget(), door: .adaptive(gate))
        #expect(adaptive.goodput > 90, "\(adaptive)")
        #expect(gate.limit < Backend.room, "\(gate.limit)")
    }

    @Test func theSameSeedGivesTheSameStorm() {
        let (first, second) = (storm(Self.retry, budget: RetryBudget()), storm(Self.retry, budget: RetryBudget()))
        #expect(first == second)
    }
}
