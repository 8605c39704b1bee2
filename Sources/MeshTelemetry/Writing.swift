import MeshHTTP

/// Text for people and machines, byte by byte: what the access log and the metrics have in common.
extension [UInt8] {
    /// Appends the bytes of `text`.
    mutating func put(_ text: StaticString) { put(text.bytes) }

    /// Appends `bytes`.
    mutating func put(_ bytes: Span<UInt8>) {
        // SAFETY: the pointer is used within the closure only, while the span is alive.
        unsafe bytes.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
    }

    /// Appends `value` in decimal.
    mutating func put(decimal value: UInt64) {
        if value < 10 {
            append(48 &+ UInt8(truncatingIfNeeded: value))
            return
        }
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var start = 20
        var rest = value
        while rest > 0 {
            start &-= 1
            digits[start] = 48 &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        put(digits.span.extracting(start..<20))
    }

    /// Appends `value` in decimal.
    mutating func put(decimal value: Int) {
        if value < 0 { append(UInt8(ascii: "-")) }
        put(decimal: UInt64(value.magnitude))
    }

    /// Appends `value` with exactly `width` digits, 4 at most: zeros in front, higher digits cut off.
    mutating func put(_ value: Int, width: Int) {
        var scale = width == 4 ? 1000 : width == 3 ? 100 : width == 2 ? 10 : 1
        while scale > 0 {
            append(48 &+ UInt8(truncatingIfNeeded: value / scale % 10))
            scale /= 10
        }
    }

    /// Appends `nanoseconds` as seconds without needless zeros: `0.0125`.
    mutating func put(seconds nanoseconds: UInt64) {
        put(decimal: nanoseconds / 1_000_000_000)
        var fraction = nanoseconds % 1_000_000_000
        guard fraction > 0 else { return }
        append(UInt8(ascii: "."))
        var scale: UInt64 = 100_000_000
        while fraction > 0 {
            append(48 &+ UInt8(truncatingIfNeeded: fraction / scale))
            fraction %= scale
            scale /= 10
        }
    }

    /// Appends `nanoseconds` as milliseconds with three decimals, rounded.
    mutating func put(milliseconds nanoseconds: UInt64) {
        let microseconds = nanoseconds / 1000 &+ (nanoseconds % 1000 >= 500 ? 1 : 0)
        put(decimal: microseconds / 1000)
        append(UInt8(ascii: "."))
        put(Int(microseconds % 1000), width: 3)
    }

    /// Appends the moment `nanoseconds` after 1970-01-01 as RFC 3339 in UTC with milliseconds.
    mutating func put(time nanoseconds: UInt64) {
        let seconds = Int(nanoseconds / 1_000_000_000)
        // Days to a date in the Gregorian calendar, years beginning in March (Howard Hinnant, "chrono-compatible
        // low-level date algorithms").
        let days = seconds / 86_400 + 719_468
        let (era, dayOfEra) = (days / 146_097, days % 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        put(yearOfEra + era * 400 + (month <= 2 ? 1 : 0), width: 4)
        append(UInt8(ascii: "-"))
        put(month, width: 2)
        append(UInt8(ascii: "-"))
        put(dayOfYear - (153 * shifted + 2) / 5 + 1, width: 2)
        append(UInt8(ascii: "T"))
        put(seconds / 3600 % 24, width: 2)
        append(UInt8(ascii: ":"))
        put(seconds / 60 % 60, width: 2)
        append(UInt8(ascii: ":"))
        put(seconds % 60, width: 2)
        append(UInt8(ascii: "."))
        put(Int(nanoseconds / 1_000_000 % 1000), width: 3)
        append(UInt8(ascii: "Z"))
    }

    /// Appends the last `digits` hexadecimal digits of `value`, in lower case.
    mutating func put(hex value: UInt64, digits: Int) {
        var shift = UInt64(digits &* 4)
        while shift > 0 {
            shift &-= 4
            let digit = UInt8(truncatingIfNeeded: value >> shift & 15)
            append(digit < 10 ? 48 &+ digit : 87 &+ digit)
        }
    }
}
