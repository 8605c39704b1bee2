import MeshCore

/// The file in which a proxy keeps what it last served well, so that it serves after a restart without a control plane.
public enum LastGood {
    /// The file for `resources`.
    public static func encode(_ resources: [VersionedResource]) throws(ProxyError) -> [UInt8] { [] }

    /// The resources in `file`, which may be anything.
    public static func decode(_ file: [UInt8]) throws(ProxyError) -> [VersionedResource] { [] }
}
