import MeshCore
import MeshDiscovery
import MeshModel

/// Last good files: the input as a file, and as the message in a file whose header is right. What is read is what a
/// proxy would start with.
enum LastGoodTarget {
    static func run(_ input: [UInt8]) throws(Finding) {
        try check(input)
        let message = input.starts(with: magic) ? Array(input.dropFirst(24)) : input
        try check(file(message))
    }

    private static let magic: [UInt8] = [0x89, 0x4D, 0x52, 0x54, 0x47, 0x0A]

    private static func file(_ message: [UInt8]) -> [UInt8] {
        let hash: UInt64 = message.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        let numbers = [UInt64(message.count), max(hash, 1)].flatMap { number in
            (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * UInt64($0))) }
        }
        return magic + [0, 1] + numbers + message
    }

    private static func check(_ file: [UInt8]) throws(Finding) {
        guard let resources = try? LastGood.decode(file) else { return }
        let again: [VersionedResource]
        do { again = try LastGood.decode(LastGood.encode(resources)) } catch {
            throw Finding(description: "what was read cannot be written and read: \(error)")
        }
        try require(again == resources, "written and read it is something else")
        let client = DiscoveryClient(resuming: resources)
        let roles =
            client.resources.workloads.keys.map { ProxyRole.workload($0) }
            + client.resources.gateways.keys.map { ProxyRole.gateway($0) }
        for role in roles.sorted(by: { $0.description < $1.description }).prefix(4) {
            guard let model = try? Assembly.model(from: client.resources, role: role) else { continue }
            try require(model.problems().isEmpty, "\(role): a model that is not valid")
            let other = try? Assembly.model(from: client.resources, role: role)
            try require(other == model, "\(role): two models of the same resources")
        }
    }
}
