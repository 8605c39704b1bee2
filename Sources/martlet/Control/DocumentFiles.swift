import Foundation
import MeshControl
import MeshGatewayAPI

/// What `-f` names, read.
enum DocumentFiles {
    /// The files, directories (their `*.yaml` and `*.yml`) and, for `-`, standard input, by the names given here.
    static func read(_ paths: [String]) throws -> [API.File] {
        var files: [API.File] = []
        for path in paths {
            for name in try names(path) { files.append(try file(name)) }
        }
        return files
    }

    /// The objects in them.
    static func objects(_ paths: [String]) throws -> [API.ObjectID] {
        var ids: [API.ObjectID] = []
        for file in try read(paths) {
            let (documents, diagnostics) = DocumentText.documents(in: SourceFile(path: file.name, text: file.text))
            for diagnostic in diagnostics {
                printError(DiagnosticText.block(diagnostic, source: file.text))
            }
            if let first = diagnostics.first {
                throw Failure(message: "\(first.place.file) is not valid, nothing was deleted", code: 1)
            }
            for document in documents {
                let id = API.ObjectID(kind: document.kind, namespace: document.namespace, name: document.name)
                if !ids.contains(id) { ids.append(id) }
            }
        }
        guard !ids.isEmpty else { throw Failure(message: "there is no document in \(paths.joined(separator: ", "))") }
        return ids
    }

    private static func names(_ path: String) throws -> [String] {
        guard path != "-" else { return [path] }
        guard let type = fileType(path) else {
            throw Failure(message: "\(path) does not exist: -f wants a file, a directory or - for standard input")
        }
        guard type == .typeDirectory else { return [path] }
        var found: [String] = []
        try collect(path, "", depth: 0, &found)
        found.sort()
        guard !found.isEmpty else { throw Failure(message: "\(path) has no file *.yaml or *.yml") }
        return found.map { path.hasSuffix("/") ? path + $0 : "\(path)/\($0)" }
    }

    /// The YAML files of a directory and of those in it, without what begins with a dot.
    private static func collect(_ base: String, _ prefix: String, depth: Int, _ found: inout [String]) throws {
        let directory = prefix.isEmpty ? base : "\(base)/\(prefix)"
        guard depth <= 16 else { throw Failure(message: "\(directory) is too deep") }
        guard let all = try? FileManager.default.contentsOfDirectory(atPath: directory) else {
            throw Failure(message: "\(directory) cannot be read")
        }
        for name in all where !name.hasPrefix(".") {
            let path = prefix.isEmpty ? name : "\(prefix)/\(name)"
            if fileType("\(base)/\(path)") == .typeDirectory {
                try collect(base, path, depth: depth + 1, &found)
            } else if name.hasSuffix(".yaml") || name.hasSuffix(".yml") {
                found.append(path)
            }
        }
    }

    private static func file(_ name: String) throws -> API.File {
        let data = name == "-" ? FileHandle.standardInput.readDataToEndOfFile() : try content(name)
        guard let text = String(validating: data, as: UTF8.self) else {
            throw Failure(message: "\(name) is not UTF-8: save it as UTF-8", code: 1)
        }
        return API.File(name: name == "-" ? "stdin" : name, text: text)
    }

    private static func content(_ path: String) throws -> Data {
        guard fileType(path) == .typeRegular else {
            throw Failure(message: "\(path) is not a file that can be read to its end")
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw Failure(message: "\(path) cannot be read")
        }
        return data
    }

    /// What is at the end of all links of `path`; nil if nothing.
    private static func fileType(_ path: String) -> FileAttributeType? {
        let end = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        return (try? FileManager.default.attributesOfItem(atPath: end))?[.type] as? FileAttributeType
    }
}
