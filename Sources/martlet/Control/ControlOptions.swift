import ArgumentParser
import Foundation

/// Which control plane a command asks, and how it proves that it may.
struct ControlOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where the control plane's HTTP API is; otherwise MARTLET_SERVER, or \(defaultServer).", valueName: "url"))
    var server: String?

    @Option(
        help: ArgumentHelp(
            "A file with the admin token; otherwise MARTLET_API_TOKEN, or \(defaultTokenFile) if it can be read.",
            valueName: "file"))
    var tokenFile: String?

    @Option(
        name: [.customLong("ca"), .customLong("ca-file")],
        help: ArgumentHelp(
            "PEM of the roots that a server of https:// must be certified by; otherwise MARTLET_CA, or the system's.",
            valueName: "file"))
    var caFile: String?

    @Option(
        name: .customLong("cert"),
        help: ArgumentHelp(
            "PEM of an operator's certificate, in the place of the token; otherwise MARTLET_CERT.", valueName: "file"))
    var certificate: String?

    @Option(help: ArgumentHelp("PEM of the key of --cert; otherwise MARTLET_KEY.", valueName: "file"))
    var key: String?

    static let defaultServer = "http://127.0.0.1:15020"
    static let defaultTokenFile = "/var/lib/martlet/control/admin-token"

    /// The client for what was said.
    func client() throws -> ControlClient {
        let environment = ProcessInfo.processInfo.environment.filter { !$0.value.isEmpty }
        let base = try base(server ?? environment["MARTLET_SERVER"])
        let (certificate, key) = (certificate ?? environment["MARTLET_CERT"], key ?? environment["MARTLET_KEY"])
        guard (certificate == nil) == (key == nil) else {
            throw Failure(message: "--cert and --key belong together: give both files, or none")
        }
        var identity: ControlClient.Identity?
        if let certificate, let key {
            guard base.hasPrefix("https:") else {
                throw Failure(message: "--cert is for https://: \(base) is in clear text")
            }
            identity = .init(certificate: certificate, key: key)
        }
        return ControlClient(
            base: base, token: identity == nil ? try token(environment) : nil,
            caFile: caFile ?? environment["MARTLET_CA"], identity: identity)
    }

    /// The URL without a slash at its end.
    private func base(_ said: String?) throws -> String {
        guard let said else { return Self.defaultServer }
        let parts = URLComponents(string: said)
        guard let parts, ["http", "https"].contains(parts.scheme?.lowercased() ?? ""), !(parts.host ?? "").isEmpty,
            parts.query == nil, parts.fragment == nil
        else {
            throw Failure(message: "--server wants a URL, for example \(Self.defaultServer), not \"\(said)\"")
        }
        var base = said
        while base.last == "/" { base.removeLast() }
        return base
    }

    private func token(_ environment: [String: String]) throws -> String? {
        if let tokenFile {
            guard let data = FileManager.default.contents(atPath: tokenFile) else {
                let exists = FileManager.default.fileExists(atPath: tokenFile)
                throw Failure(
                    message: exists
                        ? "the token file \(tokenFile) cannot be read: only its owner can, so run this as that user"
                        : "the token file \(tokenFile) does not exist: "
                            + "martlet-control makes it, as admin-token in its --data directory")
            }
            return try checked(String(decoding: data, as: UTF8.self), "the token file \(tokenFile)")
        }
        if let token = environment["MARTLET_API_TOKEN"], !token.isEmpty {
            return try checked(token, "MARTLET_API_TOKEN")
        }
        let found = FileManager.default.contents(atPath: Self.defaultTokenFile)
        return try found.map { try checked(String(decoding: $0, as: UTF8.self), Self.defaultTokenFile) }
    }

    /// A token goes into a header: one word of ASCII.
    private func checked(_ text: String, _ place: String) throws -> String {
        let token = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !token.isEmpty, token.utf8.allSatisfy({ 0x21...0x7E ~= $0 }) else {
            throw Failure(message: "\(place) holds no token: one word, as in the file admin-token of martlet-control")
        }
        return token
    }
}

/// How results are printed, for commands that show something.
struct OutputOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: "text or json.")
    var output: OutputFormat = .text
}

/// For commands whose result may be looked at while it changes.
struct WatchOptions: ParsableArguments {
    @Flag(name: .shortAndLong, help: "Print it anew every 2 seconds until Ctrl-C.")
    var watch = false

    /// Prints what `make` makes, once or again and again; a control plane that is away for a while is waited for.
    func show(_ make: () throws -> String) throws {
        guard watch else { return printLine(try make()) }
        let isTerminal = isatty(STDOUT_FILENO) == 1
        while true {
            let text: String
            do {
                text = try make()
            } catch let failure as Failure where failure.code == 2 {
                text = "martlet: \(failure.message)"
            }
            printLine((isTerminal ? "\u{1B}[H\u{1B}[2J" : "") + text + (isTerminal ? "" : "\n"))
            sleep(2)
        }
    }
}
