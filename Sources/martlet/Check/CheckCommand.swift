import ArgumentParser
import Foundation

/// `martlet check`.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Tell what is wrong with an installation, and what to do about it.",
        discussion: """
            Looks at this machine: at a control plane's --data directory, at the --state directories of proxies, and at \
            what a running control plane says of itself and its proxies. What is not said is looked for where the units \
            of systemd have it: /var/lib/martlet/control, /var/lib/martlet/proxy-NAME, /etc/martlet/proxy/NAME.env. \
            Nothing is changed. Run it as root, or as the user whose files these are.

            One line per check: ok, warning (it works, but not for long, or not well) or FAILED, each with the remedy. \
            Exit code: 0 nothing has failed, 1 something has, 2 wrong usage, or there is nothing here to look at.

            Examples:
              martlet check
              martlet check --data ./control --server http://127.0.0.1:15020
              martlet check --state ./cart-1 --control control.example:15010 --admin 127.0.0.1:15900
              martlet check --output json
            """)

    @Option(help: ArgumentHelp("The --data directory of a control plane on this machine.", valueName: "dir"))
    var data: String?

    @Option(help: ArgumentHelp("The --ca-dir of that control plane, if it has one.", valueName: "dir"))
    var caDir: String?

    @Option(
        name: .customLong("state"),
        help: ArgumentHelp("The --state directory of a proxy on this machine; may be repeated.", valueName: "dir"))
    var states: [String] = []

    @Option(
        name: .customLong("control"),
        help: ArgumentHelp("Where those proxies reach the control plane, HOST:PORT.", valueName: "addr"))
    var controlAddress: String?

    @Option(help: ArgumentHelp("The --admin address of the proxy, if there is one --state.", valueName: "addr"))
    var admin: String?

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let parts = try self.parts()
        guard !parts.isEmpty else {
            throw Failure(
                message: "there is no control plane and no proxy in \(Self.home): say where with --data DIR, "
                    + "--state DIR or --server URL")
        }
        let findings = (parts + [HostChecks.part]).flatMap(\.findings)
        switch output.output {
        case .json: printLine(try ControlText.json(Report(findings)))
        case .text: printLine(Report(findings).text)
        }
        if findings.contains(where: { $0.result == .failed }) { throw ExitCode(1) }
    }

    static let home = "/var/lib/martlet"

    /// The parts that were named, or that are where the units have them.
    private func parts() throws -> [CheckedPart] {
        let isNamed = data != nil || !states.isEmpty || control.server != nil
        var parts: [CheckedPart] = []
        let standard = "\(Self.home)/control"
        let data = self.data ?? (!isNamed && Files.exists(standard) ? standard : nil)
        if let data { parts.append(ControlChecks(directory: data, authority: caDir).part) }
        if data != nil || control.server != nil || ProcessInfo.processInfo.environment["MARTLET_SERVER"] != nil {
            parts.append(APIChecks(client: try control.client(), isLocal: data != nil).part)
        }
        guard states.isEmpty else {
            return parts
                + states.map { state in
                    ProxyChecks(
                        name: "proxy \(Files.name(state))", directory: state, control: controlAddress,
                        admin: states.count == 1 ? admin : nil
                    ).part
                }
        }
        guard !isNamed else { return parts }
        return parts + InstalledProxy.all().map(\.part)
    }
}

/// What `martlet check` comes to.
private struct Report: Encodable {
    var checks: [Finding]
    var warnings: Int
    var failed: Int

    init(_ findings: [Finding]) {
        checks = findings
        warnings = findings.count { $0.result == .warning }
        failed = findings.count { $0.result == .failed }
    }

    var text: String {
        let rows = checks.map(\.columns)
        let widths = (0..<3).map { column in rows.map { $0[column].count }.max() ?? 0 }
        let lines = rows.map { row in
            let head = zip(row, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }
            return head.joined(separator: "  ") + "  " + row[3]
        }
        let sum =
            "\(ControlText.count(checks.count, "check")), \(ControlText.count(warnings, "warning")), \(failed) failed"
        return (lines + [sum]).joined(separator: "\n")
    }
}
