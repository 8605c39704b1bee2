import Foundation
import MeshControl
import MeshCore
import MeshTLS

/// What can be wrong with the directory of a control plane.
struct ControlChecks {
    let directory: String
    /// The directory of an authority that others have made; nil: its own.
    let authority: String?

    var part: CheckedPart {
        CheckedPart(
            name: "control",
            checks: [
                Check("data directory") {
                    [Files.directory(directory, remedy: "martlet-control serve --data \(directory) makes it")]
                },
                Check("unit") { Unit.verdicts("martlet-control.service") },
                Check("admin token", token),
                Check("database", database),
                Check("keys") { Files.secrets(keys).map { [$0] } ?? [] },
                Check("authority", issuer),
                Check("disk") { Files.space(directory) },
            ])
    }

    private func token() -> [Verdict] {
        let path = "\(directory)/admin-token"
        guard Files.exists(directory) else { return [] }
        guard let verdict = Files.secrets([path]) else {
            return [.bad("\(path) does not exist", remedy: "martlet-control makes it when it starts")]
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            return [.bad("\(path) cannot be read", remedy: Files.unreadable)]
        }
        guard data.count >= 16 else {
            return [.bad("\(path) is too short", remedy: "remove it and start martlet-control: it makes another")]
        }
        return [verdict]
    }

    private func database() -> [Verdict] {
        let path = "\(directory)/control.db"
        guard Files.exists(directory) else { return [] }
        guard Files.exists(path) else {
            return [.bad("\(path) does not exist", remedy: "martlet-control makes it, or restore a copy")]
        }
        do throws(StoreError) {
            let revision = try SQLiteStore.inspect(path: path)
            return [.good("\(path) is sound, at revision \(revision)")]
        } catch {
            let parts = error.description.split(separator: ": ", maxSplits: 1).map(String.init)
            return [.bad(parts[0], remedy: parts.count > 1 ? parts[1] : "restore a copy")]
        }
    }

    // MARK: The authority

    private var caDirectory: String { authority ?? "\(directory)/ca" }

    private var keys: [String] {
        Files.names(caDirectory).filter { $0.hasSuffix(".key") }.map { "\(caDirectory)/\($0)" }
    }

    /// As much of `state.json` as is needed here.
    private struct State: Decodable {
        struct Generation: Decodable {
            var root: Int
            var intermediate: Int
        }
        var generations: [Generation]
        var signing: Int
    }

    /// The root and the intermediate that sign, without the ends of their names.
    private func names() throws(ProxyError) -> (root: String, intermediate: String) {
        guard authority == nil else { return ("root", "intermediate") }
        let file = "\(caDirectory)/state.json"
        let bytes = try Files.read(file)
        guard let state = try? JSONDecoder().decode(State.self, from: Data(bytes)),
            let generation = state.generations.first(where: { $0.root == state.signing })
        else { throw ProxyError("\(file) cannot be understood") }
        return ("root-\(generation.root)", "intermediate-\(generation.root).\(generation.intermediate)")
    }

    private func issuer() -> [Verdict] {
        guard Files.exists(directory) else { return [] }
        do throws(ProxyError) {
            let names = try names()
            let (rootFile, file) = ("\(caDirectory)/\(names.root).pem", "\(caDirectory)/\(names.intermediate).pem")
            let root = try Files.read(rootFile)
            let certificate = TLSCertificate(
                chainPEM: try Files.read(file), keyPEM: try Files.read("\(caDirectory)/\(names.intermediate).key"),
                label: file)
            let facts = try certificate.checked()
            let renewed =
                authority == nil
                ? "is martlet-control running, and is \(names.root).key there? Its log says more"
                : "give a newer intermediate.pem and intermediate.key"
            return [
                CertificateChecks.chain(certificate, to: root, named: rootFile),
                CertificateChecks.time(facts, file, due: 0.5, late: renewed, ended: renewed),
            ]
                + (try TrustBundle.facts(root)).map {
                    CertificateChecks.time(
                        $0, rootFile, due: 0.8, late: "martlet certificates rotate-root begin",
                        ended: "restore a copy, or move \(caDirectory) away and let every proxy join again")
                }
        } catch {
            return [
                .bad(
                    "\(error)", remedy: "restore \(caDirectory) from a copy: without it nobody's certificate is renewed"
                )
            ]
        }
    }
}
