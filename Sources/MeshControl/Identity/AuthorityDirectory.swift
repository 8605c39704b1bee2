import Foundation
import MeshAuthority
import MeshCore
internal import X509

/// Where an ``Authority`` has its certificates and keys from.
enum AuthorityFiles: Sendable {
    /// Its own, in a directory that it makes.
    case own(AuthorityDirectory)
    /// Given from outside; they are read, never written.
    case provided(directory: String)
}

/// The files of an authority of its own, all in one directory of mode 0700:
///
///     root-1.pem, root-1.key                          made once; root-1.key may be kept elsewhere
///     intermediate-1.1.pem, intermediate-1.1.key      of root 1; 1.2 when it was renewed
///     cross-2.pem                                     root 2, vouched for by root 1, while both are believed
///     state.json                                      which of them count; written last, in one step
struct AuthorityDirectory: Sendable {
    /// Which files count.
    struct State: Codable, Sendable, Equatable {
        /// How far the replacement of the root is.
        enum Phase: String, Codable, Sendable { case none, begun, activated }
        /// A root and the intermediate of it that is in use.
        struct Generation: Codable, Sendable, Equatable {
            var root: Int
            var intermediate: Int
        }

        /// Oldest first; two during a rotation.
        var generations: [Generation]
        /// The root that signs.
        var signing: Int
        var phase = Phase.none
        /// When `signing` began to sign.
        var activated: Date?
    }

    /// A root with all that is of it.
    struct Loaded: Sendable {
        var number: Int
        var root: Certificate
        /// nil: its key is not here.
        var rootKey: Certificate.PrivateKey?
        var issuer: Issuer
        /// Intermediates before this one, whose leaves may still hold.
        var former: [Certificate]
        var cross: Certificate?
    }

    let path: String
    private(set) var state: State

    // MARK: Opening

    /// Opens the directory, or makes it with a root and an intermediate.
    init(path: String, trustDomain: String, now: Date) throws(ProxyError) {
        self.path = path
        try CertificateFile.makeDirectory(path)
        if let data = FileManager.default.contents(atPath: path + "/state.json") {
            guard let state = try? JSONDecoder().decode(State.self, from: data),
                state.generations.contains(where: { $0.root == state.signing })
            else { throw ProxyError("\(path)/state.json cannot be read: restore it, or move \(path) away") }
            self.state = state
            return
        }
        guard !FileManager.default.fileExists(atPath: path + "/root-1.pem") else {
            throw ProxyError("\(path)/state.json is missing beside root-1.pem: restore it, or move \(path) away")
        }
        state = State(generations: [.init(root: 1, intermediate: 1)], signing: 1)
        try makeGeneration(1, trustDomain: trustDomain, now: now, crossedBy: nil)
        try save(state)
    }

    /// Every root that counts, oldest first.
    func load(now: Date) throws(ProxyError) -> [Loaded] {
        var loaded: [Loaded] = []
        for generation in state.generations { loaded.append(try load(generation, now: now)) }
        return loaded
    }

    private func load(_ generation: State.Generation, now: Date) throws(ProxyError) -> Loaded {
        let (root, rootKey) = (file("root-\(generation.root)"), file("root-\(generation.root)", "key"))
        let name = "intermediate-\(generation.root).\(generation.intermediate)"
        let roots = try CertificateFile.certificates(root)
        try CertificateFile.checkMode(file(name, "key"))
        let check = AuthorityCheck(
            roots: roots, rootFile: root, intermediateFile: file(name), keyFile: file(name, "key"))
        let crossFile = file("cross-\(generation.root)")
        let hasCross = state.phase == .activated && FileManager.default.fileExists(atPath: crossFile)
        let cross = hasCross ? try CertificateFile.certificates(crossFile).first : nil
        let plain = try check.issuer(
            chain: try CertificateFile.certificates(file(name)), key: try CertificateFile.key(file(name, "key")),
            now: now)
        return Loaded(
            number: generation.root, root: plain.root, rootKey: try loadRootKey(rootKey, root, plain.root),
            issuer: plain.crossed(by: cross),
            former: former(generation), cross: cross)
    }

    private func loadRootKey(
        _ path: String, _ rootFile: String, _ root: Certificate
    ) throws(ProxyError) -> Certificate.PrivateKey? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        try CertificateFile.checkMode(path)
        let key = try CertificateFile.key(path)
        guard key.publicKey == root.publicKey else {
            throw ProxyError("\(path) does not fit \(rootFile): give the key that it was made with, or take it away")
        }
        return key
    }

    private func former(_ generation: State.Generation) -> [Certificate] {
        (1..<max(generation.intermediate, 1)).suffix(2).flatMap {
            (try? CertificateFile.certificates(file("intermediate-\(generation.root).\($0)"))) ?? []
        }
    }

    // MARK: Changes

    /// A new intermediate under a root whose key is here.
    mutating func renewIntermediate(of loaded: Loaded, trustDomain: String, now: Date) throws(ProxyError) {
        guard let key = loaded.rootKey, let index = state.generations.firstIndex(where: { $0.root == loaded.number })
        else { return }
        var next = state
        next.generations[index].intermediate += 1
        let root = AuthorityMaker.Pair(certificate: loaded.root, key: key)
        try makeIntermediate(next.generations[index], root, trustDomain: trustDomain, now: now)
        try save(next)
    }

    /// A new root beside the one that signs.
    mutating func begin(trustDomain: String, signing: Loaded, now: Date) throws(ProxyError) {
        let number = (state.generations.map(\.root).max() ?? 0) + 1
        let old = signing.rootKey.map { AuthorityMaker.Pair(certificate: signing.root, key: $0) }
        try makeGeneration(number, trustDomain: trustDomain, now: now, crossedBy: old)
        var next = state
        next.generations.append(.init(root: number, intermediate: 1))
        next.phase = .begun
        try save(next)
    }

    /// From now on the newest root signs.
    mutating func activate(now: Date) throws(ProxyError) {
        guard let newest = state.generations.last else { return }
        var next = state
        next.signing = newest.root
        next.phase = .activated
        next.activated = now
        try save(next)
    }

    /// Only the root that signs counts.
    mutating func finish() throws(ProxyError) {
        var next = state
        next.generations.removeAll { $0.root != next.signing }
        next.phase = .none
        next.activated = nil
        try save(next)
    }

    // MARK: Files

    private func file(_ name: String, _ type: String = "pem") -> String { "\(path)/\(name).\(type)" }

    private func makeGeneration(
        _ number: Int, trustDomain: String, now: Date, crossedBy old: AuthorityMaker.Pair?
    ) throws(ProxyError) {
        discard("root-\(number)")
        discard("intermediate-\(number).1")
        let root = try AuthorityMaker.root(trustDomain: trustDomain, now: now)
        try CertificateFile.writeSecret(root.keyPEM, file("root-\(number)", "key"))
        try makeIntermediate(.init(root: number, intermediate: 1), root, trustDomain: trustDomain, now: now)
        if let old {
            let cross = try AuthorityMaker.cross(root.certificate, by: old, now: now)
            try CertificateFile.write(CertificateFile.pem([cross]), file("cross-\(number)"))
        }
        try CertificateFile.write(CertificateFile.pem([root.certificate]), file("root-\(number)"))
    }

    private func makeIntermediate(
        _ generation: State.Generation, _ root: AuthorityMaker.Pair, trustDomain: String, now: Date
    ) throws(ProxyError) {
        let name = "intermediate-\(generation.root).\(generation.intermediate)"
        discard(name)
        let made = try AuthorityMaker.intermediate(trustDomain: trustDomain, root: root, now: now)
        try CertificateFile.writeSecret(made.keyPEM, file(name, "key"))
        try CertificateFile.write(CertificateFile.pem([made.certificate]), file(name))
    }

    /// What a start that was cut short left behind: `state.json` does not count it.
    private func discard(_ name: String) {
        for type in ["pem", "key"] { try? FileManager.default.removeItem(atPath: file(name, type)) }
    }

    private mutating func save(_ next: State) throws(ProxyError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        guard let data = try? encoder.encode(next) else { return }
        try CertificateFile.write(String(decoding: data, as: UTF8.self) + "\n", path + "/state.json")
        state = next
    }
}
