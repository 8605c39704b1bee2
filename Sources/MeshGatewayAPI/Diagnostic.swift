/// Where something was written: a field of an object, in a file.
public struct Place: Sendable, Hashable {
    /// Path of the file, relative to the directory that was loaded.
    public var file: String
    /// Line, from 1.
    public var line: Int
    /// Column in Unicode scalars, from 1.
    public var column: Int
    /// The field, as in `spec.rules[2].matches[0].path.value`; empty for the object itself.
    public var fieldPath: String
    /// The object, as in `HTTPRoute shop/cart`; empty where a file is not even YAML.
    public var object: String

    /// A place of which all parts are known.
    public init(file: String, line: Int, column: Int, fieldPath: String = "", object: String = "") {
        self.file = file
        self.line = line
        self.column = column
        self.fieldPath = fieldPath
        self.object = object
    }

    /// `file:line`, the short form for tables.
    public var fileAndLine: String { "\(file):\(line)" }
}

/// One problem, and what to write instead.
public struct Diagnostic: Sendable, Hashable {
    /// How bad it is.
    public enum Severity: String, Sendable, CaseIterable {
        /// The configuration cannot be used.
        case error
        /// The configuration can be used, but part of it will not do what its author expects.
        case warning
    }

    /// How bad it is.
    public var severity: Severity
    /// Where it is.
    public var place: Place
    /// What is wrong, without a full stop.
    public var message: String
    /// What to write instead, without a full stop; empty if the message says it.
    public var remedy: String

    /// A diagnostic of which all parts are known.
    public init(severity: Severity, place: Place, message: String, remedy: String = "") {
        self.severity = severity
        self.place = place
        self.message = message
        self.remedy = remedy
    }
}

/// Collects what is found wrong, in the order in which it is found; the same problem once.
final class Report {
    /// Everything so far.
    private(set) var diagnostics: [Diagnostic] = []
    private var seen: Set<Diagnostic> = []
    /// Problems beyond these are counted, not kept: a generated file must not fill the memory with complaints.
    private static let limit = 1000
    private var dropped = 0

    /// The configuration cannot be used because of `message` at `place`.
    func error(_ message: String, at place: Place, remedy: String = "") {
        hasErrors = true
        add(Diagnostic(severity: .error, place: place, message: message, remedy: remedy))
    }

    /// The configuration can be used, but see `message`.
    func warning(_ message: String, at place: Place, remedy: String = "") {
        add(Diagnostic(severity: .warning, place: place, message: message, remedy: remedy))
    }

    /// True if anything makes the configuration unusable, also if it is too much to be kept.
    private(set) var hasErrors = false

    /// Everything, by file, line and column.
    func sorted() -> [Diagnostic] {
        var result = Self.sorted(diagnostics)
        if dropped > 0, let last = result.last {
            result.append(
                Diagnostic(
                    severity: hasErrors ? .error : .warning, place: last.place,
                    message: "\(dropped) more problems are not shown"))
        }
        return result
    }

    /// By file, line and column; at one place in the order given.
    static func sorted(_ diagnostics: [Diagnostic]) -> [Diagnostic] {
        diagnostics.enumerated().sorted { left, right in
            let (a, b) = (left.element.place, right.element.place)
            return (a.file, a.line, a.column, left.offset) < (b.file, b.line, b.column, right.offset)
        }.map(\.element)
    }

    private func add(_ diagnostic: Diagnostic) {
        guard diagnostics.count < Self.limit else {
            dropped += 1
            return
        }
        guard seen.insert(diagnostic).inserted else { return }
        diagnostics.append(diagnostic)
    }
}
