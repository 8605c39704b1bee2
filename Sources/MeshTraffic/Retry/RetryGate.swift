import MeshModel
import Synchronization

/// Retries of one backend that are in flight, over all loops. Touched by retries only.
public final class RetryCounter: Sendable {
    private let count = Atomic<Int>(0)

    /// None.
    public init() {}

    /// Retries in flight now.
    public var current: Int { count.load(ordering: .relaxed) }

    /// Counts one more if that is no more than `limit`, or if `isAllowed` anyway.
    func begin(limit: Int, max: Int, isAllowed: Bool) -> RetryVerdict.Refusal? {
        let before = count.add(1, ordering: .relaxed).oldValue
        if before < max && (before < limit || isAllowed) { return nil }
        end()
        return before < max ? .budget : .limit
    }

    func end() { count.subtract(1, ordering: .relaxed) }
}

/// One loop's door to a backend's ``RetryBudget``.
///
/// The budget is a share of the requests in flight, which no loop knows of the others without a price on every
/// request. So each loop spends the share of its own requests, and the sum of those is the share of all; what is always
/// allowed (`minConcurrency`) and what never is (`maxRetries`) is counted over all loops.
public struct RetryGate {
    /// Retries of this loop in flight.
    public private(set) var inFlight = 0

    /// A gate that nobody has gone through.
    public init() {}

    /// Takes a place for one more retry, to be given back with ``end(_:)``. `active`: requests of this loop that are in
    /// flight toward the backend, retries included. Nil: taken; else why not.
    public mutating func begin(
        _ budget: RetryBudget, maxRetries: Int?, active: Int, shared: RetryCounter
    ) -> RetryVerdict.Refusal? {
        // The request that is to be tried again is in flight itself, though no endpoint has it just now.
        let requests = max(active &- inFlight, 0) &+ 1
        let share = requests.multipliedFullWidth(by: max(budget.percent, 0))
        let isWithin = share.high == 0 && share.low / 100 > UInt(max(inFlight, 0))
        let refusal = shared.begin(
            limit: max(budget.minConcurrency, 0), max: maxRetries ?? .max, isAllowed: isWithin)
        if refusal == nil { inFlight &+= 1 }
        return refusal
    }

    /// Gives a place back.
    public mutating func end(_ shared: RetryCounter) {
        inFlight &-= 1
        shared.end()
    }
}
