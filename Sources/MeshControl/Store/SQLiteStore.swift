import Foundation
internal import GRDB

/// A ``Store`` in one SQLite file (with its `-wal` and `-shm` beside it while it is open), mode 0600.
///
/// A commit is on the disk when it returns (`synchronous = FULL`). Changes are rare and small: one connection is enough,
/// and reading waits for writing.
public final class SQLiteStore: Store {
    private let database: DatabaseQueue
    private let path: String

    /// Opens the file at `path`, or makes it. Throws if it is damaged, was made by a newer program, or is no database.
    /// `maximumPages` bounds its size, for tests.
    public init(path: String, maximumPages: Int? = nil) throws(StoreError) {
        self.path = path
        try Self.make(path)
        do {
            var configuration = Configuration()
            configuration.journalMode = .wal
            configuration.busyMode = .timeout(5)
            configuration.label = "store"
            configuration.prepareDatabase { connection in
                try connection.execute(sql: "PRAGMA synchronous = FULL")
                if let maximumPages { try connection.execute(sql: "PRAGMA max_page_count = \(maximumPages)") }
            }
            database = try DatabaseQueue(path: path, configuration: configuration)
            try database.read { try Self.check($0, path) }
            let migrator = Migrations.migrator()
            if try database.read(migrator.hasBeenSuperseded) { throw Self.newer(path) }
            try migrator.migrate(database)
        } catch {
            throw Self.error(error, path)
        }
    }

    /// Looks at the file at `path` without changing it, also while a control plane has it open. Throws if it is not
    /// there, is damaged, was made by a newer program, or is no database. Returns the number of the newest revision.
    public static func inspect(path: String) throws(StoreError) -> Int {
        do {
            var configuration = Configuration()
            configuration.readonly = true
            configuration.busyMode = .timeout(5)
            let database = try DatabaseQueue(path: path, configuration: configuration)
            return try database.read { database in
                try check(database, path)
                guard try !Migrations.migrator().hasBeenSuperseded(database) else { throw newer(path) }
                guard try database.tableExists("revision") else { return 0 }
                return try Int.fetchOne(database, sql: "SELECT max(number) FROM revision") ?? 0
            }
        } catch {
            throw Self.error(error, path)
        }
    }

    private static func newer(_ path: String) -> StoreError {
        StoreError(.unavailable, "\(path) was written by a newer martlet-control: run that one, or restore a copy")
    }

    /// Creates the file so that nobody else can read it; SQLite gives the files beside it the same mode.
    private static func make(_ path: String) throws(StoreError) {
        guard !FileManager.default.fileExists(atPath: path) else { return }
        guard FileManager.default.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o600])
        else { throw StoreError(.unavailable, "\(path) cannot be created: check that its directory can be written") }
    }

    private static func check(_ database: Database, _ path: String) throws {
        let found = try String.fetchAll(database, sql: "PRAGMA quick_check(1)")
        guard found == ["ok"] else {
            throw StoreError(.damaged, damaged(path, found.first ?? "no answer to quick_check"))
        }
    }

    private static func damaged(_ path: String, _ detail: String) -> String {
        "the database \(path) is damaged (\(detail)): put a copy in its place, or move it away to start with none"
    }

    // MARK: Access

    func read<T: Sendable>(_ body: @Sendable @escaping (Database) throws -> T) async throws(StoreError) -> T {
        do {
            return try await database.read(body)
        } catch {
            throw Self.error(error, path)
        }
    }

    func write<T: Sendable>(_ body: @Sendable @escaping (Database) throws -> T) async throws(StoreError) -> T {
        do {
            return try await database.write(body)
        } catch {
            throw Self.error(error, path)
        }
    }

    /// What SQLite says, for people. Values of statements are left out: they may be secret.
    private static func error(_ error: any Error, _ path: String) -> StoreError {
        if let error = error as? StoreError { return error }
        guard let error = error as? DatabaseError else {
            return StoreError(.unavailable, "the database \(path) failed: \(error)")
        }
        let text = error.message ?? "no message"
        switch error.resultCode {
        case .SQLITE_FULL: return StoreError(.full, "the database \(path) cannot grow (\(text)): make room on its disk")
        case .SQLITE_READONLY, .SQLITE_PERM:
            return StoreError(
                .readOnly, "the database \(path) cannot be written (\(text)): check its mode, its owner and its mount")
        case .SQLITE_CORRUPT, .SQLITE_NOTADB: return StoreError(.damaged, damaged(path, text))
        case .SQLITE_CONSTRAINT: return StoreError(.conflict, "the database \(path) has this already (\(text))")
        case .SQLITE_CANTOPEN:
            return StoreError(
                .unavailable, "the database \(path) cannot be opened: check its directory, mode and owner")
        case .SQLITE_BUSY, .SQLITE_LOCKED:
            return StoreError(.unavailable, "the database \(path) is in use by another program: stop that one")
        case .SQLITE_IOERR:
            // A write beyond a limit of the file's size, or of a quota, is an error of input and output to SQLite.
            let isWrite = error.extendedResultCode == .SQLITE_IOERR_WRITE
            return StoreError(
                isWrite ? .full : .unavailable,
                "the database \(path) failed (\(text)): check the disk, its free space and its limits")
        default: return StoreError(.unavailable, "the database \(path) failed: \(text)")
        }
    }
}
