import Foundation
import MeshCore

/// Whether a control plane answers proxies, with a certificate of their mesh.
struct ControlProbe {
    /// `HOST:PORT`.
    let address: String
    /// A proxy's state directory, for the roots that it believes.
    let directory: String

    func verdicts() -> [Verdict] {
        let bundle = "\(directory)/bundle.pem"
        guard Files.exists(bundle) else { return [] }
        let client = ControlClient(base: "https://\(address)", token: nil, caFile: bundle, isForAnyName: true)
        switch client.reach() {
        case .answers: return [.good("\(address) answers, and proves to be of this mesh")]
        case .stranger:
            return [
                .bad(
                    "\(address) shows a certificate that no root in \(bundle) vouches for",
                    remedy: "is that the control plane of this mesh? If its root was replaced, join again with a token")
            ]
        case .silent(let reason):
            return [
                .bad(
                    "\(address) cannot be reached: \(reason)",
                    remedy: "start martlet-control there, or open the port; the proxy serves what it has meanwhile")
            ]
        }
    }
}

/// What a running proxy says of itself at its admin endpoint.
struct AdminProbe {
    /// `IP:PORT` or `unix:PATH`.
    let address: String

    /// As much of `/config` as is needed here.
    private struct Answer: Decodable {
        struct Control: Decodable {
            var server: String
            var connected: Bool
            var problem: String?
            var rejection: String?
            var readiness: String
        }
        var control: Control?
    }

    func verdicts() -> [Verdict] {
        let answer: Answer
        do {
            answer = try ControlClient(base: base, token: nil, caFile: nil).get("/config")
        } catch {
            return [.bad("nothing answers at the admin address \(address)", remedy: "is that its --admin?")]
        }
        guard let control = answer.control else { return [] }
        var verdicts: [Verdict] = []
        if !control.connected {
            let problem = control.problem.map { ": \($0)" } ?? ""
            verdicts.append(
                .bad(
                    "it is not connected to \(control.server)\(problem)",
                    remedy: "it serves what it has; start the control plane, or see the line \"control plane\""))
        }
        if let rejection = control.rejection {
            verdicts.append(
                .bad(
                    "it refuses what it was sent: \(rejection)", remedy: "change the object; it runs what it ran before"
                ))
        }
        switch control.readiness {
        case "ready", "": break
        case "draining": verdicts.append(.doubtful("it is draining", remedy: "it ends by itself"))
        case let other:
            verdicts.append(
                .bad("it is \(other)", remedy: "is the service beside it started, and on the port that --port names?"))
        }
        return verdicts.isEmpty ? [.good("connected to \(control.server), and \(control.readiness)")] : verdicts
    }

    private var base: String {
        guard address.hasPrefix("unix:") else { return "http://\(address)" }
        let path = String(address.dropFirst(5)).addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
        return "http+unix://\(path)"
    }
}
