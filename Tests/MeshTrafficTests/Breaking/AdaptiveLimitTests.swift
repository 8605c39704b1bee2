import MeshCore
import MeshModel
import Testing

@testable import MeshTraffic

/// A backend that works on `capacity` requests at a time, for `service` each, and queues the rest; callers that come
/// at random, and do not come back when they are refused.
private struct Backend {
    var capacity: Int
    var service: UInt64
    private var free: [UInt64] = []

    init(capacity: Int, service: UInt64) {
        self.capacity = capacity
        self.service = service
        free = Array(repeating: 0, count: capacity)
    }

    /// When a request that comes at `now` is answered; it takes half to one and a half times the usual time.
    mutating func serve(at now: UInt64, random: UInt64) -> UInt64 {
        let index = free.indices.min { free[$0] < free[$1] }!
        let time = service / 2 + random.multipliedFullWidth(by: service).high
        free[index] = max(free[index], now) + time
        return free[index]
    }
}

private struct Outcome {
    var served = 0
    var refused = 0
    var times: [UInt64] = []
    var limits: [Int] = []

    var median: UInt64 { times.sorted()[times.count / 2] }
    var meanLimit: Int { limits.reduce(0, +) / max(limits.count, 1) }
}

private let millisecond: UInt64 = 1_000_000

@Suite struct AdaptiveLimitTests {
    /// Runs for `seconds`; what is measured is the second half. `slower` changes the backend halfway.
    private func run(
        capacity: Int, load: Double, seconds: Int = 20, gate: AdaptiveGate?, seed: UInt64 = 7,
        changed: ((inout Backend) -> Void)? = nil
    ) -> Outcome {
        var backend = Backend(capacity: capacity, service: 20 * millisecond)
        var random = Random(seed: seed)
        var outcome = Outcome()
        var inFlight: [(end: UInt64, start: UInt64)] = []
        let gap = Double(20 * millisecond) / Double(capacity) / load
        let end = UInt64(seconds) * 1000 * millisecond
        var now: UInt64 = 1
        var isChanged = false
        while now < end {
            now += UInt64(gap * 2 * Double(random.next() >> 11) / Double(1 << 53))
            while let request = inFlight.last, request.end <= now {
                inFlight.removeLast()
                gate?.leave(
                    started: Instant(nanoseconds: request.start), nanoseconds: request.end - request.start,
                    now: Instant(nanoseconds: request.end), random: random.next())
            }
            if now > end / 2 && !isChanged {
                isChanged = true
                changed?(&backend)
            }
            guard gate?.enter() ?? true else {
                if now > end / 2 { outcome.refused += 1 }
                continue
            }
            let answered = backend.serve(at: now, random: random.next())
            if gate != nil {
                // The one that is answered first is last.
                var index = inFlight.count
                while index > 0, inFlight[index - 1].end < answered { index -= 1 }
                inFlight.insert((answered, now), at: index)
            }
            if now > end / 2 {
                outcome.served += 1
                outcome.times.append(answered - now)
                if let gate { outcome.limits.append(gate.limit) }
            }
        }
        return outcome
    }

    @Test(arguments: [4, 20, 60]) func findsTheCapacityAtTwiceTheLoad(_ capacity: Int) {
        let outcome = run(capacity: capacity, load: 2, gate: AdaptiveGate(AdaptiveConcurrency()))
        #expect(outcome.meanLimit >= capacity && outcome.meanLimit <= capacity * 5 / 2 + 6, "\(outcome.meanLimit)")
        // The backend is kept busy, and an answer takes about as long as it must.
        let possible = 10 * 50 * capacity
        #expect(outcome.served >= possible * 9 / 10, "\(outcome.served) of \(possible)")
        #expect(outcome.median < 60 * millisecond, "\(outcome.median)")
    }

    /// What it saves the callers from.
    @Test func withoutItTheQueueGrows() {
        let outcome = run(capacity: 20, load: 2, gate: nil)
        #expect(outcome.median > 5000 * millisecond)
    }

    @Test func refusesNothingAtHalfTheLoad() {
        let outcome = run(capacity: 20, load: 0.5, gate: AdaptiveGate(AdaptiveConcurrency()))
        #expect(outcome.refused * 100 <= outcome.served, "\(outcome.refused) refused")
    }

    @Test func followsABackendThatBecomesSlower() {
        let gate = AdaptiveGate(AdaptiveConcurrency())
        let outcome = run(capacity: 10, load: 2, seconds: 160, gate: gate) { $0.service *= 4 }
        #expect(outcome.served >= 80 * 50 * 10 / 4 * 8 / 10, "\(outcome.served)")
        #expect(outcome.median < 4 * 60 * millisecond, "\(outcome.median)")
    }

    @Test func staysWithinItsBounds() {
        let settings = AdaptiveConcurrency(minLimit: 6, maxLimit: 12, initialLimit: 50)
        var limit = AdaptiveLimit(settings)
        #expect(limit.limit == 12)
        limit.windowEnded(mean: 1e6, peak: 12, now: Instant(nanoseconds: 1), random: 0)
        for number in 0..<20 {
            limit.windowEnded(mean: 1e9, peak: 12, now: Instant(nanoseconds: UInt64(number)), random: 0)
        }
        #expect(limit.limit == 6)
        for number in 0..<20 {
            limit.windowEnded(mean: 1e6, peak: 12, now: Instant(nanoseconds: UInt64(number)), random: 0)
        }
        #expect(limit.limit == 12)
    }

    @Test func doesNotGrowUnused() {
        var limit = AdaptiveLimit(AdaptiveConcurrency())
        for _ in 0..<50 { limit.windowEnded(mean: 1e6, peak: 3, now: Instant(nanoseconds: 1), random: 0) }
        #expect(limit.limit == 20)
        limit.windowEnded(mean: 1e6, peak: 20, now: Instant(nanoseconds: 1), random: 0)
        #expect(limit.limit == 24)
    }

    @Test func theBestTimeIsMeasuredAnewWithHalfTheLimit() {
        var limit = AdaptiveLimit(AdaptiveConcurrency())
        func window(_ mean: Double, _ seconds: UInt64) {
            limit.windowEnded(
                mean: mean, peak: 1000, now: Instant(nanoseconds: seconds * 1_000_000_000), random: 0)
        }
        window(1e6, 1)
        let grown = limit.limit
        #expect(limit.measuresFrom == Instant(nanoseconds: 0))
        window(1e6, 31)
        #expect(limit.limit > 10 && limit.limit <= grown)
        #expect(limit.measuresFrom == Instant(nanoseconds: 31_001_000_000), "what is in flight does not count")
        window(5e6, 32)
        #expect(limit.measuresFrom == Instant(nanoseconds: 0))
        let before = limit.limit
        window(5e6, 33)
        #expect(limit.limit > before, "5 ms is the best time now")
    }

    @Test func theGateCountsExactly() {
        let gate = AdaptiveGate(AdaptiveConcurrency(initialLimit: 5))
        #expect((0..<10).count { _ in gate.enter() } == 5)
        #expect(gate.current == 5)
        gate.leave()
        #expect(gate.enter())
        #expect(!gate.enter())
        for _ in 0..<5 { gate.leave() }
        #expect(gate.current == 0)
        #expect(gate.limit == 5, "what says nothing changes nothing")
    }
}
