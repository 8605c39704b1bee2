/// Endpoints in turn, by weight, and smoothly: of weights 5, 1, 1 the picks are a a b a c a a, not five a in a row
/// (the method of nginx). Belongs to one loop.
public struct RoundRobin: Sendable {
    private var weights: [Int]
    private var current: [Int]
    private var total = 0
    /// All weights are the same: the next endpoint is the next number.
    private var isUniform = false
    private var next: Int

    /// Endpoints `0..<weights.count`; weights below 0 count as 0, and an endpoint of weight 0 is never picked. `start`
    /// says where the first turn begins, so that loops that all begin now do not all begin with the same endpoint.
    public init(weights: [Int], start: UInt64 = 0) {
        self.weights = weights.map { max($0, 0) }
        current = Array(repeating: 0, count: weights.count)
        next = weights.isEmpty ? 0 : Int(truncatingIfNeeded: start % UInt64(weights.count))
        update()
        if !isUniform, total > 0 {
            for _ in 0..<next { _ = pick() }
        }
    }

    /// Gives endpoint `index` another weight; 0 takes it out.
    public mutating func setWeight(_ weight: Int, of index: Int) {
        guard weights.indices.contains(index) else { return }
        weights[index] = max(weight, 0)
        update()
    }

    private mutating func update() {
        total = weights.reduce(0, &+)
        isUniform = total > 0 && weights.allSatisfy { $0 == weights[0] }
    }

    /// The endpoint whose turn it is, or nil if no weight is above 0.
    public mutating func pick() -> Int? {
        if isUniform {
            let picked = next
            next = next &+ 1 == weights.count ? 0 : next &+ 1
            return picked
        }
        guard total > 0 else { return nil }
        var best = -1
        var index = 0
        while index < weights.count {
            if weights[index] > 0 {
                current[index] &+= weights[index]
                if best < 0 || current[index] > current[best] { best = index }
            }
            index &+= 1
        }
        current[best] &-= total
        return best
    }
}
