import MeshCore

/// One document as it stands in a file: what it is called, and its text. What it says is not looked at.
public struct DocumentText: Sendable, Hashable {
    /// `gateway.networking.k8s.io/v1`, …
    public var apiVersion: String
    /// `HTTPRoute`, …
    public var kind: String
    /// `default` if it says none; empty for kinds that have none.
    public var namespace: String
    /// `metadata.name`.
    public var name: String
    /// The lines of the document, without those that separate it from others.
    public var text: String
    /// The line of the file in which ``text`` begins, from 1.
    public var line: Int

    /// The documents of a file, in order, and what is wrong with those that are not YAML or have no name. A list of
    /// objects is not taken apart: its items have no text of their own.
    public static func documents(in file: SourceFile) -> (documents: [DocumentText], diagnostics: [Diagnostic]) {
        var documents: [DocumentText] = []
        var diagnostics: [Diagnostic] = []
        for piece in pieces(of: file.text) {
            let report = Report()
            var reader = YAMLReader(file: file.path, report: report)
            for node in reader.documents(piece.text) {
                if case .null = node.content { continue }
                if let document = named(node, piece) {
                    documents.append(document)
                } else {
                    refuse(node, file.path, report)
                }
            }
            for var diagnostic in report.diagnostics where diagnostic.severity == .error {
                diagnostic.place.line += piece.line - 1
                diagnostics.append(diagnostic)
            }
        }
        return (documents, diagnostics)
    }

    private typealias Piece = (text: String, line: Int)

    /// The text between the lines `---` and `...`, which YAML allows at the start of a line for nothing else.
    private static func pieces(of text: String) -> [Piece] {
        var pieces: [Piece] = []
        var lines: [Substring] = []
        var start = 1
        func finish(next: Int) {
            if lines.contains(where: { isContent($0) }) {
                pieces.append((lines.joined(separator: "\n") + "\n", start))
            }
            lines = []
            start = next
        }
        var all = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
        // The last line has an end, too: a document is the same wherever it stands in a file.
        if all.last?.isEmpty == true { all.removeLast() }
        for (index, line) in all.enumerated() {
            guard line.hasPrefix("---") || line.hasPrefix("...") else {
                lines.append(line)
                continue
            }
            let rest = line.dropFirst(3)
            guard rest.isEmpty || rest.first == " " || rest.first == "\t" else {
                lines.append(line)
                continue
            }
            let holdsContent = line.hasPrefix("---") && isContent(rest)
            finish(next: holdsContent ? index + 1 : index + 2)
            if holdsContent { lines = [line] }
        }
        finish(next: 0)
        return pieces
    }

    /// False for what is empty, a comment, or a directive of YAML.
    private static func isContent(_ line: Substring) -> Bool {
        guard let first = line.first(where: { $0 != " " && $0 != "\t" }) else { return false }
        return first != "#" && line.first != "%"
    }

    private static func named(_ node: YAMLNode, _ piece: Piece) -> DocumentText? {
        guard let kind = text(node, "kind"), let version = text(node, "apiVersion"),
            let metadata = value(node, "metadata"), let name = text(metadata, "name"), !name.isEmpty
        else { return nil }
        let isClusterWide = ["Namespace", "GatewayClass"].contains(kind)
        return DocumentText(
            apiVersion: version, kind: kind,
            namespace: isClusterWide ? "" : text(metadata, "namespace") ?? "default", name: name, text: piece.text,
            line: piece.line)
    }

    /// Says what is wrong with a document that has no name, in the words of the translator.
    private static func refuse(_ node: YAMLNode, _ file: String, _ report: Report) {
        let place = Place(file: file, line: node.line, column: node.column)
        guard case .mapping = node.content else {
            report.error("a document must be a mapping, not \(node.kindName)", at: place)
            return
        }
        if let kind = text(node, "kind"), kind.hasSuffix("List"), value(node, "items") != nil {
            report.error(
                "a \(kind) cannot be kept as one object", at: place,
                remedy: "write its items as documents, with --- between them")
            return
        }
        var documents = DocumentSet()
        documents.add(node, file: file, report: report)
        if !report.hasErrors { report.error("metadata.name is missing", at: place, remedy: "metadata: {name: NAME}") }
    }

    private static func value(_ node: YAMLNode, _ key: String) -> YAMLNode? {
        guard case .mapping(let entries) = node.content else { return nil }
        return entries.first { $0.key == key }?.value
    }

    private static func text(_ node: YAMLNode, _ key: String) -> String? {
        guard let value = value(node, key), case .scalar(let text, _) = value.content else { return nil }
        return text
    }
}

extension Translator {
    /// The YAML files of a directory, or one file, with their text, in the order in which ``load(directory:)`` reads
    /// them. Throws if one cannot be read, or there is none.
    public static func files(of directory: String) throws(ProxyError) -> [SourceFile] {
        let found = try ConfigurationFiles(directory)
        var files: [SourceFile] = []
        for name in found.names {
            let path = found.base == "." ? name : found.base + "/" + name
            let bytes = try ConfigurationFiles.read(path, limit: YAMLReader.maximumBytes + 1)
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw ProxyError("the file \(path) is not UTF-8: save it as UTF-8")
            }
            files.append(SourceFile(path: name, text: text))
        }
        return files
    }
}
