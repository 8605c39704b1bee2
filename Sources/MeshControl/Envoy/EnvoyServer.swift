internal import GRPCCore
internal import GRPCNIOTransportHTTP2
import ServiceLifecycle

/// The port for clients of Envoy's resource types. In clear text: what passes is no secret, and it is to be on loopback
/// or in a network that is trusted.
struct EnvoyServer: Service {
    let mesh: EnvoyMesh
    let host: String
    let port: Int

    func run() async throws {
        let server = GRPCServer(
            transport: .http2NIOPosix(address: .ipv4(host: host, port: port), transportSecurity: .plaintext),
            services: [EnvoyDiscoveryService(mesh: mesh)])
        try await withTaskCancellationOrGracefulShutdownHandler {
            try await server.serve()
        } onCancelOrGracefulShutdown: {
            server.beginGracefulShutdown()
        }
    }
}
