import Foundation
internal import GRDB

/// Tokens and certificates.
extension SQLiteStore {
    // MARK: Tokens

    /// As ``Store`` has it.
    public func insert(_ token: StoredToken) async throws(StoreError) {
        try await write { database in
            try database.execute(
                sql: "INSERT INTO token VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                arguments: [
                    token.id, Data(token.secretHash), token.role, token.created.timeIntervalSince1970,
                    token.expires.timeIntervalSince1970, token.uses, token.usesLeft,
                    token.used?.timeIntervalSince1970, token.isRevoked, token.author,
                ])
        }
    }

    /// As ``Store`` has it.
    public func token(_ id: String) async throws(StoreError) -> StoredToken? {
        try await read { database in
            try Row.fetchOne(database, sql: "SELECT * FROM token WHERE id = ?", arguments: [id]).map(Self.token)
        }
    }

    /// As ``Store`` has it.
    public func tokens() async throws(StoreError) -> [StoredToken] {
        try await read { database in
            try Row.fetchAll(database, sql: "SELECT * FROM token ORDER BY created DESC, id").map(Self.token)
        }
    }

    /// As ``Store`` has it.
    public func useToken(_ id: String, at time: Date) async throws(StoreError) -> Bool {
        try await write { database in
            let seconds = time.timeIntervalSince1970
            try database.execute(
                sql: """
                    UPDATE token SET uses_left = uses_left - 1, used = ?
                    WHERE id = ? AND uses_left > 0 AND revoked = 0 AND expires > ?
                    """,
                arguments: [seconds, id, seconds])
            return database.changesCount == 1
        }
    }

    /// As ``Store`` has it.
    public func revokeToken(_ id: String) async throws(StoreError) -> Bool {
        try await write { database in
            try database.execute(sql: "UPDATE token SET revoked = 1 WHERE id = ?", arguments: [id])
            return database.changesCount == 1
        }
    }

    /// As ``Store`` has it.
    public func removeTokens(expiredBefore time: Date) async throws(StoreError) {
        try await write { database in
            try database.execute(
                sql: "DELETE FROM token WHERE expires < ?", arguments: [time.timeIntervalSince1970])
        }
    }

    private static func token(_ row: Row) -> StoredToken {
        let hash: Data = row["secret_hash"]
        return StoredToken(
            id: row["id"], secretHash: [UInt8](hash), role: row["role"],
            created: Date(timeIntervalSince1970: row["created"]),
            expires: Date(timeIntervalSince1970: row["expires"]), uses: row["uses"], usesLeft: row["uses_left"],
            used: date(row["used"]), isRevoked: row["revoked"], author: row["author"])
    }

    // MARK: Certificates

    /// As ``Store`` has it.
    public func insert(_ certificate: StoredCertificate) async throws(StoreError) {
        try await write { database in
            try database.execute(
                sql: "INSERT INTO certificate VALUES (?, ?, ?, ?, ?, ?)",
                arguments: [
                    certificate.serial, certificate.identity, certificate.instance,
                    certificate.issued.timeIntervalSince1970, certificate.notAfter.timeIntervalSince1970,
                    certificate.revoked?.timeIntervalSince1970,
                ])
        }
    }

    /// As ``Store`` has it.
    public func certificate(_ serial: String) async throws(StoreError) -> StoredCertificate? {
        try await read { database in
            try Row.fetchOne(database, sql: "SELECT * FROM certificate WHERE serial = ?", arguments: [serial])
                .map(Self.certificate)
        }
    }

    /// As ``Store`` has it.
    public func certificates(
        identity: String?, instance: String?, endingAfter time: Date
    ) async throws(StoreError) -> [StoredCertificate] {
        try await read { database in
            try Row.fetchAll(
                database,
                sql: """
                    SELECT * FROM certificate WHERE not_after > ?1 AND (?2 IS NULL OR identity = ?2)
                    AND (?3 IS NULL OR instance = ?3) ORDER BY issued DESC, serial
                    """,
                arguments: [time.timeIntervalSince1970, identity, instance]
            ).map(Self.certificate)
        }
    }

    /// As ``Store`` has it.
    public func revokeCertificates(_ serials: [String], at time: Date) async throws(StoreError) -> [String] {
        try await write { database in
            var revoked: [String] = []
            for serial in serials {
                try database.execute(
                    sql: "UPDATE certificate SET revoked = ? WHERE serial = ? AND revoked IS NULL",
                    arguments: [time.timeIntervalSince1970, serial])
                if database.changesCount == 1 { revoked.append(serial) }
            }
            return revoked
        }
    }

    /// As ``Store`` has it.
    public func removeCertificates(endedBefore time: Date) async throws(StoreError) {
        try await write { database in
            try database.execute(
                sql: "DELETE FROM certificate WHERE not_after < ?", arguments: [time.timeIntervalSince1970])
        }
    }

    private static func certificate(_ row: Row) -> StoredCertificate {
        StoredCertificate(
            serial: row["serial"], identity: row["identity"], instance: row["instance"],
            issued: Date(timeIntervalSince1970: row["issued"]),
            notAfter: Date(timeIntervalSince1970: row["not_after"]), revoked: date(row["revoked"]))
    }

    private static func date(_ seconds: Double?) -> Date? { seconds.map { Date(timeIntervalSince1970: $0) } }
}
