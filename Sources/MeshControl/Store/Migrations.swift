internal import GRDB

/// The tables of ``SQLiteStore``. A migration that was released is never changed: what comes later is another one.
enum Migrations {
    static func migrator() -> DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("objects") { database in try objects(database) }
        migrator.registerMigration("identity") { database in try identity(database) }
        migrator.registerMigration("instances") { database in try instances(database) }
        return migrator
    }

    private static func objects(_ database: Database) throws {
        try database.execute(
            sql: """
                CREATE TABLE revision (
                    number INTEGER PRIMARY KEY, time REAL NOT NULL, author TEXT NOT NULL, message TEXT NOT NULL
                ) STRICT;
                -- Every object after every revision that changed it; text is NULL where it was deleted.
                CREATE TABLE change (
                    revision INTEGER NOT NULL REFERENCES revision(number),
                    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
                    effect TEXT NOT NULL, created INTEGER NOT NULL,
                    api_version TEXT, text TEXT, file TEXT, line INTEGER,
                    PRIMARY KEY (kind, namespace, name, revision)
                ) STRICT, WITHOUT ROWID;
                CREATE INDEX change_revision ON change(revision);
                """)
    }

    private static func identity(_ database: Database) throws {
        try database.execute(
            sql: """
                CREATE TABLE token (
                    id TEXT PRIMARY KEY, secret_hash BLOB NOT NULL, role TEXT NOT NULL, created REAL NOT NULL,
                    expires REAL NOT NULL, uses INTEGER NOT NULL, uses_left INTEGER NOT NULL, used REAL,
                    revoked INTEGER NOT NULL, author TEXT NOT NULL
                ) STRICT, WITHOUT ROWID;
                CREATE TABLE certificate (
                    serial TEXT PRIMARY KEY, identity TEXT NOT NULL, instance TEXT NOT NULL, issued REAL NOT NULL,
                    not_after REAL NOT NULL, revoked REAL
                ) STRICT, WITHOUT ROWID;
                CREATE INDEX certificate_identity ON certificate(identity, instance);
                CREATE INDEX certificate_end ON certificate(not_after);
                """)
    }

    private static func instances(_ database: Database) throws {
        try database.execute(
            sql: """
                CREATE TABLE instance (
                    role TEXT NOT NULL, instance TEXT NOT NULL, address TEXT NOT NULL, zone TEXT NOT NULL,
                    ports TEXT NOT NULL, PRIMARY KEY (role, instance)
                ) STRICT, WITHOUT ROWID;
                CREATE TABLE value (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
                """)
    }
}
