/// FNV-1a, 64 bits: tells contents apart that nobody forges. Not for keys that strangers choose, and not on the way of a
/// request, where `MeshTraffic` has its own.
public struct FNV1a: Sendable {
    @usableFromInline var bits: UInt64 = 0xcbf2_9ce4_8422_2325

    /// The hash of nothing.
    @inlinable public init() {}

    /// The hash of what was added.
    public var value: UInt64 { bits }

    /// The hash of `bytes`.
    @inlinable public static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
        var hash = FNV1a()
        hash.add(bytes)
        return hash.bits
    }

    /// Adds `bytes` behind what was added before.
    @inlinable public mutating func add(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { bits = (bits ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }

    /// `bits` as 16 hexadecimal digits.
    public static func text(_ bits: UInt64) -> String {
        let digits = String(bits, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }
}
