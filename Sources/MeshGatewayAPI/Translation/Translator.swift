import MeshCore
import MeshModel

/// Gateway API YAML → ``Model``, and ``MeshResource``s.
public enum Translator {
    /// Who asks, and with that what has to be there.
    public enum Purpose: Sendable, Equatable {
        /// One proxy that serves all Gateways, as `martlet run`: without a Gateway there is nothing to do, and Gateways
        /// share its sockets.
        case proxy
        /// A control plane: each Gateway is a proxy of its own, or several; there may be none. `trustDomain` is that of
        /// its authority, which a Mesh cannot change; nil if the Mesh decides.
        case controlPlane(trustDomain: String?)
    }

    /// Translates the files `*.yaml` and `*.yml` of a directory and of the directories in it, in the order of their
    /// paths, or one file. What begins with a dot is left out.
    ///
    /// Throws if something cannot be read at all: the directory, one of its files, or if no file has a document.
    /// Everything else is a diagnostic.
    public static func load(directory: String, for purpose: Purpose = .proxy) throws(ProxyError) -> Translation {
        let found = try ConfigurationFiles(directory)
        let report = Report()
        var files: [SourceFile] = []
        for name in found.names {
            let path = found.base == "." ? name : found.base + "/" + name
            let bytes = try ConfigurationFiles.read(path, limit: YAMLReader.maximumBytes + 1)
            if let text = String(validating: bytes, as: UTF8.self) {
                files.append(SourceFile(path: name, text: text))
            } else {
                report.error(
                    "the file is not UTF-8", at: Place(file: name, line: 1, column: 1), remedy: "save it as UTF-8")
            }
        }
        let documents = read(files, report)
        if documents.objects.isEmpty, report.diagnostics.isEmpty {
            throw ProxyError("\(directory) has no document, only comments or nothing at all")
        }
        return link(documents, files, base: found.base, purpose, report)
    }

    /// Translates files or stored objects that have been read already; `base` is the directory that paths of files are
    /// relative to, and with that the paths in Secrets and ConfigMaps. The YAML of texts that `texts`
    /// knows is not read again.
    public static func translate(
        _ files: [SourceFile], base: String = ".", for purpose: Purpose = .proxy, reusing texts: ParsedTexts? = nil
    ) -> Translation {
        let report = Report()
        return link(read(files, report, texts), files, base: base, purpose, report)
    }

    private static func read(_ files: [SourceFile], _ report: Report, _ texts: ParsedTexts? = nil) -> DocumentSet {
        var documents = DocumentSet()
        let known = texts?.nodes ?? [:]
        var used: [String: [YAMLNode]] = [:]
        for file in files {
            let nodes: [YAMLNode]
            if let found = known[file.text] {
                nodes = found
            } else {
                var reader = YAMLReader(file: file.path, report: report)
                nodes = reader.documents(file.text)
            }
            // After an error nothing is kept: which text it is about is not known here.
            if texts != nil, !report.hasErrors { ParsedTexts.add(nodes, of: file.text, to: &used) }
            for node in nodes { documents.add(node, file: file.path, report: report) }
        }
        if !report.hasErrors { texts?.keep(used) }
        return documents
    }

    private static func link(
        _ documents: DocumentSet, _ files: [SourceFile], base: String, _ purpose: Purpose, _ report: Report
    ) -> Translation {
        let stored = Set(files.filter(\.isStored).map(\.path))
        let linker = Linker(documents, base: base, stored: stored, purpose: purpose, report: report)
        var model = linker.link()
        model?.revision = revision(files, linker.material)
        let isUsable = !report.hasErrors
        return Translation(
            model: isUsable ? model : nil, resources: isUsable ? linker.resources.sorted : [],
            objects: isUsable ? linker.resources.objects : [:], diagnostics: report.sorted(),
            conditions: linker.statuses,
            origins: linker.origins,
            sources: Dictionary(files.map { ($0.path, $0.text) }) { first, _ in first },
            referencedFiles: linker.material.files.keys.sorted())
    }

    /// FNV-1a over names and contents of all files: tells two configurations apart for people, not for machines.
    private static func revision(_ files: [SourceFile], _ material: Material) -> String {
        var hash = FNV1a()
        for file in files {
            hash.add(file.path.utf8)
            hash.add(file.text.utf8)
        }
        for (path, bytes) in material.files.sorted(by: { $0.key < $1.key }) {
            hash.add(path.utf8)
            hash.add(bytes)
        }
        return FNV1a.text(hash.value)
    }
}
