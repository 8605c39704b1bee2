import ArgumentParser
import Foundation
import MeshControl
import MeshGatewayAPI

/// Pieces of text that several commands show.
enum ControlText {
    /// Rows under each other below a heading; `empty` if there are none.
    static func table(_ heading: [String], _ rows: [[String]], empty: String) -> String {
        guard !rows.isEmpty else { return empty }
        return DiagnosticText.columns([heading] + rows.map { $0.map { $0.isEmpty ? "-" : $0 } })
    }

    /// A value of the API as it is.
    static func json(_ value: some Encodable) throws -> String {
        String(decoding: try API.encoder(pretty: true).encode(value), as: UTF8.self)
    }

    /// `2026-11-24 15:02Z`.
    static func date(_ date: Date) -> String {
        String(date.formatted(.iso8601).prefix(16)).replacingOccurrences(of: "T", with: " ") + "Z"
    }

    /// How long ago that was, or in how long it will be: `45s`, `12m`, `3h`, `5d`.
    static func age(_ date: Date, from now: Date = Date()) -> String {
        let seconds = Int(abs(now.timeIntervalSince(date)))
        return switch seconds {
        case ..<120: "\(seconds)s"
        case ..<7200: "\(seconds / 60)m"
        case ..<172_800: "\(seconds / 3600)h"
        default: "\(seconds / 86_400)d"
        }
    }

    /// `3 objects`, `1 object`.
    static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

    /// `30s`, `15m`, `1h`, `7d` in seconds; nil if it is none of those.
    static func seconds(_ text: String) -> Int? {
        let units = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        guard let unit = text.last.flatMap({ units[String($0)] }), let number = Int(text.dropLast()),
            number > 0, number <= 31_536_000
        else { return nil }
        return number * unit
    }

    /// What became of objects, a line each.
    static func effects(_ result: API.ChangeResult) -> String {
        let changed = result.objects.filter { $0.effect != .unchanged }.count
        let lines = result.objects.map { "\($0.id.text) \($0.effect.rawValue)" }
        let last =
            result.dryRun
            ? "nothing was changed: this was a dry run"
            : changed == 0 ? "nothing to change at revision \(result.revision)" : "revision \(result.revision)"
        return (lines + [last]).joined(separator: "\n")
    }

    /// Prints what a change did; warnings go to standard error.
    static func show(_ result: API.ChangeResult, _ output: OutputFormat) throws {
        switch output {
        case .json: printLine(try json(result))
        case .text:
            for diagnosis in result.diagnostics { printError(diagnosis.text) }
            printLine(effects(result))
        }
        if !result.isAccepted { throw ExitCode(1) }
    }
}

/// Whose role a command is about, as `--workload NS/NAME` or `--gateway NS/NAME`.
enum RoleText {
    /// The kind and names; exactly one must be given.
    static func role(workload: String?, gateway: String?) throws -> API.ProxyID {
        guard (workload == nil) != (gateway == nil) else {
            throw Failure(message: "give one of --workload NAMESPACE/NAME and --gateway NAMESPACE/NAME")
        }
        let (flag, name) = workload.map { ("workload", $0) } ?? ("gateway", gateway ?? "")
        guard let id = API.ProxyID(role: "\(flag):\(name)", instance: "") else {
            throw Failure(message: "--\(flag) wants NAMESPACE/NAME, for example shop/cart, not \"\(name)\"")
        }
        return id
    }
}
