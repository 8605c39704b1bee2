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

    /// Answers per second over 20 seconds, and attempts per request.
    private func storm(_ retry: Retry?, budget: RetryBudget) -> (goodput: Double, attempts: Double) {
        let rule = retry.map { RetryRule($0) }
        let shared = RetryCounter()
        var (gate, backend, random) = (RetryGate(), Backend(), Random(seed: 42))
        var retries: [Int] = []
        var waiting: [Int: [Int]] = [:]
        var (answers, attempts, active) = (0, 0, 0)
        let seconds = 20
        for now in 0..<seconds * 1000 {
            // 200 a second: one in five milliseconds.
            if random.next() % 5 == 0 {
                retries.append(0)
                waiting[now, default: []].append(retries.count - 1)
            }
            for request in waiting.removeValue(forKey: now) ?? [] {
                attempts += 1
                active += 1
                backend.arrive(request)
            }
            guard let (request, isAnswer) = backend.tick() else { continue }
            active -= 1
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

    @Test func theSameSeedGivesTheSameStorm() {
        let (first, second) = (storm(Self.retry, budget: RetryBudget()), storm(Self.retry, budget: RetryBudget()))
        #expect(first == second)
    }
}
