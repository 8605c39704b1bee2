internal import Hummingbird
internal import HummingbirdCore
internal import HummingbirdTLS
import Logging
public import NIOCore
public import NIOSSL
import ServiceLifecycle

/// The HTTP API of the control plane.
public struct APIServer: Service {
    /// Where it listens, and who may ask.
    public struct Configuration: Sendable {
        /// The address to listen at.
        public var host: String
        /// The port; 0: any that is free.
        public var port: Int
        /// Whoever shows this may change the mesh.
        public var token: AdminToken
        /// Where the token is, for messages.
        public var tokenPath: String
        /// Of the mesh: the operator is `spiffe://TRUST-DOMAIN/ns/martlet/svc/operator`.
        public var trustDomain: String
        /// TLS, with `certificateVerification` `.optionalVerification` if clients may show certificates; nil: clear
        /// text.
        public var tls: TLSConfiguration?
        /// Verifies clients' certificates instead of `tls`, as for roots that change while the server runs.
        public var verification: (@Sendable ([NIOSSLCertificate], EventLoopPromise<NIOSSLVerificationResult>) -> Void)?
        /// Whether the certificate with this serial number, in hexadecimal digits, is revoked.
        public var isRevoked: @Sendable (String) async -> Bool
        /// The longest body that is read.
        public var maxBodyBytes: Int

        /// Clear text at `host` and `port`.
        public init(host: String, port: Int, token: AdminToken, tokenPath: String, trustDomain: String) {
            self.host = host
            self.port = port
            self.token = token
            self.tokenPath = tokenPath
            self.trustDomain = trustDomain
            isRevoked = { _ in false }
            maxBodyBytes = 8 << 20
        }
    }

    private let configuration: Configuration
    private let responder: APIResponder
    private let logger: Logger
    private let onRunning: @Sendable (Int) async -> Void

    /// A server that asks `operations`; `onRunning` is told the port when it listens.
    public init(
        _ operations: any ControlOperations, configuration: Configuration, logger: Logger,
        onRunning: @escaping @Sendable (Int) async -> Void = { _ in }
    ) {
        self.configuration = configuration
        self.logger = logger
        self.onRunning = onRunning
        let start = ContinuousClock.now
        let failures = FailedAttempts {
            let (seconds, attoseconds) = (ContinuousClock.now - start).components
            return Double(seconds) + Double(attoseconds) / 1e18
        }
        responder = APIResponder(
            operations: operations,
            authentication: Authentication(
                token: configuration.token,
                operator: "spiffe://\(configuration.trustDomain)/ns/martlet/svc/operator",
                tokenPath: configuration.tokenPath, failures: failures),
            counters: APICounters(), maxBodyBytes: configuration.maxBodyBytes, isRevoked: configuration.isRevoked)
    }

    /// Serves until it is asked to end: then it takes no more connections, and finishes the requests in flight.
    public func run() async throws {
        let clear = HTTPServerBuilder.http1(
            configuration: HTTP1Channel.Configuration(
                idleTimeout: .seconds(60),
                httpDecoderConfiguration: HTTP1Channel.Configuration.DecoderConfiguration(
                    maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 32 << 10, maxHeaderFieldCount: 100)))
        let server = try configuration.tls.map { tls in
            try HTTPServerBuilder.tls(
                clear,
                configuration: TLSChannelConfiguration(
                    tlsConfiguration: tls, customVerificationCallback: configuration.verification))
        }
        let application = Application(
            responder: responder, server: server ?? clear,
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port),
                availableConnectionsDelegate: MaximumAvailableConnections(512)),
            onServerRunning: { [onRunning] channel in await onRunning(channel.localAddress?.port ?? 0) },
            logger: logger)
        try await application.run()
    }
}
