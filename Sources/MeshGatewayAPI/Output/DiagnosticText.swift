/// Diagnostics and conditions as text for people.
public enum DiagnosticText {
    /// The diagnostic with the line it is about and a caret under the place:
    ///
    /// ```text
    /// error: unknown field "rulez"
    ///   --> shop.yaml:12:3: HTTPRoute shop/cart, spec.rulez
    ///    |
    /// 12 |   rulez: []
    ///    |   ^
    ///    = did you mean "rules"?
    /// ```
    ///
    /// `directory` is put before the file's name; `source` is the file's text, if there is one.
    public static func block(_ diagnostic: Diagnostic, directory: String = "", source: String?) -> String {
        let place = diagnostic.place
        let number = String(place.line)
        let gutter = String(repeating: " ", count: number.count)
        var lines = ["\(diagnostic.severity.rawValue): \(diagnostic.message)"]
        // A stored object is called by its own name.
        let whose = [place.object == place.file ? "" : place.object, place.fieldPath].filter { !$0.isEmpty }.joined(
            separator: ", ")
        let file = location(place, directory: directory)
        lines.append("\(gutter)--> \(file)\(whose.isEmpty ? "" : ": \(whose)")")
        if let text = source.flatMap({ line(place.line, of: $0) }) {
            let shown = text.unicodeScalars.prefix(160).map { $0.properties.generalCategory == .control ? " " : $0 }
            let clipped = String(String.UnicodeScalarView(shown))
            lines.append("\(gutter) |")
            lines.append("\(number) | \(clipped)")
            if place.column <= shown.count + 1 {
                lines.append("\(gutter) | \(String(repeating: " ", count: place.column - 1))^")
            }
        }
        if !diagnostic.remedy.isEmpty { lines.append("\(gutter) = \(diagnostic.remedy)") }
        return lines.joined(separator: "\n")
    }

    /// `directory/file:line:column`.
    public static func location(_ place: Place, directory: String = "") -> String {
        guard !place.file.isEmpty else { return directory.isEmpty ? "(configuration)" : directory }
        let slash = directory.isEmpty || directory.hasSuffix("/") ? "" : "/"
        return "\(directory)\(slash)\(place.file):\(place.line):\(place.column)"
    }

    /// A table of conditions: one row for each object or part of one.
    public static func table(_ statuses: [ObjectStatus]) -> String {
        guard !statuses.isEmpty else { return "" }
        var rows = [["OBJECT", "PART", "ACCEPTED", "RESOLVEDREFS", "PROGRAMMED", "NOTES"]]
        for status in statuses {
            let notes = status.conditions.filter { !$0.message.isEmpty }.map {
                ["Shadowed", "Conflicted"].contains($0.type) ? "\($0.type): \($0.message)" : $0.message
            }
            var unique: [String] = []
            for note in notes where !unique.contains(note) { unique.append(note) }
            rows.append(
                [status.object, status.part.isEmpty ? "-" : status.part]
                    + ["Accepted", "ResolvedRefs", "Programmed"].map { cell(status.condition($0)) }
                    + [unique.joined(separator: "; ")])
        }
        return columns(rows)
    }

    /// Rows with their columns under each other, two spaces apart.
    public static func columns(_ rows: [[String]]) -> String {
        var widths: [Int] = []
        for row in rows {
            for (index, cell) in row.enumerated() {
                if index == widths.count { widths.append(0) }
                widths[index] = max(widths[index], cell.count)
            }
        }
        return rows.map { row in
            var line = ""
            for (index, cell) in row.enumerated() {
                line += cell
                if index + 1 < row.count { line += String(repeating: " ", count: widths[index] - cell.count + 2) }
            }
            while line.last == " " { line.removeLast() }
            return line
        }.joined(separator: "\n")
    }

    private static func cell(_ condition: Condition?) -> String {
        guard let condition else { return "-" }
        return condition.status ? "True" : "False \(condition.reason)"
    }

    private static func line(_ number: Int, of text: String) -> Substring? {
        var current = 1
        var rest = text[...]
        while current < number {
            guard let end = rest.firstIndex(where: \.isNewline) else { return nil }
            rest = rest[rest.index(after: end)...]
            current += 1
        }
        return rest.prefix { !$0.isNewline }
    }
}
