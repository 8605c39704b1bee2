import ArgumentParser
import Foundation
import MeshAuthority
import MeshCore

/// Certificates of authorities, made without a control plane.
struct CA: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ca", abstract: "Makes a root and an intermediate for a control plane that is given its own.",
        subcommands: [Initialise.self])

    /// `martlet ca init DIR`.
    struct Initialise: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "init",
            abstract: "Makes root.pem, root.key, intermediate.pem and intermediate.key in a directory.",
            discussion: """
                martlet-control serve --ca-dir DIR uses them. It does not need root.key: keep that elsewhere. \
                Without --ca-dir, a control plane makes its own, and this command is not needed. \
                Files that are there are never overwritten; where root.pem and root.key are, only a new intermediate \
                is made, once the old intermediate.pem and intermediate.key are out of the way.
                """)

        @Argument(help: "The directory; it is made if it does not exist.")
        var directory: String

        @Option(help: "What the names of the certificates begin with.")
        var trustDomain = "mesh.local"

        func run() throws {
            do throws(ProxyError) {
                for line in try make() { printLine(line) }
            } catch {
                throw Failure(message: error.description)
            }
        }

        private func make() throws(ProxyError) -> [String] {
            let now = Date()
            try CertificateFile.makeDirectory(directory)
            for name in ["intermediate.pem", "intermediate.key"] where exists(name) {
                throw ProxyError("\(path(name)) exists already: move it away to make another one")
            }
            let root = try root(now)
            let made = try AuthorityMaker.intermediate(trustDomain: trustDomain, root: root, now: now)
            try CertificateFile.writeSecret(made.keyPEM, path("intermediate.key"))
            try CertificateFile.write(CertificateFile.pem([made.certificate]), path("intermediate.pem"))
            return [
                "\(path("root.pem")) is valid until \(root.certificate.notValidAfter.formatted(.iso8601))",
                "\(path("intermediate.pem")) is valid until \(made.certificate.notValidAfter.formatted(.iso8601))",
                "keep \(path("root.key")) where no network reaches it: it is needed only for another intermediate",
            ]
        }

        /// The root that is there, or a new one.
        private func root(_ now: Date) throws(ProxyError) -> AuthorityMaker.Pair {
            guard !exists("root.pem"), !exists("root.key") else {
                let key = try CertificateFile.key(path("root.key"))
                let certificate = try CertificateFile.certificates(path("root.pem"))[0]
                guard key.publicKey == certificate.publicKey else {
                    throw ProxyError("\(path("root.key")) does not fit \(path("root.pem"))")
                }
                try AuthorityCheck.authority(certificate, leavesRoom: 1, path("root.pem"), now)
                return AuthorityMaker.Pair(certificate: certificate, key: key)
            }
            let made = try AuthorityMaker.root(trustDomain: trustDomain, now: now)
            try CertificateFile.writeSecret(made.keyPEM, path("root.key"))
            try CertificateFile.write(CertificateFile.pem([made.certificate]), path("root.pem"))
            return made
        }

        private func path(_ name: String) -> String { directory + "/" + name }
        private func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }
    }
}
