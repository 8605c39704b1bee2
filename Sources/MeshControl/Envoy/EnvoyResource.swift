internal import SwiftProtobuf

/// One resource of Envoy's types, encoded.
struct EnvoyResource: Sendable, Equatable {
    /// The types that are served, in the order in which they are sent.
    enum Kind: Int, Sendable, CaseIterable {
        case cluster
        case endpoints
        case listener
        case routes

        var url: String {
            switch self {
            case .cluster: "type.googleapis.com/envoy.config.cluster.v3.Cluster"
            case .endpoints: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
            case .listener: "type.googleapis.com/envoy.config.listener.v3.Listener"
            case .routes: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
            }
        }

        init?(url: String) {
            guard let kind = Self.allCases.first(where: { $0.url == url }) else { return nil }
            self = kind
        }
    }

    var kind: Kind
    var name: String
    /// The message, always the same bytes for the same content.
    var bytes: [UInt8]

    init(_ kind: Kind, _ name: String, _ message: some Message) {
        self.kind = kind
        self.name = name
        bytes = Self.encoded(message)
    }

    static func encoded(_ message: some Message) -> [UInt8] {
        var options = BinaryEncodingOptions()
        options.useDeterministicOrdering = true
        guard let bytes: [UInt8] = try? message.serializedBytes(options: options) else {
            preconditionFailure("a message of ours has no required fields, and is far below 2 GiB")
        }
        return bytes
    }
}

extension Google_Protobuf_Any {
    /// `message` as `Any`.
    init(holding message: some Message) {
        self.init()
        typeURL = "type.googleapis.com/\(type(of: message).protoMessageName)"
        value = .init(EnvoyResource.encoded(message))
    }
}

extension Google_Protobuf_UInt32Value {
    init(_ number: Int) { self.init(UInt32(clamping: number)) }
}

extension Google_Protobuf_Duration {
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self.init(seconds: seconds, nanos: Int32(attoseconds / 1_000_000_000))
    }
}
