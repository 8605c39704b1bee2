import MeshModel

/// Durations as the Gateway API writes them (GEP-2257): one to four of `h`, `m`, `s`, `ms`, each with at most five
/// digits, as in `1h30m` or `500ms`.
enum GatewayDuration {
    /// Nanoseconds of `text`, or what is wrong with it.
    static func nanoseconds(_ text: String) -> Result<UInt64, Problem> {
        var rest = text.utf8[...]
        var total: UInt64 = 0
        var units = 0
        guard !rest.isEmpty else { return .failure(Problem(what: "is empty")) }
        while !rest.isEmpty {
            let digits = rest.prefix { (0x30...0x39).contains($0) }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { (0x61...0x7A).contains($0) }
            rest = rest.dropFirst(unit.count)
            guard let value = UInt64(String(decoding: digits, as: UTF8.self)) else {
                return .failure(Problem(what: digits.isEmpty ? "needs a whole number before each unit" : "is too long"))
            }
            guard digits.count <= 5 else { return .failure(Problem(what: "has more than five digits in one unit")) }
            guard let scale = scale(String(decoding: unit, as: UTF8.self)) else {
                return .failure(
                    Problem(what: unit.isEmpty ? "has a number without a unit" : "has a unit other than h, m, s, ms"))
            }
            units += 1
            guard units <= 4 else { return .failure(Problem(what: "has more than four units")) }
            total += value * scale
        }
        return .success(total)
    }

    /// `nanoseconds` in the same notation, as in `1m30s`; whole milliseconds are kept.
    static func text(nanoseconds: UInt64) -> String {
        var rest = nanoseconds / 1_000_000
        guard rest > 0 else { return "0s" }
        var result = ""
        for (unit, size) in [("h", UInt64(3_600_000)), ("m", 60_000), ("s", 1000), ("ms", 1)] where rest >= size {
            result += "\(rest / size)\(unit)"
            rest %= size
        }
        return result
    }

    /// What is wrong with a duration, as the end of a sentence that starts with it.
    struct Problem: Error { var what: String }

    private static func scale(_ unit: String) -> UInt64? {
        switch unit {
        case "h": 3_600_000_000_000
        case "m": 60_000_000_000
        case "s": 1_000_000_000
        case "ms": 1_000_000
        default: nil
        }
    }
}

extension Duration {
    /// As documents write it (GEP-2257), as in `1m30s`; whole milliseconds are kept.
    public var asWritten: String { GatewayDuration.text(nanoseconds: nanoseconds) }
}
