import MeshCore

/// Addresses that share their first bits. IPv4 addresses are mapped into IPv6.
struct AddressRange: Sendable {
    private let high: UInt64
    private let low: UInt64
    private let highMask: UInt64
    private let lowMask: UInt64

    /// What `text` writes: `10.0.0.0/8`, `fd00::/8`, or one address; `address` reads an address. Nil if it is none.
    init?(_ text: String, address: (String) -> (high: UInt64, low: UInt64)?) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let (high, low) = address(parts[0]) else { return nil }
        let width = parts[0].utf8.contains(UInt8(ascii: ":")) ? 128 : 32
        var bits = width
        if parts.count == 2 {
            guard let given = Int(parts[1]), (0...width).contains(given) else { return nil }
            bits = given
        }
        bits += 128 - width
        highMask = bits >= 64 ? .max : bits == 0 ? 0 : ~0 << UInt64(64 - bits)
        lowMask = bits <= 64 ? 0 : ~0 << UInt64(128 - bits)
        self.high = high & highMask
        self.low = low & lowMask
    }

    /// True if the address is in the range.
    func contains(_ address: (high: UInt64, low: UInt64)) -> Bool {
        address.high & highMask == high && address.low & lowMask == low
    }
}
