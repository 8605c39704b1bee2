import MeshModel

/// Checks regular expressions with the engine that the data plane matches them with.
enum RegularExpression {
    /// Reports an expression that the engine does not take, at the character where it is wrong.
    static func check(_ text: Located<String>, _ report: Report) {
        do throws(LinearRegex.SyntaxError) {
            _ = try LinearRegex(text.value)
        } catch {
            // Where the text is quoted or escaped the column is a few characters off; the message has the exact one.
            var place = text.place
            place.column += error.offset
            report.error(
                "bad regular expression \"\(text.value)\": \(error.message) at character \(error.offset + 1)",
                at: place,
                remedy: "RE2 syntax; the whole text has to match; no look-around and no back-references")
        }
    }
}
