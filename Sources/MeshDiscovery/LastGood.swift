private import FoundationEssentials
import MeshCore
import MeshModel
private import SwiftProtobuf

/// The file in which a proxy keeps what it last served well, so that it serves after a restart without a control plane:
/// a header, then the resources as they came, as a `DeltaDiscoveryResponse`.
///
/// | bytes | what |
/// |---|---|
/// | 6 | `89 4D 52 54 47 0A` |
/// | 2 | version, big-endian: 1 |
/// | 8 | bytes of the message, big-endian |
/// | 8 | FNV-1a, 64 bits, of the message: a file cut short or damaged is noticed, not half believed |
///
/// It holds private keys, if the resources do: whoever writes it makes it readable for its owner only.
public enum LastGood {
    private static let magic: [UInt8] = [0x89, 0x4D, 0x52, 0x54, 0x47, 0x0A]
    private static let version: UInt64 = 1
    private static let headerBytes = 24

    /// The file for `resources`; the same bytes for the same resources in the same order.
    public static func encode(_ resources: [VersionedResource]) throws(ProxyError) -> [UInt8] {
        var response = DiscoveryDeltaDiscoveryResponse()
        response.resources = resources.map { resource in
            var message = DiscoveryResource()
            message.name = resource.name
            message.version = resource.version
            message.resource.typeURL = resource.type.url
            message.resource.value = Data(resource.bytes)
            return message
        }
        let message: [UInt8]
        do { message = try response.serializedBytes() } catch {
            throw ProxyError("the last good configuration cannot be written: \(error)")
        }
        let checksum = ResourceVersion(of: message).bits
        return magic + number(version, 2) + number(UInt64(message.count), 8) + number(checksum, 8) + message
    }

    /// The resources in `file`, which may be anything. What they say is not looked at; those of types that this version
    /// does not know are left out.
    public static func decode(_ file: [UInt8]) throws(ProxyError) -> [VersionedResource] {
        guard file.starts(with: magic) else {
            throw ProxyError("this is not a file of the last good configuration; delete it, and the proxy asks again")
        }
        guard file.count >= headerBytes else { throw damaged("it is cut short") }
        let found = number(file[6..<8])
        guard found == version else {
            throw ProxyError(
                "the last good configuration has version \(found), this program reads version \(version); delete it, "
                    + "and the proxy asks again")
        }
        let message = Array(file[headerBytes...])
        guard number(file[8..<16]) == UInt64(message.count) else { throw damaged("it is cut short, or too long") }
        guard number(file[16..<24]) == ResourceVersion(of: message).bits else { throw damaged("its checksum is wrong") }
        let response: DiscoveryDeltaDiscoveryResponse
        do { response = try DiscoveryDeltaDiscoveryResponse(serializedBytes: message) } catch {
            throw damaged("\(error)")
        }
        return response.resources.compactMap { resource in
            guard let type = MeshResourceType(url: resource.resource.typeURL) else { return nil }
            return VersionedResource(
                type: type, name: resource.name, version: resource.version, bytes: [UInt8](resource.resource.value))
        }
    }

    private static func damaged(_ how: String) -> ProxyError {
        ProxyError("the last good configuration is damaged: \(how); delete it, and the proxy asks again")
    }

    private static func number(_ value: UInt64, _ count: UInt64) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * (count - 1 - $0))) }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
}
