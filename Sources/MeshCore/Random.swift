/// wyrand (Wang Yi, public domain): 64 bits a call, a few instructions. For balancing and ids, never for secrets.
@frozen
public struct Random: RandomNumberGenerator, Sendable {
    @usableFromInline var state: UInt64

    /// A generator that gives the same numbers for the same `seed`.
    @inlinable
    public init(seed: UInt64) { state = seed }

    /// The next 64 bits.
    @inlinable
    public mutating func next() -> UInt64 {
        state &+= 0xa076_1d64_78bd_642f  // Wraps by design.
        let product = state.multipliedFullWidth(by: state ^ 0xe703_7ed1_a0b4_28db)
        return product.high ^ product.low
    }
}
