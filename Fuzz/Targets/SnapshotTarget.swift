import MeshCore
import MeshModel

/// Compiled configurations: the input as a file, and as the message in a file whose header is right.
enum SnapshotTarget {
    static func run(_ input: [UInt8]) throws(Finding) {
        try check(input)
        // Seeds are files; what is worth mutating is the message in them.
        let message = input.starts(with: magic) ? Array(input.dropFirst(24)) : input
        try check(file(message))
    }

    private static let magic: [UInt8] = [0x89, 0x4D, 0x52, 0x54, 0x4C, 0x0A]

    private static func file(_ message: [UInt8]) -> [UInt8] {
        let sum: UInt64 = message.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        let numbers = [UInt64(message.count), sum].flatMap { number in
            (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * UInt64($0))) }
        }
        return magic + [0, 2] + numbers + message
    }

    private static func check(_ file: [UInt8]) throws(Finding) {
        guard let model = try? Model.decode(file) else { return }
        let (encoded, again): ([UInt8], Model)
        do {
            try model.validate()
            encoded = try model.encode()
            again = try Model.decode(encoded)
        } catch {
            throw Finding(description: "a model that was read cannot be written and read: \(error)")
        }
        try require(again == model, "written and read it is another model")
        try require((try? again.encode()) == encoded, "equal models have different bytes")
    }
}
