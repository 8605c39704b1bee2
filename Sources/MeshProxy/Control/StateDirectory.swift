import MeshCore
import MeshModel
import MeshNet
import MeshTLS

/// The certificate of this instance with its key, and the roots that it believes.
struct HeldIdentity: Equatable, Sendable {
    /// PEM: the leaf, then its issuers.
    let chain: [UInt8]
    /// PEM. A secret.
    let key: [UInt8]
    /// PEM: every root that is believed.
    var bundle: [UInt8]
    /// What the leaf says.
    let facts: CertificateFacts
    /// The leaf's SPIFFE id.
    let name: SPIFFEID

    /// Reads and checks all parts; the error says which one is wrong.
    init(chain: [UInt8], key: [UInt8], bundle: [UInt8]) throws(ProxyError) {
        self.chain = chain
        self.key = key
        self.bundle = bundle
        facts = try TLSCertificate(chainPEM: chain, keyPEM: key, label: "identity").checked()
        guard let uri = facts.spiffeID, let name = SPIFFEID(uri) else {
            throw ProxyError("identity: the certificate carries no SPIFFE id")
        }
        self.name = name
        _ = try TrustBundle.facts(bundle)
    }

    /// The instance that it was issued to: the leaf's common name.
    var instance: String {
        facts.subject.split(separator: ",").first { $0.hasPrefix("CN=") }.map { String($0.dropFirst(3)) } ?? ""
    }

    /// As the data plane uses it.
    var meshIdentity: MeshIdentity {
        MeshIdentity(certificate: Certificate(name: "identity", chain: chain, privateKey: key), bundle: bundle)
    }
}

/// What a proxy keeps on disk, so that it serves again after a restart with the control plane down: docs/mesh.md says
/// what each file is. Held by one process at a time.
struct StateDirectory: Sendable {
    /// Its path.
    let path: String
    /// The instance whose state it is.
    let instance: String

    private static let identityLimit = 1 << 20
    private static let resourceLimit = 1 << 30

    /// Opens the directory for `instance` in `role`, making it if it is not there. Without a name the instance is the
    /// one that was here before, or gets a name of chance.
    init(_ path: String, instance wanted: String?, role: String) throws(ProxyError) {
        self.path = path
        try FileContents.makeDirectory(path)
        guard try FileContents.hold("\(path)/lock") else {
            throw ProxyError("\(path): another martlet-proxy is using it; each instance wants a --state of its own")
        }
        let file = "\(path)/instance"
        if FileContents.exists(file) {
            let lines = String(decoding: try FileContents.read(file, limit: 4096), as: UTF8.self)
                .split(separator: "\n").map(String.init)
            let (known, knownRole) = (lines.first ?? "", lines.count > 1 ? lines[1] : role)
            guard wanted == nil || wanted == known, role == knownRole else {
                throw ProxyError(
                    "\(path): belongs to instance \(known) of \(knownRole), not to \(wanted ?? known) of \(role); "
                        + "give another --state, or remove it")
            }
            instance = known
        } else {
            instance = wanted ?? Self.chanceName(role)
            try FileContents.replace(file, with: Array("\(instance)\n\(role)\n".utf8))
        }
    }

    /// `NAME-k3x9qa` for `workload:NAMESPACE/NAME`.
    private static func chanceName(_ role: String) -> String {
        var random = SystemRandomNumberGenerator()
        let letters = Array("abcdefghijkmnpqrstuvwxyz23456789")
        let suffix = String((0..<6).map { _ in letters.randomElement(using: &random) ?? "x" })
        return "\(role.split(separator: "/").last?.prefix(50) ?? "proxy")-\(suffix)"
    }

    // MARK: Identity

    /// The identity that was saved; nil if there is none. Files that cannot be used are moved aside, which is said in
    /// `problems`.
    func identity(_ problems: inout [String]) -> HeldIdentity? {
        let (chain, key) = ("\(path)/identity.pem", "\(path)/identity.key")
        guard FileContents.exists(chain) || FileContents.exists(key) else { return nil }
        do throws(ProxyError) {
            let bundle = try read("bundle.pem")
            let keyBytes = try read("identity.key")
            do throws(ProxyError) {
                return try HeldIdentity(chain: try read("identity.pem"), key: keyBytes, bundle: bundle)
            } catch {
                // The process ended between the two renames of `save`.
                guard FileContents.exists(chain + ".new") else { throw error }
                let held = try HeldIdentity(chain: try read("identity.pem.new"), key: keyBytes, bundle: bundle)
                try FileContents.move(chain + ".new", to: chain)
                return held
            }
        } catch {
            problems.append("\(path): the saved identity cannot be used (\(error)); moved aside as *.corrupt")
            for file in [chain, key] { setAside(file) }
            return nil
        }
    }

    /// Saves `identity`: at each moment certificate and key on disk belong together.
    func save(_ identity: HeldIdentity) throws(ProxyError) {
        try saveBundle(identity.bundle)
        try FileContents.write("\(path)/identity.key.new", identity.key, mode: 0o600)
        try FileContents.write("\(path)/identity.pem.new", identity.chain)
        try FileContents.move("\(path)/identity.key.new", to: "\(path)/identity.key")
        try FileContents.move("\(path)/identity.pem.new", to: "\(path)/identity.pem")
    }

    /// Saves the roots alone.
    func saveBundle(_ bundle: [UInt8]) throws(ProxyError) {
        try FileContents.replace("\(path)/bundle.pem", with: bundle)
    }

    private func read(_ name: String) throws(ProxyError) -> [UInt8] {
        try FileContents.read("\(path)/\(name)", limit: Self.identityLimit)
    }

    // MARK: Ports

    /// The ports that the system chose the last time, by section; without any if that is not known.
    var ports: [String: UInt16] {
        guard let bytes = try? read("ports") else { return [:] }
        var ports: [String: UInt16] = [:]
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2, let port = UInt16(words[1]) { ports[String(words[0])] = port }
        }
        return ports
    }

    /// Remembers where sections are bound.
    func savePorts(_ ports: [String: UInt16]) throws(ProxyError) {
        let lines = ports.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)\n" }
        try FileContents.replace("\(path)/ports", with: Array(lines.joined().utf8))
    }

    // MARK: Resources

    /// The bytes of the last good configuration; nil if there are none.
    func lastGood(_ problems: inout [String]) -> [UInt8]? {
        let file = "\(path)/last-good"
        guard FileContents.exists(file) else { return nil }
        do throws(ProxyError) {
            return try FileContents.read(file, limit: Self.resourceLimit)
        } catch {
            problems.append("\(error); the last good configuration is ignored")
            return nil
        }
    }

    /// Replaces the last good configuration.
    func saveLastGood(_ bytes: [UInt8]) throws(ProxyError) {
        try FileContents.replace("\(path)/last-good", with: bytes, mode: 0o600)
    }

    /// Moves the last good configuration aside: it cannot be used.
    func rejectLastGood() { setAside("\(path)/last-good") }

    private func setAside(_ file: String) {
        guard FileContents.exists(file) else { return }
        // If even that fails, the file is as bad as before, and is overwritten at the next save.
        try? FileContents.move(file, to: file + ".corrupt")
    }
}
