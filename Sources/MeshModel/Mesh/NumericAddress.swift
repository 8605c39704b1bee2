/// Numeric addresses, as text.
enum NumericAddress {
    /// True for `10.0.0.0/8`, `fd00::/8`, or one address.
    static func isRange(_ text: String) -> Bool {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard isAddress(parts[0]) else { return false }
        guard parts.count == 2 else { return true }
        return number(parts[1], most: isIPv4(parts[0]) ? 32 : 128)
    }

    /// True for an IPv4 or IPv6 address, without brackets and zone.
    static func isAddress(_ text: Substring) -> Bool { isIPv4(text) || isIPv6(text) }

    private static func isIPv4(_ text: Substring) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { number($0, most: 255) }
    }

    /// RFC 4291 §2.2.
    private static func isIPv6(_ text: Substring) -> Bool {
        var parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard (3...9).contains(parts.count) else { return false }
        // What `::` stands for is empty; at an end, so is what is beside it.
        if parts[0].isEmpty, parts[1].isEmpty { parts.removeFirst() }
        if parts[parts.count - 1].isEmpty, parts[parts.count - 2].isEmpty { parts.removeLast() }
        let gaps = parts.count { $0.isEmpty }
        var groups = parts.count - gaps
        if let last = parts.last, last.contains(".") {
            guard isIPv4(last) else { return false }
            parts.removeLast()
            groups += 1
        }
        let areGroups = parts.allSatisfy { $0.utf8.count <= 4 && $0.utf8.allSatisfy(isHexadecimal) }
        return areGroups && (gaps == 0 ? groups == 8 : gaps == 1 && groups < 8)
    }

    private static func number(_ text: Substring, most: Int) -> Bool {
        guard (1...3).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return false
        }
        let hasNoZeroInFront = text.utf8.count == 1 || text.utf8.first != UInt8(ascii: "0")
        return hasNoZeroInFront && (Int(text) ?? .max) <= most
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte | 0x20)
    }
}
