import Crypto
import Foundation
import MeshAuthority
import MeshCore
import Synchronization
import X509

@testable import MeshControl

/// A clock that only the test moves.
final class TestClock: Sendable {
    private let time: Mutex<Date>

    init(_ start: Date = Date()) { time = Mutex(start) }

    var now: Date { time.withLock { $0 } }
    func advance(_ seconds: TimeInterval) { time.withLock { $0 += seconds } }
}

/// An authority with a store, in a directory that goes away with it.
final class Fixture: Sendable {
    let directory: String
    let clock = TestClock()
    let store: SQLiteStore

    init() throws {
        directory = FileManager.default.temporaryDirectory.path + "/martlet-ca-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        store = try SQLiteStore(path: directory + "/control.db")
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    func authority(provided: String? = nil) async throws -> Authority {
        let clock = clock
        return try await Authority(
            .init(directory: directory + "/ca", provided: provided), store: store, now: { clock.now })
    }

    /// Writes a file of this directory; returns its path.
    func write(_ text: String, _ name: String) throws -> String {
        let path = directory + "/" + name
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    /// True if OpenSSL finds the way from the first certificate of `chain` to one of `bundle`.
    func opensslVerifies(_ chain: String, bundle: String) throws -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", try write(bundle, "b.pem"),
            "-untrusted", try write(chain, "c.pem"), try write(chain, "c.pem"),
        ]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}

/// A proxy's key and its request.
struct Proxy: Sendable {
    let key = P256.Signing.PrivateKey()

    var csr: [UInt8] { Self.csr(Certificate.PrivateKey(key)) }

    static func csr(_ key: Certificate.PrivateKey, algorithm: Certificate.SignatureAlgorithm = .ecdsaWithSHA256)
        -> [UInt8]
    {
        guard
            let request = try? CertificateSigningRequest(
                version: .v1, subject: DistinguishedName { CommonName("anything") }, privateKey: key,
                attributes: .init(), signatureAlgorithm: algorithm)
        else { return [] }
        return (try? request.serializeAsPEM().derBytes) ?? []
    }
}

extension Authority {
    /// A token's text.
    func token(_ role: String = "workload:shop/cart", uses: Int = 1, seconds: Int = 3600) async throws -> String {
        try await createToken(.init(role: role, lifetimeSeconds: seconds, uses: uses)).secret
    }

    /// Joins as an instance of shop/cart.
    func join(
        _ token: String, _ proxy: Proxy = Proxy(), role: String = "workload:shop/cart", instance: String = "cart-1",
        from address: String = "ipv4:10.0.0.1"
    ) async throws(IdentityRefusal) -> IssuedCertificate {
        try await join(token: token, role: role, instance: instance, csr: proxy.csr, from: address)
    }

    /// What came of joining, `issued` if it worked.
    func result(
        _ token: String, _ proxy: Proxy = Proxy(), role: String = "workload:shop/cart", instance: String = "cart-1",
        from address: String = "ipv4:10.0.0.1"
    ) async -> IdentityResult {
        do throws(IdentityRefusal) {
            _ = try await join(token, proxy, role: role, instance: instance, from: address)
            return .issued
        } catch {
            return error.result
        }
    }

    /// Who the holder of a certificate is, as a call would find.
    func peer(_ issued: IssuedCertificate) async throws(ProxyError) -> PeerIdentity {
        try await check(issued.leaf, isVerified: false)
    }
}
