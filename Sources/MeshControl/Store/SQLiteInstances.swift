import Foundation
internal import GRDB

/// Last known endpoints, and anything else.
extension SQLiteStore {
    /// As ``Store`` has it.
    public func instances() async throws(StoreError) -> [StoredInstance] {
        try await read { database in
            try Row.fetchAll(database, sql: "SELECT * FROM instance ORDER BY role, instance").compactMap { row in
                let ports: String = row["ports"]
                // What an older program wrote in another form is only lost until the instance is back.
                guard let ports = try? JSONDecoder().decode([StoredInstance.Port].self, from: Data(ports.utf8)) else {
                    return nil
                }
                return StoredInstance(
                    id: StoredInstance.ID(role: row["role"], instance: row["instance"]), address: row["address"],
                    zone: row["zone"], ports: ports)
            }
        }
    }

    /// As ``Store`` has it.
    public func save(
        _ instances: [StoredInstance], removing gone: [StoredInstance.ID]
    ) async throws(StoreError) {
        try await write { database in
            for id in gone {
                try database.execute(
                    sql: "DELETE FROM instance WHERE role = ? AND instance = ?", arguments: [id.role, id.instance])
            }
            for instance in instances {
                let ports = String(decoding: try JSONEncoder().encode(instance.ports), as: UTF8.self)
                try database.execute(
                    sql: "INSERT OR REPLACE INTO instance VALUES (?, ?, ?, ?, ?)",
                    arguments: [instance.id.role, instance.id.instance, instance.address, instance.zone, ports])
            }
        }
    }

    /// As ``Store`` has it.
    public func value(_ key: String) async throws(StoreError) -> [UInt8]? {
        try await read { database in
            try Data.fetchOne(database, sql: "SELECT value FROM value WHERE key = ?", arguments: [key]).map {
                [UInt8]($0)
            }
        }
    }

    /// As ``Store`` has it.
    public func set(_ key: String, _ value: [UInt8]?) async throws(StoreError) {
        try await write { database in
            if let value {
                try database.execute(
                    sql: "INSERT OR REPLACE INTO value VALUES (?, ?)", arguments: [key, Data(value)])
            } else {
                try database.execute(sql: "DELETE FROM value WHERE key = ?", arguments: [key])
            }
        }
    }
}
