private import FoundationEssentials
private import SwiftProtobuf

/// A resource, encoded once: every session that sends it shares its bytes.
public struct EncodedResource: Sendable {
    /// The type.
    public let typeURL: String
    /// Unique among resources of its type.
    public let name: String
    /// The version.
    public let version: ResourceVersion
    let message: DiscoveryResource
    let byteCount: Int

    /// The resource of `typeURL` called `name` in `bytes`.
    public init(typeURL: String, name: String, bytes: [UInt8]) {
        self.init(typeURL: typeURL, name: name, version: ResourceVersion(of: bytes), bytes: bytes)
    }

    /// `resource`, of one of our own types.
    public init(_ resource: VersionedResource) {
        self.init(
            typeURL: resource.type.url, name: resource.name,
            version: ResourceVersion(resource.version) ?? ResourceVersion(of: resource.bytes), bytes: resource.bytes)
    }

    private init(typeURL: String, name: String, version: ResourceVersion, bytes: [UInt8]) {
        self.typeURL = typeURL
        self.name = name
        self.version = version
        byteCount = bytes.count
        var message = DiscoveryResource()
        message.name = name
        message.version = version.description
        message.resource.typeURL = typeURL
        message.resource.value = Data(bytes)
        self.message = message
    }
}

/// The resources of one type that a client may see. Shared by all clients that see the same: a session that is given
/// the same table again has nothing to compare.
public final class DiscoveryTable: Sendable {
    /// By name.
    public let resources: [String: EncodedResource]

    /// A table of `resources`, by their names.
    public init(_ resources: [String: EncodedResource] = [:]) { self.resources = resources }

    /// A table of `resources`; of several with the same name the last.
    public convenience init(_ resources: some Sequence<EncodedResource>) {
        self.init(Dictionary(resources.lazy.map { ($0.name, $0) }, uniquingKeysWith: { $1 }))
    }
}

/// What one client may see: a table per type URL.
public struct DiscoveryScope: Sendable {
    /// By type URL; no table is an empty one.
    public var tables: [String: DiscoveryTable]

    /// A scope of `tables`.
    public init(_ tables: [String: DiscoveryTable] = [:]) { self.tables = tables }

    /// A scope of `resources` of any types.
    public init(_ resources: some Sequence<EncodedResource>) {
        tables = Dictionary(grouping: resources, by: \.typeURL).mapValues { DiscoveryTable($0) }
    }
}
