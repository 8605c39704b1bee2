import Foundation
import MeshCore
import MeshModel
import Testing

@testable import MeshProxy

@Suite struct AdminJSONTests {
    private static let hostile = "a\"b\\c\n\u{1}\u{1F}\u{7F}é\u{1F600}/</script>"

    /// A key and a certificate made by the openssl command, which goes away with its directory.
    private func certificate() throws -> Certificate {
        let directory = FileManager.default.temporaryDirectory.appending(path: "martlet-admin-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let shell = Process()
        shell.executableURL = URL(filePath: "/bin/sh")
        shell.arguments = [
            "-ec",
            """
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out chain.pem \
              -subj '/CN=shop' -days 30 -addext subjectAltName=DNS:shop.example
            """,
        ]
        shell.currentDirectoryURL = directory
        shell.standardError = FileHandle.nullDevice
        try shell.run()
        shell.waitUntilExit()
        try #require(shell.terminationStatus == 0, "the openssl command failed")
        return Certificate(
            name: "ns/shop", chain: Array(try Data(contentsOf: directory.appending(path: "chain.pem"))),
            privateKey: Array(try Data(contentsOf: directory.appending(path: "key.pem"))))
    }

    private func model(_ certificate: Certificate) -> Model {
        let rules = [
            RouteRule(
                name: Self.hostile,
                matches: [
                    RouteMatch(path: .exact("/\"q\"")),
                    RouteMatch(path: .regex("/a\\.b"), headers: [NamedMatch(name: "x", value: .exact("\""))]),
                ],
                backends: [WeightedBackend(.backend("ns/s:80")), WeightedBackend(.invalid(reason: Self.hostile))],
                origin: Origin(file: "a\\b.yaml", line: 3))
        ]
        let section = Section(
            name: "ns/g/s", hostname: .exact("shop.example"), protocol: .https,
            tls: ServerTLS(certificates: [certificate]), routes: [Route(name: "ns/r", rules: rules)])
        let tls = BackendTLS(
            trust: .authorities(certificate.chain), hostname: "shop.example", clientCertificate: certificate)
        let backend = Backend(
            name: "ns/s:80", tls: tls, endpoints: [Endpoint(.ip("127.0.0.1", port: 80), zone: Self.hostile)])
        return Model(
            revision: Self.hostile,
            listeners: [Listener(address: .ip("::1", port: 443), sections: [section])], backends: [backend])
    }

    private func parsed(_ text: String) throws -> Any {
        try JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
    }

    /// The lines of Base64 of `pem`, which are its secret.
    private func lines(_ pem: [UInt8]) -> [String] {
        String(decoding: pem, as: UTF8.self).split(separator: "\n").map(String.init).filter { !$0.hasPrefix("-") }
    }

    @Test func stringsSurvive() throws {
        let all = String(String.UnicodeScalarView((0..<0x300).compactMap { Unicode.Scalar($0) }))
        for text in ["", Self.hostile, all] { #expect(try parsed(JSON.string(text)) as? String == text) }
    }

    @Test func objectsLeaveOutWhatIsNotThere() throws {
        let object = try parsed(JSON.object([("a", "1"), ("b", nil), ("c\"", JSON.strings(["x", "\n"]))]))
        #expect(object as? NSDictionary == ["a": 1, "c\"": ["x", "\n"]])
        #expect(JSON.object([]) == "{}")
        #expect(JSON.array([]) == "[]")
    }

    @Test func configurationIsValidAndHasNoKeys() throws {
        let certificate = try certificate()
        let text = ConfigurationJSON.text(try Snapshot(model(certificate)))
        let root = try #require(try parsed(text) as? [String: Any])
        #expect(root["revision"] as? String == Self.hostile)
        let listener = try #require((root["listeners"] as? [[String: Any]])?.first)
        #expect(listener["address"] as? String == "[::1]:443")
        let section = try #require((listener["sections"] as? [[String: Any]])?.first)
        #expect(section["protocol"] as? String == "HTTPS")
        #expect(section["certificates"] as? [String] == ["ns/shop"])
        let rule = try #require(((section["routes"] as? [[String: Any]])?.first?["rules"] as? [[String: Any]])?.first)
        #expect(rule["name"] as? String == Self.hostile)
        #expect(rule["origin"] as? String == "a\\b.yaml:3")
        let backend = try #require((root["backends"] as? [[String: Any]])?.first)
        #expect(backend["tls"] as? String == "shop.example")
        expectNoKey(text, certificate)
    }

    @Test func certificatesAreDescribedWithoutKeys() throws {
        let certificate = try certificate()
        let snapshot = try Snapshot(model(certificate))
        let text = CertificatesJSON.text(snapshot)
        let row = try #require((try parsed(text) as? [[String: Any]])?.first)
        #expect(row["name"] as? String == "ns/shop")
        #expect(row["section"] as? String == "ns/g/s")
        #expect(row["dnsNames"] as? [String] == ["shop.example"])
        let end = try #require(row["notAfter"] as? String)
        let date = try Date(end, strategy: .iso8601)
        #expect(CertificatesJSON.expiries(snapshot).map(\.expiry) == [Int(date.timeIntervalSince1970)])
        expectNoKey(text, certificate)
    }

    private func expectNoKey(_ text: String, _ certificate: Certificate) {
        #expect(!text.contains("PRIVATE KEY"))
        let secret = lines(certificate.privateKey)
        #expect(!secret.isEmpty)
        for line in secret { #expect(!text.contains(line)) }
    }

    @Test func nothingIsServed() throws {
        let snapshot = try Snapshot(Model())
        #expect(try parsed(ConfigurationJSON.text(snapshot)) is [String: Any])
        #expect(try parsed(CertificatesJSON.text(snapshot)) as? [String] == [])
        #expect(try parsed(UpstreamsJSON.text([])) as? [String] == [])
    }
}
