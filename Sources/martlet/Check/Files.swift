import Foundation
import MeshCore
import MeshNet

/// What is asked of files.
enum Files {
    static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// The last part of a path.
    static func name(_ path: String) -> String { URL(fileURLWithPath: path).lastPathComponent }

    /// The names in a directory, in order; none if it cannot be read.
    static func names(_ directory: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted()
    }

    /// The permissions, such as 0o600; nil if there is no such file.
    static func mode(_ path: String) -> Int? {
        (try? FileManager.default.attributesOfItem(atPath: path))?[.posixPermissions] as? Int
    }

    /// The bytes of a file, or what is wrong with it.
    static func read(_ path: String) throws(ProxyError) -> [UInt8] { try FileContents.read(path, limit: 1 << 30) }

    /// A directory that is there, can be read, and is its owner's alone.
    static func directory(_ path: String, remedy: String) -> Verdict {
        guard exists(path) else {
            return isHidden(path)
                ? .bad("\(path) cannot be seen", remedy: unreadable) : .bad("\(path) does not exist", remedy: remedy)
        }
        let type = (try? FileManager.default.attributesOfItem(atPath: path))?[.type] as? FileAttributeType
        guard type != .typeRegular else { return .bad("\(path) is no directory", remedy: remedy) }
        guard FileManager.default.isReadableFile(atPath: path), FileManager.default.isExecutableFile(atPath: path)
        else {
            return .bad("\(path) cannot be read", remedy: unreadable)
        }
        guard let mode = mode(path), mode & 0o022 == 0 else {
            return .bad("\(path) can be written by others", remedy: "chmod 700 \(path)")
        }
        guard mode & 0o055 == 0 else {
            return .doubtful("\(path) can be entered by others (mode \(octal(mode)))", remedy: "chmod 700 \(path)")
        }
        return .good("\(path), mode \(octal(mode))")
    }

    /// True if a directory above `path` keeps this user from seeing whether it is there.
    private static func isHidden(_ path: String) -> Bool {
        var above = URL(fileURLWithPath: path).deletingLastPathComponent()
        while !exists(above.path), above.path.count > 1 { above.deleteLastPathComponent() }
        return !FileManager.default.isExecutableFile(atPath: above.path)
    }

    /// Whether files are their owner's alone. Those that are not there are passed over; nil if all are.
    static func secrets(_ paths: [String]) -> Verdict? {
        let found = paths.compactMap { path in mode(path).map { (path, $0) } }
        guard !found.isEmpty else { return nil }
        let open = found.filter { $0.1 & 0o077 != 0 }.map(\.0)
        guard open.isEmpty else {
            let names = open.joined(separator: " ")
            return .bad("others can read \(names)", remedy: "chmod 600 \(names), and replace what may have been read")
        }
        return .good(found.count == 1 ? "\(found[0].0), mode \(octal(found[0].1))" : "\(found.count) files, mode 600")
    }

    /// Whether there is room left where `path` is.
    static func space(_ path: String) -> [Verdict] {
        guard let facts = try? FileManager.default.attributesOfFileSystem(forPath: path),
            let free = facts[.systemFreeSize] as? NSNumber, let size = facts[.systemSize] as? NSNumber
        else { return [] }
        let (megabytes, share) = (free.int64Value >> 20, free.doubleValue / max(size.doubleValue, 1))
        let detail = "\(megabytes) MiB (\(Int(share * 100)) %) are free where \(path) is"
        let remedy = "make room: what cannot be written is refused or lost"
        if megabytes < 16 { return [.bad(detail, remedy: remedy)] }
        return [megabytes < 256 || share < 0.03 ? .doubtful(detail, remedy: remedy) : .good(detail)]
    }

    static let unreadable = "run this as root, or as the user whose files these are"

    static func octal(_ mode: Int) -> String { String(mode, radix: 8) }
}
