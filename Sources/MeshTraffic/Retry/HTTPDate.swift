import MeshHTTP

/// Dates as HTTP writes them (RFC 9110 §5.6.7): the one form to be sent and the two obsolete ones to be understood.
///
///     Sun, 06 Nov 1994 08:49:37 GMT
///     Sunday, 06-Nov-94 08:49:37 GMT
///     Sun Nov  6 08:49:37 1994
enum HTTPDate {
    /// Seconds since 1970-01-01 UTC, nil if `text` is no date since then.
    static func seconds(_ text: Span<UInt8>) -> Int? {
        // A weekday is not checked against its date: nobody acts on it.
        guard let comma = firstComma(text) else { return asctime(text) }
        let rest = text.extracting(droppingFirst: comma &+ 1)
        if comma == 3 { return fixed(rest) }
        return rfc850(rest)
    }

    private static func firstComma(_ text: Span<UInt8>) -> Int? {
        var index = 0
        while index < min(text.count, 10) {
            if text[index] == UInt8(ascii: ",") { return index }
            index &+= 1
        }
        return nil
    }

    /// ` 06 Nov 1994 08:49:37 GMT`
    private static func fixed(_ text: Span<UInt8>) -> Int? {
        guard text.count == 25, hasSpaces(text, 0, 3, 7, 12), isGMT(text, at: 21) else { return nil }
        return date(text, day: 1..<3, month: 4, year: number(text, 8..<12), time: 13)
    }

    /// ` 06-Nov-94 08:49:37 GMT`
    private static func rfc850(_ text: Span<UInt8>) -> Int? {
        guard text.count == 23, text[0] == 0x20, text[3] == UInt8(ascii: "-"), text[7] == UInt8(ascii: "-"),
            text[10] == 0x20, isGMT(text, at: 19), let short = number(text, 8..<10)
        else { return nil }
        // Two digits since 1970: what seems more than 50 years ahead is past (RFC 9110), and nobody asks for the past.
        return date(text, day: 1..<3, month: 4, year: short < 70 ? 2000 + short : 1900 + short, time: 11)
    }

    /// `Sun Nov  6 08:49:37 1994`
    private static func asctime(_ text: Span<UInt8>) -> Int? {
        guard text.count == 24, hasSpaces(text, 3, 7, 10, 19) else { return nil }
        let day = text[8] == 0x20 ? 9..<10 : 8..<10
        return date(text, day: day, month: 4, year: number(text, 20..<24), time: 11)
    }

    private static func hasSpaces(_ text: Span<UInt8>, _ a: Int, _ b: Int, _ c: Int, _ d: Int) -> Bool {
        text[a] == 0x20 && text[b] == 0x20 && text[c] == 0x20 && text[d] == 0x20
    }

    private static func isGMT(_ text: Span<UInt8>, at start: Int) -> Bool {
        text.extracting(start..<start &+ 4).equals((" GMT" as StaticString).bytes)
    }

    private static func number(_ text: Span<UInt8>, _ range: Range<Int>) -> Int? {
        Grammar.decimal(text.extracting(range))
    }

    private static func date(
        _ text: Span<UInt8>, day: Range<Int>, month: Int, year: Int?, time: Int
    ) -> Int? {
        guard let day = number(text, day), let month = self.month(text.extracting(month..<month + 3)), let year,
            let hour = number(text, time..<time + 2), let minute = number(text, time + 3..<time + 5),
            let second = number(text, time + 6..<time + 8), text[time + 2] == UInt8(ascii: ":"),
            text[time + 5] == UInt8(ascii: ":"), year >= 1970, (1...31).contains(day), hour < 24, minute < 60,
            second <= 60
        else { return nil }
        return days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    }

    private static func month(_ name: Span<UInt8>) -> Int? {
        let names: StaticString = "JanFebMarAprMayJunJulAugSepOctNovDec"
        for month in 0..<12 where name.equals(names.bytes.extracting(month * 3..<month * 3 + 3)) { return month + 1 }
        return nil
    }

    /// Days since 1970-01-01 of a date of the Gregorian calendar; the year begins with March, so that the leap day is
    /// its last.
    private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let years = month > 2 ? year : year - 1
        let era = years / 400
        let yearOfEra = years - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
