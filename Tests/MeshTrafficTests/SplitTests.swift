import MeshCore
import MeshHTTP
import MeshModel
import MeshTraffic
import Testing

/// Pearson's statistic for counts against the shares that they should have.
func chiSquare(_ counts: [Int], _ weights: [Int]) -> Double {
    let total = Double(counts.reduce(0, +))
    let sum = Double(weights.reduce(0, +))
    return zip(counts, weights).filter { $0.1 > 0 }.reduce(0) { result, pair in
        let expected = total * Double(pair.1) / sum
        return result + (Double(pair.0) - expected) * (Double(pair.0) - expected) / expected
    }
}

@Suite struct SplitTests {
    private func split(_ shares: [(String?, Int)]) -> Split {
        Split(
            shares.map { WeightedBackend($0.0.map { .backend($0) } ?? .invalid(reason: "x"), weight: $0.1) }
        ) { ["a", "b", "c"].firstIndex(of: $0) }
    }

    @Test func weightsAreKept() {
        let weights = [70, 30, 0, 1]
        let split = split([("a", 70), ("b", 30), ("c", 0), ("b", 1)])
        var random = Random(seed: 1)
        var counts = [0, 0, 0, 0]
        for _ in 0..<50_000 {
            guard case .backend(let index, let share) = split.choose(random.next()) else {
                Issue.record("no backend")
                return
            }
            #expect(split.shares[share].backend == index)
            counts[share] += 1
        }
        #expect(counts[2] == 0)
        // Two degrees of freedom: 13.8 is exceeded once in a thousand times.
        #expect(chiSquare(counts, weights) < 13.8)
    }

    @Test func whatIsNotValidFailsItsShare() {
        let half = split([("a", 1), (nil, 1)])
        #expect(half.choose(0) == .backend(0, share: 0))
        #expect(half.choose(.max) == .notValid)
        #expect(split([(nil, 1)]).choose(5) == .notValid)
        #expect(split([("unknown", 1)]).choose(5) == .notValid)
    }

    @Test func withoutWeightThereIsNothing() {
        #expect(split([]).choose(1) == .none)
        #expect(split([("a", 0), (nil, 0)]).choose(1) == .none)
        #expect(split([("a", 0), ("b", 3)]).choose(0) == .backend(1, share: 1))
    }

    @Test func everyShareHasItsFilters() {
        let filter = Filter.requestHeaderModifier(HeaderModifier(remove: ["x"]))
        let split = Split([WeightedBackend(.backend("a")), WeightedBackend(.backend("a"), filters: [filter])]) { _ in 0
        }
        #expect(split.shares[0].filters.isEmpty && !split.shares[1].filters.isEmpty)
    }
}
