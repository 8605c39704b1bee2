/// A value and where it was written.
struct Located<Value> {
    var value: Value
    var place: Place

    init(_ value: Value, at place: Place) {
        self.value = value
        self.place = place
    }
}

extension Located: Sendable where Value: Sendable {}

/// Reads the fields of one mapping, each with its place; `done()` reports those that nobody asked for.
///
/// A field that is missing or `null` reads as nil; a field of the wrong type is reported and reads as nil.
final class Fields {
    /// Where the mapping is.
    let place: Place
    let report: Report
    private let entries: [YAMLNode.Entry]
    private var known: Set<String> = []

    /// The fields of `node`; anything but a mapping is reported and has no field.
    init(_ node: YAMLNode, at place: Place, report: Report) {
        self.place = place
        self.report = report
        switch node.content {
        case .mapping(let entries): self.entries = entries
        case .null: entries = []
        case .scalar, .sequence:
            entries = []
            report.error(
                "must be a mapping, not \(node.kindName)", at: place, remedy: Shape.example(at: place.fieldPath))
        }
    }

    /// The place of field `name`, or where the mapping starts if it is missing.
    func place(of name: String) -> Place {
        var place = place
        place.fieldPath = Self.join(place.fieldPath, name)
        if let entry = entries.first(where: { $0.key == name }) {
            (place.line, place.column) = (entry.value.line, entry.value.column)
            if case .null = entry.value.content { (place.line, place.column) = (entry.line, entry.column) }
        }
        return place
    }

    /// True if the field is there and not null.
    func has(_ name: String) -> Bool { peek(name) != nil }

    /// Names of all fields, in the order written.
    var names: [String] { entries.map(\.key) }

    /// Field `name` as it is.
    func node(_ name: String) -> YAMLNode? {
        known.insert(name)
        return peek(name)
    }

    /// Accepts fields without reading them.
    func ignore(_ names: String...) { known.formUnion(names) }

    /// Accepts fields that Martlet does not act on, and says so.
    func ignoreWithWarning(_ name: String, because reason: String) {
        if node(name) != nil { report.warning("\(name) has no effect: \(reason)", at: place(of: name)) }
    }

    /// Reports each field that nobody asked for.
    func done() {
        for entry in entries where !known.contains(entry.key) {
            var place = place
            (place.line, place.column) = (entry.line, entry.column)
            place.fieldPath = Self.join(place.fieldPath, entry.key)
            let present = Set(entries.map(\.key))
            let closest = Suggestion.closest(to: entry.key, in: known.subtracting(present))
            report.error(
                "unknown field \"\(entry.key)\"", at: place,
                remedy: closest.map { "did you mean \"\($0)\"?" }
                    ?? "known here: \(known.sorted().joined(separator: ", "))")
        }
    }

    // MARK: Scalars

    /// A string.
    func string(_ name: String) -> Located<String>? {
        guard let node = node(name) else { return nil }
        return Self.string(node, at: place(of: name), report: report).map { Located($0, at: place(of: name)) }
    }

    /// A string that must be there and not be empty.
    func required(_ name: String, remedy: String = "") -> Located<String>? {
        guard has(name) else {
            known.insert(name)
            missing(name, remedy: remedy)
            return nil
        }
        guard let text = string(name) else { return nil }
        guard !text.value.isEmpty else {
            report.error("\(name) must not be empty", at: text.place, remedy: remedy)
            return nil
        }
        return text
    }

    /// Reports that field `name` is missing.
    func missing(_ name: String, remedy: String = "") {
        report.error("\(name) is missing", at: place(of: name), remedy: remedy)
    }

    /// A whole number within `range`.
    func integer(_ name: String, in range: ClosedRange<Int>) -> Located<Int>? {
        guard let node = node(name) else { return nil }
        let place = place(of: name)
        guard case .scalar(let text, true) = node.content, case .integer(let value) = PlainScalar(text) else {
            report.error(
                "\(name) must be a whole number, not \(node.kindName)", at: place,
                remedy: "a number from \(range.lowerBound) to \(range.upperBound), without quotes")
            return nil
        }
        guard range.contains(value) else {
            report.error(
                "\(name) is \(value)", at: place, remedy: "a number from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return Located(value, at: place)
    }

    /// `true` or `false`.
    func boolean(_ name: String) -> Located<Bool>? {
        guard let node = node(name) else { return nil }
        guard case .scalar(let text, true) = node.content, case .boolean(let value) = PlainScalar(text) else {
            report.error("\(name) must be true or false, not \(node.kindName)", at: place(of: name))
            return nil
        }
        return Located(value, at: place(of: name))
    }

    /// One of the raw values of `Choice`.
    func choice<Choice: RawRepresentable & CaseIterable>(_ name: String, _: Choice.Type = Choice.self)
        -> Located<Choice>? where Choice.RawValue == String
    {
        guard let text = string(name) else { return nil }
        if let choice = Choice(rawValue: text.value) { return Located(choice, at: text.place) }
        let all = Choice.allCases.map(\.rawValue)
        report.error(
            "\(name) is \"\(text.value)\"", at: text.place, remedy: Suggestion.remedy(for: text.value, in: all))
        return nil
    }

    /// Nanoseconds of a GEP-2257 duration.
    func duration(_ name: String) -> Located<UInt64>? {
        if let node = node(name), case .scalar(let text, true) = node.content, case .integer = PlainScalar(text) {
            report.error(
                "the duration \(text) has no unit", at: place(of: name), remedy: "\(text)s, if seconds are meant")
            return nil
        }
        guard let text = string(name) else { return nil }
        switch GatewayDuration.nanoseconds(text.value) {
        case .success(let nanoseconds): return Located(nanoseconds, at: text.place)
        case .failure(let problem):
            report.error(
                "the duration \"\(text.value)\" \(problem.what)", at: text.place,
                remedy: "for example 500ms, 10s or 1h30m (GEP-2257)")
            return nil
        }
    }

    // MARK: Structures

    /// The fields of a mapping; call `done()` on them. Something else is reported and reads as nil.
    func fields(_ name: String) -> Fields? {
        guard let node = node(name) else { return nil }
        let fields = Fields(node, at: place(of: name), report: report)
        guard case .mapping = node.content else { return nil }
        return fields
    }

    /// The fields of a mapping that must be there.
    func requiredFields(_ name: String, remedy: String = "") -> Fields? {
        if has(name) { return fields(name) }
        known.insert(name)
        missing(name, remedy: remedy)
        return nil
    }

    /// The items of a list; more than `most` are reported.
    func items(_ name: String, most: Int) -> [(node: YAMLNode, place: Place)] {
        guard let node = node(name) else { return [] }
        let listPlace = place(of: name)
        guard case .sequence(let items) = node.content else {
            let example = Shape.example(at: listPlace.fieldPath)
            report.error(
                "\(name) must be a list, not \(node.kindName)", at: listPlace,
                remedy: "put \"- \" before each item" + (example.isEmpty ? "" : ", as in \(example)"))
            return []
        }
        if items.count > most {
            report.error("\(name) has \(items.count) items", at: listPlace, remedy: "at most \(most)")
        }
        return items.enumerated().map { index, item in
            var place = listPlace
            place.fieldPath += "[\(index)]"
            (place.line, place.column) = (item.line, item.column)
            return (item, place)
        }
    }

    /// The items of a list of mappings, each read by `body`, which need not call `done()`.
    func list<Item>(_ name: String, most: Int, _ body: (Fields) -> Item?) -> [Item] {
        items(name, most: most).compactMap { node, place in
            let fields = Fields(node, at: place, report: report)
            switch node.content {
            // What is missing in it would only hide that it is none.
            case .scalar, .sequence: return nil
            case .null, .mapping: break
            }
            let item = body(fields)
            fields.done()
            return item
        }
    }

    /// The items of a list of strings.
    func strings(_ name: String, most: Int) -> [Located<String>] {
        items(name, most: most).compactMap { node, place in
            Self.string(node, at: place, report: report).map { Located($0, at: place) }
        }
    }

    /// All fields of the mapping `name` as strings, as in labels.
    func map(_ name: String) -> [(key: String, value: Located<String>)] {
        guard let fields = fields(name) else { return [] }
        return fields.names.compactMap { key in fields.string(key).map { (key, $0) } }
    }

    // MARK: Private

    private func peek(_ name: String) -> YAMLNode? {
        guard let entry = entries.first(where: { $0.key == name }) else { return nil }
        if case .null = entry.value.content { return nil }
        return entry.value
    }

    private static func string(_ node: YAMLNode, at place: Place, report: Report) -> String? {
        switch node.content {
        case .scalar(let text, let plain):
            guard plain, PlainScalar(text) != .string else { return text }
            report.error(
                "must be a string, not \(node.kindName)", at: place, remedy: "write it in quotes: \"\(text)\"")
            return nil
        case .null, .sequence, .mapping:
            report.error("must be a string, not \(node.kindName)", at: place)
            return nil
        }
    }

    private static func join(_ path: String, _ name: String) -> String {
        let name = name.utf8.contains(0x2E) || name.isEmpty ? "[\"\(name)\"]" : name
        if path.isEmpty { return name }
        return name.hasPrefix("[") ? path + name : path + "." + name
    }
}
