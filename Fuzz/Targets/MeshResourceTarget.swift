import MeshCore
import MeshModel

/// Resources of a mesh: the kind in the first byte, then the message.
enum MeshResourceTarget {
    static func run(_ input: [UInt8]) throws(Finding) {
        guard let first = input.first else { return }
        let types = MeshResourceType.allCases
        let type = types[Int(first) % types.count]
        guard let resource = try? MeshResource.decode(type, Array(input.dropFirst())) else { return }
        try require(resource.type == type, "it is of another kind")
        let (encoded, again): ([UInt8], MeshResource)
        do {
            encoded = try resource.encode()
            again = try MeshResource.decode(type, encoded)
        } catch {
            throw Finding(description: "a resource that was read cannot be written and read: \(error)")
        }
        try require(again == resource, "written and read it is another resource")
        try require(again.name == resource.name, "written and read it has another name")
        try require((try? again.encode()) == encoded, "equal resources have different bytes")
    }
}
