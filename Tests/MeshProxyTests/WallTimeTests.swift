import Foundation
import Testing

@testable import MeshProxy

@Suite struct WallTimeTests {
    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (-86_400, "1969-12-31T00:00:00Z"),
            (-86_401, "1969-12-30T23:59:59Z"),
            (68_169_600, "1972-02-29T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (2_147_483_648, "2038-01-19T03:14:08Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (-2_203_891_201, "1900-02-28T23:59:59Z"),
            (-2_203_891_200, "1900-03-01T00:00:00Z"),
            (-62_135_596_800, "0001-01-01T00:00:00Z"),
        ] as [(Int64, String)])
    func knownDates(seconds: Int64, text: String) { #expect(WallTime.text(seconds) == text) }

    /// Steps of a prime number of seconds, over 800 years: every month and hour comes up.
    @Test func agreesWithFoundation() {
        let format = Date.ISO8601FormatStyle()
        for step in 0..<4000 {
            let seconds = Int64(step) * 6_311_471 - 8_000_000_000
            let expected = Date(timeIntervalSince1970: TimeInterval(seconds)).formatted(format)
            #expect(WallTime.text(seconds) == expected)
        }
    }
}
