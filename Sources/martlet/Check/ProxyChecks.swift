import Foundation
import MeshCore
import MeshDiscovery
import MeshModel
import MeshNet
import MeshTLS

/// What can be wrong with a proxy of this machine.
struct ProxyChecks {
    let name: String
    let directory: String
    /// `HOST:PORT` of its control plane; nil: not known.
    let control: String?
    /// Where its admin endpoint is; nil: not known.
    let admin: String?
    /// What is said of its unit and options.
    var more: [Check] = []

    var part: CheckedPart {
        let checks =
            [
                Check("state directory") {
                    [Files.directory(directory, remedy: "martlet-proxy run --state \(directory) makes it")]
                },
                Check("secrets") {
                    Files.secrets([path("identity.key"), path("last-good")]).map { [$0] } ?? []
                },
                Check("identity", identity),
                Check("roots", roots),
                Check("last good", lastGood),
                Check("set aside", setAside),
                Check("process", process),
                Check("control plane", connection),
                Check("configuration", configuration),
                Check("disk") { Files.space(directory) },
            ]
        return CheckedPart(name: name, checks: more + checks)
    }

    private func path(_ name: String) -> String { "\(directory)/\(name)" }

    // MARK: What is on disk

    private static let rejoin = "make a token (martlet token create) and start the proxy with it"

    private func identity() -> [Verdict] {
        let (file, keyFile) = (path("identity.pem"), path("identity.key"))
        guard Files.exists(directory) else { return [] }
        guard Files.exists(file), Files.exists(keyFile) else {
            let missing = Files.exists(file) ? keyFile : file
            return [.bad("\(missing) does not exist: it has not joined", remedy: Self.rejoin)]
        }
        do throws(ProxyError) {
            let certificate = TLSCertificate(
                chainPEM: try Files.read(file), keyPEM: try Files.read(keyFile), label: file)
            let facts = try certificate.checked()
            guard let name = facts.spiffeID else {
                return [.bad("\(file) carries no SPIFFE id", remedy: Self.rejoin)]
            }
            var verdicts = [
                CertificateChecks.time(
                    facts, "\(file), of \(name),", due: 0.5,
                    late: "is the proxy running, and does it reach its control plane?", ended: Self.rejoin)
            ]
            if let bundle = try? Files.read(path("bundle.pem")) {
                verdicts.append(CertificateChecks.chain(certificate, to: bundle, named: path("bundle.pem")))
            }
            return verdicts
        } catch {
            return [.bad("\(error)", remedy: "restore both files from one copy, or remove them and \(Self.rejoin)")]
        }
    }

    private func roots() -> [Verdict] {
        let file = path("bundle.pem")
        guard Files.exists(path("identity.pem")) || Files.exists(file) else { return [] }
        do throws(ProxyError) {
            return try TrustBundle.facts(try Files.read(file)).map { root in
                CertificateChecks.time(
                    root, "a root in \(file)", due: 0.8, late: "martlet certificates rotate-root begin",
                    ended: "martlet certificates rotate-root status, and join again with a token")
            }
        } catch {
            return [.bad("\(error)", remedy: "remove identity.pem and identity.key too, and \(Self.rejoin)")]
        }
    }

    /// What the proxy has on its disk to serve.
    private func stored() throws(ProxyError) -> ResourceSet {
        var set = ResourceSet()
        for resource in try LastGood.decode(try Files.read(path("last-good"))) { set.insert(try resource.decode()) }
        return set
    }

    /// The model that the proxy would serve if its start said nothing else; nil: there is none, as where two of its
    /// ports would be one.
    private func model() -> Model? {
        guard let set = try? stored(), let bytes = try? Files.read(path("instance")) else { return nil }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        guard lines.count > 1, let role = ProxyRole(String(lines[1])) else { return nil }
        return try? Assembly.model(from: set, role: role)
    }

    private func lastGood() -> [Verdict] {
        guard Files.exists(path("identity.pem")) else { return [] }
        let file = path("last-good")
        guard Files.exists(file) else {
            return [
                .doubtful(
                    "\(file) does not exist: it could not start without the control plane",
                    remedy: "it is written when the first configuration has come")
            ]
        }
        do throws(ProxyError) {
            let set = try stored()
            return [
                .good(
                    "\(file) holds \(ControlText.count(set.services.count, "service")), "
                        + ControlText.count(set.backends.count, "backend"))
            ]
        } catch {
            let text = "\(error)"
            return [
                .bad(
                    text.contains(directory) ? text : "\(file): \(text)",
                    remedy: "remove it: the control plane sends everything again")
            ]
        }
    }

    private func setAside() -> [Verdict] {
        let names = Files.names(directory).filter { $0.hasSuffix(".corrupt") }
        guard !names.isEmpty else { return [] }
        return [
            .doubtful(
                "\(names.joined(separator: ", ")): damaged, and moved aside at a start",
                remedy: "look after the disk of this machine, then remove them")
        ]
    }

    // MARK: What runs

    /// True if a proxy holds the directory.
    private var isRunning: Bool {
        let lock = path("lock")
        guard Files.exists(lock), let isFree = try? FileContents.hold(lock) else { return false }
        return !isFree
    }

    private func process() -> [Verdict] {
        guard Files.exists(directory) else { return [] }
        guard !isRunning else { return [.good("a martlet-proxy serves from \(directory)")] }
        return [.bad("no martlet-proxy runs with --state \(directory)", remedy: "start it; its log says why it ended")]
            + takenPorts()
    }

    /// Ports that it would not get. Those that options of its start change are not known here.
    private func takenPorts() -> [Verdict] {
        guard let model = model() else { return [] }
        return model.listeners.compactMap { listener -> Verdict? in
            guard let address = Self.address(listener.address) else { return nil }
            do throws(ProxyError) {
                try Socket.checkIsFree(address)
                return nil
            } catch {
                let port = listener.address.port.map { "ss -ltnp sport = :\($0)" } ?? "ss -lxp"
                return .doubtful("\(error)", remedy: "\(port) shows who has it; --port and --outbound choose another")
            }
        }
    }

    private static func address(_ address: ListenAddress) -> SocketAddress? {
        switch address {
        case .any(let port): port == 0 ? nil : SocketAddress(ip: "0.0.0.0", port: port)
        case .ip(let host, let port): port == 0 ? nil : SocketAddress(ip: host, port: port)
        case .unix: nil
        }
    }

    private func connection() -> [Verdict] {
        guard let control else { return [] }
        return ControlProbe(address: control, directory: directory).verdicts()
    }

    private func configuration() -> [Verdict] {
        guard let admin, isRunning else { return [] }
        return AdminProbe(address: admin).verdicts()
    }
}
