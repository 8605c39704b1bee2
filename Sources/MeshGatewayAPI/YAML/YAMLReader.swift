import Foundation
import Yams

/// Text → documents of ``YAMLNode``, within limits that keep a hostile file from costing more than it weighs.
///
/// Aliases are expanded, and expansion is bounded: the number of nodes of one file counts each use of an alias. A
/// mapping key must be a scalar; this is checked on the text first where aliases occur, because the YAML library hashes
/// keys, and hashing an expanded alias bomb would take for ever.
struct YAMLReader {
    /// Largest file, in bytes.
    static let maximumBytes = 16 << 20
    /// Most nodes of one file after aliases are expanded; less for a small file, see ``documents(_:)``.
    static let maximumNodes = 4_000_000
    /// Deepest nesting.
    static let maximumDepth = 64

    let file: String
    let report: Report
    private var nodes = 0
    private var limit = Self.maximumNodes

    init(file: String, report: Report) {
        self.file = file
        self.report = report
    }

    /// The documents of `text`; a file that is not YAML is reported and yields those before the error.
    mutating func documents(_ text: String) -> [YAMLNode] {
        guard text.utf8.count <= Self.maximumBytes else {
            report.error(
                "the file is larger than \(Self.maximumBytes >> 20) MiB", at: place(1, 1),
                remedy: "split it into several files")
            return []
        }
        // Without aliases a node takes two bytes; ten times as many nodes as bytes leave room for honest reuse.
        limit = min(Self.maximumNodes, 10_000 + 10 * text.utf8.count)
        guard !hasKeysThatAreNotScalars(text) else { return [] }
        var result: [YAMLNode] = []
        do {
            // What scalars are is found out later, by ``PlainScalar``: here it would only tell keys apart that are equal.
            let parser = try Parser(yaml: text, resolver: .basic, encoding: .utf8)
            while let root = try parser.nextRoot() {
                if let node = convert(root, depth: 0) { result.append(node) }
                if nodes > limit { break }
            }
        } catch let error as YamlError {
            report(error)
        } catch {
            report.error("not valid YAML", at: place(1, 1))
        }
        return result
    }

    private func place(_ line: Int, _ column: Int) -> Place { Place(file: file, line: line, column: column) }

    // MARK: Nodes

    private mutating func convert(_ node: Node, depth: Int) -> YAMLNode? {
        let line = node.mark?.line ?? 1
        let column = node.mark?.column ?? 1
        nodes += 1
        guard nodes <= limit else {
            if nodes == limit + 1 {
                report.error(
                    "more than \(limit) values once aliases are expanded", at: place(line, column),
                    remedy: "use fewer aliases")
            }
            return nil
        }
        guard depth < Self.maximumDepth else {
            report.error("nested deeper than \(Self.maximumDepth) levels", at: place(line, column))
            return nil
        }
        switch node {
        case .scalar(let scalar): return convert(scalar, line, column)
        case .sequence(let sequence):
            let items = sequence.compactMap { convert($0, depth: depth + 1) }
            return YAMLNode(line: line, column: column, content: .sequence(items))
        case .mapping(let mapping):
            return YAMLNode(line: line, column: column, content: .mapping(entries(mapping, depth: depth)))
        case .alias: return nil
        }
    }

    private func convert(_ scalar: Node.Scalar, _ line: Int, _ column: Int) -> YAMLNode {
        let plain = scalar.style == .plain || scalar.style == .any
        if plain, PlainScalar(scalar.string) == .null { return YAMLNode(line: line, column: column, content: .null) }
        return YAMLNode(line: line, column: column, content: .scalar(scalar.string, plain: plain))
    }

    private mutating func entries(_ mapping: Node.Mapping, depth: Int) -> [YAMLNode.Entry] {
        var entries: [YAMLNode.Entry] = []
        var merged: [YAMLNode.Entry] = []
        for (key, value) in mapping {
            let line = key.mark?.line ?? 1
            let column = key.mark?.column ?? 1
            guard case .scalar(let name) = key else {
                report.error("a field name must be a plain string", at: place(line, column))
                continue
            }
            guard let value = convert(value, depth: depth + 1) else { continue }
            if name.string == "<<", name.style == .plain {
                merged += mergeSources(value)
            } else {
                entries.append(YAMLNode.Entry(key: name.string, line: line, column: column, value: value))
            }
        }
        var names = Set(entries.map(\.key))
        for entry in merged where names.insert(entry.key).inserted { entries.append(entry) }
        return entries
    }

    /// The fields that `<<: value` brings in.
    private func mergeSources(_ value: YAMLNode) -> [YAMLNode.Entry] {
        switch value.content {
        case .mapping(let entries): return entries
        case .sequence(let items):
            return items.flatMap { item -> [YAMLNode.Entry] in
                if case .mapping(let entries) = item.content { return entries }
                return []
            }
        case .null, .scalar:
            report.error("<< needs a mapping or a list of mappings", at: place(value.line, value.column))
            return []
        }
    }

    // MARK: Errors

    private func report(_ error: YamlError) {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let around = context.map { " (\($0.text) at line \($0.mark.line))" } ?? ""
            report.error(
                "not valid YAML: \(problem)\(around)", at: place(mark.line, mark.column), remedy: hint(problem + around)
            )
        case .duplicatedKeysInMapping(let duplicates, let context):
            report.error(
                "the field \(duplicates.map { "\"\($0)\"" }.joined(separator: ", ")) is given twice",
                at: place(context.mark.line, context.mark.column), remedy: "keep one of them")
        case .reader(let problem, let offset, _, let yaml):
            let before = yaml.prefix(max(0, offset ?? 0))
            let line = before.reduce(1) { $1.isNewline ? $0 + 1 : $0 }
            report.error("not valid YAML: \(problem)", at: place(line, 1), remedy: "save the file as UTF-8")
        case .no, .memory, .writer, .emitter, .representer, .dataCouldNotBeDecoded:
            report.error("not valid YAML", at: place(1, 1))
        }
    }

    private func hint(_ problem: String) -> String {
        if problem.contains("alias") { return "a value that starts with * needs quotes: \"*.example.com\"" }
        if problem.contains("cannot start any token") {
            return "indent with spaces, never with tabs; quote values that begin with @ or `"
        }
        if problem.contains("did not find expected key") || problem.contains("did not find expected '-'") {
            return "the line does not stand under its neighbours: correct its indentation"
        }
        if problem.contains("mapping values are not allowed") {
            return "quote values with \": \" in them, and put each field on a line of its own"
        }
        if problem.contains("',' or '}'") || problem.contains("',' or ']'") { return "close the bracket" }
        return ""
    }

    /// Reports and refuses keys that are aliases or collections, in a file that uses aliases at all.
    private func hasKeysThatAreNotScalars(_ text: String) -> Bool {
        var previous: UInt8 = 0x0A
        var (anchors, aliases) = (false, false)
        for byte in text.utf8 {
            let isName = byte > 0x20 && byte != 0x2C && byte != 0x5D && byte != 0x7D
            if previous == 0x26, isName { anchors = true }
            if previous == 0x2A, isName { aliases = true }
            previous = byte
        }
        guard anchors, aliases else { return false }
        var number = 0
        for line in text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false) {
            number += 1
            guard lineHasUnusualKey(line) else { continue }
            report.error(
                "in a file with aliases, keys must be plain strings and flow collections must stand on one line of "
                    + "their own", at: place(number, 1), remedy: "write the keys out")
            return true
        }
        return false
    }

    /// True for `? key`, `*alias :`, `]:`, `}:` and a leading colon; a quoted string that looks like one counts.
    private func lineHasUnusualKey(_ line: Substring.UTF8View.SubSequence) -> Bool {
        let bytes = Array(line)
        var inAlias = false
        var closed = false
        var previous: UInt8 = 0x20
        for (index, byte) in bytes.enumerated() {
            let isSpace = byte == 0x20 || byte == 0x09 || byte == 0x0D
            switch byte {
            case 0x3F:  // ?
                let next = index + 1 < bytes.count ? bytes[index + 1] : 0x20
                let starts = previous == 0x20 || previous == 0x5B || previous == 0x7B || previous == 0x2C
                if starts, next <= 0x20 { return true }
            case 0x3A:  // :
                if inAlias || closed || bytes[..<index].allSatisfy({ $0 <= 0x20 }) { return true }
            case 0x2A:  // *
                (inAlias, closed) = (true, false)
            case 0x5D, 0x7D:  // ] }
                (inAlias, closed) = (false, true)
            default:
                if isSpace { break }
                closed = false
                let isName = (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A) || (0x30...0x39).contains(byte)
                if !isName && byte != 0x5F && byte != 0x2D { inAlias = false }
            }
            previous = isSpace ? 0x20 : byte
        }
        return false
    }
}
