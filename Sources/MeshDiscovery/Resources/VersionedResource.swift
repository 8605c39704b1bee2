import MeshCore
import MeshModel

/// A resource as it is sent and kept: its message, and the version that tells it from others of its name.
public struct VersionedResource: Sendable, Equatable {
    /// The kind.
    public var type: MeshResourceType
    /// Unique among resources of its type.
    public var name: String
    /// 16 hexadecimal digits, from ``bytes``: equal resources have equal versions, whoever made them.
    public var version: String
    /// The message.
    public var bytes: [UInt8]

    /// The resource with its version; throws if it cannot be written.
    public init(_ resource: MeshResource) throws(ProxyError) {
        self.init(type: resource.type, name: resource.name, bytes: try resource.encode())
    }

    /// The resource in `bytes`; without a `version`, theirs.
    public init(type: MeshResourceType, name: String, version: String? = nil, bytes: [UInt8]) {
        self.type = type
        self.name = name
        self.version = version ?? ResourceVersion(of: bytes).description
        self.bytes = bytes
    }

    /// The resource. ``bytes`` may be anything: what is damaged, or has another name, throws.
    public func decode() throws(ProxyError) -> MeshResource {
        let resource = try MeshResource.decode(type, bytes)
        guard resource.name == name else {
            throw ProxyError("the \(type) that is sent as '\(name)' calls itself '\(resource.name)'")
        }
        return resource
    }
}

/// The version of a resource, in the form in which sessions keep it: 64 bits of its bytes (FNV-1a).
public struct ResourceVersion: Sendable, Hashable {
    let bits: UInt64

    /// The version of a resource with these bytes.
    public init(of bytes: [UInt8]) {
        bits = max(FNV1a.hash(bytes), 1)
    }

    /// The version that `text` writes; nil if it is none of ours.
    public init?(_ text: String) {
        guard text.utf8.count == 16, text.utf8.first != UInt8(ascii: "+"), let bits = UInt64(text, radix: 16) else {
            return nil
        }
        self.bits = bits
    }

    init(bits: UInt64) { self.bits = bits }

    /// Of something that a client has and that is not ours; no resource has it.
    static let unknown = ResourceVersion(bits: 0)
}

extension ResourceVersion: CustomStringConvertible {
    /// 16 hexadecimal digits.
    public var description: String { FNV1a.text(bits) }
}
