import Foundation
import MeshCore
import MeshGatewayAPI
import Testing

/// What is read of a directory, and what cannot be.
@Suite final class FilesTests {
    private let directory = NSTemporaryDirectory() + "martlet-files-" + UUID().uuidString

    init() throws { try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true) }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private func write(_ name: String, _ text: String) throws {
        let path = directory + "/" + name
        let parent = (path as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        try text.write(toFile: path, atomically: false, encoding: .utf8)
    }

    private func failure(_ path: String) -> String {
        do throws(ProxyError) {
            _ = try Translator.load(directory: path)
            return ""
        } catch {
            return error.description
        }
    }

    private static let broken = "apiVersion: v1\nkind: HTTPRoute\nmetadata: {name: x}\n"

    @Test func directoriesInTheDirectoryAreReadAndHiddenNamesAreNot() throws {
        try write("a.yaml", Fixture.gateway)
        try write("team/shop/b.yml", Fixture.backends + Fixture.route(Fixture.toCart))
        for name in [".git/c.yaml", ".d.yaml", "notes.txt", "..data/e.yaml"] { try write(name, Self.broken) }
        let translation = try Translator.load(directory: directory)
        #expect(translation.diagnostics.isEmpty, "\(translation.lines)")
        #expect(translation.sources.keys.sorted() == ["a.yaml", "team/shop/b.yml"])
        #expect(translation.routes().map(\.origin?.file) == ["team/shop/b.yml"])
    }

    @Test func aDirectoryThatLeadsToItselfIsReadOnce() throws {
        try write("conf/a.yaml", Fixture.gateway)
        try FileManager.default.createSymbolicLink(atPath: directory + "/conf/again", withDestinationPath: ".")
        let translation = try Translator.load(directory: directory + "/conf")
        #expect(translation.sources.keys.sorted() == ["a.yaml"])
    }

    @Test func filesOfAMountedConfigMapAreReadThroughTheirLinks() throws {
        try write("..2026/a.yaml", Fixture.gateway)
        try FileManager.default.createSymbolicLink(atPath: directory + "/..data", withDestinationPath: "..2026")
        try FileManager.default.createSymbolicLink(atPath: directory + "/a.yaml", withDestinationPath: "..data/a.yaml")
        #expect(try Translator.load(directory: directory).sources.keys.sorted() == ["a.yaml"])
    }

    @Test func whatCannotBeReadIsOneLine() throws {
        #expect(failure(directory + "/absent") == "\(directory)/absent does not exist")
        #expect(failure(directory) == "\(directory) has no file *.yaml or *.yml")
        try write("a.yaml", "# nothing yet\n---\n")
        #expect(failure(directory).contains("has no document"))
        #expect(failure(directory + "/a.yaml").contains("has no document"))
        try write("b.yaml/c.txt", "")
        try FileManager.default.createSymbolicLink(atPath: directory + "/d.yaml", withDestinationPath: "absent")
        #expect(failure(directory) == "the file \(directory)/d.yaml does not exist")
    }

    @Test func aPathInASecretIsRelativeToItsFile() throws {
        let secret = """
            ---
            apiVersion: v1
            kind: Secret
            metadata: {name: cert, namespace: shop}
            type: kubernetes.io/tls
            stringData: {tls.crt: "file:pki/tls.crt", tls.key: "file:pki/tls.key"}

            """
        let gateway = Fixture.gateway.replacing(
            "{name: http, protocol: HTTP, port: 8080}",
            with: "{name: a, protocol: HTTPS, port: 8443, tls: {certificateRefs: [{name: cert}]}}")
        try write("edge/a.yaml", gateway + secret)
        try write("edge/pki/tls.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        let missing = try Translator.load(directory: directory)
        #expect(missing.errors.count == 1 && missing.errors[0].contains("\(directory)/edge/pki/tls.key does not exist"))
        // Who follows changes has to know the one that is missing, too.
        let files = ["\(directory)/edge/pki/tls.crt", "\(directory)/edge/pki/tls.key"]
        #expect(missing.referencedFiles == files)
        try write("edge/pki/tls.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        let first = try #require(try Translator.load(directory: directory).model)
        #expect(first.listeners[0].sections[0].tls?.certificates.map(\.name) == ["shop/cert"])
        // A renewed certificate is another configuration, though no YAML changed.
        try write("edge/pki/tls.crt", "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n")
        let second = try #require(try Translator.load(directory: directory).model)
        #expect(first.revision != second.revision && first != second)
    }

    @Test func anErrorThatOthersFindTakesTheModelAway() throws {
        var translation = translate(Fixture.gateway + Fixture.backends + Fixture.route(Fixture.toCart))
        let place = Place(file: "a.yaml", line: 3, column: 1)
        translation.add([Diagnostic(severity: .warning, place: place, message: "old")])
        #expect(translation.model != nil && translation.condition("HTTPRoute shop/r", "Programmed")?.status == true)
        translation.add([Diagnostic(severity: .error, place: place, message: "bad")])
        #expect(translation.model == nil && translation.condition("HTTPRoute shop/r", "Programmed")?.status == false)
        #expect(translation.diagnostics.map(\.message) == ["old", "bad"])
    }
}
