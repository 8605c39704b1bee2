import Foundation

/// Secret or ConfigMap: named bytes, inline or in files.
struct DataDocument {
    /// Where the bytes of a key are.
    enum Content {
        case bytes([UInt8])
        /// A path, relative to the file that names it.
        case file(String)
    }

    var metadata: Metadata
    var type: String
    var entries: [String: Located<Content>] = [:]

    init(_ root: Fields, metadata: Metadata, isSecret: Bool) {
        self.metadata = metadata
        type = isSecret ? root.string("type")?.value ?? "Opaque" : ""
        root.ignore("immutable")
        if isSecret {
            for (key, text) in root.map("data") {
                guard let data = Data(base64Encoded: text.value.filter { !$0.isWhitespace }) else {
                    root.report.error(
                        "\(key) is not base64", at: text.place, remedy: "write it as it is under stringData")
                    continue
                }
                entries[key] = Located(.bytes([UInt8](data)), at: text.place)
            }
            read(root, "stringData")
        } else {
            read(root, "data")
            for (key, text) in root.map("binaryData") {
                guard let data = Data(base64Encoded: text.value.filter { !$0.isWhitespace }) else {
                    root.report.error("\(key) is not base64", at: text.place, remedy: "write it as it is under data")
                    continue
                }
                entries[key] = Located(.bytes([UInt8](data)), at: text.place)
            }
        }
    }

    private mutating func read(_ root: Fields, _ name: String) {
        for (key, text) in root.map(name) {
            let content: Content
            if text.value.hasPrefix("file:") {
                content = .file(text.value.dropFirst(5).trimmingCharacters(in: .whitespaces))
            } else {
                content = .bytes(Array(text.value.utf8))
            }
            entries[key] = Located(content, at: text.place)
        }
    }
}

/// ReferenceGrant.
struct ReferenceGrantDocument {
    var metadata: Metadata
    var from: [(group: String, kind: String, namespace: String)]
    var to: [(group: String, kind: String, name: String?)]

    init(_ spec: Fields, metadata: Metadata) {
        self.metadata = metadata
        from = spec.list("from", most: 16) { fields in
            let group = fields.string("group")
            if group == nil { fields.missing("group", remedy: "group: \(APIGroup.gateway)") }
            let kind = fields.required("kind", remedy: "for example HTTPRoute")
            let namespace = fields.required("namespace")
            guard let group, let kind, let namespace else { return nil }
            return (group.value, kind.value, namespace.value)
        }
        if !spec.has("from") { spec.missing("from") }
        to = spec.list("to", most: 16) { fields in
            let group = fields.string("group")
            if group == nil { fields.missing("group", remedy: "group: \"\"") }
            let kind = fields.required("kind", remedy: "for example Service")
            let name = fields.string("name")?.value
            guard let group, let kind else { return nil }
            return (group.value, kind.value, name)
        }
        if !spec.has("to") { spec.missing("to") }
    }

    /// True if it lets `source` refer to `target`.
    func permits(_ source: ObjectID, _ target: ObjectID) -> Bool {
        metadata.namespace == target.namespace
            && from.contains { ($0.group, $0.kind, $0.namespace) == (source.group, source.kind, source.namespace) }
            && to.contains {
                $0.group == target.group && $0.kind == target.kind && ($0.name ?? target.name) == target.name
            }
    }
}
