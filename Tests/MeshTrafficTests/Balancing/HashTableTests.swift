import MeshCore
import Testing

@testable import MeshTraffic

@Suite struct HashTableTests {
    private func entries(_ weights: [Int]) -> [HashTable.Entry] {
        weights.enumerated().map { number, weight in
            HashTable.Entry(identity: Hashing.mix(UInt64(number)), weight: weight, index: Int32(number))
        }
    }

    /// The points of each endpoint: once around.
    private func points(_ table: HashTable, of count: Int) -> [Int] {
        var points = Array(repeating: 0, count: count)
        guard !table.isEmpty else { return points }
        var place = 0
        repeat {
            points[table.owner(at: place)] += 1
            place = table.place(after: place, key: 0, number: 1)
        } while place != 0
        return points
    }

    /// The largest size that may be configured, and as many endpoints as a large backend has.
    @Test func aRingHasABoundedNumberOfPoints() {
        let weights = (0..<100).map { $0 % 4 + 1 }
        let found = points(.ring(entries(weights), size: 8_388_608), of: 100)
        #expect(found.reduce(0, +) <= 1_048_576)
        // The bound costs less than half of what it leaves.
        #expect(found.reduce(0, +) > 524_288)
        let one = Double(found.reduce(0, +)) / Double(weights.reduce(0, +))
        #expect(zip(found, weights).allSatisfy { abs(Double($0) - one * Double($1)) <= 1 })
    }

    @Test func aSmallRingIsAsLargeAsItSays() {
        #expect(points(.ring(entries([2, 1]), size: 1024), of: 2) == [128, 64])
    }
}
