import Foundation
internal import GRPCCore
internal import GRPCNIOTransportHTTP2
import Logging
import MeshCore
internal import MeshNet
internal import NIOCore
import ServiceLifecycle

/// Where proxies call: gRPC over mutual TLS, in which only `Join` works without a client certificate. Why it is built
/// like this: docs/decisions/0010-control-tls.md.
struct ControlServer: Service {
    /// What one server bears.
    struct Limits: Sendable {
        /// Connections at once; more are closed before TLS begins.
        var connections = 20_000
        /// Waiting for `accept`. The kernel takes the smaller of this and `net.core.somaxconn`.
        var backlog = 4096
        /// Calls at once on a connection.
        var streams = 32
        /// Bytes of one message from a proxy.
        var messageBytes = 4 << 20
        /// To open TLS and to send something in it.
        var opening: Duration = .seconds(15)
        /// Silence after which a peer is asked whether it lives, and the time it has to answer: 18 s in all.
        var keepalive: (after: Duration, timeout: Duration) = (.seconds(10), .seconds(8))
        /// Without a call.
        var idle: Duration = .seconds(300)
        /// For calls in flight at a shutdown. Streams of proxies never end by themselves.
        var draining: Duration = .seconds(2)
    }

    private let authority: Authority
    private let logger: Logger
    private let limits: Limits
    private let tls: ServerTLS
    private let connections: ConnectionTable
    private let server: GRPCServer<HTTP2ServerTransport.Posix>

    /// A server on `host` (an address) and `port` (0: any) with `services` beside Identity.
    init(
        host: String, port: Int, authority: Authority, services: [any RegistrableRPCService] = [],
        limits: Limits = Limits(), logger: Logger
    ) throws(ProxyError) {
        let tls = try ServerTLS(authority)
        let connections = ConnectionTable(limit: limits.connections)
        let isIPv6 = host.contains(":")
        let transport = HTTP2ServerTransport.Posix(
            address: isIPv6 ? .ipv6(host: host, port: port) : .ipv4(host: host, port: port),
            transportSecurity: .plaintext, config: Self.configuration(limits, tls, connections))
        (self.authority, self.logger, self.limits) = (authority, logger, limits)
        (self.tls, self.connections) = (tls, connections)
        server = GRPCServer(
            transport: transport, services: [IdentityService(authority: authority, logger: logger)] + services,
            interceptors: [PeerCheck(authority: authority)])
    }

    /// The port that it listens on. Waits until it does; nil if it could not.
    var port: Int? {
        get async {
            guard let address = try? await server.transport.listeningAddress else { return nil }
            return address.ipv4?.port ?? address.ipv6?.port
        }
    }

    /// Connections that are open, and how many were turned away.
    var load: (open: Int, refused: Int) { (connections.count, connections.refused) }

    /// Serves until it is cancelled or shut down.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            let events = await authority.events()
            group.addTask { await self.follow(events) }
            group.addTask { await self.maintain() }
            group.addTask {
                try await withGracefulShutdownHandler {
                    try await self.server.serve()
                } onGracefulShutdown: {
                    self.server.beginGracefulShutdown()
                }
            }
            group.addTask {
                try await gracefulShutdown()
                try await Task.sleep(for: self.limits.draining)
            }
            // Whoever ends first ends all: the server, or the time to drain.
            defer { group.cancelAll() }
            while let result = await group.nextResult() {
                switch result {
                case .success: return
                case .failure(let error): throw error
                }
            }
        }
    }

    private func follow(_ events: AsyncStream<Authority.Event>) async {
        for await event in events {
            switch event {
            case .bundle: break
            case .serverCertificate:
                do throws(ProxyError) { try tls.update() } catch { logger.error("\(error)") }
            case .revoked(let serials): connections.close(Set(serials))
            }
        }
        // The stream ends with the task; the group must not.
        try? await Task.sleep(for: .seconds(1 << 31))
    }

    private func maintain() async {
        var said = ""
        var connected = 0
        while !Task.isCancelled {
            await authority.maintain()
            let problem = await authority.problem
            if problem != said, !problem.isEmpty { logger.error("authority: \(problem)") }
            said = problem
            // Each handshake leaves much behind, and many come at once when the control plane has been away.
            if abs(connections.count - connected) > 100 {
                connected = connections.count
                ThisProcess.returnFreeMemory()
            }
            try? await Task.sleep(for: .seconds(2))
        }
    }

    private static func configuration(
        _ limits: Limits, _ tls: ServerTLS, _ connections: ConnectionTable
    ) -> HTTP2ServerTransport.Posix.Config {
        .defaults { config in
            config.http2.maxConcurrentStreams = limits.streams
            config.rpc.maxRequestPayloadSize = limits.messageBytes
            config.connection.maxIdleTime = limits.idle
            config.connection.keepalive.time = limits.keepalive.after
            config.connection.keepalive.timeout = limits.keepalive.timeout
            config.connection.keepalive.clientBehavior.allowWithoutCalls = true
            config.connection.keepalive.clientBehavior.minPingIntervalWithoutCalls = .seconds(1)
            config.channelDebuggingCallbacks.onBindTCPListener = { channel in
                channel.setOption(.backlog, value: CInt(clamping: limits.backlog))
            }
            config.channelDebuggingCallbacks.onAcceptTCPConnection = { channel in
                Self.secure(channel, limits, tls, connections)
            }
        }
    }

    /// Puts TLS in front of everything. If this fails the connection is closed: nothing is ever served without it.
    private static func secure(
        _ channel: any Channel, _ limits: Limits, _ tls: ServerTLS, _ connections: ConnectionTable
    ) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            guard connections.open(channel) else { throw ProxyError("too many connections") }
            let id = ObjectIdentifier(channel)
            let handler = tls.handler { serial in connections.identify(id, serial) }
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandler(ExactReads(), position: .first)
            try pipeline.addHandler(FirstBytesDeadline(TimeAmount(limits.opening)), position: .first)
            try pipeline.addHandler(handler, position: .first)
        }
    }
}
