/// Whether what is shown of a Secret keeps its secrets.
public enum SecretText {
    /// What stands in the place of a value.
    public static let placeholder = "(secret)"

    /// True if `shown`, as YAML, says what `text` says but for the values of `data` and `stringData`, which are all
    /// ``placeholder``. YAML may be written in many ways; whoever hides values line by line asks this afterwards.
    public static func hides(_ shown: String, valuesOf text: String) -> Bool {
        guard let shown = mapping(shown), let whole = mapping(text), shown.count == whole.count else { return false }
        return zip(shown, whole).allSatisfy { left, right in
            guard left.key == right.key else { return false }
            guard ["data", "stringData"].contains(left.key) else { return areEqual(left.value, right.value) }
            guard case .mapping(let hidden) = left.value.content else { return isHidden(left.value) }
            return hidden.allSatisfy { isHidden($0.value) } && hidden.map(\.key) == names(right.value)
        }
    }

    /// The fields of the one document of `text`.
    private static func mapping(_ text: String) -> [YAMLNode.Entry]? {
        let report = Report()
        var reader = YAMLReader(file: "", report: report)
        let documents = reader.documents(text)
        guard documents.count == 1, !report.hasErrors, case .mapping(let entries) = documents[0].content else {
            return nil
        }
        return entries
    }

    private static func names(_ node: YAMLNode) -> [String]? {
        guard case .mapping(let entries) = node.content else { return nil }
        return entries.map(\.key)
    }

    private static func isHidden(_ node: YAMLNode) -> Bool {
        switch node.content {
        case .null: true
        case .scalar(let text, _): text == placeholder
        case .sequence, .mapping: false
        }
    }

    private static func areEqual(_ left: YAMLNode, _ right: YAMLNode) -> Bool {
        switch (left.content, right.content) {
        case (.null, .null): true
        case (.scalar(let one, _), .scalar(let other, _)): one == other
        case (.sequence(let one), .sequence(let other)):
            one.count == other.count && zip(one, other).allSatisfy { areEqual($0, $1) }
        case (.mapping(let one), .mapping(let other)):
            one.count == other.count
                && zip(one, other).allSatisfy { $0.key == $1.key && areEqual($0.value, $1.value) }
        case (.null, _), (.scalar, _), (.sequence, _), (.mapping, _): false
        }
    }
}
