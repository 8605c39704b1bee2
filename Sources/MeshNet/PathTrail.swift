import Glibc

/// Which directory entries decide what a path leads to: every symbolic link on the way, and the last component.
///
/// Whoever watches these entries notices every change of what the path means: a rewritten file, a replaced one, and a
/// link anywhere on the way that is swapped, as Kubernetes does with `..data` and deployments do with `current`.
enum PathTrail {
    /// A name in a directory, whose path has no symbolic link in it.
    struct Entry: Hashable {
        var directory: String
        var name: String
    }

    /// As many links as Linux follows (path_resolution(7)).
    private static let maximumLinks = 40

    /// The entries of `path`, in the order of looking them up; those behind one that does not exist are left out.
    static func entries(_ path: String) -> [Entry] {
        var rest = Array(components(path).reversed())
        var directory = path.hasPrefix("/") ? "/" : workingDirectory()
        var result: [Entry] = []
        var links = 0
        while let name = rest.popLast() {
            if name == "." { continue }
            if name == ".." {
                directory = parent(of: directory)
                continue
            }
            let entry = Entry(directory: directory, name: name)
            let full = directory == "/" ? "/" + name : directory + "/" + name
            if let target = target(ofLink: full) {
                result.append(entry)
                links += 1
                guard links <= maximumLinks else { return result }
                if target.hasPrefix("/") { directory = "/" }
                rest += components(target).reversed()
            } else if rest.isEmpty || !exists(full) {
                result.append(entry)
                return result
            } else {
                directory = full
            }
        }
        return result
    }

    private static func components(_ path: String) -> [String] { path.split(separator: "/").map(String.init) }

    private static func parent(of directory: String) -> String {
        guard let slash = directory.lastIndex(of: "/"), slash != directory.startIndex else { return "/" }
        return String(directory[..<slash])
    }

    private static func workingDirectory() -> String {
        var buffer = [CChar](repeating: 0, count: 4096)
        // SAFETY: getcwd writes at most the given number of bytes, its zero included.
        guard unsafe getcwd(&buffer, buffer.count) != nil else { return "/" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func target(ofLink path: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        // SAFETY: readlink writes at most the given number of bytes and copies the path for the call.
        let count = unsafe buffer.withUnsafeMutableBytes { bytes in
            unsafe readlink(path, bytes.baseAddress!.assumingMemoryBound(to: CChar.self), bytes.count)
        }
        return count > 0 ? String(decoding: buffer.prefix(count), as: UTF8.self) : nil
    }

    private static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }
}
