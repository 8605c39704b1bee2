import MeshCore
import MeshTLS

extension Reason {
    /// Why TLS with an endpoint failed.
    init(_ failure: TLSFailure) {
        self = failure.kind == .identityMismatch ? .upstreamIdentityMismatch : .upstreamTlsFailed
    }
}
