import Testing

@testable import MeshModel

/// Resources of every kind keep everything on their way.
@Suite struct MeshWireTests {
    @Test func everyKindIsThere() {
        #expect(Set(MeshFixture.resources.map(\.type)) == Set(MeshResourceType.allCases))
    }

    @Test(arguments: MeshFixture.resources.indices) func whatIsWrittenIsRead(index: Int) throws {
        let resource = MeshFixture.resources[index]
        let bytes = try resource.encode()
        let again = try MeshResource.decode(resource.type, bytes)
        #expect(again == resource)
        #expect(again.name == resource.name)
        #expect(try again.encode() == bytes)
    }

    /// Dictionaries have another order in each process; the version of a resource must not.
    @Test func equalResourcesHaveEqualBytes() throws {
        let labels = (0..<50).map { ("key-\($0)", "value-\($0)") }
        let orders = [labels, labels.reversed()]
        let bytes = try orders.map { order in
            var workload = MeshFixture.workload
            workload.labels = [:]
            for (key, value) in order { workload.labels[key] = value }
            return try MeshResource.workload(workload).encode()
        }
        #expect(bytes[0] == bytes[1])
    }

    @Test(arguments: MeshResourceType.allCases) func typesReadBack(type: MeshResourceType) {
        #expect(MeshResourceType(url: type.url) == type)
        #expect(type.url == "type.googleapis.com/\(type.message)")
    }

    @Test(arguments: MeshResourceType.allCases) func whatIsNoMessageIsRefused(type: MeshResourceType) {
        #expect(throws: (any Error).self) { try MeshResource.decode(type, [0xFF, 0xFF, 0xFF]) }
    }

    @Test(arguments: [MeshResourceType.workload, .backend, .route, .accessPolicy, .mesh])
    func whatLacksAPartIsRefused(type: MeshResourceType) {
        #expect(throws: (any Error).self) { try MeshResource.decode(type, []) }
    }

    /// A number of nanoseconds that is never written does not overflow what is read.
    @Test func durationsOfAnySizeAreRead() {
        for (seconds, nanos) in [(Int64.max, Int32.max), (.min, .min), (0, .max), (5, -1)] {
            var message = ProtoDuration()
            message.seconds = seconds
            message.nanos = nanos
            let duration = Duration(protobuf: message)
            #expect(Duration(protobuf: duration.protobuf()) == duration)
        }
    }

    @Test func namesOfRoutesSayTheirParent() {
        let names = MeshFixture.resources.filter { $0.type == .route }.map(\.name)
        #expect(
            names == [
                "service shop/cart:80|GRPCRoute shop/r", "section shop/edge/s|TLSRoute shop/t",
                "service shop/cart|HTTPRoute shop/h",
            ])
    }
}
