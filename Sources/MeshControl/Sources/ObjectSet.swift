import MeshGatewayAPI

/// The objects of a configuration, as they are translated.
struct ObjectSet: Sendable {
    /// By their names.
    var objects: [ObjectKey: StoredObject] = [:]
    /// What diagnostics call the file, and its line, of objects that a request has just brought.
    var places: [ObjectKey: (file: String, line: Int)] = [:]

    init(_ objects: [StoredObject] = []) {
        self.objects = Dictionary(objects.map { ($0.key, $0) }) { first, _ in first }
    }

    /// As the translator reads them: those of the directory by file and line, then those of the API, the oldest first,
    /// so that the older of two equal routes wins.
    var files: [SourceFile] {
        var result: [SourceFile] = []
        let sorted = objects.values.sorted { left, right in
            if left.file.isEmpty != right.file.isEmpty { return !left.file.isEmpty }
            if !left.file.isEmpty { return (left.file, left.line) < (right.file, right.line) }
            let (a, b) = (left.created == 0 ? Int.max : left.created, right.created == 0 ? Int.max : right.created)
            return a == b ? left.key < right.key : a < b
        }
        var current = (name: "", line: 1, text: "")
        func finish() {
            if !current.name.isEmpty { result.append(SourceFile(path: current.name, text: current.text)) }
            current = ("", 1, "")
        }
        for object in sorted {
            guard !object.file.isEmpty else {
                let place = places[object.key] ?? (object.key.text, 1)
                let padding = String(repeating: "\n", count: max(0, place.line - 1))
                var file = SourceFile(path: place.file, text: padding + object.text)
                file.isStored = true
                finish()
                result.append(file)
                continue
            }
            if current.name != object.file { finish() }
            current.name = object.file
            // Lines are where they are in the file; what separated the documents comes before the next one.
            while current.line < object.line {
                current.text += current.line == object.line - 1 ? "---\n" : "\n"
                current.line += 1
            }
            current.text += object.text
            current.line += object.text.utf8.count { $0 == 0x0A }
        }
        finish()
        return result
    }

    /// What has to be changed to get from `before` to here.
    func changes(from before: ObjectSet) -> [ObjectChange] {
        var changes: [ObjectChange] = []
        for (key, object) in objects {
            guard let old = before.objects[key] else {
                changes.append(.create(object))
                continue
            }
            if old.text != object.text || old.file != object.file { changes.append(.replace(object)) }
        }
        for key in before.objects.keys where objects[key] == nil { changes.append(.delete(key)) }
        return changes.sorted { $0.key < $1.key }
    }

    /// Translates everything, away from whoever asks.
    func translated(base: String, trustDomain: String, reusing texts: ParsedTexts) async -> Translation {
        await Self.translate(files, base, trustDomain, texts)
    }

    /// What is there after `changes` were stored as `revision`, as the store has it.
    func after(_ changes: [ObjectChange], _ revision: StoredRevision) -> ObjectSet {
        var next = ObjectSet()
        next.objects = objects
        for change in changes {
            switch change {
            case .create(var object), .replace(var object):
                object.created = objects[object.key]?.created ?? revision.number
                object.changed = revision.number
                object.time = revision.time
                object.author = revision.author
                next.objects[object.key] = object
            case .delete(let key): next.objects[key] = nil
            }
        }
        return next
    }

    @concurrent
    private static func translate(
        _ files: [SourceFile], _ base: String, _ trustDomain: String, _ texts: ParsedTexts
    ) async -> Translation {
        Translator.translate(files, base: base, for: .controlPlane(trustDomain: trustDomain), reusing: texts)
    }
}

extension StoredObject {
    /// The object of a document.
    init(_ document: DocumentText, file: String) {
        self.init(
            key: ObjectKey(kind: document.kind, namespace: document.namespace, name: document.name),
            apiVersion: document.apiVersion, text: document.text, file: file, line: document.line)
    }

    /// `api`, or the file and line.
    var source: String { file.isEmpty ? "api" : "\(file):\(line)" }
}
