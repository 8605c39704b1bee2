import MeshCore
import MeshHTTP
import MeshModel
import Testing

@testable import MeshTraffic

@Suite struct BackoffBoundsTests {
    @Test func boundsDoubleUpToTheMaximum() {
        let bounds = BackoffBounds(Backoff(base: .milliseconds(25), max: .milliseconds(250)))
        let largest = (1...6).map { bounds.delay(beforeRetry: $0, random: .max) / 1_000_000 }
        #expect(largest == [25, 50, 100, 200, 250, 250])
        #expect(bounds.delay(beforeRetry: 5, random: 0) == 0)
    }

    @Test func extremesDoNotTrap() {
        let wide = BackoffBounds(Backoff(base: .seconds(Int64.max), max: .seconds(Int64.max)))
        #expect(wide.delay(beforeRetry: .max, random: 7) == 7)
        let none = BackoffBounds(Backoff(base: .zero, max: .seconds(1)))
        #expect(none.delay(beforeRetry: .max, random: .max) == 0)
        let one = BackoffBounds(Backoff(base: .nanoseconds(1), max: .seconds(1)))
        #expect(one.delay(beforeRetry: 0, random: .max) == 1)
        #expect(one.delay(beforeRetry: 64, random: .max) == 1_000_000_000)
        #expect(one.delay(beforeRetry: 1000, random: .max) == 1_000_000_000)
        #expect(one.delay(beforeRetry: .min, random: .max) == 1)
    }

    @Test func jitterIsSpreadEvenly() {
        let bounds = BackoffBounds(Backoff(base: .milliseconds(100), max: .milliseconds(100)))
        var random = Random(seed: 5)
        var buckets = [Int](repeating: 0, count: 10)
        for _ in 0..<10_000 {
            buckets[min(Int(bounds.delay(beforeRetry: 1, random: random.next()) / 10_000_000), 9)] += 1
        }
        // Chi-square with 9 degrees of freedom: 27.9 is passed once in a thousand.
        let chi = buckets.reduce(0.0) { $0 + Double(($1 - 1000) * ($1 - 1000)) / 1000 }
        #expect(chi < 27.9)
    }
}

@Suite struct PushbackTests {
    private static let now: UInt64 = 784_111_777_000_000_000  // Sun, 06 Nov 1994 08:49:37 GMT

    @Test(arguments: [
        ("0", Pushback.after(0)), ("2", .after(2_000_000_000)), ("999999999999999999", .after(.max)),
        ("Sun, 06 Nov 1994 08:49:39 GMT", .after(2_000_000_000)), ("Sun, 06 Nov 1994 08:49:37 GMT", .after(0)),
        ("Sun, 06 Nov 1994 08:49:00 GMT", .after(0)), ("-1", .none), ("", .none), ("1.5", .none), ("soon", .none),
        ("+1", .none), ("9999999999999999999", .none),
    ]) func retryAfter(value: String, expected: Pushback) {
        #expect(Pushback(response([("retry-after", value)]), wallTime: Self.now) == expected)
    }

    @Test(arguments: [
        ("0", Pushback.after(0)), ("250", .after(250_000_000)), ("-1", .never), ("x", .never), ("", .never),
        ("1.5", .never), ("99999999999999999999", .never),
    ]) func grpc(value: String, expected: Pushback) {
        let head = response([("grpc-retry-pushback-ms", value), ("Retry-After", "7")])
        #expect(Pushback(head, wallTime: Self.now) == expected)
    }

    @Test func nothingIsSaid() { #expect(Pushback(response([("x", "1")]), wallTime: Self.now) == .none) }
}

@Suite struct HTTPDateTests {
    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("Sun Nov  6 08:49:37 1994", 784_111_777), ("Wed Nov 16 08:49:37 1994", 784_975_777),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
        ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800), ("Thu, 31 Dec 2099 23:59:60 GMT", 4_102_444_800),
        ("Tuesday, 24-Nov-26 10:00:00 GMT", 1_795_514_400),
    ]) func dates(text: String, seconds: Int) { #expect(HTTPDate.seconds(Array(text.utf8).span) == seconds) }

    @Test(arguments: [
        "", ",", "Sun,", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1969 08:49:37 GMT", "Sun, 06 Nov 1994 08.49.37 GMT", "Sun, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994 GMT", "Sun Nov 66 08:49:37 1994", "Sun Nov  6 08:49:3a 1994", "0", "Sun Nov",
    ]) func notDates(text: String) { #expect(HTTPDate.seconds(Array(text.utf8).span) == nil) }

    /// A hostile endpoint writes it: nothing may trap.
    @Test func mutationsDoNotTrap() {
        var random = Random(seed: 3)
        for original in [
            "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
        ] {
            for _ in 0..<5_000 {
                var bytes = Array(original.utf8)
                for _ in 0...random.next() % 3 {
                    bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
                }
                if random.next() % 4 == 0 { bytes.removeLast(Int(random.next() % UInt64(bytes.count))) }
                let seconds = HTTPDate.seconds(bytes.span)
                #expect(seconds ?? 0 >= 0)
            }
        }
    }
}

@Suite struct RetryGateTests {
    private let shared = RetryCounter()

    private func taken(
        _ gate: inout RetryGate, percent: Int = 20, min: Int = 0, maxRetries: Int? = nil, active: Int
    ) -> Int {
        let budget = RetryBudget(percent: percent, minConcurrency: min)
        var count = 0
        while count < 10_000,
            gate.begin(budget, maxRetries: maxRetries, active: active + count, shared: shared) == nil
        { count += 1 }
        return count
    }

    @Test func aShareOfTheRequestsInFlight() {
        var gate = RetryGate()
        #expect(taken(&gate, active: 99) == 20)
        #expect(gate.inFlight == 20)
        #expect(shared.current == 20)
        for _ in 0..<20 { gate.end(shared) }
        #expect(shared.current == 0)
        #expect(taken(&gate, percent: 0, active: 99) == 0)
        #expect(taken(&gate, percent: 100, active: 9) == 10)
    }

    @Test func aFewAreAlwaysAllowed() {
        var gate = RetryGate()
        #expect(taken(&gate, min: 3, active: 0) == 3)
        var other = RetryGate()
        #expect(taken(&other, min: 3, active: 0) == 0, "over all loops, not for each")
    }

    @Test func loopsSpendTheirOwnShare() {
        var (busy, quiet) = (RetryGate(), RetryGate())
        #expect(taken(&busy, min: 3, active: 99) == 20)
        #expect(taken(&quiet, min: 3, active: 49) == 10)
        #expect(shared.current == 30)
    }

    @Test func neverMoreThanMaxRetries() {
        var (one, other) = (RetryGate(), RetryGate())
        #expect(taken(&one, percent: 100, maxRetries: 5, active: 99) == 5)
        #expect(
            other.begin(RetryBudget(percent: 100), maxRetries: 5, active: 99, shared: shared) == .limit)
        #expect(other.inFlight == 0)
        one.end(shared)
        #expect(other.begin(RetryBudget(percent: 100), maxRetries: 5, active: 99, shared: shared) == nil)
    }

    @Test func refusalsSayWhy() {
        var gate = RetryGate()
        let none = RetryBudget(percent: 0, minConcurrency: 0)
        #expect(gate.begin(none, maxRetries: nil, active: 5, shared: shared) == .budget)
        #expect(gate.begin(none, maxRetries: 0, active: 5, shared: shared) == .limit)
        #expect(shared.current == 0)
        #expect(gate.begin(RetryBudget(percent: .max), maxRetries: nil, active: .max, shared: shared) == nil)
    }
}

@Suite struct CallerTimeoutTests {
    @Test(
        arguments: [
            ("1n", 1), ("5u", 5_000), ("250m", 250_000_000), ("2S", 2_000_000_000), ("1M", 60_000_000_000),
            ("1H", 3_600_000_000_000), ("99999999H", .max), ("0S", 0),
        ] as [(String, UInt64)]) func grpc(value: String, nanoseconds: UInt64)
    {
        #expect(CallerTimeout.grpc(Array(value.utf8).span) == nanoseconds)
    }

    @Test(arguments: ["", "S", "1", "123456789S", "-1S", "1s", "1 S", "1.5S", "1SS"])
    func notGRPC(value: String) { #expect(CallerTimeout.grpc(Array(value.utf8).span) == nil) }

    @Test(
        arguments: [
            (0, "0n"), (1, "1n"), (99_999_999, "99999999n"), (100_000_000, "100000u"), (1_500_000_000, "1500000u"),
            (100_000_000_000, "100000m"), (100_000_000_000_000, "100000S"), (UInt64.max, "5124095H"),
        ] as [(UInt64, String)]) func writtenForGRPC(nanoseconds: UInt64, text: String)
    {
        let head = response([("grpc-timeout", "1S")])
        CallerTimeout.writeGRPC(nanoseconds, to: head)
        #expect(head.values("grpc-timeout") == [text])
        let read = CallerTimeout.grpc(Array(text.utf8).span) ?? .max
        #expect(read <= nanoseconds, "no hop gets more than there is")
    }

    @Test func milliseconds() {
        let head = response([("x-martlet-timeout-ms", "7"), ("X-Martlet-Timeout-Ms", "8")])
        CallerTimeout.writeMilliseconds(1_999_999, to: head)
        #expect(head.values("x-martlet-timeout-ms") == ["1"])
        CallerTimeout.writeMilliseconds(120_000_000_000, to: head)
        #expect(head.values("x-martlet-timeout-ms") == ["120000"])
        #expect(CallerTimeout.milliseconds(Array("120000".utf8).span) == 120_000_000_000)
        #expect(CallerTimeout.milliseconds(Array("-1".utf8).span) == nil)
        #expect(CallerTimeout.milliseconds(Array("999999999999999999".utf8).span) == .max)
    }
}
