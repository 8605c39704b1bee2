import Synchronization

/// What the texts of the last translation are as YAML, for whoever translates again after a small change: reading YAML
/// is most of the work. Holds one configuration at most.
public final class ParsedTexts: Sendable {
    private let kept = Mutex<[String: [YAMLNode]]>([:])

    /// Nothing yet.
    public init() {}

    var nodes: [String: [YAMLNode]] { kept.withLock { $0 } }

    /// Adds a text without the empty lines that it begins with: they are there for an object that has just come, so that
    /// its lines are those of its file, and are gone when it is translated the next time.
    static func add(_ nodes: [YAMLNode], of text: String, to all: inout [String: [YAMLNode]]) {
        let empty = text.utf8.prefix { $0 == 0x0A }.count
        guard empty > 0 else {
            all[text] = nodes
            return
        }
        all[String(text.unicodeScalars.dropFirst(empty))] = nodes.map { $0.moved(up: empty) }
    }

    /// Keeps these texts, and no others.
    func keep(_ nodes: [String: [YAMLNode]]) { kept.withLock { $0 = nodes } }
}
