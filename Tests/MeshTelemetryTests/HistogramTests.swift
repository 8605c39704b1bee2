import MeshCore
import Testing

@testable import MeshTelemetry

@Suite struct HistogramTests {
    /// What a sorted list of all times says.
    private func exact(_ sorted: [UInt64], _ quantile: Double) -> UInt64 {
        sorted[max(1, Int((quantile * Double(sorted.count)).rounded(.up))) - 1]
    }

    private func isWithin(_ found: UInt64, _ wanted: UInt64, _ share: Double) -> Bool {
        abs(Double(found) - Double(wanted)) <= Double(wanted) * share
    }

    @Test func anyTimeIsKnownToSixPercentFromEightMicrosecondsToAnHour() {
        var random = Random(seed: 7)
        var time = 8_192.0
        while time < 3_600e9 {
            let nanoseconds = UInt64(time)
            var histogram = Histogram()
            histogram.record(nanoseconds: nanoseconds)
            let found = histogram.quantile(0.5)!
            #expect(isWithin(found, nanoseconds, 0.06), "\(nanoseconds) became \(found)")
            time *= 1 + Double(random.next() % 1000) / 10_000
        }
    }

    @Test(arguments: [0.5, 0.9, 0.99, 0.999, 1.0, 0.0])
    func quantilesAreThoseOfTheSortedTimes(quantile: Double) {
        var random = Random(seed: 11)
        var histogram = Histogram()
        var times: [UInt64] = []
        for _ in 0..<20_000 {
            // Spread over five powers of ten, as latencies are.
            let power = random.next() % 5
            let time = (10_000 + random.next() % 90_000) * [1, 10, 100, 1000, 10_000][Int(power)]
            times.append(time)
            histogram.record(nanoseconds: time)
        }
        let wanted = exact(times.sorted(), quantile)
        #expect(isWithin(histogram.quantile(quantile)!, wanted, 0.06))
    }

    @Test func mergingIsCountingInOne() {
        var random = Random(seed: 3)
        var (left, right, both) = (Histogram(), Histogram(), Histogram())
        for index in 0..<5000 {
            let time = random.next() >> (random.next() % 60)
            if index % 3 == 0 { left.record(nanoseconds: time) } else { right.record(nanoseconds: time) }
            both.record(nanoseconds: time)
        }
        var empty = Histogram()
        empty.merge(left)
        empty.merge(right)
        empty.merge(Histogram())
        #expect(empty == both)
        #expect(empty.count == 5000)
    }

    @Test func extremesNeitherTrapNorVanish() {
        var histogram = Histogram()
        histogram.record(nanoseconds: 0)
        histogram.record(nanoseconds: .max)
        #expect(histogram.count == 2)
        #expect(histogram.quantile(0)! < 1024)
        #expect(histogram.quantile(1)! > 3_600_000_000_000)
        #expect(histogram.quantile(-5) == histogram.quantile(0))
        #expect(Histogram().quantile(0.5) == nil)
        #expect(histogram.quantile(.nan) == nil)
        #expect(histogram.counts(upTo: [1_000_000, 60_000_000_000]) == [1, 1])
    }

    @Test func limitsAreOffBySixPercentAtMost() {
        for limit in PrometheusText.limits.map(\.nanoseconds) {
            var histogram = Histogram()
            histogram.record(nanoseconds: limit * 94 / 100)
            histogram.record(nanoseconds: limit * 106 / 100)
            #expect(histogram.counts(upTo: [limit]) == [1], "\(limit)")
        }
    }

    @Test func countsUpToLimitsNeverDescend() {
        var random = Random(seed: 5)
        var histogram = Histogram()
        for _ in 0..<1000 { histogram.record(nanoseconds: random.next() >> (random.next() % 64)) }
        let counts = histogram.counts(upTo: PrometheusText.limits.map(\.nanoseconds))
        #expect(counts == counts.sorted())
        #expect(counts.last! <= histogram.count)
    }
}
