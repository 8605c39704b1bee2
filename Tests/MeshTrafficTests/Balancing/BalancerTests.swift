import MeshCore
import MeshModel
import MeshTraffic
import Testing

let start = Instant(nanoseconds: 1_000_000_000)

extension Instant {
    func after(_ seconds: Double) -> Instant { advanced(byNanoseconds: UInt64(seconds * 1e9)) }
}

/// Endpoints of these weights; their identities are made of their numbers.
func balanced(_ weights: [Int]) -> [BalancedEndpoint] {
    weights.enumerated().map { BalancedEndpoint(identity: Hashing.mix(UInt64($0.offset)), weight: $0.element) }
}

func balancer(_ settings: LoadBalancer, _ endpoints: [BalancedEndpoint], zone: String? = nil) -> Balancer {
    let made = Balancer(backend: "ns/Service/a:80")
    made.update(settings, zone: zone, endpoints: endpoints, random: 0, now: start)
    return made
}

func balancer(_ algorithm: LoadBalancer.Algorithm, _ weights: [Int]) -> Balancer {
    balancer(LoadBalancer(algorithm: algorithm), balanced(weights))
}

extension Balancer {
    /// How often each endpoint is picked at rest, with random keys.
    func counts(
        _ picks: Int = 60_000, seed: UInt64 = 11, at now: Instant = start,
        avoiding tried: TriedEndpoints = TriedEndpoints()
    ) -> [Int] {
        var random = Random(seed: seed)
        var counts = Array(repeating: 0, count: count)
        for _ in 0..<picks {
            let key = random.next()
            if let index = pick(random: random.next(), now: now, key: key, avoiding: tried) { counts[index] += 1 }
        }
        return counts
    }

    func picks(_ count: Int, avoiding tried: TriedEndpoints = TriedEndpoints()) -> [Int] {
        (0..<count).compactMap { pick(random: UInt64($0), now: start, avoiding: tried) }
    }

    /// Begins so many requests at endpoint `index`.
    func load(_ index: Int, _ requests: Int) { for _ in 0..<requests { begin(index) } }
}

let everyAlgorithm: [LoadBalancer.Algorithm] = [
    .roundRobin, .leastRequest, .peakEWMA(PeakEWMASettings()), .random, .ringHash(size: 1024),
    .maglev(tableSize: 65_537),
]

@Suite struct EveryBalancerTests {
    /// Four degrees of freedom at most: 18.5 is exceeded once in a thousand times.
    @Test(arguments: [[1, 1, 1, 1, 1], [3, 1], [10, 0, 5, 1], [1, 100_000]])
    func anIdleBackendIsSharedByWeight(weights: [Int]) {
        for algorithm in everyAlgorithm {
            let counts = balancer(algorithm, weights).counts()
            #expect(counts.reduce(0, +) == 60_000)
            if case .ringHash = algorithm { continue }
            #expect(chiSquare(counts, weights) < 18.5, "\(algorithm) \(counts)")
            for (count, weight) in zip(counts, weights) where weight == 0 { #expect(count == 0) }
        }
    }

    /// A ring shares roughly: with 1024 points to a few tenths.
    @Test func aRingSharesRoughlyByWeight() {
        let counts = balancer(.ringHash(size: 4096), [3, 1, 0, 4]).counts()
        for (count, share) in zip(counts, [0.375, 0.125, 0, 0.5]) {
            #expect(abs(Double(count) / 60_000 - share) <= share / 5, "\(counts)")
        }
    }

    @Test func nothingIsPickedWhereThereIsNothing() {
        for algorithm in everyAlgorithm {
            #expect(balancer(algorithm, []).pick(random: 1, now: start) == nil)
            #expect(balancer(algorithm, [0, -1]).pick(random: 1, now: start, key: 5) == nil)
            #expect(balancer(algorithm, [0, 4]).counts(10) == [0, 10])
        }
    }

    @Test func whatWasTriedIsPassedOver() {
        for algorithm in everyAlgorithm {
            let balancer = balancer(algorithm, [1, 1, 5, 1])
            let counts = balancer.counts(3000, avoiding: TriedEndpoints(2))
            #expect(counts[2] == 0 && counts.reduce(0, +) == 3000 && counts.filter { $0 > 300 }.count == 3)
            var all = TriedEndpoints()
            for index in 0..<4 { all.insert(index) }
            #expect(balancer.counts(1000, avoiding: all).reduce(0, +) == 1000, "if all were tried, any is as good")
            let one = self.one(algorithm)
            #expect(one.counts(5, avoiding: TriedEndpoints(0)) == [5])
        }
    }

    private func one(_ algorithm: LoadBalancer.Algorithm) -> Balancer { balancer(algorithm, [1]) }

    @Test func whoIsUnwellOrFullIsPassedOver() {
        for algorithm in everyAlgorithm {
            let balancer = balancer(algorithm, [1, 1, 1, 1])
            for cause in [Unavailability.health, .ejection, .limit] {
                balancer.setAvailable(false, of: 1, cause, now: start)
                let counts = balancer.counts(3000)
                #expect(counts[1] == 0 && counts.filter { $0 > 500 }.count == 3, "\(algorithm) \(counts)")
                #expect(!balancer.canPick(1) && !balancer.isAvailable(1))
                balancer.setAvailable(true, of: 1, cause, now: start)
                #expect(balancer.counts(3000)[1] > 300 && balancer.canPick(1))
            }
        }
    }

    @Test func everyCauseMustBeGone() {
        let balancer = balancer(.leastRequest, [1, 1])
        balancer.setAvailable(false, of: 0, .health, now: start)
        balancer.setAvailable(false, of: 0, .ejection, now: start)
        balancer.setAvailable(true, of: 0, .health, now: start)
        #expect(balancer.counts(10) == [0, 10] && balancer.availableCount == 1)
        balancer.setAvailable(true, of: 0, .ejection, now: start)
        #expect(balancer.counts(1000)[0] > 400)
        balancer.setAvailable(false, of: 7, .health, now: start)
    }

    @Test func allFullMeansNone() {
        for algorithm in everyAlgorithm {
            let balancer = balancer(algorithm, [1, 1])
            for index in 0..<2 { balancer.setAvailable(false, of: index, .limit, now: start) }
            #expect(balancer.counts(10) == [0, 0])
            #expect(balancer.availableCount == 2 && !balancer.isPanicking)
        }
    }

    @Test func inPanicAllGetRequests() {
        for algorithm in everyAlgorithm {
            let balancer = balancer(algorithm, Array(repeating: 1, count: 10))
            for index in 0..<5 { balancer.setAvailable(false, of: index, .health, now: start) }
            #expect(!balancer.isPanicking && balancer.counts(1000)[0] == 0)
            balancer.setAvailable(false, of: 5, .ejection, now: start)
            #expect(balancer.isPanicking && balancer.counts(5000).allSatisfy { $0 > 200 })
            // Limits hold in panic too.
            balancer.setAvailable(false, of: 3, .limit, now: start)
            #expect(balancer.counts(1000)[3] == 0)
            for index in 6..<10 { balancer.setAvailable(false, of: index, .health, now: start) }
            #expect(balancer.isPanicking && balancer.counts(1000)[9] > 0)
        }
    }

    @Test func withoutAThresholdThereIsNoPanic() {
        let settings = LoadBalancer(panicThreshold: 0)
        let balancer = balancer(settings, balanced([1, 1]))
        balancer.setAvailable(false, of: 0, .health, now: start)
        #expect(balancer.counts(10) == [0, 10])
        balancer.setAvailable(false, of: 1, .health, now: start)
        #expect(balancer.counts(10) == [0, 0] && !balancer.isPanicking)
    }

    @Test func backupsStandInOnlyWhenNobodyElseCan() {
        for algorithm in everyAlgorithm {
            var endpoints = balanced([1, 1, 1, 1])
            endpoints[2].isBackup = true
            endpoints[3].isBackup = true
            let balancer = balancer(LoadBalancer(algorithm: algorithm, panicThreshold: 0), endpoints)
            #expect(balancer.counts(1000)[2...].allSatisfy { $0 == 0 })
            balancer.setAvailable(false, of: 0, .health, now: start)
            #expect(balancer.counts(1000) == [0, 1000, 0, 0])
            balancer.setAvailable(false, of: 1, .ejection, now: start)
            #expect(balancer.counts(1000)[2...].allSatisfy { $0 > 300 })
            #expect(!balancer.canPick(0) && balancer.canPick(2))
            balancer.setAvailable(true, of: 1, .ejection, now: start)
            #expect(balancer.counts(1000) == [0, 1000, 0, 0] && !balancer.canPick(2))
        }
        var lone = balanced([1])
        lone[0].isBackup = true
        #expect(balancer(LoadBalancer(), lone).counts(5) == [5])
    }

    /// With nobody well at all, panic falls on those that are meant for it.
    @Test func panicDoesNotFallOnBackups() {
        var endpoints = balanced([1, 1, 1])
        endpoints[2].isBackup = true
        let balancer = balancer(LoadBalancer(), endpoints)
        for index in 0..<3 { balancer.setAvailable(false, of: index, .health, now: start) }
        let counts = balancer.counts(1000)
        #expect(counts[2] == 0 && counts[0] > 300 && counts[1] > 300)
    }

    @Test func whatIsKnownStaysWithTheEndpoint() {
        let settings = LoadBalancer(algorithm: .leastRequest)
        let balancer = balancer(settings, balanced([1, 1, 1]))
        balancer.load(0, 4)
        balancer.setAvailable(false, of: 2, .ejection, now: start)
        let moved = [balanced([1, 1, 1])[2], BalancedEndpoint(identity: 99), balanced([1])[0]]
        balancer.update(settings, zone: nil, endpoints: moved, random: 1, now: start)
        #expect((0..<3).map { balancer.activeCount(at: $0) } == [0, 0, 4])
        #expect(!balancer.isAvailable(0) && balancer.isAvailable(1))
        #expect(balancer.counts(100) == [0, 100, 0])
        balancer.end(2)
        #expect(balancer.activeCount(at: 2) == 3)
        // Of endpoints that are gone, and of none, nothing is counted.
        balancer.begin(-1)
        balancer.end(17)
        #expect(balancer.index(of: 99) == 1 && balancer.index(of: 98) == nil && balancer.identity(at: 1) == 99)
        #expect(balancer.identity(at: 3) == nil && balancer.identity(at: -1) == nil)
    }
}

@Suite struct RoundRobinTests {
    @Test func equalWeightsTakeTurns() {
        #expect(balancer(.roundRobin, [1, 1, 1]).picks(7) == [0, 1, 2, 0, 1, 2, 0])
        #expect(balancer(.roundRobin, [9]).picks(2) == [0, 0])
    }

    @Test func loopsBeginAnywhere() {
        for weights in [[1, 1, 1, 1], [4, 1, 1]] {
            let firsts = (UInt64(0)..<8).map { random in
                let made = Balancer(backend: "a")
                made.update(
                    LoadBalancer(algorithm: .roundRobin), zone: nil, endpoints: balanced(weights), random: random,
                    now: start)
                return made.picks(1)[0]
            }
            #expect(Set(firsts).count > 1)
        }
    }

    @Test func weightsAreKeptSmoothly() {
        #expect(balancer(.roundRobin, [5, 1, 1]).picks(7) == [0, 0, 1, 0, 2, 0, 0])
        let many = balancer(.roundRobin, [7, 0, 2, 1]).picks(1000)
        #expect([0, 1, 2, 3].map { number in many.count { $0 == number } } == [700, 0, 200, 100])
    }

    @Test func weightsCanChange() {
        let made = balancer(.roundRobin, [1_000_000, 999_999])
        _ = made.picks(3)
        made.update(
            LoadBalancer(algorithm: .roundRobin), zone: nil, endpoints: balanced([1, 2]), random: 0, now: start)
        // What was left over from the large weights is worth a few turns at most.
        let picks = made.picks(30)
        #expect(abs(picks.count { $0 == 0 } - 10) <= 2, "\(picks)")
    }
}

@Suite struct TwoChoicesTests {
    private func counts(_ weights: [Int], active: [Int], _ picks: Int = 60_000) -> [Int] {
        let balancer = balancer(.leastRequest, weights)
        for (index, requests) in active.enumerated() { balancer.load(index, requests) }
        return balancer.counts(picks)
    }

    @Test func ofTwoTheLessLoadedForItsWeightWins() {
        #expect(counts([1, 1], active: [3, 2], 100) == [0, 100])
        #expect(counts([2, 1], active: [3, 2], 100) == [100, 0])
        #expect(counts([2, 1], active: [5, 2], 100) == [0, 100])
        // One of three is the most loaded of every pair that it is in, and never wins.
        let three = counts([1, 1, 1], active: [9, 0, 0])
        #expect(three[0] == 0 && abs(three[1] - three[2]) < 1500)
    }

    /// Of n endpoints in order of load, number k wins the pairs with those behind it: 2 (n - k) / (n (n - 1)).
    @Test func everyPairIsDrawnEquallyOften() {
        let counts = counts([1, 1, 1, 1, 1], active: [4, 3, 2, 1, 0])
        #expect(counts[0] == 0)
        #expect(chiSquare(counts, [0, 1, 2, 3, 4]) < 16.3)
    }

    /// Three requests at a time per endpoint on average; two choices keep the largest near it.
    @Test func loadIsSpreadEvenly() {
        let balancer = balancer(.leastRequest, Array(repeating: 1, count: 50))
        var random = Random(seed: 2)
        for _ in 0..<150 {
            if let index = balancer.pick(random: random.next(), now: start) { balancer.begin(index) }
        }
        let active = (0..<50).map { balancer.activeCount(at: $0) }
        #expect(active.reduce(0, +) == 150 && active.max()! <= 5)
    }
}

@Suite struct PeakEWMATests {
    private let milli: UInt64 = 1_000_000

    private func pair() -> Balancer { balancer(.peakEWMA(PeakEWMASettings()), [1, 1]) }

    @Test func theQuickerIsChosen() {
        let balancer = pair()
        balancer.observe(0, latency: 200 * milli, failed: false, now: start)
        balancer.observe(1, latency: 40 * milli, failed: false, now: start)
        #expect(balancer.counts(100) == [0, 100])
        // Four in flight: 40 × 5 is not less than 200 × 1.
        balancer.load(1, 4)
        #expect(balancer.counts(1000)[0] > 300)
        balancer.load(1, 1)
        #expect(balancer.counts(100) == [100, 0])
    }

    @Test func aPeakCountsAtOnceAndIsForgottenSlowly() {
        let balancer = pair()
        balancer.load(0, 1)
        balancer.load(1, 1)
        balancer.observe(1, latency: 100 * milli, failed: false, now: start)
        balancer.observe(0, latency: 500 * milli, failed: false, now: start)
        #expect(balancer.counts(100) == [0, 100])
        // After one decay time at 10 ms: 500/e + 10 (1 - 1/e) is 190 ms.
        balancer.observe(0, latency: 10 * milli, failed: false, now: start.after(10))
        #expect(balancer.counts(100, at: start.after(10)) == [0, 100])
        balancer.observe(0, latency: 10 * milli, failed: false, now: start.after(20))
        #expect(balancer.counts(100, at: start.after(20)) == [100, 0], "76 ms")
    }

    @Test func aFastFailureIsNotFast() {
        let balancer = pair()
        balancer.observe(0, latency: 1 * milli, failed: true, now: start)
        balancer.observe(1, latency: 900 * milli, failed: false, now: start)
        #expect(balancer.counts(100) == [0, 100])
    }

    /// Idle, it is tried again some time; with requests that nobody answers it is not.
    @Test func onlyTheIdleAreForgiven() {
        let balancer = pair()
        balancer.observe(0, latency: 2000 * milli, failed: false, now: start)
        balancer.load(1, 1)
        balancer.observe(1, latency: 40 * milli, failed: false, now: start)
        #expect(balancer.counts(100, at: start.after(10)) == [0, 100])
        #expect(balancer.counts(100, at: start.after(60)) == [100, 0])
        balancer.load(0, 1)
        #expect(balancer.counts(100, at: start.after(60)) == [0, 100])
    }

    @Test func othersRememberNothing() {
        let balancer = balancer(.leastRequest, [1, 1])
        balancer.observe(0, latency: 5000 * milli, failed: true, now: start)
        #expect(balancer.counts(1000)[0] > 400)
    }
}

@Suite struct TriedEndpointsTests {
    @Test func theLastFourAreKnown() {
        var tried = TriedEndpoints(-1)
        #expect(tried.isEmpty && !tried.contains(-1))
        for index in [3, 3, 0, 9, 70_000] { tried.insert(index) }
        #expect([3, 0, 9, 70_000].allSatisfy { tried.contains($0) } && !tried.contains(1))
        tried.insert(5)
        #expect(tried.contains(5) && !tried.contains(3) && tried.contains(0))
    }
}
