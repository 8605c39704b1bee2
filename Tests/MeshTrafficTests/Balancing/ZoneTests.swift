import MeshCore
import MeshModel
import MeshTraffic
import Testing

@Suite struct ZonePreferenceTests {
    private func zoned(_ home: Int, _ away: Int) -> [BalancedEndpoint] {
        balanced(Array(repeating: 1, count: home + away)).enumerated().map { number, endpoint in
            var endpoint = endpoint
            endpoint.zone = number < home ? "a" : number % 2 == 0 ? "b" : nil
            return endpoint
        }
    }

    private func share(_ counts: [Int], _ home: Int) -> Double {
        Double(counts[..<home].reduce(0, +)) / Double(counts.reduce(0, +))
    }

    /// Of ten at home so many are well; 70 % are enough. Away there are twenty, so that there is no panic.
    @Test(arguments: [(10, 1.0), (7, 1.0), (6, 6.0 / 7), (4, 4.0 / 7), (1, 1.0 / 7), (0, 0.0)])
    func requestsSpillOverInProportion(well: Int, expected: Double) {
        for algorithm in everyAlgorithm {
            let settings = LoadBalancer(algorithm: algorithm, zonePreference: ZonePreference())
            let balancer = balancer(settings, zoned(10, 20), zone: "a")
            for index in well..<10 { balancer.setAvailable(false, of: index, .health, now: start) }
            #expect(!balancer.isPanicking)
            let counts = balancer.counts(20_000)
            #expect(abs(share(counts, 10) - expected) < 0.015, "\(algorithm) \(well)")
            #expect(counts[well..<10].allSatisfy { $0 == 0 })
            if expected < 0.9 { #expect(counts[10...].allSatisfy { $0 > 0 }) }
        }
    }

    @Test func whereTheProxyStandsMustBeKnown() {
        let settings = LoadBalancer(zonePreference: ZonePreference())
        #expect(abs(share(balancer(settings, zoned(2, 6)).counts(8000), 2) - 0.25) < 0.03)
        #expect(abs(share(balancer(LoadBalancer(), zoned(2, 6), zone: "a").counts(8000), 2) - 0.25) < 0.03)
        // Nobody is here: all are as good.
        #expect(abs(share(balancer(settings, zoned(2, 6), zone: "x").counts(8000), 2) - 0.25) < 0.03)
    }

    /// In panic those that are well in other zones are not forgotten for a zone that is dead.
    @Test func panicDoesNotStayInADeadZone() {
        let balancer = balancer(LoadBalancer(zonePreference: ZonePreference()), zoned(6, 5), zone: "a")
        for index in 0..<6 { balancer.setAvailable(false, of: index, .health, now: start) }
        #expect(balancer.isPanicking)
        #expect(share(balancer.counts(1000), 6) == 0)
        for index in 6..<11 { balancer.setAvailable(false, of: index, .health, now: start) }
        #expect(balancer.counts(4000).allSatisfy { $0 > 200 }, "nobody is well: all alike")
    }

    /// The whole zone is full, or was tried: others are better than none.
    @Test func aFullZoneOverflows() {
        for algorithm in everyAlgorithm {
            let settings = LoadBalancer(algorithm: algorithm, zonePreference: ZonePreference())
            let balancer = balancer(settings, zoned(2, 2), zone: "a")
            balancer.setAvailable(false, of: 0, .limit, now: start)
            #expect(balancer.counts(100) == [0, 100, 0, 0])
            #expect(balancer.counts(100, avoiding: TriedEndpoints(1))[2...].reduce(0, +) == 100)
            balancer.setAvailable(false, of: 1, .limit, now: start)
            #expect(balancer.counts(100)[2...].reduce(0, +) == 100)
        }
    }

    @Test func aKeyStaysInItsZone() {
        let settings = LoadBalancer(algorithm: .maglev(tableSize: 1021), zonePreference: ZonePreference())
        let balancer = balancer(settings, zoned(4, 8), zone: "a")
        for index in 2..<4 { balancer.setAvailable(false, of: index, .health, now: start) }
        for key in 0..<200 {
            let picks = (0..<5).map {
                balancer.pick(random: UInt64($0) << 60, now: start, key: Hashing.mix(UInt64(key)))
            }
            #expect(Set(picks).count == 1)
        }
    }
}

@Suite struct SlowStartTests {
    private let settings = LoadBalancer(
        algorithm: .leastRequest, slowStart: SlowStart(window: .seconds(60), minimumPercent: 10))

    /// Old endpoints and a new one, which has joined at `start.after(100)`.
    private func joined(_ algorithm: LoadBalancer.Algorithm) -> Balancer {
        var settings = settings
        settings.algorithm = algorithm
        let made = balancer(settings, balanced([1, 1, 1]))
        made.update(settings, zone: nil, endpoints: balanced([1, 1, 1, 1]), random: 0, now: start.after(100))
        return made
    }

    @Test(arguments: [LoadBalancer.Algorithm.leastRequest, .random, .roundRobin])
    func theShareGrows(algorithm: LoadBalancer.Algorithm) {
        for (seconds, percent) in [(0, 10), (3, 10), (30, 50), (45, 75), (60, 100), (600, 100)] {
            let made = joined(algorithm)
            let counts = made.counts(40_000, at: start.after(100 + Double(seconds)))
            #expect(chiSquare(counts, [100, 100, 100, percent]) < 16.3, "\(seconds) s: \(counts)")
        }
    }

    @Test func whoIsWellAgainStartsSlowly() {
        let made = balancer(settings, balanced([1, 1, 1, 1]))
        let later = start.after(1000)
        made.setAvailable(false, of: 2, .ejection, now: later)
        made.setAvailable(true, of: 2, .ejection, now: later.after(30))
        #expect(chiSquare(made.counts(40_000, at: later.after(60)), [100, 100, 50, 100]) < 16.3)
        #expect(chiSquare(made.counts(40_000, at: later.after(91)), [1, 1, 1, 1]) < 16.3)
    }

    /// At the start of the proxy all are new, and alike.
    @Test func allNewIsAllEqual() {
        let made = balancer(settings, balanced([2, 1]))
        #expect(chiSquare(made.counts(at: start), [2, 1]) < 10.9)
    }

    @Test func theAgeOfWhoStaysIsKept() {
        let made = joined(.leastRequest)
        made.update(settings, zone: nil, endpoints: balanced([1, 1, 1, 1]), random: 5, now: start.after(130))
        #expect(chiSquare(made.counts(40_000, at: start.after(130)), [100, 100, 100, 50]) < 16.3)
    }
}
