import MeshHTTP

/// How long a caller waits, as it says so: `grpc-timeout` (gRPC over HTTP2) and, between Martlet proxies,
/// `x-martlet-timeout-ms`. Nanoseconds from when it was said.
public enum CallerTimeout {
    /// `grpc-timeout`: up to eight digits and a unit; nil if `value` is something else.
    public static func grpc(_ value: Span<UInt8>) -> UInt64? {
        guard value.count >= 2, value.count <= 9, let unit = nanoseconds(perUnit: value[value.count &- 1]),
            let count = Grammar.decimal(value.extracting(0..<value.count &- 1))
        else { return nil }
        let (product, overflow) = UInt64(count).multipliedReportingOverflow(by: unit)
        return overflow ? .max : product
    }

    /// `x-martlet-timeout-ms`: a decimal number; nil if `value` is something else.
    public static func milliseconds(_ value: Span<UInt8>) -> UInt64? {
        guard let count = Grammar.decimal(value) else { return nil }
        let (product, overflow) = UInt64(count).multipliedReportingOverflow(by: 1_000_000)
        return overflow ? .max : product
    }

    /// The `grpc-timeout` of `head`; nil if there is none that is valid.
    public static func grpc(of head: MessageHead) -> UInt64? {
        guard let index = head.firstIndex(of: .grpcTimeout) else { return nil }
        return grpc(head.span(head[index].valueRange))
    }

    /// The `x-martlet-timeout-ms` of `head`; nil if there is none that is valid.
    public static func milliseconds(of head: MessageHead) -> UInt64? {
        guard let index = head.firstIndex(of: .xMartletTimeoutMs) else { return nil }
        return milliseconds(head.span(head[index].valueRange))
    }

    private static func nanoseconds(perUnit unit: UInt8) -> UInt64? {
        switch unit {
        case UInt8(ascii: "n"): 1
        case UInt8(ascii: "u"): 1_000
        case UInt8(ascii: "m"): 1_000_000
        case UInt8(ascii: "S"): 1_000_000_000
        case UInt8(ascii: "M"): 60_000_000_000
        case UInt8(ascii: "H"): 3_600_000_000_000
        default: nil
        }
    }

    /// Makes `nanoseconds` the value of `grpc-timeout` in `head`: in the smallest unit in which eight digits hold it,
    /// rounded down, so that no hop gets more than there is.
    public static func writeGRPC(_ nanoseconds: UInt64, to head: MessageHead) {
        head.removeAll(.grpcTimeout)
        let start = head.byteCount
        let units: StaticString = "numSMH"
        var unit = 0
        var count = nanoseconds
        while count > 99_999_999, unit < 5 {
            count = unit < 3 ? count / 1_000 : count / 60
            unit &+= 1
        }
        write(min(count, 99_999_999), to: head)
        head.store(units.bytes[unit])
        head.append(.grpcTimeout, value: head.stored(since: start))
    }

    /// Makes `nanoseconds` the value of `x-martlet-timeout-ms` in `head`, rounded down.
    public static func writeMilliseconds(_ nanoseconds: UInt64, to head: MessageHead) {
        head.removeAll(.xMartletTimeoutMs)
        let start = head.byteCount
        write(nanoseconds / 1_000_000, to: head)
        head.append(.xMartletTimeoutMs, value: head.stored(since: start))
    }

    /// Appends a decimal number to the arena of `head`.
    public static func write(_ number: UInt64, to head: MessageHead) {
        var power: UInt64 = 1
        while number / power >= 10 { power &*= 10 }
        while power > 0 {
            head.store(UInt8(truncatingIfNeeded: number / power % 10) &+ UInt8(ascii: "0"))
            power /= 10
        }
    }
}
