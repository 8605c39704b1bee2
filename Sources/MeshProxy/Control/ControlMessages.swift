private import FoundationEssentials
import MeshCore
import MeshDiscovery
private import SwiftProtobuf

/// The messages of control.proto and discovery.proto as bytes.
enum ControlMessages {
    static func join(token: JoinToken, role: String, instance: String, request: [UInt8]) -> [UInt8] {
        var message = ControlJoinRequest()
        message.token = token.text
        message.role = role
        message.instance = instance
        message.csr = Data(request)
        return encode(message)
    }

    static func sign(request: [UInt8]) -> [UInt8] {
        var message = ControlSignRequest()
        message.csr = Data(request)
        return encode(message)
    }

    /// The certificate in an answer to Join or Sign, whose request `key` has signed.
    static func identity(_ bytes: [UInt8], key: [UInt8]) throws(ProxyError) -> HeldIdentity {
        guard let message = try? ControlSignResponse(serializedBytes: bytes) else {
            throw ProxyError("the answer is no SignResponse")
        }
        return try HeldIdentity(chain: Array(message.chain.utf8), key: key, bundle: Array(message.bundle.utf8))
    }

    static func discovery(_ message: DiscoveryDeltaDiscoveryRequest) -> [UInt8] { encode(message) }

    static func discovery(_ bytes: [UInt8]) -> DiscoveryDeltaDiscoveryResponse? {
        try? DiscoveryDeltaDiscoveryResponse(serializedBytes: bytes)
    }

    static func report(_ message: ControlReportRequest) -> [UInt8] { encode(message) }

    static func report(_ bytes: [UInt8]) -> ControlReportResponse? {
        try? ControlReportResponse(serializedBytes: bytes)
    }

    private static func encode(_ message: some Message) -> [UInt8] {
        // Fails only for missing required fields and fields beyond 2 GiB, and proto3 has none of the first.
        (try? message.serializedBytes()) ?? []
    }
}
