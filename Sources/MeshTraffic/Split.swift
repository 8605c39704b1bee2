import MeshModel

/// A weighted choice among a rule's backends.
///
/// The standard: a share is `weight` of the sum of all weights, and a weight of 0 takes nothing; what would have gone
/// to a reference that is not valid is answered with 500. It does not say what happens without any weight: like a rule
/// without backends, which gets 500, there is nowhere to go (``Choice/none``).
public struct Split: Sendable {
    /// One backend's part.
    public struct Share: Sendable {
        /// The index of the model's backends; nil: the reference is not valid.
        public let backend: Int?
        /// Parts of the sum of all weights.
        public let weight: Int
        /// What is done to requests of this share, after the rule's filters.
        public let filters: FilterChain
    }

    /// What a request gets.
    public enum Choice: Sendable, Equatable {
        /// This index of the model's backends, by this share.
        case backend(Int, share: Int)
        /// A reference that is not valid won its share: 500.
        case notValid
        /// There is nothing to choose from: 500.
        case none
    }

    /// The parts, in document order.
    public let shares: [Share]
    private let choices: [(weight: UInt64, backend: Int)]
    private let total: UInt64

    /// Compiles the shares; `index` finds a backend by its name.
    public init(_ shares: [WeightedBackend], index: (String) -> Int?) {
        self.shares = shares.map { share in
            var backend: Int?
            if case .backend(let name) = share.target { backend = index(name) }
            return Share(
                backend: backend, weight: max(share.weight, 0),
                filters: FilterChain(share.filters, backend: index))
        }
        choices = self.shares.map { (weight: UInt64($0.weight), backend: $0.backend ?? -1) }
        total = choices.reduce(0) { $0 + $1.weight }
    }

    /// The choice for one random number.
    public func choose(_ random: UInt64) -> Choice {
        guard total > 0 else { return .none }
        var left = random.multipliedFullWidth(by: total).high
        var index = 0
        while index < choices.count {
            let choice = choices[index]
            if left < choice.weight {
                return choice.backend < 0 ? .notValid : .backend(choice.backend, share: index)
            }
            left &-= choice.weight
            index &+= 1
        }
        return .none
    }
}
