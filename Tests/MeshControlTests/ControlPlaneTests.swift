import Foundation
import Logging
import MeshDiscovery
import MeshModel
import Testing

@testable import MeshControl

extension Distributor {
    /// A resource as it would be sent.
    func resource(_ type: MeshResourceType, _ name: String) -> MeshResource? { catalogue.resources[type, name] }

    /// Its version as it would be sent.
    func version(_ type: MeshResourceType, _ name: String) -> String? {
        catalogue.encoded(type, name)?.version.description
    }
}

/// Documents go in, revisions and resources come out.
@Suite struct ControlPlaneTests {
    private let directory = FileManager.default.temporaryDirectory.path + "/plane-\(UUID().uuidString)"

    private static let mesh = """
        apiVersion: martlet.dev/v1alpha1
        kind: Mesh
        metadata: {name: default}
        spec: {trustDomain: test.mesh}

        """

    private static func service(_ name: String, port: Int = 80) -> String {
        """
        apiVersion: v1
        kind: Service
        metadata: {name: \(name), namespace: shop}
        spec: {ports: [{port: \(port)}]}

        """
    }

    private static func workload(_ name: String, _ backends: String...) -> String {
        """
        apiVersion: martlet.dev/v1alpha1
        kind: Workload
        metadata: {name: \(name), namespace: shop}
        spec: {backends: [\(backends.map { "{service: \($0)}" }.joined(separator: ", "))]}

        """
    }

    private static func text(_ documents: String...) -> String { documents.joined(separator: "---\n") }

    private static func change(_ documents: String..., dryRun: Bool = false) -> API.Change {
        API.Change(
            files: [API.File(name: "shop.yaml", text: documents.joined(separator: "---\n"))], dryRun: dryRun,
            author: "ann", message: "why")
    }

    private static func id(_ kind: String, _ name: String) -> API.ObjectID {
        API.ObjectID(kind: kind, namespace: "shop", name: name)
    }

    private func store(maximumPages: Int? = nil) throws -> SQLiteStore {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        guard let maximumPages else { return try SQLiteStore(path: directory + "/control.db") }
        return try SQLiteStore(path: directory + "/control.db", maximumPages: maximumPages)
    }

    private func plane(_ store: SQLiteStore? = nil, following: String? = nil) async throws -> ControlPlane {
        let plane = ControlPlane(
            store: try store ?? self.store(), authority: nil, directory: following, trustDomain: "test.mesh",
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await plane.start()
        return plane
    }

    /// A control plane with web, that calls orders, as revision 1.
    private func shop(_ store: SQLiteStore? = nil) async throws -> ControlPlane {
        let plane = try await plane(store)
        let result = try await plane.apply(
            Self.change(
                Self.mesh, Self.service("web"), Self.service("orders"), Self.workload("web", "orders"),
                Self.workload("orders")))
        try #require(result.isAccepted, "\(result.diagnostics)")
        return plane
    }

    private func names(_ plane: ControlPlane) async throws -> [String] {
        try await plane.objects(API.ObjectFilter(namespace: "shop")).map { "\($0.id.kind) \($0.id.name)" }
    }

    /// Whether no port, or which, of the service orders is sent to proxies.
    private func port(_ plane: ControlPlane) async -> UInt16? {
        guard case .service(let service)? = await plane.distributor.resource(.service, "shop/orders") else {
            return nil
        }
        return service.ports.first?.port
    }

    private func problem(_ body: () async throws -> Void) async -> API.Problem? {
        do {
            try await body()
            return nil
        } catch {
            return error as? API.Problem
        }
    }

    // MARK: Applying

    @Test func whatIsAppliedIsARevisionAndIsSent() async throws {
        let plane = try await shop()
        #expect(await plane.revision == 1)
        #expect(try await names(plane) == ["Service orders", "Service web", "Workload orders", "Workload web"])
        #expect(await port(plane) == 80)
        guard case .workload(let web)? = await plane.distributor.resource(.workload, "shop/web") else {
            Issue.record("no workload")
            return
        }
        #expect(web.backends.map(\.service) == ["shop/orders"])
        let result = try await plane.apply(Self.change(Self.service("orders", port: 81), Self.service("stock")))
        #expect(result.isAccepted && result.revision == 2)
        #expect(result.objects.map(\.effect) == [.changed, .created])
        #expect(await port(plane) == 81)
        let revisions = try await plane.revisions(limit: 10)
        #expect(revisions.map(\.number) == [2, 1] && revisions.map(\.isCurrent) == [true, false])
        #expect(revisions[0].author == "ann" && revisions[0].message == "why")
        #expect(revisions[0].objects.map(\.effect) == [.changed, .created])
    }

    @Test func theSameAgainIsNoRevision() async throws {
        let plane = try await shop()
        let version = await plane.distributor.version(.service, "shop/orders")
        let result = try await plane.apply(Self.change(Self.service("orders")))
        #expect(result.isAccepted && result.revision == 1)
        #expect(result.objects.map(\.effect) == [.unchanged])
        #expect(try await plane.revisions(limit: 10).count == 1)
        #expect(await plane.distributor.version(.service, "shop/orders") == version)
    }

    @Test func anotherObjectLeavesVersionsAsTheyAre() async throws {
        let plane = try await shop()
        let before = await plane.distributor.version(.service, "shop/orders")
        _ = try await plane.apply(Self.change(Self.service("stock"), Self.workload("stock")))
        #expect(await plane.distributor.version(.service, "shop/orders") == before)
        _ = try await plane.apply(Self.change(Self.service("orders", port: 81)))
        #expect(await plane.distributor.version(.service, "shop/orders") != before)
    }

    @Test func aDryRunChangesNothing() async throws {
        let plane = try await shop()
        let result = try await plane.apply(Self.change(Self.service("orders", port: 81), dryRun: true))
        #expect(result.isAccepted && result.dryRun && result.revision == 1)
        #expect(result.objects.map(\.effect) == [.changed])
        #expect(await port(plane) == 80)
        #expect(try await plane.revisions(limit: 10).count == 1)
    }

    /// All of it is refused, whatever is right about the rest.
    @Test(arguments: [
        ("spec: {ports: [{port: 80}], colour: red}", "colour", 7),
        ("spec: {ports: [{port: 70000}]}", "70000", 7),
        ("spec: {ports: 80}", "ports", 7),
        ("spec: {ports: [", "not valid YAML", 6),
    ])
    func whatIsNotValidLeavesEverythingAsItWas(spec: String, word: String, line: Int) async throws {
        let plane = try await shop()
        let bad = "apiVersion: v1\nkind: Service\nmetadata: {name: bad, namespace: shop}\n\(spec)\n"
        let good = "apiVersion: v1\nkind: Service\nmetadata: {name: good, namespace: shop}\n"
        let result = try await plane.apply(Self.change(good + "spec: {ports: [{port: 80}]}\n", bad))
        #expect(!result.isAccepted && result.revision == 1 && result.objects.isEmpty)
        let found = try #require(result.diagnostics.first { $0.severity == .error })
        #expect(found.file == "shop.yaml")
        #expect(found.line >= line, "\(found)")
        #expect("\(found.message) \(found.field)".contains(word), "\(found)")
        #expect(await plane.revision == 1)
        #expect(try await names(plane).count == 4)
        #expect(await plane.distributor.resource(.service, "shop/good") == nil)
        #expect(plane.metrics.text().contains("martlet_control_changes_total{result=\"rejected\"} 1"))
    }

    @Test func twoObjectsOfOneNameAreRefused() async throws {
        let plane = try await shop()
        let result = try await plane.apply(Self.change(Self.service("twin"), Self.service("twin", port: 81)))
        #expect(!result.isAccepted)
        #expect(result.diagnostics.map(\.message).first?.contains("already defined at shop.yaml:1") == true)
        #expect(result.diagnostics.first?.line == 6)
    }

    @Test func nothingIsNoChange() async throws {
        let plane = try await shop()
        let found = await problem { _ = try await plane.apply(Self.change("# nothing\n")) }
        #expect(found?.kind == .invalid)
    }

    @Test func changesThatComeTogetherAreMadeOneAfterTheOther() async throws {
        let plane = try await shop()
        try await withThrowingTaskGroup(of: API.ChangeResult.self) { group in
            for number in 0..<12 {
                group.addTask { try await plane.apply(Self.change(Self.service("s\(number)"))) }
            }
            var revisions: [Int] = []
            for try await result in group {
                #expect(result.isAccepted)
                revisions.append(result.revision)
            }
            #expect(revisions.sorted() == Array(2...13))
        }
        #expect(try await names(plane).count == 16)
        for number in 0..<12 { #expect(await plane.distributor.resource(.service, "shop/s\(number)") != nil) }
    }

    @Test func aDocumentIsTheSameWhereverItStandsInAFile() async throws {
        let plane = try await shop()
        let order = [Self.workload("orders"), Self.service("orders"), Self.mesh, Self.service("web")]
        let result = try await plane.apply(Self.change(order[0], order[1], order[2], order[3]))
        #expect(result.objects.allSatisfy { $0.effect == .unchanged } && result.revision == 1)
        let alone = try await plane.apply(
            API.Change(files: [API.File(name: "other.yaml", text: "---\n" + Self.service("orders"))]))
        #expect(alone.objects.map(\.effect) == [.unchanged] && alone.revision == 1)
    }

    // MARK: Deleting, going back

    @Test func whatIsDeletedIsGone() async throws {
        let plane = try await shop()
        let deletion = API.Deletion(
            objects: [Self.id("Workload", "orders")], author: "ann", message: "no more")
        let result = try await plane.delete(deletion)
        #expect(result.isAccepted && result.revision == 2 && result.objects.map(\.effect) == [.deleted])
        #expect(try await names(plane) == ["Service orders", "Service web", "Workload web"])
        #expect(await plane.distributor.resource(.workload, "shop/orders") == nil)
        let again = await problem { _ = try await plane.delete(deletion) }
        #expect(again?.kind == .notFound && again?.message.contains("Workload shop/orders") == true)
        #expect(await plane.revision == 2)
    }

    @Test func oneThatIsMissingKeepsTheOthers() async throws {
        let plane = try await shop()
        let found = await problem {
            _ = try await plane.delete(
                API.Deletion(objects: [Self.id("Workload", "orders"), Self.id("Workload", "nobody")]))
        }
        #expect(found?.kind == .notFound)
        #expect(try await names(plane).count == 4)
        #expect(await plane.distributor.resource(.workload, "shop/orders") != nil)
    }

    @Test func aRollbackIsANewRevisionWithTheOldObjects() async throws {
        let plane = try await shop()
        let first = await plane.distributor.version(.service, "shop/orders")
        _ = try await plane.apply(Self.change(Self.service("orders", port: 81), Self.service("stock")))
        _ = try await plane.delete(API.Deletion(objects: [Self.id("Workload", "orders")]))
        let result = try await plane.rollback(API.Rollback(revision: 1, author: "bob"))
        #expect(result.isAccepted && result.revision == 4)
        #expect(
            result.objects.map { "\($0.id.kind) \($0.id.name) \($0.effect)" } == [
                "Service orders changed", "Service stock deleted", "Workload orders created",
            ])
        #expect(try await names(plane).count == 4)
        #expect(await port(plane) == 80)
        #expect(await plane.distributor.version(.service, "shop/orders") == first)
        #expect(await plane.distributor.resource(.service, "shop/stock") == nil)
        let newest = try await plane.revisions(limit: 1)
        #expect(newest.map(\.message) == ["rollback to 1"] && newest.map(\.author) == ["bob"])
        // And there again.
        #expect(try await plane.rollback(API.Rollback(revision: 2)).revision == 5)
        #expect(await port(plane) == 81)
    }

    @Test func aRollbackToWhatHoldsChangesNothing() async throws {
        let plane = try await shop()
        let result = try await plane.rollback(API.Rollback(revision: 1))
        #expect(result.isAccepted && result.revision == 1 && result.objects.isEmpty)
    }

    @Test(arguments: [2, 100, -1]) func aRollbackToNothingIsRefused(revision: Int) async throws {
        let plane = try await shop()
        let found = await problem { _ = try await plane.rollback(API.Rollback(revision: revision)) }
        #expect(found?.kind == .notFound && found?.message.contains("\(revision)") == true)
        #expect(try await names(plane).count == 4)
    }

    // MARK: The store

    @Test func everythingIsThereAgainAfterARestart() async throws {
        let store = try store()
        let before = try await shop(store)
        let version = await before.distributor.version(.service, "shop/orders")
        let after = try await plane(store)
        #expect(await after.revision == 1)
        #expect(try await names(after).count == 4)
        #expect(await after.distributor.isReady)
        #expect(await after.distributor.version(.service, "shop/orders") == version)
    }

    @Test func whatCannotBeStoredIsNotSent() async throws {
        let store = try store(maximumPages: 60)
        let plane = try await shop(store)
        let padding = String(repeating: "# to fill the disk\n", count: 30_000)
        let found = await problem {
            _ = try await plane.apply(Self.change(padding + Self.service("orders", port: 81) + padding))
        }
        #expect(found?.kind == .unavailable && found?.message.hasPrefix("nothing is changed") == true)
        #expect(await port(plane) == 80)
        #expect(await plane.revision == 1)
        #expect(plane.metrics.value(.storeErrors) == 1)
        let result = try await plane.apply(Self.change(Self.service("orders", port: 82)))
        #expect(result.isAccepted && result.revision == 2)
        #expect(await port(plane) == 82)
    }

    // MARK: Differences

    @Test func aDiffSaysWhatWouldBeAndChangesNothing() async throws {
        let plane = try await shop()
        let peer = ProxyPeer(
            identity: SPIFFEID(trustDomain: "test.mesh", namespace: "shop", service: "web"), instance: "web-1")
        _ = try await plane.distributor.open("workload:shop/web", instance: "web-1", peer)
        let diff = try await plane.diff(Self.change(Self.service("orders", port: 81), Self.service("stock")).files)
        #expect(diff.isValid)
        #expect(diff.objects.map(\.effect) == [.changed, .created])
        #expect(diff.objects[0].text.contains("-spec: {ports: [{port: 80}]}\n+spec: {ports: [{port: 81}]}"))
        #expect(diff.proxies.map(\.id.instance) == ["web-1"])
        #expect(diff.proxies[0].resources.contains { $0.name == "shop/orders" && $0.effect == .changed })
        #expect(!diff.proxies[0].resources.contains { $0.name == "shop/stock" }, "web does not call it")
        #expect(await plane.revision == 1)
        #expect(await port(plane) == 80)
        let none = try await plane.diff(Self.change(Self.service("orders")).files)
        #expect(none.objects.map(\.effect) == [.unchanged] && none.objects.map(\.text) == [""] && none.proxies.isEmpty)
        let bad = try await plane.diff([API.File(name: "x.yaml", text: "apiVersion: v1\nkind: Service\n")])
        #expect(!bad.isValid && bad.proxies.isEmpty && bad.diagnostics.first?.file == "x.yaml")
    }

    // MARK: The directory

    private func write(_ documents: String..., name: String = "shop.yaml") throws {
        let path = directory + "/configuration"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try Data(documents.joined(separator: "---\n").utf8).write(to: URL(fileURLWithPath: path + "/" + name))
    }

    private func following() async throws -> ControlPlane {
        try write(Self.mesh, Self.service("web"), Self.service("orders"))
        return try await plane(following: directory + "/configuration")
    }

    @Test func theDirectoryIsFollowed() async throws {
        let plane = try await following()
        #expect(await plane.revision == 1)
        #expect(await port(plane) == 80)
        try write(Self.mesh, Self.service("orders", port: 81))
        await plane.readDirectory()
        #expect(await plane.revision == 2)
        #expect(await port(plane) == 81)
        #expect(try await names(plane) == ["Service orders"])
        await plane.readDirectory()
        #expect(await plane.revision == 2, "nothing has changed")
        let object = try await plane.object(Self.id("Service", "orders"))
        #expect(object.source == "shop.yaml:6" && object.text == Self.service("orders", port: 81))
    }

    @Test func aBrokenDirectoryLeavesWhatWasThere() async throws {
        let plane = try await following()
        try write(Self.mesh, Self.service("orders", port: 70000))
        await plane.readDirectory()
        #expect(await plane.revision == 1)
        #expect(await port(plane) == 80)
        #expect(await plane.directoryProblem?.contains("shop.yaml:") == true)
        #expect(plane.metrics.text().contains("martlet_control_directory_valid 0"))
        // The API goes on meanwhile.
        #expect(try await plane.apply(Self.change(Self.service("stock"))).isAccepted)
        try write(Self.mesh, Self.service("orders", port: 82))
        await plane.readDirectory()
        #expect(await plane.directoryProblem == nil)
        #expect(await port(plane) == 82)
        #expect(await plane.distributor.resource(.service, "shop/stock") != nil)
    }

    @Test func objectsOfTheDirectoryAreChangedThereOnly() async throws {
        let plane = try await following()
        let applied = await problem { _ = try await plane.apply(Self.change(Self.service("orders", port: 81))) }
        let deleted = await problem {
            _ = try await plane.delete(API.Deletion(objects: [Self.id("Service", "orders")]))
        }
        _ = try await plane.apply(Self.change(Self.service("stock")))
        try write(Self.mesh, Self.service("orders", port: 82))
        await plane.readDirectory()
        let returned = await problem { _ = try await plane.rollback(API.Rollback(revision: 1)) }
        for found in [applied, deleted, returned] {
            #expect(found?.kind == .conflict)
            #expect(found?.message.contains("shop.yaml:") == true, "\(String(describing: found))")
        }
        #expect(await port(plane) == 82)
    }

    @Test func anObjectInBothPlacesIsRefused() async throws {
        let plane = try await following()
        _ = try await plane.apply(Self.change(Self.service("stock")))
        try write(Self.service("stock", port: 81), name: "more.yaml")
        await plane.readDirectory()
        #expect(await plane.directoryProblem?.contains("through the API, too") == true)
        guard case .service(let stock)? = await plane.distributor.resource(.service, "shop/stock") else {
            Issue.record("no service")
            return
        }
        #expect(stock.ports.map(\.port) == [80])
    }
}
