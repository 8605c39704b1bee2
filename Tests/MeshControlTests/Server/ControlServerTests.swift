import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2
import GRPCProtobuf
import Logging
import MeshCore
import MeshDiscovery
import SwiftProtobuf
import Testing

@testable import MeshControl

struct ControlServerTests {
    /// Runs `body` beside a server.
    private func serve(
        limits: ControlServer.Limits = .init(), _ body: (Fixture, Authority, ControlServer, Int) async throws -> Void
    ) async throws {
        let fixture = try Fixture()
        let authority = try await fixture.authority()
        let server = try ControlServer(
            host: "127.0.0.1", port: 0, authority: authority, limits: limits, logger: Logger(label: "test"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            let port = try #require(await server.port)
            try await body(fixture, authority, server, port)
            group.cancelAll()
            // The end of a cancelled server is not what is tested.
            while await group.nextResult() != nil {}
        }
    }

    /// A client that shows a certificate, or none.
    private func client<Result: Sendable>(
        _ port: Int, bundle: String, _ holder: (issued: IssuedCertificate, proxy: Proxy)? = nil,
        _ body: @Sendable (GRPCClient<HTTP2ClientTransport.Posix>) async throws -> Result
    ) async throws -> Result {
        let roots = TLSConfig.TrustRootsSource.certificates([.bytes(Array(bundle.utf8), format: .pem)])
        let security: HTTP2ClientTransport.Posix.TransportSecurity
        if let holder {
            security = .mTLS(
                certificateChain: [.bytes(Array(holder.issued.chain.utf8), format: .pem)],
                privateKey: .bytes(Array(holder.proxy.key.pemRepresentation.utf8), format: .pem)
            ) {
                $0.trustRoots = roots
                $0.serverCertificateVerification = .noHostnameVerification
            }
        } else {
            security = .tls {
                $0.trustRoots = roots
                $0.serverCertificateVerification = .noHostnameVerification
            }
        }
        let transport = try HTTP2ClientTransport.Posix(
            target: .ipv4(address: "127.0.0.1", port: port), transportSecurity: security)
        return try await withGRPCClient(transport: transport) { try await body($0) }
    }

    /// Calls Join; the code of its failure, or nil.
    private func join(_ port: Int, _ authority: Authority, token: String) async throws -> RPCError.Code? {
        try await client(port, bundle: authority.bundlePEM) { client in
            var request = ControlJoinRequest()
            (request.token, request.role, request.instance) = (token, "workload:shop/cart", "cart-1")
            request.csr = Data(Proxy().csr)
            return try await Self.call(client, ControlIdentity.Method.Join.descriptor, request)
        }
    }

    private static func call<Input: SwiftProtobuf.Message & Sendable>(
        _ client: GRPCClient<HTTP2ClientTransport.Posix>, _ method: MethodDescriptor, _ request: Input
    ) async throws -> RPCError.Code? {
        do {
            let response: ControlSignResponse = try await client.unary(
                request: ClientRequest(message: request), descriptor: method,
                serializer: ProtobufSerializer<Input>(), deserializer: ProtobufDeserializer<ControlSignResponse>(),
                options: .defaults, onResponse: { try $0.message })
            #expect(response.chain.contains("BEGIN CERTIFICATE"))
            return nil
        } catch let error as RPCError {
            return error.code
        }
    }

    private static func sign(_ client: GRPCClient<HTTP2ClientTransport.Posix>) async throws -> RPCError.Code? {
        var request = ControlSignRequest()
        request.csr = Data(Proxy().csr)
        return try await call(client, ControlIdentity.Method.Sign.descriptor, request)
    }

    @Test func joinNeedsATokenAndSignACertificate() async throws {
        try await serve { _, authority, _, port in
            let token = try await authority.token(uses: 2)
            #expect(try await join(port, authority, token: "mt1.x") == .unauthenticated)
            #expect(try await join(port, authority, token: token) == nil)
            let bare = try await client(port, bundle: authority.bundlePEM) { try await Self.sign($0) }
            #expect(bare == .unauthenticated)
            let proxy = Proxy()
            let issued = try await authority.join(token, proxy)
            let renewed = try await client(port, bundle: authority.bundlePEM, (issued, proxy)) { client in
                [try await Self.sign(client), try await Self.sign(client)]
            }
            #expect(renewed == [nil, nil])
        }
    }

    @Test func aForeignOrRevokedCertificateIsRefusedWithAReason() async throws {
        try await serve { _, authority, _, port in
            let (proxy, other) = (Proxy(), try Fixture())
            let foreign = try await other.authority()
            let strange = try await foreign.join(try await foreign.token(), proxy)
            let refused = try await client(port, bundle: authority.bundlePEM, (strange, proxy)) {
                try await Self.sign($0)
            }
            #expect(refused == .unauthenticated)

            let issued = try await authority.join(try await authority.token(), proxy)
            let results = try await client(port, bundle: authority.bundlePEM, (issued, proxy)) { client in
                let before = try await Self.sign(client)
                _ = try await authority.revoke(service: "shop/cart", instance: "cart-1")
                return [before, try await Self.sign(client)]
            }
            #expect(results[0] == nil)
            // Cut off, or refused on another connection.
            #expect(results[1] == .permissionDenied || results[1] == .unavailable)
        }
    }

    @Test func theRootIsReplacedUnderOpenConnections() async throws {
        try await serve { _, authority, _, port in
            let proxy = Proxy()
            let token = try await authority.token(uses: 9)
            let issued = try await authority.join(token, proxy)
            let results = try await client(port, bundle: issued.bundle, (issued, proxy)) { open in
                var results = [try await Self.sign(open)]
                try await authority.beginRotation()
                results.append(try await Self.sign(open))
                try await authority.activateRotation()
                results.append(try await Self.sign(open))
                // A new connection, by who still has the old bundle and the old leaf.
                results.append(
                    try await self.client(port, bundle: issued.bundle, (issued, proxy)) { try await Self.sign($0) })
                return results
            }
            #expect(results == [nil, nil, nil, nil])
            #expect(try await join(port, authority, token: token) == nil)
        }
    }

    @Test func garbageAndTooManyConnectionsDoNoHarm() async throws {
        var limits = ControlServer.Limits()
        limits.connections = 8
        try await serve(limits: limits) { fixture, authority, server, port in
            for text in [
                "GET / HTTP/1.1\\r\\n\\r\\n", "PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n", "\\x16\\x03\\x01\\xff\\xff",
                "",
            ] {
                try Self.shell("exec 3<>/dev/tcp/127.0.0.1/\(port); printf '\(text)' >&3; exec 3>&-")
            }
            try Self.shell("for i in $(seq 40); do exec {fd}<>/dev/tcp/127.0.0.1/\(port); done; sleep 1")
            #expect(server.load.refused > 0)
            // Those of the shell are closed when it has ended; until then there may be no room.
            while server.load.open > 0 { await Task.yield() }
            #expect(try await join(port, authority, token: try await authority.token()) == nil)
        }
    }

    private static func shell(_ script: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-c", script]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
    }
}
