import Foundation
import MeshCore

/// The files of a configuration: `*.yaml` and `*.yml` of a directory and of the directories in it, or one file.
///
/// Names that begin with a dot are left out, directories too: `.git`, the files that editors put beside others, and the
/// `..data` of Kubernetes, whose files are seen through the links to them. Links are followed, each directory once.
struct ConfigurationFiles {
    /// The directory that file names are relative to.
    let base: String
    /// Paths below ``base``, in order.
    private(set) var names: [String] = []
    private var visited: Set<[UInt64]> = []

    /// Deepest directory, and most files: a mistaken `/` ends soon.
    private static let maximumDepth = 16
    private static let maximumFiles = 100_000

    /// Finds the files of `path`; throws if there is nothing that could be read.
    init(_ path: String) throws(ProxyError) {
        guard let isDirectory = Self.isDirectory(path) else { throw ProxyError("\(path) does not exist") }
        guard isDirectory else {
            names = [(path as NSString).lastPathComponent]
            let parent = (path as NSString).deletingLastPathComponent
            base = parent.isEmpty ? "." : parent
            return
        }
        base = path
        try collect("", depth: 0)
        names.sort()
        if names.isEmpty { throw ProxyError("\(path) has no file *.yaml or *.yml") }
    }

    private mutating func collect(_ prefix: String, depth: Int) throws(ProxyError) {
        let directory = prefix.isEmpty ? base : base + "/" + prefix
        guard visited.insert(Self.identity(directory)).inserted else { return }
        guard depth <= Self.maximumDepth else { throw ProxyError("\(directory) is too deep") }
        guard let all = try? FileManager.default.contentsOfDirectory(atPath: directory) else {
            throw ProxyError("\(directory) cannot be read")
        }
        for name in all where !name.hasPrefix(".") {
            let path = prefix.isEmpty ? name : prefix + "/" + name
            if Self.isDirectory(base + "/" + path) == true {
                try collect(path, depth: depth + 1)
            } else if name.hasSuffix(".yaml") || name.hasSuffix(".yml") {
                guard names.count < Self.maximumFiles else {
                    throw ProxyError("\(base) has more than \(Self.maximumFiles) files")
                }
                names.append(path)
            }
        }
    }

    /// What is at the end of all links of `path`; nil if nothing.
    private static func attributes(_ path: String) -> [FileAttributeKey: Any]? {
        try? FileManager.default.attributesOfItem(atPath: URL(fileURLWithPath: path).resolvingSymlinksInPath().path)
    }

    /// False for a FIFO, a socket, a device.
    private static func isRegular(_ path: String) -> Bool {
        attributes(path)?[.type] as? FileAttributeType == .typeRegular
    }

    /// What tells one directory from another, by whatever path it is reached.
    private static func identity(_ path: String) -> [UInt64] {
        let attributes = attributes(path)
        let numbers = [attributes?[.systemNumber], attributes?[.systemFileNumber]]
        return numbers.map { ($0 as? NSNumber)?.uint64Value ?? 0 }
    }

    // MARK: Reading

    /// The bytes of a regular file of at most `limit` bytes.
    static func read(_ path: String, limit: Int) throws(ProxyError) -> [UInt8] {
        guard let isDirectory = isDirectory(path) else { throw ProxyError("the file \(path) does not exist") }
        guard !isDirectory else { throw ProxyError("\(path) is a directory, not a file") }
        // Whoever opens a FIFO waits until somebody writes to it.
        guard isRegular(path) else { throw ProxyError("\(path) is not a regular file") }
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw ProxyError("the file \(path) cannot be read")
        }
        defer { try? handle.close() }
        // An empty file reads as nil.
        guard let data = try? handle.read(upToCount: limit + 1) else {
            guard (try? handle.offset()) == 0 else { throw ProxyError("the file \(path) cannot be read") }
            return []
        }
        guard data.count <= limit else { throw ProxyError("the file \(path) is larger than \(limit) bytes") }
        return [UInt8](data)
    }

    /// Whether there is a directory at `path`; nil if there is nothing.
    private static func isDirectory(_ path: String) -> Bool? {
        var isDirectory: ObjCBool = false
        // SAFETY: the pointer is to a local variable and is used during the call only.
        guard unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else { return nil }
        return isDirectory.boolValue
    }
}
