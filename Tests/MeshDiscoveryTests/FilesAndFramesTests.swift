import MeshCore
import MeshModel
import Testing

@testable import MeshDiscovery

@Suite struct LastGoodTests {
    private static func resources() throws -> [VersionedResource] {
        try Fixture.resources().map { try VersionedResource($0) }
    }

    @Test func whatIsWrittenIsRead() throws {
        let resources = try Self.resources()
        let file = try LastGood.encode(resources)
        #expect(try LastGood.decode(file) == resources)
        #expect(try ResourceSet(LastGood.decode(file).map { try $0.decode() }) == Fixture.set())
        #expect(try LastGood.decode(LastGood.encode([])) == [])
    }

    @Test func everyDamagedByteIsNoticed() throws {
        let file = try LastGood.encode(Array(Self.resources().prefix(3)))
        for index in file.indices {
            var damaged = file
            damaged[index] ^= 0x10
            #expect(throws: ProxyError.self, "byte \(index)") { try LastGood.decode(damaged) }
            #expect(throws: ProxyError.self, "cut at \(index)") { try LastGood.decode(Array(file[..<index])) }
        }
        #expect(throws: ProxyError.self) { try LastGood.decode(file + [0]) }
    }
}

@Suite struct GRPCFramesTests {
    @Test(arguments: [1, 2, 3, 5, 7, 100]) func framesComeWholeHoweverTheyAreCut(size: Int) throws {
        let messages: [[UInt8]] = [[], [1], Array(repeating: 7, count: 300), [2, 3]]
        let body = messages.flatMap { GRPCFrames.frame($0) }
        var frames = GRPCFrames()
        var found: [[UInt8]] = []
        for start in stride(from: 0, to: body.count, by: size) {
            let part = Array(body[start..<min(start + size, body.count)])
            frames.append(part.span)
            while let message = try frames.next() { found.append(message) }
        }
        #expect(found == messages)
        #expect(frames.isEmpty)
    }

    @Test func aCutMessageIsHeld() throws {
        var frames = GRPCFrames()
        frames.append([UInt8](GRPCFrames.frame([1, 2, 3]).dropLast()).span)
        #expect(try frames.next() == nil)
        #expect(!frames.isEmpty)
    }

    @Test(
        arguments: [
            ([1], "compressed"), ([9], "begins with 9"), ([0, 0, 0, 0, 11], "11 bytes"),
            ([0, 255, 255, 255, 255], "4294967295 bytes"),
        ] as [([UInt8], String)])
    func whatIsNotSpokenIsRefused(bytes: [UInt8], text: String) {
        var frames = GRPCFrames(maxMessageBytes: 10)
        frames.append(bytes.span)
        let error = #expect(throws: ProxyError.self) { try frames.next() }
        #expect(error?.description.contains(text) == true)
    }
}

@Suite struct ValuesTests {
    @Test(arguments: ["workload:shop/web", "gateway:shop/edge"]) func rolesReadBack(text: String) throws {
        let role = try #require(ProxyRole(text))
        #expect(role.description == text)
        #expect(role.namespace == "shop")
    }

    @Test(arguments: [
        "", "workload", "workload:", "workload:web", "workload:a/b/c", "pod:a/b", "workload:/b", "workload:a/ b",
    ])
    func otherTextsAreNoRoles(text: String) { #expect(ProxyRole(text) == nil) }

    @Test func versionsReadBack() throws {
        let version = ResourceVersion(of: [1, 2, 3])
        #expect(version.description.utf8.count == 16)
        #expect(ResourceVersion(version.description) == version)
        #expect(version != ResourceVersion(of: [1, 2]))
        for text in ["", "1", "zzzzzzzzzzzzzzzz", "+123456789abcdef", "0123456789abcdef0"] {
            #expect(ResourceVersion(text) == nil)
        }
    }

    @Test func setsAreByTypeAndName() {
        var set = Fixture.set()
        #expect(Set(set.all.map { "\($0.type) \($0.name)" }).count == Fixture.resources().count)
        for resource in Fixture.resources() {
            #expect(set[resource.type, resource.name] == resource)
            set.remove(resource.type, resource.name)
            #expect(set[resource.type, resource.name] == nil)
        }
        #expect(set == ResourceSet())
    }

    @Test func boundsOfBucketsAscend() {
        #expect(zip(HopBuckets.bounds, HopBuckets.bounds.dropFirst()).allSatisfy { $0 < $1 })
        #expect(HopBuckets.bounds.count == 16)
    }
}
