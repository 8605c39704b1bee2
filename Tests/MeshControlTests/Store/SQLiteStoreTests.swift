import Foundation
import Testing

@testable import MeshControl

@Suite struct SQLiteStoreTests {
    private let path = NSTemporaryDirectory() + "store-\(UUID().uuidString).db"

    private func object(_ name: String, _ text: String) -> StoredObject {
        StoredObject(key: ObjectKey(kind: "Service", namespace: "shop", name: name), apiVersion: "v1", text: text)
    }

    private func draft(_ changes: [ObjectChange]) -> RevisionDraft {
        RevisionDraft(author: "ann", message: "why", time: Date(timeIntervalSince1970: 1000), changes: changes)
    }

    @Test func keepsWhatWasCommittedWhenOpenedAgain() async throws {
        do {
            let store = try SQLiteStore(path: path)
            _ = try await store.commit(draft([.create(object("a", "one")), .create(object("b", "two"))]), after: 0)
        }
        let store = try SQLiteStore(path: path)
        #expect(try await store.currentRevision() == 1)
        #expect(try await store.objects().map(\.text) == ["one", "two"])
        #expect(try await store.revisions(limit: 5).map(\.author) == ["ann"])
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }

    @Test func knowsTheObjectsOfEveryRevision() async throws {
        let store = try SQLiteStore(path: path)
        _ = try await store.commit(draft([.create(object("a", "one")), .create(object("b", "two"))]), after: 0)
        _ = try await store.commit(draft([.replace(object("a", "three"))]), after: 1)
        let third = try await store.commit(draft([.delete(object("b", "").key)]), after: 2)
        #expect(third.effects.map(\.effect) == [.deleted])
        #expect(try await store.objects(at: 1)?.map(\.text) == ["one", "two"])
        #expect(try await store.objects(at: 2)?.map(\.text) == ["three", "two"])
        #expect(try await store.objects(at: 3)?.map(\.text) == ["three"])
        #expect(try await store.objects(at: 4) == nil)
        #expect(try await store.objects().first.map { [$0.created, $0.changed] } == [1, 2])
    }

    @Test func objectsAfterARevisionAreThoseThatTheStoreHas() async throws {
        let store = try SQLiteStore(path: path)
        var current = ObjectSet()
        let steps: [[ObjectChange]] = [
            [.create(object("a", "one")), .create(object("b", "two"))], [.replace(object("a", "three"))],
            [.delete(object("b", "").key)], [.create(object("b", "four"))],
        ]
        for (number, changes) in steps.enumerated() {
            current = current.after(changes, try await store.commit(draft(changes), after: number))
            #expect(current.objects == ObjectSet(try await store.objects()).objects)
        }
        #expect(current.objects.values.map(\.created).sorted() == [1, 4])
    }

    @Test func refusesACommitAfterAnOlderRevision() async throws {
        let store = try SQLiteStore(path: path)
        _ = try await store.commit(draft([.create(object("a", "one"))]), after: 0)
        let error = await #expect(throws: StoreError.self) {
            try await store.commit(draft([.create(object("b", "two"))]), after: 0)
        }
        #expect(error?.kind == .conflict)
        #expect(try await store.objects().count == 1)
    }

    @Test func saysThatTheDiskIsFullAndChangesNothing() async throws {
        let store = try SQLiteStore(path: path, maximumPages: 40)
        _ = try await store.commit(draft([.create(object("a", "one"))]), after: 0)
        let large = String(repeating: "x", count: 400_000)
        let error = await #expect(throws: StoreError.self) {
            try await store.commit(draft([.replace(object("a", large))]), after: 1)
        }
        #expect(error?.kind == .full)
        #expect(try await store.currentRevision() == 1)
        #expect(try await store.objects().map(\.text) == ["one"])
    }

    @Test func refusesADamagedFile() throws {
        try Data("this is no database, but it is long enough to look like one".utf8).write(
            to: URL(fileURLWithPath: path))
        let error = #expect(throws: StoreError.self) { try SQLiteStore(path: path) }
        #expect(error?.kind == .damaged)
        #expect(error?.description.contains(path) == true)
    }

    @Test func givesTheLastUseOfATokenOnce() async throws {
        let store = try SQLiteStore(path: path)
        let now = Date(timeIntervalSince1970: 1000)
        try await store.insert(
            StoredToken(
                id: "t", secretHash: [1], role: "workload:shop/a", created: now, expires: now.addingTimeInterval(10)))
        #expect(try await store.useToken("t", at: now))
        #expect(try await store.useToken("t", at: now) == false)
        #expect(try await store.token("t")?.usesLeft == 0)
    }
}
