import Synchronization

/// What the texts of the last translation are as YAML, for whoever translates again after a small change: reading YAML
/// is most of the work. Holds one configuration at most.
public final class ParsedTexts: Sendable {
    private let kept = Mutex<[String: [YAMLNode]]>([:])

    /// Nothing yet.
    public init() {}

    var nodes: [String: [YAMLNode]] { kept.withLock { $0 } }

    /// Keeps these texts, and no others.
    func keep(_ nodes: [String: [YAMLNode]]) { kept.withLock { $0 = nodes } }
}
