import MeshCore
import MeshModel
import MeshNet

extension MeshIdentity {
    /// The identity in `directory`: `identity.pem`, `identity.key` and `bundle.pem`, PEM. What is in the files is
    /// checked when the identity is used.
    init(directory: String) throws(ProxyError) {
        func read(_ name: String) throws(ProxyError) -> [UInt8] {
            try FileContents.read("\(directory)/\(name)", limit: 1 << 20)
        }
        let certificate = Certificate(
            name: "\(directory)/identity.pem", chain: try read("identity.pem"), privateKey: try read("identity.key"))
        self.init(certificate: certificate, bundle: try read("bundle.pem"))
    }
}
