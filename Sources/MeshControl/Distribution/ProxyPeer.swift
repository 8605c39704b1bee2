import Foundation
internal import MeshDiscovery
import MeshModel

/// Who is at the other end of a stream, as its certificate proves.
public struct ProxyPeer: Sendable, Equatable {
    /// Of the certificate.
    public var identity: SPIFFEID
    /// The certificate's common name.
    public var instance: String
    /// The certificate's serial number, in hexadecimal digits.
    public var serial: String
    /// When the certificate ends; nil: not known.
    public var notAfter: Date?
    /// The address that the connection comes from, without port.
    public var address: String

    /// A peer of these parts.
    public init(
        identity: SPIFFEID, instance: String, serial: String = "", notAfter: Date? = nil, address: String = ""
    ) {
        self.identity = identity
        self.instance = instance
        self.serial = serial
        self.notAfter = notAfter
        self.address = address
    }
}

/// Why a proxy's stream is refused.
struct StreamRefusal: Error, Equatable {
    /// What sort of reason; decides the gRPC status.
    enum Kind: String, Sendable {
        /// INVALID_ARGUMENT, or FAILED_PRECONDITION for a first message without a hello.
        case invalid
        /// PERMISSION_DENIED.
        case identity
        /// NOT_FOUND.
        case unknownRole = "role"
        /// ALREADY_EXISTS.
        case taken
        /// UNAVAILABLE: it may work later.
        case notReady = "starting"
    }

    var kind: Kind
    /// For people on both sides.
    var message: String
}
