/// One thing that was looked at, and how it is: one line for people.
struct Finding: Encodable, Equatable {
    /// How it is.
    enum Result: String, Encodable {
        case ok, warning
        case failed = "FAILED"
    }

    /// Of which part: `control`, `proxy cart`, …
    var part: String
    /// What was looked at.
    var check: String
    var result: Result
    /// How it is, or what is wrong.
    var detail: String
    /// What to do; empty where nothing is wrong.
    var remedy: String

    /// `FAILED   control     admin token  … can be read by others; chmod 600 …`, in columns with the others.
    var columns: [String] { [result.rawValue, part, check, remedy.isEmpty ? detail : "\(detail); \(remedy)"] }
}

/// How one thing is.
enum Verdict {
    case good(String)
    case doubtful(String, remedy: String)
    case bad(String, remedy: String)
}

/// One thing to look at. A check that has nothing to say, because what it is about is not there, returns no verdict; one
/// that is about many things may return several.
struct Check {
    /// In two or three words.
    let name: String
    let look: () -> [Verdict]

    init(_ name: String, _ look: @escaping () -> [Verdict]) { (self.name, self.look) = (name, look) }

    /// Looks, on behalf of a part of the installation.
    func findings(of part: String) -> [Finding] {
        look().map { verdict in
            switch verdict {
            case .good(let detail): Finding(part: part, check: name, result: .ok, detail: detail, remedy: "")
            case .doubtful(let detail, let remedy):
                Finding(part: part, check: name, result: .warning, detail: detail, remedy: remedy)
            case .bad(let detail, let remedy):
                Finding(part: part, check: name, result: .failed, detail: detail, remedy: remedy)
            }
        }
    }
}

/// A part of an installation, and what can be wrong with it.
struct CheckedPart {
    var name: String
    var checks: [Check]

    var findings: [Finding] { checks.flatMap { $0.findings(of: name) } }
}
