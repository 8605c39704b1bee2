/// Hashes that are the same in every process: what they decide must not depend on which proxy or loop decides it.
public enum Hashing {
    /// Spreads the bits of `value` over all 64 (the finaliser of SplitMix64; one to one).
    @inlinable
    public static func mix(_ value: UInt64) -> UInt64 {
        var bits = value &+ 0x9e37_79b9_7f4a_7c15  // Wraps by design.
        bits = (bits ^ bits >> 30) &* 0xbf58_476d_1ce4_e5b9
        bits = (bits ^ bits >> 27) &* 0x94d0_49bb_1331_11eb
        return bits ^ bits >> 31
    }

    /// What hashes begin with (FNV-1a).
    static let start: UInt64 = 0xcbf2_9ce4_8422_2325

    /// Adds one byte to a hash (FNV-1a).
    @inline(__always)
    static func add(_ byte: UInt8, to hash: inout UInt64) { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }

    /// A hash of `bytes`, for balancing only: who chooses the bytes can make them collide.
    public static func hash(_ bytes: Span<UInt8>) -> UInt64 {
        var hash = start
        var index = 0
        while index < bytes.count {
            add(bytes[index], to: &hash)
            index &+= 1
        }
        return mix(hash)
    }
}

/// SipHash-2-4 (Aumasson and Bernstein): a keyed hash that shows nothing of what it was made from.
public struct SipKey: Sendable, Equatable {
    private let low: UInt64
    private let high: UInt64

    /// The key of these 128 bits.
    public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    /// The key that belongs to `name`. Whoever knows the name knows the key: it tells apart, it does not protect.
    public init(naming name: String) {
        let bytes = Array(name.utf8)
        let low = SipKey(low: 0x6d61_7274_6c65_7431, high: 0x7365_7373_696f_6e31).hash(bytes.span)
        let high = SipKey(low: 0x6d61_7274_6c65_7432, high: 0x7365_7373_696f_6e32).hash(bytes.span)
        self.init(low: low, high: high)
    }

    /// The hash of `bytes` under this key.
    public func hash(_ bytes: Span<UInt8>) -> UInt64 {
        var state = SipState(low, high)
        var word: UInt64 = 0
        var index = 0
        while index < bytes.count {
            word |= UInt64(bytes[index]) << UInt64(8 &* (index & 7))
            index &+= 1
            if index & 7 == 0 {
                state.absorb(word)
                word = 0
            }
        }
        state.absorb(word | UInt64(truncatingIfNeeded: bytes.count) << 56)
        return state.finish()
    }

    /// The hash of two words under this key.
    func hash(_ first: UInt64, _ second: UInt64) -> UInt64 {
        var state = SipState(low, high)
        state.absorb(first)
        state.absorb(second)
        state.absorb(16 << 56)
        return state.finish()
    }
}

private struct SipState {
    private var v0: UInt64
    private var v1: UInt64
    private var v2: UInt64
    private var v3: UInt64

    init(_ low: UInt64, _ high: UInt64) {
        v0 = low ^ 0x736f_6d65_7073_6575
        v1 = high ^ 0x646f_7261_6e64_6f6d
        v2 = low ^ 0x6c79_6765_6e65_7261
        v3 = high ^ 0x7465_6462_7974_6573
    }

    mutating func absorb(_ word: UInt64) {
        v3 ^= word
        round()
        round()
        v0 ^= word
    }

    mutating func finish() -> UInt64 {
        v2 ^= 0xff
        round()
        round()
        round()
        round()
        return v0 ^ v1 ^ v2 ^ v3
    }

    private mutating func round() {
        v0 = v0 &+ v1
        v1 = rotate(v1, 13) ^ v0
        v0 = rotate(v0, 32)
        v2 = v2 &+ v3
        v3 = rotate(v3, 16) ^ v2
        v0 = v0 &+ v3
        v3 = rotate(v3, 21) ^ v0
        v2 = v2 &+ v1
        v1 = rotate(v1, 17) ^ v2
        v2 = rotate(v2, 32)
    }

    private func rotate(_ value: UInt64, _ count: UInt64) -> UInt64 { value << count | value >> (64 &- count) }
}
