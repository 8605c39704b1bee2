import Foundation
import MeshControl
import MeshCore

/// What a running control plane says, of itself and of its proxies.
struct APIChecks {
    let client: ControlClient
    /// True if the control plane should run on this machine.
    let isLocal: Bool

    var part: CheckedPart {
        let health = Result { () throws -> API.Health in try client.get("/v1/health") }
        guard case .success(let found) = health else {
            return CheckedPart(name: "API", checks: [Check("answer") { [Self.failed(health)] }])
        }
        return CheckedPart(
            name: "API",
            checks: [
                Check("answer") { answer(found) },
                Check("clock", clock),
                Check("proxies", proxies),
                Check("objects", objects),
            ])
    }

    private static func failed<Value>(_ result: Result<Value, any Error>) -> Verdict {
        guard case .failure(let error) = result else { return .good("") }
        let text = (error as? Failure)?.message ?? "\(error)"
        let (detail, remedy) = parts(text, "; ") ?? parts(text, ": ") ?? (text, "see the log of martlet-control")
        return .bad(detail, remedy: remedy)
    }

    private static func parts(_ text: String, _ separator: String) -> (String, String)? {
        guard let range = text.range(of: separator, options: separator == "; " ? [] : .backwards) else { return nil }
        return (String(text[..<range.lowerBound]), String(text[range.upperBound...]))
    }

    private func answer(_ health: API.Health) -> [Verdict] {
        let bad = health.checks.filter { !$0.isGood }
        var verdicts = bad.map { check in
            Verdict.bad("\(check.name): \(check.message)", remedy: "the log of martlet-control says more")
        }
        if health.programVersion != Release.version {
            verdicts.append(
                .doubtful(
                    "it is martlet-control \(health.programVersion), and this is martlet \(Release.version)",
                    remedy: "install one release everywhere, the control plane first"))
        }
        if !health.isReady, bad.isEmpty {
            verdicts.append(.doubtful("\(client.base) is not ready yet", remedy: "wait, and look again"))
        }
        guard verdicts.isEmpty else { return verdicts }
        return [.good("\(client.base) is ready, trust domain \(health.trustDomain), revision \(health.revision)")]
    }

    private func clock() -> [Verdict] {
        let before = Date()
        guard let there = try? client.date() else { return [] }
        // What the server says is cut to the second, and takes a while to come.
        let here = Date()
        let skew =
            there < before.addingTimeInterval(-2)
            ? there.timeIntervalSince(before) : max(0, there.timeIntervalSince(here))
        guard abs(skew) > 2 else { return [.good("this clock and the control plane's agree")] }
        let detail = "this clock is \(Int(abs(skew))) s \(skew < 0 ? "ahead of" : "behind") the control plane's"
        let remedy = "run an NTP client on both: certificates are valid for a time"
        return [abs(skew) >= 30 ? .bad(detail, remedy: remedy) : .doubtful(detail, remedy: remedy)]
    }

    private func proxies() -> [Verdict] {
        let proxies: [API.Proxy]
        do { proxies = try client.get("/v1/proxies") } catch { return [Self.failed(Result<Void, _>.failure(error))] }
        let verdicts = proxies.compactMap(verdict)
        guard verdicts.isEmpty else { return verdicts }
        guard !proxies.isEmpty else { return [.good("no proxy has joined yet")] }
        return [.good(proxies.count == 1 ? "the only proxy is in order" : "all \(proxies.count) proxies are in order")]
    }

    /// What is wrong with a proxy; nil: nothing.
    private func verdict(_ proxy: API.Proxy) -> Verdict? {
        let name = proxy.id.text
        switch proxy.sync {
        case .disconnected where proxy.lastSeen == nil:
            return .doubtful(
                "\(name) is not back since the control plane started",
                remedy: "look again in a moment, then martlet check on its machine")
        case .disconnected:
            let since = proxy.lastSeen.map { " since \(ControlText.age($0))" } ?? ""
            return .bad(
                "\(name) is not connected\(since)",
                remedy: "martlet check on its machine; if it is gone for good, this line goes with it after a while")
        case .rejected:
            return .bad(
                "\(name) refuses its configuration: \(proxy.warnings.first ?? "")",
                remedy: "change the object; it runs what it ran before (martlet proxies \(proxy.id.instance))")
        case .pending, .synced: break
        }
        if let end = proxy.certificateExpires, end < Date() {
            return .bad("the certificate of \(name) has ended", remedy: "its log says why it was not renewed")
        }
        if let warning = proxy.warnings.first {
            return .doubtful("\(name): \(warning)", remedy: "martlet proxies \(proxy.id.instance)")
        }
        return nil
    }

    private func objects() -> [Verdict] {
        let statuses: [API.ObjectStatus]
        do { statuses = try client.get("/v1/status") } catch { return [Self.failed(Result<Void, _>.failure(error))] }
        let verdicts = statuses.flatMap { status in
            status.parts.flatMap { part in
                part.conditions.filter { !$0.status }.map { condition in
                    Verdict.doubtful(
                        "\(status.id.text)\(part.part.isEmpty ? "" : " (\(part.part))"): \(condition.type) is false, "
                            + "\(condition.reason)\(condition.message.isEmpty ? "" : ": \(condition.message)")",
                        remedy: "martlet status \(status.id.kind) \(status.id.name)")
                }
            }
        }
        return verdicts.isEmpty ? [.good("\(ControlText.count(statuses.count, "object")) accepted")] : verdicts
    }
}
