internal import Crypto
import Foundation
import MeshAuthority
import MeshCore
import Synchronization
internal import X509

import struct MeshModel.MeshSettings
import struct MeshModel.SPIFFEID

/// Who vouches for the proxies of a mesh: it signs their certificates, knows whom to believe, and takes both back.
///
/// Whatever it signed or decided is in its files or in the store before anybody is told. What is asked at each call
/// (whom to believe, what is revoked) is read without waiting for it.
public actor Authority {
    /// How an authority is set up.
    public struct Configuration: Sendable {
        /// Of all identities.
        public var trustDomain: String
        /// The directory for its own files.
        public var directory: String
        /// Not nil: `root.pem`, `intermediate.pem` and `intermediate.key` are in this directory, made by others.
        public var provided: String?
        /// Names of the control plane beside its SPIFFE id.
        public var serverNames: [String]
        /// IPv4 addresses of the control plane.
        public var serverAddresses: [String]
        /// How long its own certificate is valid; renewed at half of it.
        public var serverLifetime: Duration = .seconds(24 * 3600)

        /// The set-up of an authority.
        public init(
            trustDomain: String = MeshSettings.defaultTrustDomain, directory: String, provided: String? = nil,
            serverNames: [String] = ["localhost"], serverAddresses: [String] = ["127.0.0.1"]
        ) {
            self.trustDomain = trustDomain
            self.directory = directory
            self.provided = provided
            self.serverNames = serverNames
            self.serverAddresses = serverAddresses
        }
    }

    /// What others may have to do.
    public enum Event: Sendable, Equatable {
        /// There is another trust bundle: proxies are to get it.
        case bundle
        /// The control plane has another certificate.
        case serverCertificate
        /// These certificates were revoked: their holders are to be cut off.
        case revoked([String])
    }

    /// Tells the service (`namespace/name`) whose identity a role has; nil: there is no such workload or gateway.
    public typealias RoleResolver = @Sendable (_ role: String) async -> String?

    /// Of all identities.
    public nonisolated let trustDomain: String
    let configuration: Configuration
    let store: any Store
    let now: @Sendable () -> Date
    nonisolated let published: Mutex<Published>

    var files: AuthorityFiles
    var roots: [AuthorityDirectory.Loaded]
    var bundle: [Certificate]
    var lifetime = MeshSettings.defaultCertificateLifetime
    var resolver: RoleResolver = { String($0.drop { $0 != ":" }.dropFirst()) }
    var limiter = JoinLimiter()
    var recentJoins: [String: (key: [UInt8], time: Date)] = [:]
    var counts = IdentityCounts()
    var problem = ""
    private var listeners: [Int: AsyncStream<Event>.Continuation] = [:]
    private var listenerCount = 0
    private var providedAge: [Date] = []
    private var cleaned: Date

    // MARK: Opening

    /// Opens the authority, or makes it. `now` is for tests.
    public init(
        _ configuration: Configuration, store: any Store, now: @escaping @Sendable () -> Date = { Date() }
    ) async throws(ProxyError) {
        guard SPIFFEID.isTrustDomain(configuration.trustDomain) else {
            throw ProxyError(
                "the trust domain \"\(configuration.trustDomain)\" is not valid: lower-case letters, digits, . - _")
        }
        (self.configuration, self.store, self.now, trustDomain) = (configuration, store, now, configuration.trustDomain)
        let time = now()
        cleaned = time
        if let provided = configuration.provided {
            files = .provided(directory: provided)
            providedAge = Self.age(provided)
            (roots, bundle) = try Self.load(provided: provided, now: time)
        } else {
            let directory = try AuthorityDirectory(
                path: configuration.directory, trustDomain: trustDomain, now: time)
            files = .own(directory)
            roots = try directory.load(now: time)
            bundle = roots.map(\.root)
        }
        published = Mutex(
            Published(trust: TrustView(trustDomain: configuration.trustDomain, roots: [], intermediates: [])))
        do throws(StoreError) {
            let issued = try await store.certificates(identity: nil, instance: nil, endingAfter: time)
            published.withLock { $0.remember(issued) }
        } catch {
            throw ProxyError(error.description)
        }
        publishTrust()
        try renewServer(time)
        await maintain()
    }

    /// The certificates of `root.pem` and the issuer of `intermediate.pem`.
    private static func load(
        provided path: String, now: Date
    ) throws(ProxyError) -> ([AuthorityDirectory.Loaded], [Certificate]) {
        let (rootFile, file, keyFile) = (path + "/root.pem", path + "/intermediate.pem", path + "/intermediate.key")
        let bundle = try CertificateFile.certificates(rootFile)
        for root in bundle { try AuthorityCheck.authority(root, leavesRoom: 0, rootFile, now) }
        let check = AuthorityCheck(roots: bundle, rootFile: rootFile, intermediateFile: file, keyFile: keyFile)
        let issuer = try check.issuer(
            chain: try CertificateFile.certificates(file), key: try CertificateFile.key(keyFile), now: now)
        return ([.init(number: 0, root: issuer.root, rootKey: nil, issuer: issuer, former: [], cross: nil)], bundle)
    }

    private static func age(_ path: String) -> [Date] {
        ["root.pem", "intermediate.pem", "intermediate.key"].map { name in
            let attributes = try? FileManager.default.attributesOfItem(atPath: "\(path)/\(name)")
            return attributes?[.modificationDate] as? Date ?? .distantPast
        }
    }

    // MARK: What holds for the mesh

    /// From now on leaves are valid for this long.
    public func use(certificateLifetime: Duration) { lifetime = certificateLifetime }

    /// From now on roles are looked up here. Without one, a role has the identity of the service of its name.
    public func use(resolver: @escaping RoleResolver) { self.resolver = resolver }

    /// PEM: every root that is believed; the one that signs is the first. A proxy whose bundle gets another first root
    /// renews its certificate soon.
    public nonisolated var bundlePEM: String { published.withLock { $0.trust }.bundle }

    /// What happens from now on.
    public func events() -> AsyncStream<Event> {
        let (stream, continuation) = AsyncStream.makeStream(of: Event.self, bufferingPolicy: .bufferingNewest(64))
        let number = listenerCount
        listenerCount += 1
        listeners[number] = continuation
        continuation.onTermination = { _ in Task { await self.forget(number) } }
        return stream
    }

    private func forget(_ listener: Int) { listeners[listener] = nil }

    func announce(_ event: Event) { for listener in listeners.values { listener.yield(event) } }

    // MARK: Care

    /// Renews what is due and looks at files that were given. To be called every few seconds. What fails is kept as
    /// ``problem`` and tried again; what holds stays in use.
    func maintain() async {
        let time = now()
        do throws(ProxyError) {
            try reloadProvided(time)
            try renewIntermediate(time)
            if published.withLock({ $0.server.map { time >= $0.renewal } ?? true }) { try renewServer(time) }
            problem = ""
        } catch {
            problem = error.description
        }
        guard time.timeIntervalSince(cleaned) > 3600 else { return }
        cleaned = time
        recentJoins = recentJoins.filter { time.timeIntervalSince($0.value.time) < Self.joinMemory }
        // A day more, so that people still find what they look for.
        try? await store.removeCertificates(endedBefore: time.addingTimeInterval(-86400))
        try? await store.removeTokens(expiredBefore: time.addingTimeInterval(-86400))
        published.withLock { $0.clean(time) }
    }

    private func reloadProvided(_ time: Date) throws(ProxyError) {
        guard case .provided(let path) = files else { return }
        let age = Self.age(path)
        guard age != providedAge else { return }
        let (roots, bundle) = try Self.load(provided: path, now: time)
        providedAge = age
        // Whoever is still signed by the former intermediate is known without sending it.
        let former = self.roots.flatMap { [$0.issuer.certificate] + $0.former }
        self.roots = roots
        self.roots[0].former = Array(former.filter { $0 != roots[0].issuer.certificate }.prefix(4))
        self.bundle = bundle
        publishTrust()
        try renewServer(time)
        announce(.bundle)
    }

    private func renewIntermediate(_ time: Date) throws(ProxyError) {
        guard case .own(var directory) = files else { return }
        let due = roots.filter { $0.rootKey != nil && time >= Self.half($0.issuer.certificate) }
        guard !due.isEmpty else { return }
        for loaded in due { try directory.renewIntermediate(of: loaded, trustDomain: trustDomain, now: time) }
        try adopt(directory, time)
    }

    /// Takes over what a directory says now.
    func adopt(_ directory: AuthorityDirectory, _ time: Date) throws(ProxyError) {
        roots = try directory.load(now: time)
        files = .own(directory)
        bundle = ([signing.root] + roots.map(\.root)).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
        publishTrust()
        try renewServer(time)
    }

    static func half(_ certificate: Certificate) -> Date {
        let (start, end) = (certificate.notValidBefore, certificate.notValidAfter)
        return start.addingTimeInterval(end.timeIntervalSince(start) / 2)
    }

    /// The root that signs, with its issuer.
    var signing: AuthorityDirectory.Loaded {
        guard case .own(let directory) = files else { return roots[0] }
        return roots.first { $0.number == directory.state.signing } ?? roots[0]
    }

    private func publishTrust() {
        let first = signing.root
        let view = TrustView(
            trustDomain: trustDomain, roots: [first] + bundle.filter { $0 != first },
            intermediates: roots.flatMap { [$0.issuer.certificate] + $0.issuer.above + $0.former })
        published.withLock { $0.trust = view }
    }

    private func renewServer(_ time: Date) throws(ProxyError) {
        let key = P256.Signing.PrivateKey()
        let subject = LeafSubject(
            identity: SPIFFEID(trustDomain: trustDomain, namespace: "martlet", service: "control"),
            instance: "control", dnsNames: configuration.serverNames, addresses: configuration.serverAddresses)
        let issuer = signing.issuer
        let leaf = try issuer.leaf(
            subject, key: Certificate.PublicKey(key.publicKey), lifetime: Self.seconds(configuration.serverLifetime),
            now: time)
        // Every root goes along: who joins knows nothing of a root but its hash.
        let chain = [leaf, issuer.certificate] + issuer.above + bundle.filter { $0 != signing.root } + [signing.root]
        let server = ServerCertificate(
            chain: chain, keyPEM: key.pemRepresentation,
            renewal: time.addingTimeInterval(leaf.notValidAfter.timeIntervalSince(time) / 2))
        published.withLock { $0.server = server }
        announce(.serverCertificate)
    }

    static func seconds(_ duration: Duration) -> TimeInterval {
        let (seconds, attoseconds) = duration.components
        return TimeInterval(seconds) + TimeInterval(attoseconds) / 1e18
    }
}
