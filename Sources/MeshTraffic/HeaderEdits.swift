import MeshHTTP
import MeshModel

/// The changes of header modifiers, as lines that are ready to be copied into a head. Names are written in lower case,
/// as HTTP/2 wants them.
struct HeaderEdits: Sendable {
    /// The changes of one modifier.
    struct Run: Sendable {
        fileprivate let first: Int
        fileprivate let count: Int
    }

    private enum Action: Sendable { case remove, set, add, authority }

    private struct Edit: Sendable {
        let action: Action
        let name: HeaderName
        /// `name: value`; for `remove` the name, for `authority` the value.
        let line: ByteRange
        let nameCount: Int
    }

    private var text: [UInt8] = []
    private var edits: [Edit] = []

    /// True for a field name that modifiers may not touch.
    static func isProtected(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        let known = HeaderName.intern(bytes.span)
        return known.isHopByHop || known == .contentLength || !Grammar.isToken(bytes.span)
    }

    /// Compiles a modifier: first removes, then sets, then adds. Fields that it may not touch are left out.
    mutating func add(_ modifier: HeaderModifier) -> Run {
        let first = edits.count
        for name in modifier.remove { add(.remove, name, "") }
        for header in modifier.set { add(.set, header.name, header.value) }
        for header in modifier.add { add(.add, header.name, header.value) }
        return Run(first: first, count: edits.count - first)
    }

    private mutating func add(_ action: Action, _ name: String, _ value: String) {
        guard !Self.isProtected(name) else { return }
        let name = Array(name.lowercased().utf8)
        let value = Array(value.utf8)
        let known = HeaderName.intern(name.span)
        guard Grammar.isFieldValue(value.span) else { return }
        if known == .host {
            // A request has exactly one host: it can be replaced, not removed, and not be given twice.
            guard case .set = action, Grammar.isAuthority(value.span) else { return }
            edits.append(Edit(action: .authority, name: known, line: store(value), nameCount: 0))
            return
        }
        var line = name
        if case .remove = action {} else { line += Array(": ".utf8) + value }
        edits.append(Edit(action: action, name: known, line: store(line), nameCount: name.count))
    }

    private mutating func store(_ bytes: [UInt8]) -> ByteRange {
        let range = ByteRange(text.count, bytes.count)
        text += bytes
        return range
    }

    /// Makes the changes of `run`.
    func apply(_ run: Run, to head: MessageHead) {
        var index = run.first
        while index < run.first &+ run.count {
            let edit = edits[index]
            index &+= 1
            let line = text.span.extracting(edit.line)
            switch edit.action {
            case .remove: remove(edit, line, head)
            case .set:
                remove(edit, line, head)
                head.append(edit.name, line: line, nameCount: edit.nameCount)
            case .add: head.append(edit.name, line: line, nameCount: edit.nameCount)
            case .authority:
                // Of a response there is nothing that a host could be.
                if head.status == 0 { head.authorityRange = head.store(line) }
            }
        }
    }

    private func remove(_ edit: Edit, _ line: Span<UInt8>, _ head: MessageHead) {
        if edit.name == .other {
            head.removeAll(named: line.extracting(first: edit.nameCount))
        } else {
            head.removeAll(edit.name)
        }
    }
}
