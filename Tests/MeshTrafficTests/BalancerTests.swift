import MeshCore
import MeshTraffic
import Testing

@Suite struct RoundRobinTests {
    private func picks(_ robin: RoundRobin, _ count: Int) -> [Int] {
        var robin = robin
        return (0..<count).compactMap { _ in robin.pick() }
    }

    @Test func equalWeightsTakeTurns() {
        #expect(picks(RoundRobin(weights: [1, 1, 1]), 7) == [0, 1, 2, 0, 1, 2, 0])
        #expect(picks(RoundRobin(weights: [5, 5, 5], start: 4), 4) == [1, 2, 0, 1])
        #expect(picks(RoundRobin(weights: [9]), 2) == [0, 0])
    }

    @Test func weightsAreKeptSmoothly() {
        #expect(picks(RoundRobin(weights: [5, 1, 1]), 7) == [0, 0, 1, 0, 2, 0, 0])
        let many = picks(RoundRobin(weights: [7, 0, 2, 1], start: 3), 1000)
        #expect([0, 1, 2, 3].map { number in many.count { $0 == number } } == [700, 0, 200, 100])
    }

    @Test func nothingIsPickedWithoutWeight() {
        #expect(picks(RoundRobin(weights: []), 3) == [])
        #expect(picks(RoundRobin(weights: [0, -1], start: 9), 3) == [])
    }

    @Test func weightsCanChange() {
        var robin = RoundRobin(weights: [1, 1, 1])
        robin.setWeight(0, of: 1)
        #expect(Set(picks(robin, 10)) == [0, 2])
        robin.setWeight(1, of: 1)
        robin.setWeight(1, of: 7)
        #expect(Set(picks(robin, 10)) == [0, 1, 2])
    }
}

@Suite struct LeastRequestTests {
    private func counts(_ weights: [Int], active: [Int32] = [], _ picks: Int = 60_000) -> [Int] {
        let balancer = LeastRequest(weights: weights)
        var random = Random(seed: 11)
        var counts = Array(repeating: 0, count: weights.count)
        let active = ContiguousArray(active)
        for _ in 0..<picks {
            if let index = balancer.pick(random: random.next(), active: active.span) { counts[index] += 1 }
        }
        return counts
    }

    @Test(arguments: [[1, 1, 1, 1, 1], [3, 1], [10, 0, 5, 1], [1, 1_000_000]])
    func anIdleBackendIsSharedByWeight(weights: [Int]) {
        // Four degrees of freedom at most: 18.5 is exceeded once in a thousand times.
        #expect(chiSquare(counts(weights), weights) < 18.5)
    }

    @Test func ofTwoTheLessLoadedForItsWeightWins() {
        #expect(counts([1, 1], active: [3, 2], 100) == [0, 100])
        #expect(counts([2, 1], active: [3, 2], 100) == [100, 0])
        #expect(counts([2, 1], active: [5, 2], 100) == [0, 100])
        // One of three is the most loaded of every pair that it is in, and never wins.
        let three = counts([1, 1, 1], active: [9, 0, 0])
        #expect(three[0] == 0 && abs(three[1] - three[2]) < 1500)
    }

    /// Three requests at a time per endpoint on average; two choices keep the largest near it.
    @Test func loadIsSpreadEvenly() {
        let balancer = LeastRequest(weights: Array(repeating: 1, count: 50))
        var random = Random(seed: 2)
        var active = ContiguousArray<Int32>(repeating: 0, count: 50)
        for _ in 0..<150 {
            if let index = balancer.pick(random: random.next(), active: active.span) { active[index] += 1 }
        }
        #expect(active.reduce(0, +) == 150 && active.max()! <= 5)
    }

    @Test func nothingIsPickedWithoutWeight() {
        #expect(LeastRequest(weights: []).pick(random: 1, active: ContiguousArray<Int32>().span) == nil)
        #expect(counts([0, 0], 10) == [0, 0])
        #expect(counts([0, 4], active: [0, 9], 10) == [0, 10])
    }
}
