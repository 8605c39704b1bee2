import Foundation
import MeshCore
import MeshModel

/// Gateway API YAML → ``Model``.
public enum Translator {
    /// Translates the files `*.yaml` and `*.yml` of a directory, in the order of their names, or one file.
    ///
    /// Subdirectories and hidden files are left out. Throws only if the directory cannot be read; everything else is
    /// a diagnostic.
    public static func load(directory: String) throws(ProxyError) -> Translation {
        guard let isDirectory = isDirectory(directory) else { throw ProxyError("\(directory) does not exist") }
        let report = Report()
        let names: [String]
        let base: String
        if isDirectory {
            guard let all = try? FileManager.default.contentsOfDirectory(atPath: directory) else {
                throw ProxyError("\(directory) cannot be read")
            }
            names = all.filter { !$0.hasPrefix(".") && ($0.hasSuffix(".yaml") || $0.hasSuffix(".yml")) }.sorted()
            base = directory
            if names.isEmpty { throw ProxyError("\(directory) has no file *.yaml or *.yml") }
        } else {
            names = [(directory as NSString).lastPathComponent]
            base = (directory as NSString).deletingLastPathComponent
        }
        var files: [SourceFile] = []
        for name in names {
            let place = Place(file: name, line: 1, column: 1)
            let path = base.isEmpty ? name : base + "/" + name
            switch Self.read(path, limit: YAMLReader.maximumBytes + 1) {
            case .success(let bytes):
                guard let text = String(validating: bytes, as: UTF8.self) else {
                    report.error("the file is not UTF-8", at: place, remedy: "save it as UTF-8")
                    continue
                }
                files.append(SourceFile(path: name, text: text))
            case .failure(let error): report.error(error.description, at: place)
            }
        }
        return translate(files, base: base.isEmpty ? "." : base, report: report)
    }

    /// Translates files that have been read already; `base` is the directory that paths in Secrets and ConfigMaps are
    /// relative to.
    public static func translate(_ files: [SourceFile], base: String = ".") -> Translation {
        translate(files, base: base, report: Report())
    }

    private static func translate(_ files: [SourceFile], base: String, report: Report) -> Translation {
        var documents = DocumentSet()
        for file in files {
            var reader = YAMLReader(file: file.path, report: report)
            for node in reader.documents(file.text) { documents.add(node, file: file.path, report: report) }
        }
        let linker = Linker(documents, base: base, report: report)
        var model = linker.link()
        model.revision = revision(files)
        return Translation(
            model: report.hasErrors ? nil : model, diagnostics: report.sorted(), conditions: linker.statuses,
            origins: linker.origins,
            sources: Dictionary(files.map { ($0.path, $0.text) }) { first, _ in first },
            referencedFiles: linker.material.files.sorted())
    }

    /// FNV-1a over names and contents: tells two configurations apart for people, not for machines.
    private static func revision(_ files: [SourceFile]) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for file in files {
            for byte in file.path.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            for byte in file.text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The bytes of a regular file of at most `limit` bytes.
    static func read(_ path: String, limit: Int) -> Result<[UInt8], ProxyError> {
        guard let isDirectory = isDirectory(path) else {
            return .failure(ProxyError("the file \(path) does not exist"))
        }
        guard !isDirectory else { return .failure(ProxyError("\(path) is a directory")) }
        guard let handle = FileHandle(forReadingAtPath: path) else {
            return .failure(ProxyError("the file \(path) cannot be read"))
        }
        defer { try? handle.close() }
        guard let data = try? handle.read(upToCount: limit + 1) else {
            return (try? handle.offset()) == 0 ? .success([]) : .failure(ProxyError("the file \(path) cannot be read"))
        }
        guard data.count <= limit else { return .failure(ProxyError("the file \(path) is larger than \(limit) bytes")) }
        return .success([UInt8](data))
    }

    /// Whether there is a directory at `path`; nil if there is nothing.
    private static func isDirectory(_ path: String) -> Bool? {
        var isDirectory: ObjCBool = false
        // SAFETY: the pointer is to a local variable and is used during the call only.
        guard unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else { return nil }
        return isDirectory.boolValue
    }
}
