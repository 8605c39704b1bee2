import Foundation
import MeshCore
import Testing

@testable import MeshProxy

@Suite struct StateDirectoryTests {
    private let path = NSTemporaryDirectory() + "state-\(UUID().uuidString)"

    /// The directory once it is free: it is held while a process that was started meanwhile has not come to exec.
    private func open(_ instance: String? = nil, role: String = "workload:shop/web", at other: String? = nil) throws
        -> StateDirectory
    {
        try StateDirectory(other ?? path, instance: instance, role: role)
    }

    private func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path + "/" + name))
    }

    private func files() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }

    @Test func aNewInstanceHasTheNameThatItIsGiven() throws {
        let state = try open("web-7")
        #expect(state.instance == "web-7")
        #expect(
            String(decoding: try Data(contentsOf: URL(fileURLWithPath: path + "/instance")), as: UTF8.self)
                == "web-7\nworkload:shop/web\n")
    }

    @Test func withoutANameItGetsOneOfChance() throws {
        let first = try open()
        let second = try open(at: path + "-2")
        #expect(first.instance.hasPrefix("web-") && first.instance.utf8.count == 10)
        #expect(first.instance != second.instance)
    }

    @Test func oneDirectoryIsForOneProcess() throws {
        _ = try open("web-1")
        let error = #expect(throws: ProxyError.self) { try open("web-1") }
        #expect(error?.description.contains("another martlet-proxy is using it") == true)
        #expect(error?.description.contains(path) == true)
    }

    @Test(arguments: [("web-2", "workload:shop/web"), (nil, "workload:shop/orders"), ("web-1", "gateway:shop/web")])
    func theDirectoryOfAnotherIsRefused(instance: String?, role: String) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try write("instance", "web-1\nworkload:shop/web\n")
        let error = #expect(throws: ProxyError.self) { try open(instance, role: role) }
        #expect(error?.description.contains("belongs to instance web-1 of workload:shop/web") == true)
    }

    @Test func theNameIsKept() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try write("instance", "web-1\nworkload:shop/web\n")
        #expect(try open().instance == "web-1")
    }

    // MARK: Ports

    @Test func portsReadBack() throws {
        let state = try open("web-1")
        #expect(state.ports.isEmpty)
        try state.savePorts(["shop/web/inbound-80": 40000, "shop/web/inbound-81": 40001])
        #expect(state.ports == ["shop/web/inbound-80": 40000, "shop/web/inbound-81": 40001])
    }

    @Test func damagedPortsAreNotKnown() throws {
        let state = try open("web-1")
        try write("ports", "a 1\nb\nc 99999\nd -1\n\u{0}\ne 5 6\nf 7\n")
        #expect(state.ports == ["a": 1, "f": 7])
    }

    // MARK: The last good configuration

    @Test func theLastGoodReadsBackAndIsForTheOwnerOnly() throws {
        let state = try open("web-1")
        var problems: [String] = []
        #expect(state.lastGood(&problems) == nil)
        try state.saveLastGood([1, 2, 3])
        try state.saveLastGood([4, 5])
        #expect(state.lastGood(&problems) == [4, 5])
        #expect(problems.isEmpty)
        let mode = try FileManager.default.attributesOfItem(atPath: path + "/last-good")[.posixPermissions] as? Int
        #expect(mode == 0o600)
        #expect(try files() == ["instance", "last-good", "lock"], "nothing is left over")
    }

    @Test func whatCannotBeUsedIsMovedAside() throws {
        let state = try open("web-1")
        try state.saveLastGood([1])
        state.rejectLastGood()
        state.rejectLastGood()
        var problems: [String] = []
        #expect(state.lastGood(&problems) == nil)
        #expect(try files() == ["instance", "last-good.corrupt", "lock"])
    }

    // MARK: Identity

    @Test func thereIsNoIdentityAtFirst() throws {
        var problems: [String] = []
        #expect(try open("web-1").identity(&problems) == nil)
        #expect(problems.isEmpty)
    }

    @Test(arguments: ["", "garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
    func anIdentityThatCannotBeUsedIsMovedAsideAndSaid(text: String) throws {
        let state = try open("web-1")
        for name in ["identity.pem", "identity.key", "bundle.pem"] { try write(name, text) }
        var problems: [String] = []
        #expect(state.identity(&problems) == nil)
        #expect(problems.count == 1 && problems[0].contains("moved aside"))
        #expect(try files().filter { $0.hasSuffix(".corrupt") } == ["identity.key.corrupt", "identity.pem.corrupt"])
        problems = []
        #expect(state.identity(&problems) == nil && problems.isEmpty)
    }

    @Test func aKeyWithoutItsCertificateIsNoIdentity() throws {
        let state = try open("web-1")
        try write("identity.key", "secret words")
        var problems: [String] = []
        #expect(state.identity(&problems) == nil)
        #expect(problems.count == 1 && !problems[0].contains("secret words"))
    }
}
