import Foundation
import MeshModel

/// All that there is to say about one request; as JSON it is the form of `martlet explain --output json`.
struct ExplainReport: Encodable {
    /// One of those that came into question.
    struct Candidate: Encodable {
        /// `listener`, `section`, `match` or `route`.
        var kind: String
        var name: String
        /// What it asks for.
        var detail: String
        /// `FILE:LINE`; empty if it is written nowhere.
        var origin: String
        var wins: Bool
        /// Why it does not win; empty if it does.
        var why: String
    }

    /// One backend's share.
    struct Share: Encodable {
        var backend: String
        /// Of the requests of the rule.
        var percent: Double
        var weight: Int
        var `protocol`: String
        var endpoints: [String]
        var filters: [String]
        var origin: String
        /// The status of answers that the proxy makes for this share by itself; nil: the backend answers.
        var status: Int?
        /// Why it makes them; empty if it does not.
        var problem: String
    }

    /// One setting.
    struct Setting: Encodable {
        var group: String
        var name: String
        var value: String
        /// `FILE:LINE` or `default`.
        var origin: String
    }

    /// What becomes of the request.
    struct Verdict: Encodable {
        /// `forwarded`, `redirected`, `answered`, `refused` or `closed`.
        var kind: String
        /// The status that the proxy answers with by itself; nil: a backend answers.
        var status: Int?
        var text: String
    }

    var method: String
    var url: String
    var headers: [String]
    /// The path that is routed and forwarded, where it differs from the one given.
    var normalizedPath: String?
    var verdict = Verdict(kind: "closed", status: nil, text: "")
    var listener: String?
    var section: String?
    var route: String?
    var rule: String?
    var ruleOrigin: String?
    var filters: [String] = []
    var backends: [Share] = []
    var candidates: [Candidate] = []
    /// Host patterns of routes that do not match the request's host.
    var otherHostnames: [String] = []
    var settings: [Setting] = []

    init(_ request: RequestLine) {
        method = request.method
        url = request.url
        headers = request.headers.map { "\($0.name): \($0.value)" }
    }

    /// Sorted keys, one per line.
    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(self) else { return "{}" }
        return String(decoding: data, as: UTF8.self)
    }
}

extension Origin {
    /// `FILE:LINE`.
    var text: String { line > 0 ? "\(file):\(line)" : file }
}
