import Foundation
import MeshCore
internal import MeshDiscovery
import MeshGatewayAPI
import MeshModel

/// Objects and revisions, as the API has them.
extension ControlPlane: ControlOperations {
    /// As ``ControlOperations`` has it.
    public func objects(_ filter: API.ObjectFilter) async throws -> [API.Object] {
        current.objects.values.map { API.Object($0, withText: false) }.filter { filter.fits($0.id) }
            .sorted { $0.id < $1.id }
    }

    /// As ``ControlOperations`` has it.
    public func object(_ id: API.ObjectID) async throws -> API.Object {
        guard let object = current.objects[ObjectKey(id)] else { throw Self.missing(id) }
        return API.Object(object, withText: true)
    }

    private static func missing(_ id: API.ObjectID) -> API.Problem {
        API.Problem(.notFound, "there is no \(id.text)")
    }

    // MARK: Changes

    /// As ``ControlOperations`` has it.
    public func apply(_ change: API.Change) async throws -> API.ChangeResult {
        try await exclusively { () throws(API.Problem) in
            let (next, keys, diagnostics) = try self.candidate(change.files)
            guard diagnostics.isEmpty else { return self.rejected(diagnostics, change.dryRun) }
            return try await self.decide(
                next, about: keys, dryRun: change.dryRun, author: change.author, message: change.message)
        }
    }

    /// As ``ControlOperations`` has it.
    public func delete(_ deletion: API.Deletion) async throws -> API.ChangeResult {
        try await exclusively { () throws(API.Problem) in
            var next = self.current
            for id in deletion.objects {
                let key = ObjectKey(id)
                guard let object = next.objects[key] else { throw Self.missing(id) }
                try self.refuseDirectory(object)
                next.objects[key] = nil
            }
            return try await self.decide(
                next, about: deletion.objects.map { ObjectKey($0) }, dryRun: deletion.dryRun,
                author: deletion.author, message: deletion.message)
        }
    }

    /// As ``ControlOperations`` has it.
    public func rollback(_ request: API.Rollback) async throws -> API.ChangeResult {
        try await exclusively { () throws(API.Problem) in
            let found: [StoredObject]?
            do throws(StoreError) {
                found = try await self.store.objects(at: request.revision)
            } catch {
                throw API.Problem(.unavailable, error.description)
            }
            guard let found else {
                throw API.Problem(
                    .notFound, "there is no revision \(request.revision): the newest is \(self.revision)",
                    remedy: "martlet revisions lists them")
            }
            let next = ObjectSet(found)
            let changes = next.changes(from: self.current)
            for change in changes {
                if let object = next.objects[change.key] { try self.refuseDirectory(object) }
                if let object = self.current.objects[change.key] { try self.refuseDirectory(object) }
            }
            let message = request.message.isEmpty ? "rollback to \(request.revision)" : request.message
            return try await self.decide(
                next, about: changes.map(\.key), dryRun: request.dryRun, author: request.author, message: message)
        }
    }

    private func refuseDirectory(_ object: StoredObject) throws(API.Problem) {
        guard let directory, !object.file.isEmpty else { return }
        throw API.Problem(
            .conflict, "\(object.key.text) comes from the directory \(directory) (\(object.source))",
            remedy: "change it there")
    }

    /// What the objects would be with those in `files`.
    private func candidate(
        _ files: [API.File]
    ) throws(API.Problem) -> (ObjectSet, [ObjectKey], [Diagnostic]) {
        var next = current
        var keys: [ObjectKey] = []
        var diagnostics: [Diagnostic] = []
        for file in files {
            let (documents, found) = DocumentText.documents(in: SourceFile(path: file.name, text: file.text))
            diagnostics += found
            for document in documents {
                var object = StoredObject(document, file: "")
                if let old = next.objects[object.key] {
                    try refuseDirectory(old)
                    object.created = old.created
                    if old.text == object.text { object = old }
                }
                if let first = next.places[object.key] {
                    diagnostics.append(
                        Diagnostic(
                            severity: .error,
                            place: Place(file: file.name, line: document.line, column: 1, object: object.key.text),
                            message: "\(object.key.text) is already defined at \(first.file):\(first.line)",
                            remedy: "rename or remove one of them"))
                    continue
                }
                next.objects[object.key] = object
                next.places[object.key] = (file.name, document.line)
                keys.append(object.key)
            }
        }
        if keys.isEmpty, diagnostics.isEmpty {
            throw API.Problem(.invalid, "there is no document in what was sent", remedy: "send YAML documents")
        }
        return (next, keys, diagnostics)
    }

    private func rejected(_ diagnostics: [Diagnostic], _ dryRun: Bool) -> API.ChangeResult {
        if !dryRun { metrics.count(.changes, "rejected") }
        return API.ChangeResult(
            isAccepted: false, dryRun: dryRun, revision: revision, objects: [],
            diagnostics: diagnostics.map { API.Diagnosis($0) })
    }

    private func decide(
        _ next: ObjectSet, about keys: [ObjectKey], dryRun: Bool, author: String, message: String
    ) async throws(API.Problem) -> API.ChangeResult {
        let before = current
        let translation = await next.translated(base: base, trustDomain: trustDomain, reusing: texts)
        guard !translation.hasErrors else { return rejected(translation.diagnostics, dryRun) }
        if !dryRun { try await accept(next, translation, author: author, message: message) }
        let effects = keys.map { key in
            API.ChangeResult.ObjectEffect(id: API.ObjectID(key), effect: Self.effect(key, from: before, to: next))
        }
        return API.ChangeResult(
            isAccepted: true, dryRun: dryRun, revision: revision, objects: effects,
            diagnostics: translation.diagnostics.map { API.Diagnosis($0) })
    }

    private static func effect(_ key: ObjectKey, from before: ObjectSet, to after: ObjectSet) -> API.Effect {
        switch (before.objects[key], after.objects[key]) {
        case (nil, nil): .unchanged
        case (nil, .some): .created
        case (.some, nil): .deleted
        case (let old?, let new?): old.text == new.text && old.file == new.file ? .unchanged : .changed
        }
    }

    /// As ``ControlOperations`` has it.
    public func diff(_ files: [API.File]) async throws -> API.Diff {
        let (next, keys, diagnostics) = try candidate(files)
        let objects = keys.map { key in
            let effect = Self.effect(key, from: current, to: next)
            let text =
                effect == .unchanged
                ? "" : TextDiff.unified(current.objects[key].shownText, next.objects[key].shownText, name: key.text)
            return API.Diff.ObjectDiff(id: API.ObjectID(key), effect: effect, text: text)
        }
        guard diagnostics.isEmpty else {
            return API.Diff(
                isValid: false, objects: objects, proxies: [], diagnostics: diagnostics.map { API.Diagnosis($0) })
        }
        let translation = await next.translated(base: base, trustDomain: trustDomain, reusing: texts)
        let found = translation.diagnostics.map { API.Diagnosis($0) }
        guard !translation.hasErrors else {
            return API.Diff(isValid: false, objects: objects, proxies: [], diagnostics: found)
        }
        let proxies = try await distributor.difference(translation.resources)
        return API.Diff(isValid: true, objects: objects, proxies: proxies, diagnostics: found)
    }

    /// As ``ControlOperations`` has it.
    public func revisions(limit: Int) async throws -> [API.Revision] {
        do throws(StoreError) {
            return try await store.revisions(limit: limit).map { API.Revision($0, isCurrent: $0.number == revision) }
        } catch {
            throw API.Problem(.unavailable, error.description)
        }
    }
}

extension ObjectKey {
    init(_ id: API.ObjectID) { self.init(kind: id.kind, namespace: id.namespace, name: id.name) }
}

extension API.ObjectID {
    init(_ key: ObjectKey) { self.init(kind: key.kind, namespace: key.namespace, name: key.name) }
}

extension API.Object {
    init(_ object: StoredObject, withText: Bool) {
        self.init(
            id: API.ObjectID(object.key), apiVersion: object.apiVersion, revision: object.changed,
            source: object.source, changed: object.time, text: withText ? Optional(object).shownText : nil)
    }
}

extension StoredObject? {
    /// The text, without secrets; empty for nil.
    var shownText: String {
        guard let object = self else { return "" }
        return object.key.kind == "Secret" ? TextDiff.withoutSecrets(object.text) : object.text
    }
}

extension API.Diagnosis {
    init(_ diagnostic: Diagnostic) {
        let place = diagnostic.place
        self.init(
            severity: diagnostic.severity == .error ? .error : .warning, file: place.file, line: place.line,
            column: place.column, field: place.fieldPath, object: place.object, message: diagnostic.message,
            remedy: diagnostic.remedy)
    }
}

extension API.Revision {
    init(_ revision: StoredRevision, isCurrent: Bool) {
        self.init(
            number: revision.number, time: revision.time, author: revision.author, message: revision.message,
            objects: revision.effects.map { entry in
                let effect: API.Effect
                switch entry.effect {
                case .created: effect = .created
                case .changed: effect = .changed
                case .deleted: effect = .deleted
                }
                return API.ChangeResult.ObjectEffect(id: API.ObjectID(entry.key), effect: effect)
            }, isCurrent: isCurrent)
    }
}
