import MeshGatewayAPI

/// The report for people.
extension ExplainReport {
    /// What happens, then what lost and why, then the settings; those at their defaults not, if `brief`.
    func text(brief: Bool) -> String {
        var blocks = [summary()]
        let lost = losers()
        if !lost.isEmpty { blocks.append("not taken\n" + ExplainText.table(lost)) }
        if !otherHostnames.isEmpty { blocks.append("routes for other hosts: \(ExplainText.list(otherHostnames))") }
        let settings = settingRows(brief)
        if !settings.isEmpty { blocks.append("settings\n" + ExplainText.table(settings)) }
        return blocks.joined(separator: "\n\n")
    }

    private func summary() -> String {
        var rows = [["request", "\(method) \(url)", headers.joined(separator: ", ")]]
        if let normalizedPath { rows.append(["path", normalizedPath, "as it is routed and forwarded"]) }
        for candidate in candidates where candidate.wins {
            let name = candidate.detail.isEmpty ? candidate.name : "\(candidate.name)  \(candidate.detail)"
            rows.append([candidate.kind == "match" ? "rule" : candidate.kind, name, candidate.origin])
        }
        for filter in filters { rows.append(["filter", filter, ""]) }
        for share in backends {
            rows.append(["backend", "\(ExplainText.percent(share.percent))  \(share.backend)", share.origin])
            let endpoints = [share.protocol, ExplainText.list(share.endpoints)].filter { !$0.isEmpty }
            if !endpoints.isEmpty { rows.append(["", "  \(endpoints.joined(separator: " to "))", ""]) }
            for filter in share.filters { rows.append(["", "  filter \(filter)", ""]) }
            if !share.problem.isEmpty { rows.append(["", "  answers \(share.status ?? 500): \(share.problem)", ""]) }
        }
        let answer = verdict.status.map { "\(verdict.kind) with \($0): " } ?? "\(verdict.kind): "
        rows.append(["result", answer + verdict.text, ""])
        return ExplainText.columns(rows)
    }

    private func losers() -> [[String]] {
        let all = candidates.filter { !$0.wins }
        var rows = all.prefix(Self.mostLosers).map { candidate in
            let name = candidate.detail.isEmpty ? candidate.name : "\(candidate.name)  \(candidate.detail)"
            return [candidate.kind == "match" ? "rule" : candidate.kind, name, candidate.origin, candidate.why]
        }
        if all.count > Self.mostLosers {
            rows.append(["and \(all.count - Self.mostLosers) more, which --output json shows"])
        }
        return rows
    }

    /// As many as fit a screen with the rest.
    private static let mostLosers = 30

    private func settingRows(_ brief: Bool) -> [[String]] {
        var rows: [[String]] = []
        var group = ""
        for setting in settings where !brief || setting.origin != "default" {
            if setting.group != group { rows.append([setting.group]) }
            group = setting.group
            rows.append(["  \(setting.name)", setting.value, setting.origin])
        }
        return rows
    }
}

/// Pieces of text.
enum ExplainText {
    /// `90 %`, `33.3 %`.
    static func percent(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10) %" : "\(tenths / 10).\(tenths % 10) %"
    }

    /// The first ones, and how many more there are.
    static func list(_ all: [String]) -> String {
        let rest = all.count > 6 ? " and \(all.count - 6) more" : ""
        return all.prefix(6).joined(separator: ", ") + rest
    }

    /// Rows under each other, indented.
    static func table(_ rows: [[String]]) -> String {
        columns(rows).split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)" }.joined(separator: "\n")
    }

    /// Columns under each other; a cell alone in its row, or wider than most, does not push the others.
    static func columns(_ rows: [[String]]) -> String {
        var widths: [Int] = []
        for row in rows where row.count > 1 {
            for (index, cell) in row.enumerated() where cell.count <= 64 {
                if index >= widths.count { widths += Array(repeating: 0, count: index + 1 - widths.count) }
                widths[index] = max(widths[index], cell.count)
            }
        }
        return rows.map { row in
            var line = ""
            for (index, cell) in row.enumerated() {
                line += cell
                guard index + 1 < row.count, row[(index + 1)...].contains(where: { !$0.isEmpty }) else { break }
                let width = index < widths.count ? widths[index] : 0
                line += String(repeating: " ", count: max(width - cell.count, 0) + 2)
            }
            return line
        }.joined(separator: "\n")
    }
}
