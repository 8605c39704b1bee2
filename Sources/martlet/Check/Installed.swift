import Foundation
import MeshNet

/// Units of systemd, where it runs.
enum Unit {
    private static let directories = [
        "/etc/systemd/system", "/usr/local/lib/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system",
    ]

    /// Whether a unit is there, and starts with the machine.
    static func verdicts(_ name: String) -> [Verdict] {
        guard Files.exists("/run/systemd/system") else { return [] }
        var file = name
        if let at = name.firstIndex(of: "@") { file = name[...at] + ".service" }
        guard let directory = directories.first(where: { Files.exists("\($0)/\(file)") }) else {
            return [
                .doubtful("no unit \(file) is installed", remedy: "it is in lib/systemd/system of the tarball")
            ]
        }
        let isWanted = Files.names("/etc/systemd/system").contains { wants in
            wants.hasSuffix(".wants") && Files.names("/etc/systemd/system/\(wants)").contains(name)
        }
        guard isWanted else {
            return [.doubtful("\(name) does not start with the machine", remedy: "systemctl enable --now \(name)")]
        }
        return [.good("\(directory)/\(file), enabled")]
    }
}

/// A proxy that a unit of systemd runs.
struct InstalledProxy {
    var name: String

    private static let environments = "/etc/martlet/proxy"

    /// Those that have options or state where the unit has them.
    static func all() -> [InstalledProxy] {
        let options = Files.names(environments).filter { $0.hasSuffix(".env") }.map { String($0.dropLast(4)) }
        let states = Files.names(CheckCommand.home).filter { $0.hasPrefix("proxy-") }.map { String($0.dropFirst(6)) }
        return Set(options + states).sorted().map { InstalledProxy(name: $0) }
    }

    var part: CheckedPart {
        ProxyChecks(
            name: "proxy \(name)", directory: state, control: option("--control"), admin: option("--admin"),
            more: [
                Check("unit") { Unit.verdicts("martlet-proxy@\(name).service") },
                Check("options", options),
            ]
        ).part
    }

    private var state: String { "\(CheckCommand.home)/proxy-\(name)" }
    private var file: String { "\(Self.environments)/\(name).env" }

    /// What the file of options gives a variable; nil: nothing.
    private func variable(_ name: String) -> String? {
        let text = FileManager.default.contents(atPath: file).map { String(decoding: $0, as: UTF8.self) } ?? ""
        for line in text.split(separator: "\n") where line.hasPrefix("\(name)=") {
            return line.dropFirst(name.count + 1).trimmingCharacters(in: CharacterSet(charactersIn: "\"' \t"))
        }
        return nil
    }

    /// The value of a flag of `martlet-proxy run`.
    private func option(_ flag: String) -> String? {
        let words = (variable("MARTLET_PROXY_OPTIONS") ?? "").split(separator: " ").map(String.init)
        for (index, word) in words.enumerated() {
            if word.hasPrefix("\(flag)=") { return String(word.dropFirst(flag.count + 1)) }
            if word == flag, index + 1 < words.count { return words[index + 1] }
        }
        return nil
    }

    private func options() -> [Verdict] {
        guard Files.exists(file) else {
            return [.bad("\(file) does not exist", remedy: "write MARTLET_PROXY_OPTIONS=… into it, or remove \(state)")]
        }
        guard variable("MARTLET_PROXY_OPTIONS") != nil else {
            return [.bad("\(file) has no MARTLET_PROXY_OPTIONS=", remedy: "see martlet-proxy run --help")]
        }
        if variable("MARTLET_TOKEN") != nil {
            if Files.exists("\(state)/identity.pem") {
                return [.doubtful("\(file) still has a MARTLET_TOKEN", remedy: "remove it: the proxy has joined")]
            }
            if let verdict = Files.secrets([file]), case .bad = verdict { return [verdict] }
        }
        return [.good(file)]
    }
}

/// What is the same for everything on this machine.
enum HostChecks {
    static var part: CheckedPart { CheckedPart(name: "machine", checks: [Check("open files", descriptors)]) }

    /// Every connection is an open file, and one through a proxy is two.
    private static func descriptors() -> [Verdict] {
        ProcessLimits.raiseDescriptors()
        let allowed = ProcessLimits.descriptors()
        let detail = "\(allowed == 0 ? "any number of" : String(allowed)) files may be open"
        guard allowed > 0, allowed < 4096 else { return [.good(detail)] }
        let remedy = "raise the limit (ulimit -n, LimitNOFILE=): each connection is one"
        return [allowed < 256 ? .bad("only \(detail)", remedy: remedy) : .doubtful("only \(detail)", remedy: remedy)]
    }
}
