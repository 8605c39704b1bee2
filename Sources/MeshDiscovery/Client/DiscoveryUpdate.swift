private import FoundationEssentials
import MeshCore
import MeshModel
private import SwiftProtobuf

/// What a response changes. Nothing has happened yet: the client accepts or rejects it as a whole.
public struct DiscoveryUpdate: Sendable {
    /// The type; nil if it is unknown.
    public let type: MeshResourceType?
    /// Resources that are new or another version.
    public let upserts: [MeshResource]
    /// Names of those that are no more, or never were.
    public let removals: [String]
    /// Not nil if it can only be rejected, for this reason: something in it is damaged, or there twice.
    public let rejection: String?
    /// True if there is nothing to do but to accept it.
    public var isEmpty: Bool { upserts.isEmpty && removals.isEmpty && rejection == nil }

    /// ``upserts`` as they came.
    let kept: [VersionedResource]
    let typeURL: String
    let nonce: String
    /// Which of the client's streams it came over.
    let stream: Int

    /// What `response`, which may be anything, changes.
    init(_ response: DiscoveryDeltaDiscoveryResponse, stream: Int) {
        var upserts: [MeshResource] = []
        var kept: [VersionedResource] = []
        var rejection: String?
        let type = MeshResourceType(url: response.typeURL)
        do {
            guard let type else { throw ProxyError("there is no type '\(response.typeURL)'") }
            try Self.checkNames(response)
            kept = try response.resources.map { try Self.resource($0, type) }
            upserts = try kept.map { resource in
                do { return try resource.decode() } catch {
                    throw ProxyError("\(type) '\(resource.name)': \(error)")
                }
            }
        } catch {
            (upserts, kept, rejection) = ([], [], "\(error)")
        }
        self.type = type
        self.upserts = upserts
        self.kept = kept
        self.rejection = rejection
        removals = rejection == nil ? response.removedResources : []
        typeURL = response.typeURL
        nonce = response.nonce
        self.stream = stream
    }

    private static func checkNames(_ response: DiscoveryDeltaDiscoveryResponse) throws(ProxyError) {
        var names: Set<String> = []
        for name in response.resources.map(\.name) + response.removedResources
        where !names.insert(name).inserted {
            throw ProxyError("'\(name)' is twice in one response of \(response.typeURL)")
        }
    }

    private static func resource(
        _ message: DiscoveryResource, _ type: MeshResourceType
    ) throws(ProxyError) -> VersionedResource {
        guard message.hasResource else { throw ProxyError("\(type) '\(message.name)' is empty") }
        guard message.resource.typeURL == type.url else {
            throw ProxyError("\(type) '\(message.name)' is a \(message.resource.typeURL)")
        }
        return VersionedResource(
            type: type, name: message.name, version: message.version, bytes: [UInt8](message.resource.value))
    }
}
