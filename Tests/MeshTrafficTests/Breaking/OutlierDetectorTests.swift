import MeshCore
import MeshModel
import Testing

@testable import MeshTraffic

private func at(_ seconds: Int) -> Instant { Instant(nanoseconds: UInt64(seconds) * 1_000_000_000) }

@Suite struct OutcomeTallyTests {
    private let every = OutlierDetection(
        consecutive5xx: 5, consecutiveGatewayErrors: 3, consecutiveConnectFailures: 2)

    private func causes(_ outcomes: [AttemptOutcome], _ settings: OutlierDetection) -> [EjectionCause?] {
        let tally = OutcomeTally()
        return outcomes.map { tally.note($0, settings) }
    }

    @Test func aRunReachesItsThreshold() {
        let errors = Array(repeating: AttemptOutcome.serverError, count: 10)
        #expect(causes(errors, every) == [nil, nil, nil, nil, .consecutive5xx, nil, nil, nil, nil, .consecutive5xx])
        #expect(
            causes([.gatewayError, .timeout, .gatewayError], every) == [nil, nil, .consecutiveGatewayErrors])
        #expect(causes([.connectFailure, .connectFailure], every) == [nil, .consecutiveConnectFailures])
    }

    @Test func successEndsARun() {
        let errors = Array(repeating: AttemptOutcome.serverError, count: 4)
        #expect(causes(errors + [.success] + errors, every).allSatisfy { $0 == nil })
        // What says nothing does not end it.
        #expect(causes(errors + [.none, .serverError], every).last == .consecutive5xx)
    }

    @Test func runsAreApart() {
        // A 500 is no gateway error, an answer no connect failure.
        #expect(causes([.gatewayError, .gatewayError, .serverError, .gatewayError], every).last == .some(nil))
        #expect(causes([.connectFailure, .reset, .connectFailure], every).last == .some(nil))
        let none = OutlierDetection(consecutive5xx: nil, consecutiveConnectFailures: nil)
        #expect(causes(Array(repeating: .connectFailure, count: 20), none).allSatisfy { $0 == nil })
    }

    @Test func whatAStatusSays() {
        #expect(AttemptOutcome(status: 200) == .success)
        #expect(AttemptOutcome(status: 404) == .success)
        #expect(AttemptOutcome(status: 500) == .serverError)
        #expect(AttemptOutcome(status: 503) == .gatewayError)
        #expect(AttemptOutcome(status: 0) == .none)
        for code in 0...16 {
            let expected: AttemptOutcome =
                [4, 14].contains(code) ? .gatewayError : [2, 13, 15].contains(code) ? .serverError : .success
            #expect(AttemptOutcome(status: 200, grpcStatus: code) == expected, "\(code)")
        }
    }
}

@Suite struct OutlierDetectorTests {
    private func detector(_ count: Int, _ settings: OutlierDetection = OutlierDetection()) -> OutlierDetector {
        var made = OutlierDetector(settings)
        for id in 0..<count { made.add(id, OutcomeTally()) }
        return made
    }

    @Test func ejectionsTakeLongerEachTime() {
        var detector = detector(2)
        var now = at(100)
        var times: [Int] = []
        for _ in 0..<6 {
            #expect(detector.state(of: 0) == .available || detector.state(of: 0) == .probing)
            if detector.state(of: 0) == .available { expect(detector.eject(0, .consecutive5xx, now: now)) }
            let next = detector.nextReopening
            times.append(Int(next.nanoseconds(since: now) / 1_000_000_000))
            expect(!detector.reopen(now: Instant(nanoseconds: next.nanoseconds - 1)))
            expect(detector.reopen(now: next))
            now = next
            expect(detector.claimProbe() == 0)
            expect(!detector.probeEnded(0, .gatewayError, now: now))
            #expect(detector.cause(of: 0) == .probeFailed)
            now = detector.nextReopening
            expect(detector.reopen(now: now))
            expect(detector.claimProbe() == 0)
            expect(detector.probeEnded(0, .success, now: now))
        }
        #expect(times == [30, 120, 300, 300, 300, 300], "30 × 2ⁿ, at most 300; every second one is the probe's")
    }

    @Test func exactlyOneRequestProbes() {
        var detector = detector(3)
        expect(detector.eject(1, .consecutive5xx, now: at(0)))
        expect(detector.claimProbe() == nil)
        expect(detector.reopen(now: at(30)))
        #expect(!detector.isAvailable(1))
        #expect(detector.halfOpenCount == 1)
        expect(detector.claimProbe() == 1)
        expect(detector.claimProbe() == nil)
        expect(!detector.reopen(now: at(1000)))
        // The client went away: the next request is the probe.
        expect(!detector.probeEnded(1, .none, now: at(31)))
        expect(detector.claimProbe() == 1)
        expect(detector.probeEnded(1, .success, now: at(32)))
        #expect(detector.isAvailable(1))
        #expect((detector.ejectedCount, detector.halfOpenCount) == (0, 0))
        // Only the request that was told so is a probe.
        expect(!detector.probeEnded(1, .serverError, now: at(33)))
        #expect(detector.isAvailable(1))
    }

    @Test(arguments: [(1, 50, 0), (1, 100, 1), (2, 10, 1), (3, 50, 1), (4, 50, 2), (10, 30, 3), (2, 0, 1), (4, 100, 4)])
    func soManyMayBeOut(_ endpoints: Int, _ percent: Int, _ expected: Int) {
        var detector = detector(endpoints, OutlierDetection(maxEjectionPercent: percent))
        let ejected = (0..<endpoints).count { detector.eject($0, .consecutive5xx, now: at(1)) }
        #expect(ejected == expected)
        #expect(detector.ejectedCount == expected)
        // One that is out already cannot be ejected again.
        if expected > 0 { expect(!detector.eject(0, .consecutive5xx, now: at(2))) }
    }

    @Test func anEndpointThatLeavesMakesRoom() {
        var detector = detector(3)
        expect(detector.eject(0, .consecutive5xx, now: at(0)))
        expect(!detector.eject(1, .consecutive5xx, now: at(0)))
        detector.remove(0)
        #expect(detector.ejectedCount == 0)
        expect(detector.eject(1, .consecutive5xx, now: at(0)))
        _ = detector.reopen(now: at(30))
        detector.remove(1)
        #expect((detector.ejectedCount, detector.halfOpenCount) == (0, 0))
        expect(detector.claimProbe() == nil)
        expect(!detector.probeEnded(1, .success, now: at(31)))
    }

    @Test func theMemoryOfEjectionsFades() {
        var detector = detector(2)
        var now = at(0)
        for _ in 0..<3 {
            if detector.isAvailable(0) { _ = detector.eject(0, .consecutive5xx, now: now) }
            now = detector.nextReopening
            _ = detector.reopen(now: now)
            _ = detector.claimProbe()
            _ = detector.probeEnded(0, .serverError, now: now)
        }
        now = detector.nextReopening
        _ = detector.reopen(now: now)
        _ = detector.claimProbe()
        expect(detector.probeEnded(0, .success, now: now))
        // Four ejections: each 30 s of health forgets one.
        _ = detector.sweep(now: now.advanced(byNanoseconds: 65_000_000_000))
        now = now.advanced(byNanoseconds: 65_000_000_000)
        expect(detector.eject(0, .consecutive5xx, now: now))
        #expect(detector.nextReopening.nanoseconds(since: now) == 120_000_000_000)
    }

    private func rates(_ settings: OutlierDetection, _ counts: [(Int, Int)]) -> [(id: Int, cause: EjectionCause)] {
        var detector = OutlierDetector(settings)
        for (id, count) in counts.enumerated() {
            let tally = OutcomeTally()
            detector.add(id, tally)
            for _ in 0..<count.0 { _ = tally.note(.success, settings) }
            for _ in 0..<count.1 { _ = tally.note(.serverError, settings) }
        }
        return detector.sweep(now: at(10))
    }

    @Test func outliersByDeviation() {
        let settings = OutlierDetection(consecutive5xx: nil, successRate: SuccessRateDetection())
        let good = (200, 0)
        let found = rates(settings, [good, good, (100, 100), good, good])
        #expect(found.map(\.id) == [2])
        #expect(found.map(\.cause) == [.successRate])
        // All alike, all bad: nobody is an outlier.
        #expect(rates(settings, Array(repeating: (100, 100), count: 6)).isEmpty)
        // Too few endpoints with enough requests.
        #expect(rates(settings, [good, good, (50, 49), good, good]).isEmpty)
        #expect(rates(settings, [good, (100, 100), good, good]).isEmpty)
    }

    @Test func outliersByPercentage() {
        let settings = OutlierDetection(
            consecutive5xx: nil, failurePercentage: FailurePercentageDetection(threshold: 50), maxEjectionPercent: 40)
        let found = rates(settings, [(100, 0), (40, 60), (10, 90), (51, 49), (0, 100)])
        #expect(found.map(\.id) == [4, 2], "the worst first, as many as may be")
        #expect(rates(settings, [(10, 39), (100, 0)]).isEmpty, "too few requests")
        #expect(rates(settings, [(49, 51), (100, 0)]).map(\.cause) == [.failurePercentage])
    }

    @Test func eachSweepCountsAnew() {
        let settings = OutlierDetection(consecutive5xx: nil, failurePercentage: FailurePercentageDetection())
        var detector = OutlierDetector(settings)
        let tally = OutcomeTally()
        detector.add(0, tally)
        detector.add(1, OutcomeTally())
        for _ in 0..<49 { _ = tally.note(.serverError, settings) }
        expect(detector.sweep(now: at(10)).isEmpty)
        for _ in 0..<49 { _ = tally.note(.serverError, settings) }
        expect(detector.sweep(now: at(20)).isEmpty)
        for _ in 0..<50 { _ = tally.note(.serverError, settings) }
        expect(detector.sweep(now: at(30)).map(\.id) == [0])
    }

    /// An endpoint that is well for 7 s of each 10: what clients see of it, with one probe instead of its share.
    @Test func aFlappingEndpointCostsLittle() {
        let settings = OutlierDetection(baseEjectionTime: .seconds(5), maxEjectionTime: .seconds(60))
        var detector = OutlierDetector(settings)
        let tallies = (0..<4).map { _ in OutcomeTally() }
        for (id, tally) in tallies.enumerated() { detector.add(id, tally) }
        var random = Random(seed: 5)
        var failed = 0
        var unprotected = 0
        let requests = 120_000
        for number in 0..<requests {
            let now = Instant(nanoseconds: UInt64(number) * 10_000_000)
            let isBroken = number % 1000 >= 700
            unprotected += isBroken && random.next() % 4 == 0 ? 1 : 0
            if number % 1000 == 0 { _ = detector.sweep(now: now) }
            if now >= detector.nextReopening { _ = detector.reopen(now: now) }
            let probe = detector.claimProbe()
            let open = (0..<4).filter { detector.isAvailable($0) }
            let id = probe ?? open[Int(random.next() % UInt64(open.count))]
            let outcome: AttemptOutcome = id == 3 && isBroken ? .serverError : .success
            if outcome.isFailure { failed += 1 }
            if probe != nil { _ = detector.probeEnded(id, outcome, now: now) }
            if let cause = tallies[id].note(outcome, settings) { _ = detector.eject(id, cause, now: now) }
            #expect((0..<3).allSatisfy { detector.isAvailable($0) })
        }
        #expect(unprotected > 8000)
        #expect(failed < unprotected / 10, "\(failed) of \(unprotected) failures are seen")
    }
}
