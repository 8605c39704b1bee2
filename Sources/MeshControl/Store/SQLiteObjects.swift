import Foundation
internal import GRDB

/// Objects and revisions.
extension SQLiteStore {
    /// Each object's newest change up to a revision.
    private static let newest = """
        SELECT c.*, r.time, r.author FROM change c JOIN revision r ON r.number = c.revision
        WHERE c.revision = (
            SELECT max(revision) FROM change
            WHERE kind = c.kind AND namespace = c.namespace AND name = c.name AND revision <= ?
        ) AND c.text IS NOT NULL ORDER BY c.kind, c.namespace, c.name
        """

    /// As ``Store`` has it.
    public func currentRevision() async throws(StoreError) -> Int {
        try await read { try Self.current($0) }
    }

    /// As ``Store`` has it.
    public func objects() async throws(StoreError) -> [StoredObject] {
        try await read { try Self.objects($0, at: Int.max) }
    }

    /// As ``Store`` has it.
    public func objects(at revision: Int) async throws(StoreError) -> [StoredObject]? {
        try await read { database in
            guard (1...max(1, try Self.current(database))).contains(revision), try Self.current(database) > 0 else {
                return nil
            }
            return try Self.objects(database, at: revision)
        }
    }

    /// As ``Store`` has it.
    public func revisions(limit: Int) async throws(StoreError) -> [StoredRevision] {
        try await read { database in
            let rows = try Row.fetchAll(
                database, sql: "SELECT * FROM revision ORDER BY number DESC LIMIT ?", arguments: [max(0, limit)])
            return try rows.map { row in
                let number: Int = row["number"]
                return StoredRevision(
                    number: number, time: Date(timeIntervalSince1970: row["time"]), author: row["author"],
                    message: row["message"], effects: try Self.effects(database, of: number))
            }
        }
    }

    /// As ``Store`` has it.
    public func commit(_ draft: RevisionDraft, after revision: Int) async throws(StoreError) -> StoredRevision {
        try await write { database in
            let current = try Self.current(database)
            guard current == revision else {
                throw StoreError(
                    .conflict, "the configuration was changed by somebody else: it is at revision \(current) by now")
            }
            let number = revision + 1
            try database.execute(
                sql: "INSERT INTO revision VALUES (?, ?, ?, ?)",
                arguments: [number, draft.time.timeIntervalSince1970, draft.author, draft.message])
            for change in draft.changes { try Self.insert(change, number, database) }
            return StoredRevision(
                number: number, time: Date(timeIntervalSince1970: draft.time.timeIntervalSince1970),
                author: draft.author, message: draft.message, effects: try Self.effects(database, of: number))
        }
    }

    private static func current(_ database: Database) throws -> Int {
        try Int.fetchOne(database, sql: "SELECT max(number) FROM revision") ?? 0
    }

    private static func objects(_ database: Database, at revision: Int) throws -> [StoredObject] {
        try Row.fetchAll(database, sql: newest, arguments: [revision]).map { row in
            StoredObject(
                key: key(row), apiVersion: row["api_version"], text: row["text"], file: row["file"],
                line: row["line"], created: row["created"], changed: row["revision"],
                time: Date(timeIntervalSince1970: row["time"]), author: row["author"])
        }
    }

    private static func key(_ row: Row) -> ObjectKey {
        ObjectKey(kind: row["kind"], namespace: row["namespace"], name: row["name"])
    }

    private static func effects(
        _ database: Database, of revision: Int
    ) throws -> [(key: ObjectKey, effect: StoredRevision.Effect)] {
        let rows = try Row.fetchAll(
            database,
            sql: "SELECT kind, namespace, name, effect FROM change WHERE revision = ? ORDER BY kind, namespace, name",
            arguments: [revision])
        return rows.map { (key($0), StoredRevision.Effect(rawValue: $0["effect"]) ?? .changed) }
    }

    private static func insert(_ change: ObjectChange, _ number: Int, _ database: Database) throws {
        let key = change.key
        let last = try Int.fetchOne(
            database,
            sql: """
                SELECT created FROM change WHERE kind = ? AND namespace = ? AND name = ? ORDER BY revision DESC LIMIT 1
                """,
            arguments: [key.kind, key.namespace, key.name])
        switch change {
        case .create(let object):
            try insert(object, effect: .created, created: number, number, database)
        case .replace(let object):
            try insert(object, effect: .changed, created: last ?? number, number, database)
        case .delete:
            try database.execute(
                sql: "INSERT INTO change VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, NULL, NULL)",
                arguments: [
                    number, key.kind, key.namespace, key.name, StoredRevision.Effect.deleted.rawValue, last ?? number,
                ])
        }
    }

    private static func insert(
        _ object: StoredObject, effect: StoredRevision.Effect, created: Int, _ number: Int, _ database: Database
    ) throws {
        try database.execute(
            sql: "INSERT INTO change VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            arguments: [
                number, object.key.kind, object.key.namespace, object.key.name, effect.rawValue, created,
                object.apiVersion, object.text, object.file, object.line,
            ])
    }
}
