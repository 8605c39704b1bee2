import Foundation
internal import GRPCCore
import Logging
import MeshCore
import ServiceLifecycle

import struct MeshModel.MeshSettings

/// The whole control plane as one process runs it: store, authority, documents, the server for proxies and the API.
public final class ControlProgram: Sendable {
    /// Where everything is.
    public struct Options: Sendable {
        /// A directory of its own: database, keys, the administrator's token. Made if it does not exist.
        public var data: String
        /// Where proxies call: address and port.
        public var listen: (host: String, port: Int)
        /// Where people ask: address and port.
        public var api: (host: String, port: Int)
        /// A directory of documents that is followed; nil: none.
        public var config: String?
        /// Of all identities; nil: the one that the directory began with, or else ``MeshSettings/defaultTrustDomain``.
        public var trustDomain: String?
        /// A directory with an authority that others have made; nil: its own.
        public var authority: String?
        /// Where Envoy and gRPC clients ask for their own resource types, in clear text: address and port; nil: nowhere.
        public var xds: (host: String, port: Int)?
        /// Whether the API is served over TLS, with the control plane's certificate.
        public var isAPISecure = false
        /// What else the control plane is called in its certificate: host names and IPv4 addresses.
        public var names: [String] = []

        /// Options of these parts.
        public init(
            data: String, listen: (host: String, port: Int), api: (host: String, port: Int), config: String?,
            trustDomain: String?, authority: String?, xds: (host: String, port: Int)? = nil
        ) {
            self.xds = xds
            self.data = data
            self.listen = listen
            self.api = api
            self.config = config
            self.trustDomain = trustDomain
            self.authority = authority
        }
    }

    /// What decides and knows everything.
    public let plane: ControlPlane
    /// Of all identities.
    public let trustDomain: String
    private let services: ServiceGroup

    /// Opens everything; nothing is served yet. Throws, with what to do, if something cannot be opened. `onServing` is
    /// called when the API answers.
    public init(
        _ options: Options, log: Logger, onServing: @escaping @Sendable () -> Void = {}
    ) async throws(ProxyError) {
        try Self.checkAPI(options)
        try Self.makeDirectory(options.data)
        let authority: Authority
        do throws(StoreError) {
            let store = try SQLiteStore(path: options.data + "/control.db")
            trustDomain = try await Self.trustDomain(options, store)
            authority = try await Self.authority(options, trustDomain, store)
            // Only what the authority has accepted is kept.
            try await store.set(Self.trustDomainKey, Array(trustDomain.utf8))
            plane = ControlPlane(
                store: store, authority: authority, directory: options.config, trustDomain: trustDomain, log: log)
            try await plane.start()
        } catch {
            throw ProxyError(error.description)
        }
        let distributor = plane.distributor
        let peer: @Sendable (ServerContext) async -> ProxyPeer? = {
            $0.peer.map { [context = $0] identity in
                ProxyPeer(identity, remote: context.remotePeer)
            }
        }
        let server = try ControlServer(
            host: options.listen.host, port: options.listen.port, authority: authority,
            services: [
                DiscoveryService(distributor: distributor, peer: peer),
                ReportingService(distributor: distributor, peer: peer),
            ], logger: log)
        let tokenPath = options.data + "/admin-token"
        var http = APIServer.Configuration(
            host: options.api.host, port: options.api.port, token: try AdminToken.load(orMakeAt: tokenPath),
            tokenPath: tokenPath, trustDomain: trustDomain)
        if options.isAPISecure {
            http.tls = try APITLS.configuration(authority)
            http.verification = APITLS.verification(authority)
        }
        http.isRevoked = { authority.isRevoked($0) }
        var running: [any Service] = [
            server, APIServer(plane, configuration: http, logger: log) { _ in onServing() }, Following(plane: plane),
        ]
        if let xds = options.xds {
            distributor.envoy.isServed = true
            await distributor.updateEnvoy()
            running.append(EnvoyServer(mesh: distributor.envoy, host: xds.host, port: xds.port))
        }
        var configuration = ServiceGroupConfiguration(
            services: running,
            gracefulShutdownSignals: [], logger: log)
        configuration.maximumGracefulShutdownDuration = .seconds(2)
        services = ServiceGroup(configuration: configuration)
    }

    /// Serves until ``stop()``.
    public func run() async throws {
        do {
            try await services.run()
        } catch is CancellationError {}
    }

    /// Ends everything within two seconds.
    public func stop() async {
        await plane.stop()
        await services.triggerGracefulShutdown()
    }

    // MARK: What it starts with

    private static let trustDomainKey = "trust-domain"

    /// The trust domain that the store began with. Another one would make every identity, and every rule that names
    /// one, wrong at once.
    private static func trustDomain(_ options: Options, _ store: any Store) async throws(StoreError) -> String {
        let wanted = options.trustDomain
        guard let kept = try await store.value(trustDomainKey).map({ String(decoding: $0, as: UTF8.self) }) else {
            return wanted ?? MeshSettings.defaultTrustDomain
        }
        guard wanted == nil || wanted == kept else {
            throw StoreError(
                .conflict,
                "--trust-domain \(wanted ?? "") is not \(kept), which \(options.data) was made with: leave the option "
                    + "out, or begin another mesh in another --data directory")
        }
        return kept
    }

    private static func authority(
        _ options: Options, _ trustDomain: String, _ store: any Store
    ) async throws(StoreError) -> Authority {
        var configuration = Authority.Configuration(
            trustDomain: trustDomain, directory: options.data + "/ca", provided: options.authority)
        for name in options.names + [options.listen.host, options.api.host] {
            let isAddress = Self.isIPv4(name)
            if isAddress, name != "0.0.0.0", !configuration.serverAddresses.contains(name) {
                configuration.serverAddresses.append(name)
            } else if !isAddress, !name.contains(":"), !configuration.serverNames.contains(name) {
                configuration.serverNames.append(name)
            }
        }
        do throws(ProxyError) {
            return try await Authority(configuration, store: store)
        } catch {
            throw StoreError(.unavailable, error.description)
        }
    }

    private static func isIPv4(_ text: String) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }

    /// In clear text the API is for this machine only: whoever changes the mesh sends the token along.
    private static func checkAPI(_ options: Options) throws(ProxyError) {
        let host = options.api.host
        guard !options.isAPISecure, !Authentication.isLoopback(address: host), host != "localhost" else { return }
        throw ProxyError(
            "the API at \(host) would send tokens over the network in clear text: add --api-tls, or listen at "
                + "127.0.0.1:\(options.api.port)")
    }

    private static func makeDirectory(_ path: String) throws(ProxyError) {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw ProxyError("the directory \(path) cannot be made: \(error.localizedDescription)")
        }
    }
}

/// Follows what the authority does, as long as everything runs.
private struct Following: Service {
    let plane: ControlPlane

    func run() async throws {
        await cancelWhenGracefulShutdown { await plane.followAuthority() }
    }
}

extension ProxyPeer {
    /// The peer that the server has checked. `remote` is as gRPC writes it, `ipv4:127.0.0.1:31415` or `ipv6:[::1]:443`.
    init(_ identity: PeerIdentity, remote: String) {
        let place = remote.drop { $0 != ":" }.dropFirst()
        var address = place
        if let colon = place.lastIndex(of: ":") { address = place[..<colon] }
        let bare = address.filter { $0 != "[" && $0 != "]" }
        self.init(
            identity: identity.spiffe, instance: identity.instance, serial: identity.serial,
            notAfter: identity.notAfter, address: String(bare))
    }
}
