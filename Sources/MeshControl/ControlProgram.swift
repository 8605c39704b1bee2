import Foundation
internal import GRPCCore
import Logging
import MeshCore
import ServiceLifecycle

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
        /// Of all identities.
        public var trustDomain: String
        /// A directory with an authority that others have made; nil: its own.
        public var authority: String?
        /// Where Envoy and gRPC clients ask for their own resource types, in clear text: address and port; nil: nowhere.
        public var xds: (host: String, port: Int)?

        /// Options of these parts.
        public init(
            data: String, listen: (host: String, port: Int), api: (host: String, port: Int), config: String?,
            trustDomain: String, authority: String?, xds: (host: String, port: Int)? = nil
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
    private let services: ServiceGroup

    /// Opens everything; nothing is served yet. Throws, with what to do, if something cannot be opened.
    public init(_ options: Options, log: Logger) async throws(ProxyError) {
        try Self.makeDirectory(options.data)
        let authority: Authority
        do throws(StoreError) {
            let store = try SQLiteStore(path: options.data + "/control.db")
            authority = try await Self.authority(options, store)
            plane = ControlPlane(
                store: store, authority: authority, directory: options.config, trustDomain: options.trustDomain,
                log: log)
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
            tokenPath: tokenPath, trustDomain: options.trustDomain)
        http.isRevoked = { authority.isRevoked($0) }
        var running: [any Service] = [
            server, APIServer(plane, configuration: http, logger: log), Following(plane: plane),
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

    private static func authority(_ options: Options, _ store: any Store) async throws(StoreError) -> Authority {
        let configuration = Authority.Configuration(
            trustDomain: options.trustDomain, directory: options.data + "/ca", provided: options.authority)
        do throws(ProxyError) {
            return try await Authority(configuration, store: store)
        } catch {
            throw StoreError(.unavailable, error.description)
        }
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
