import MeshCore
import MeshHTTP
import MeshModel
import Testing

@testable import MeshTraffic

@Suite struct RateLimiterTests {
    private static let second: UInt64 = 1_000_000_000
    private static let start = Instant(nanoseconds: 500 * second)

    private func at(_ milliseconds: UInt64) -> Instant {
        Self.start.advanced(byNanoseconds: milliseconds * 1_000_000)
    }

    private func refusal(
        _ limiter: RateLimiter, _ head: MessageHead = request("a", "/"), identity: String = "",
        address: (UInt64, UInt64) = (0, 1), at milliseconds: UInt64 = 0
    ) -> RateLimiter.Refusal? {
        let bytes = Array(identity.utf8)
        return limiter.refusal(
            head, RateLimiter.Client(identity: bytes.span, address: address), now: at(milliseconds))
    }

    @Test func aBurstThenThePace() {
        let limiter = RateLimiter([RequestRateLimit(requests: 10, burst: 3)], start: Self.start)
        for _ in 0..<3 { #expect(refusal(limiter) == nil) }
        #expect(refusal(limiter) == .init(limit: 3, remaining: 0, reset: 1, retryAfter: 1))
        #expect(refusal(limiter, at: 99) != nil)
        #expect(refusal(limiter, at: 100) == nil)
        #expect(refusal(limiter, at: 100) != nil)
        // Never more than the burst, however long nobody came.
        for _ in 0..<3 { #expect(refusal(limiter, at: 3_600_000) == nil) }
        #expect(refusal(limiter, at: 3_600_000) != nil)
    }

    @Test func refusalsSayWhenToComeBack() {
        let limiter = RateLimiter([RequestRateLimit(requests: 2, unit: .seconds(60))], start: Self.start)
        #expect(refusal(limiter) == nil)
        #expect(refusal(limiter) == nil)
        #expect(refusal(limiter) == .init(limit: 2, remaining: 0, reset: 60, retryAfter: 30))
        #expect(refusal(limiter, at: 29_999) == .init(limit: 2, remaining: 0, reset: 31, retryAfter: 1))
        #expect(refusal(limiter, at: 30_000) == nil)
    }

    /// Over an hour at odd rates the count is exact: neither rounding nor refusals change it.
    @Test(arguments: [1, 3, 7, 333, 1009]) func longRunRates(requests: Int) {
        let limiter = RateLimiter([RequestRateLimit(requests: requests, burst: 1)], start: Self.start)
        var allowed = 0
        let rounds = 20_000
        for step in 0..<rounds where refusal(limiter, at: UInt64(step)) == nil { allowed += 1 }
        let expected = min(Double(requests) * Double(rounds) / 1000, Double(rounds))
        // Requests come on whole milliseconds: a token that comes between two waits for the next.
        #expect(Double(allowed) <= expected + 1)
        #expect(Double(allowed) >= expected * 0.5)
        if requests < 10 { #expect(Double(allowed) >= expected * 0.99) }
    }

    @Test func highRatesAreExact() {
        let bucket = TokenBucket(TokenPace(requests: 7_000_000, nanoseconds: Self.second, burst: 1), start: Self.start)
        var allowed = 0
        for nanosecond in stride(from: 0, to: 10_000_000, by: 10) as StrideTo<UInt64>
        where bucket.take(at: Self.start.advanced(byNanoseconds: nanosecond)) == nil { allowed += 1 }
        #expect(allowed <= 70_001)
        #expect(allowed > 66_000)
    }

    @Test func identitiesHaveBucketsOfTheirOwn() {
        let limiter = RateLimiter([RequestRateLimit(key: .identity, requests: 1)], start: Self.start)
        #expect(refusal(limiter, identity: "spiffe://a") == nil)
        #expect(refusal(limiter, identity: "spiffe://b") == nil)
        #expect(refusal(limiter, identity: "spiffe://a") != nil)
        #expect(refusal(limiter) == nil)
        #expect(refusal(limiter) != nil, "those without one share a bucket")
    }

    @Test func headersByAllTheirValues() {
        let limiter = RateLimiter([RequestRateLimit(key: .header(name: "X-Key"), requests: 1)], start: Self.start)
        func head(_ values: String...) -> MessageHead { request("a", "/", values.map { ("x-key", $0) }) }
        #expect(refusal(limiter, head("a")) == nil)
        #expect(refusal(limiter, head("a")) != nil)
        #expect(refusal(limiter, head("b")) == nil)
        #expect(refusal(limiter, head("a", "b")) == nil, "not the same as one of them")
        #expect(refusal(limiter, head("ab")) == nil)
        #expect(refusal(limiter, head("a", "b")) != nil)
        #expect(refusal(limiter, head()) == nil)
        #expect(refusal(limiter, head()) != nil)
        let known = RateLimiter([RequestRateLimit(key: .header(name: "User-Agent"), requests: 1)], start: Self.start)
        #expect(refusal(known, request("a", "/", [("user-agent", "x")])) == nil)
        #expect(refusal(known, request("a", "/", [("user-agent", "y")])) == nil)
        #expect(refusal(known, request("a", "/", [("user-agent", "x")])) != nil)
    }

    @Test func addressesByHostOrNetwork() {
        let limiter = RateLimiter([RequestRateLimit(key: .address, requests: 1)], start: Self.start)
        #expect(refusal(limiter, address: (0, 0xffff_0a00_0001)) == nil)
        #expect(refusal(limiter, address: (0, 0xffff_0a00_0002)) == nil)
        #expect(refusal(limiter, address: (0, 0xffff_0a00_0001)) != nil)
        #expect(refusal(limiter, address: (0x2001_0db8 << 32, 1)) == nil)
        #expect(refusal(limiter, address: (0x2001_0db8 << 32, 2)) != nil, "a host has all of its /64")
        #expect(refusal(limiter, address: (0x2001_0db8 << 32 | 1, 1)) == nil)
    }

    @Test func allLimitsMustAllowItAndNoneIsChargedElse() {
        let limiter = RateLimiter(
            [
                RequestRateLimit(requests: 5), RequestRateLimit(key: .identity, requests: 100, burst: 5),
                RequestRateLimit(key: .identity, requests: 2),
            ], start: Self.start)
        for _ in 0..<2 { #expect(refusal(limiter, identity: "a") == nil) }
        for _ in 0..<10 { #expect(refusal(limiter, identity: "a")?.limit == 2) }
        // Three are left of the five: the ten refusals took none.
        for _ in 0..<2 { #expect(refusal(limiter, identity: "b") == nil) }
        #expect(refusal(limiter, identity: "c") == nil)
        #expect(refusal(limiter, identity: "d")?.limit == 5)
    }

    // MARK: Memory

    @Test func keysWithoutEndTakeNoMoreMemory() {
        let buckets = KeyedBuckets(
            TokenPace(requests: 1, nanoseconds: 3600 * Self.second, burst: 2), start: Self.start, capacity: 1024)
        #expect(buckets.capacity == 1024)
        var random = Random(seed: 1)
        for step in 0..<200_000 as Range<UInt64> { _ = buckets.take(random.next(), at: at(step)) }
        #expect(buckets.capacity == 1024)
    }

    /// One that spends keeps its bucket while others come and go: the fullest bucket of a group makes room.
    @Test func whoSpendsIsNotForgotten() {
        let buckets = KeyedBuckets(
            TokenPace(requests: 1, nanoseconds: 3600 * Self.second, burst: 50), start: Self.start, capacity: 128)
        var random = Random(seed: 2)
        for _ in 0..<50 { #expect(buckets.take(7, at: at(0)) == nil) }
        for _ in 0..<10_000 { _ = buckets.take(random.next(), at: at(1)) }
        #expect(buckets.take(7, at: at(2)) != nil)
    }

    @Test func bucketsThatAreFullAgainMakeRoomExactly() {
        let buckets = KeyedBuckets(
            TokenPace(requests: 1, nanoseconds: Self.second, burst: 1), start: Self.start, capacity: 128)
        // One group of eight: keys that differ above its bits only, in one shard.
        for key in 1...8 as ClosedRange<UInt64> { #expect(buckets.take(key << 32, at: at(0)) == nil) }
        for key in 1...8 as ClosedRange<UInt64> { #expect(buckets.take(key << 32, at: at(500)) != nil) }
        for key in 9...16 as ClosedRange<UInt64> { #expect(buckets.take(key << 32, at: at(1000)) == nil) }
        for key in 9...16 as ClosedRange<UInt64> { #expect(buckets.take(key << 32, at: at(1500)) != nil) }
    }

    /// Loops share the buckets: no token is given twice.
    @Test func concurrentLoopsGetExactlyTheBurst() async {
        let pace = TokenPace(requests: 1, nanoseconds: 3600 * Self.second, burst: 5000)
        let bucket = TokenBucket(pace, start: Self.start)
        let keyed = KeyedBuckets(pace, start: Self.start)
        let total = await withTaskGroup(of: (Int, Int).self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var counts = (0, 0)
                    for _ in 0..<5000 {
                        if bucket.take(at: Self.start) == nil { counts.0 += 1 }
                        if keyed.take(99, at: Self.start) == nil { counts.1 += 1 }
                    }
                    return counts
                }
            }
            return await group.reduce((0, 0)) { ($0.0 + $1.0, $0.1 + $1.1) }
        }
        #expect(total == (5000, 5000))
    }

    @Test func extremesDoNotTrap() {
        for (requests, nanoseconds, burst) in [
            (Int.max, UInt64.max, Int.max), (0, 0, 0), (-1, 1, -1), (1, .max, .max), (.max, 1, 1),
        ] as [(Int, UInt64, Int)] {
            let bucket = TokenBucket(
                TokenPace(requests: requests, nanoseconds: nanoseconds, burst: burst), start: Self.start)
            for time in [0, 1, UInt64(1) << 58] { _ = bucket.take(at: Self.start.advanced(byNanoseconds: time)) }
            bucket.giveBack()
        }
    }
}

@Suite struct FaultPlanTests {
    private func share(_ faults: [Fault], _ head: MessageHead, of rounds: Int = 20_000) throws -> Double {
        let plan = try FaultPlan(faults, name: "r")
        var random = Random(seed: 11)
        return Double((0..<rounds).count { _ in plan.choose(head, random: &random) != nil }) / Double(rounds)
    }

    @Test(arguments: [(0, 100, 0.0), (100, 100, 1.0), (30, 100, 0.3), (1, 3, 0.3333), (5, 1000, 0.005)])
    func shares(numerator: Int, denominator: Int, expected: Double) throws {
        let found = try share(
            [Fault(numerator: numerator, denominator: denominator, abort: .status(503))], request("a", "/"))
        // Four standard deviations of a binomial share.
        #expect(abs(found - expected) <= 4 * (expected * (1 - expected) / 20_000).squareRoot() + 0.0001)
    }

    @Test func onlyWithTheHeaders() throws {
        let fault = Fault(
            headers: [
                NamedMatch(name: "x-fault", value: .exact("yes")), NamedMatch(name: "x-user", value: .regex("t.*")),
            ], delay: .milliseconds(5))
        #expect(try share([fault], request("a", "/")) == 0)
        #expect(try share([fault], request("a", "/", [("X-Fault", "yes")])) == 0)
        #expect(try share([fault], request("a", "/", [("X-Fault", "no"), ("x-user", "test")])) == 0)
        #expect(try share([fault], request("a", "/", [("X-Fault", "yes"), ("x-user", "test")])) == 1)
    }

    @Test func theFirstThatFitsIsUsed() throws {
        let plan = try FaultPlan(
            [
                Fault(headers: [NamedMatch(name: "x", value: .exact("1"))], abort: .status(500)),
                Fault(delay: .milliseconds(5), abort: .grpcStatus(14)),
            ], name: "r")
        var random = Random(seed: 1)
        #expect(plan.choose(request("a", "/", [("x", "1")]), random: &random) == .init(delay: 0, abort: .status(500)))
        #expect(plan.choose(request("a", "/"), random: &random) == .init(delay: 5_000_000, abort: .grpcStatus(14)))
    }

    @Test func expressionsThatAreNotValidAreRefused() {
        let fault = Fault(headers: [NamedMatch(name: "x", value: .regex("("))])
        #expect(throws: ProxyError.self) { try FaultPlan([fault], name: "r") }
    }
}
