/// Of two endpoints at random, the one with fewer requests in flight for its weight (Mitzenmacher, "The power of two
/// choices"): nearly as good as the least loaded of all, without looking at all, and without every loop running to
/// the same one.
///
/// Each of the two is drawn with a chance in proportion to its weight, and of two that are equally loaded the first
/// drawn wins, so that an idle backend is shared exactly by weight. (Drawing evenly and comparing
/// weight / (active + 1) would, at rest, always give the heavier of the two.)
public struct LeastRequest: Sendable {
    private let weights: [Int]
    /// The sum of the weights before each endpoint, and in the end of all.
    private let before: [UInt64]

    /// Endpoints `0..<weights.count`; weights below 0 count as 0, and an endpoint of weight 0 is never picked.
    public init(weights: [Int]) {
        self.weights = weights.map { max($0, 0) }
        var sums: [UInt64] = [0]
        for weight in self.weights { sums.append(sums[sums.count - 1] &+ UInt64(weight)) }
        before = sums
    }

    /// An endpoint, or nil if no weight is above 0.
    ///
    /// - Parameters:
    ///   - random: 64 random bits.
    ///   - active: requests in flight per endpoint; those that it does not reach have none.
    public func pick(random: UInt64, active: Span<Int32>) -> Int? {
        let total = before[weights.count]
        guard total > 0 else { return nil }
        let (draw, rest) = random.multipliedFullWidth(by: total)
        let first = endpoint(at: draw)
        let others = total &- UInt64(weights[first])
        guard others > 0 else { return first }
        // What the first draw left over is as random as the rest of the number, and the first is not drawn again.
        var second = rest.multipliedFullWidth(by: others).high
        if second >= before[first] { second &+= UInt64(weights[first]) }
        let other = endpoint(at: second)
        let firstLoad = Self.active(first, active) &* weights[other]
        let otherLoad = Self.active(other, active) &* weights[first]
        return firstLoad <= otherLoad ? first : other
    }

    private static func active(_ index: Int, _ active: Span<Int32>) -> Int {
        index < active.count ? Int(max(active[index], 0)) : 0
    }

    /// The endpoint into whose share `position`, below the sum of all weights, falls.
    private func endpoint(at position: UInt64) -> Int {
        var low = 0
        var high = weights.count &- 1
        while low < high {
            let middle = (low &+ high) >> 1
            if before[middle &+ 1] <= position { low = middle &+ 1 } else { high = middle }
        }
        return low
    }
}
