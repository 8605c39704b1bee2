import MeshGatewayAPI

/// Differences of documents, for people.
enum TextDiff {
    /// A unified diff with three lines of context; empty if there is no difference.
    static func unified(_ before: String, _ after: String, name: String) -> String {
        guard before != after else { return "" }
        let (old, new) = (lines(before), lines(after))
        let difference = new.difference(from: old)
        var removed: Set<Int> = []
        var inserted: Set<Int> = []
        for change in difference {
            switch change {
            case .remove(let offset, _, _): removed.insert(offset)
            case .insert(let offset, _, _): inserted.insert(offset)
            }
        }
        var all: [(mark: Character, text: Substring)] = []
        var (left, right) = (0, 0)
        while left < old.count || right < new.count {
            if left < old.count, removed.contains(left) {
                all.append(("-", old[left]))
                left += 1
            } else if right < new.count, inserted.contains(right) {
                all.append(("+", new[right]))
                right += 1
            } else {
                all.append((" ", old[left]))
                left += 1
                right += 1
            }
        }
        let shown = all.indices.filter { index in
            all[max(0, index - 3)...min(all.count - 1, index + 3)].contains { $0.mark != " " }
        }
        var result = ["--- \(name)", "+++ \(name)"]
        var last = -1
        for index in shown {
            if index != last + 1 || last < 0 { result.append("@@ line \(index + 1) @@") }
            result.append("\(all[index].mark)\(all[index].text)")
            last = index
        }
        return result.joined(separator: "\n") + "\n"
    }

    private static func lines(_ text: String) -> [Substring] {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        return lines
    }

    /// A Secret's YAML with `(secret)` for every value of `data` and `stringData`: only what stands outside of the two,
    /// and the names in them, is left. Of a Secret that is not written in plain block style nothing is left.
    static func withoutSecrets(_ text: String) -> String {
        let shown = redacted(text)
        return SecretText.hides(shown, valuesOf: text)
            ? shown : "# not shown: write data and stringData as blocks, one line for each name\n"
    }

    /// `text` with its values hidden line by line, if it is written in the usual way.
    private static func redacted(_ text: String) -> String {
        var result: [String] = []
        var block: (indent: Int, field: Int?)?
        for line in lines(text) {
            let indent = line.prefix { $0 == " " }.count
            let rest = line.dropFirst(indent)
            if let current = block {
                if rest.isEmpty || rest.hasPrefix("#") { continue }
                if indent > current.indent {
                    let field = current.field ?? indent
                    block = (current.indent, field)
                    if indent == field, let colon = rest.firstIndex(of: ":") {
                        result.append(String(repeating: " ", count: indent) + rest[..<colon] + ": (secret)")
                    }
                    continue
                }
                block = nil
            }
            guard
                rest.hasPrefix("data:") || rest.hasPrefix("stringData:") || rest.hasPrefix("\"") || rest.hasPrefix("{")
                    || rest.hasPrefix("'")
            else {
                result.append(String(line))
                continue
            }
            // Written in one line, or in a form that is not understood here: nothing of it is shown.
            let name = rest.prefix { $0 != ":" && $0 != "{" }
            let value = rest.dropFirst(name.count + 1).drop { $0 == " " }
            result.append(String(repeating: " ", count: indent) + name + ":" + (value.isEmpty ? "" : " (secret)"))
            block = (indent, nil)
        }
        return result.joined(separator: "\n") + "\n"
    }
}
