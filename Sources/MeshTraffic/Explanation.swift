import MeshCore
import MeshHTTP
import MeshModel

/// Why a request goes where it goes: every section and every match that came into question, with what became of it.
///
/// Made by the code that decides (``ListenerTable/match(_:section:)``): the same look-ups, the same conditions, the
/// same order, only that the others are looked at too.
public struct Explanation: Sendable, Equatable {
    /// What became of one of those in question.
    public enum Outcome: Sendable, Equatable {
        /// This one serves the request.
        case won
        /// This one does not, for this reason, a clause without full stop: `path /cart is not below /shop`.
        case lost(why: String)
    }

    /// A section of the listener.
    public struct ConsideredSection: Sendable, Equatable {
        /// `namespace/gateway/section`.
        public let name: String
        /// Which hosts it is for.
        public let hostname: Hostname
        /// Where it was written.
        public let origin: Origin?
        /// What became of it.
        public let outcome: Outcome
    }

    /// A match of a rule, for one of the host patterns that match the request.
    public struct ConsideredMatch: Sendable, Equatable {
        /// The index of the rule in ``ListenerTable/rules``.
        public let rule: Int
        /// ``CompiledRule/name``.
        public let ruleName: String
        /// Where the rule was written.
        public let origin: Origin?
        /// The host pattern of its route.
        public let hostname: Hostname
        /// What it asks for: `path prefix /shop, method GET, header x-beta = "1"`.
        public let match: String
        /// What became of it.
        public let outcome: Outcome
    }

    /// All sections of the listener.
    public let sections: [ConsideredSection]
    /// All matches for host patterns that match, in order of precedence; none if no section serves the request.
    public let matches: [ConsideredMatch]
    /// The host patterns of the section's other routes.
    public let otherHostnames: [Hostname]
    /// What the request gets.
    public let verdict: ListenerTable.Verdict
}

extension ListenerTable {
    /// What ``match(_:section:)`` decides for the same arguments, and why. Slow, and allocates.
    public func explain(_ head: MessageHead, section: Int?) -> Explanation {
        let subject = self.subject(head, section)
        let name = head.span(subject.host)
        let best = self.section(for: name, section)
        let considered = explainSections(head, subject, best: best, accepted: section)
        guard best >= 0, section == nil || section == best else {
            return Explanation(
                sections: considered, matches: [], otherHostnames: [],
                verdict: best < 0 ? .notFound : .misdirected)
        }
        var matches: [Explanation.ConsideredMatch] = []
        var winner: Int?
        var matching: Set<Int> = []
        var walk = HostIndex.Walk()
        while true {
            let host = hostIndex.next(&walk, group: best, name)
            if host < 0 { break }
            matching.insert(host)
            matches += explainHost(host, head, subject, &winner)
        }
        let others = hosts.indices.filter { hosts[$0].section == best && !matching.contains($0) }
        var verdict = Verdict.notFound
        if let winner {
            let candidate = paths.candidates[winner]
            verdict = .rule(Int(candidate.rule), prefixLength: Int(candidate.prefixLength))
        }
        return Explanation(
            sections: considered, matches: matches, otherHostnames: others.map { hosts[$0].hostname },
            verdict: verdict)
    }

    private func explainSections(
        _ head: MessageHead, _ subject: Subject, best: Int, accepted: Int?
    ) -> [Explanation.ConsideredSection] {
        let host = head.text(subject.host)
        var matching: Set<Int> = []
        var walk = HostIndex.Walk()
        while true {
            let found = sectionIndex.next(&walk, group: 0, head.span(subject.host))
            if found < 0 { break }
            matching.insert(found)
        }
        return sections.enumerated().map { index, section in
            let outcome: Explanation.Outcome
            if sectionsAreGiven && index != best {
                outcome = .lost(why: "the connection was not going to it")
            } else if index == best {
                outcome =
                    accepted == nil || accepted == best
                    ? .won
                    : .lost(why: "it matches host \(host) best, but the connection is another section's")
            } else if index == accepted {
                outcome = .lost(
                    why: best < 0
                        ? "the connection is its own, but host \(host) is not"
                        : "the connection is its own, but \(sections[best].name) matches host \(host) better")
            } else if matching.contains(index) {
                outcome = .lost(
                    why: "\(sections[best].hostname) of \(sections[best].name) matches host \(host) better")
            } else {
                outcome = .lost(why: "host \(host.isEmpty ? "(none)" : host) is not \(section.hostname)")
            }
            return Explanation.ConsideredSection(
                name: section.name, hostname: section.hostname, origin: section.origin, outcome: outcome)
        }
    }

    /// All matches of one host. `winner` is the candidate that has won so far, if one has.
    private func explainHost(
        _ host: Int, _ head: MessageHead, _ subject: Subject, _ winner: inout Int?
    ) -> [Explanation.ConsideredMatch] {
        var failures: [Int: Int] = [:]
        var walk = paths.walk(host, head.span(subject.path), isGRPC: subject.isGRPC)
        while true {
            let range = paths.next(&walk)
            if range.isEmpty { break }
            for index in range {
                failures[index] = paths.firstFailure(index, head, subject)
                if failures[index] == -1, winner == nil { winner = index }
            }
        }
        let own = paths.drafts.indices.filter { paths.drafts[$0].host == host }
        let ordered = own.sorted { paths.drafts[$0].rank.decision(against: paths.drafts[$1].rank).wins }
        return ordered.map { index in
            let draft = paths.drafts[index]
            let outcome: Explanation.Outcome
            if index == winner {
                outcome = .won
            } else if let failure = failures[index] {
                outcome = .lost(
                    why: failure >= 0
                        ? paths.conditions.reason(failure, head, subject)
                        : beaten(draft, by: paths.drafts[winner ?? index]))
            } else {
                outcome = .lost(why: draft.match.path.reason(head.text(subject.path), isGRPC: subject.isGRPC))
            }
            return Explanation.ConsideredMatch(
                rule: draft.rule, ruleName: draft.ruleName, origin: rules[draft.rule].origin,
                hostname: hosts[host].hostname, match: draft.summary, outcome: outcome)
        }
    }

    private func beaten(_ loser: PathIndex.Draft, by winner: PathIndex.Draft) -> String {
        if winner.host != loser.host {
            return "beaten by \(winner.ruleName): \(hosts[winner.host].hostname) is the more specific host"
        }
        let criterion = winner.rank.decision(against: loser.rank).criterion
        return "beaten by \(winner.ruleName): \(criterion.text(winner.rank.kind))"
    }
}

extension Rank.Criterion {
    /// Why the winner, which is of `kind`, goes first.
    fileprivate func text(_ kind: PathIndex.Kind) -> String {
        switch self {
        case .kind:
            switch kind {
            case .grpcExact: "exact service and method"
            case .grpcService: "exact service"
            case .grpcScan: "a GRPCRoute goes first for gRPC requests"
            case .exact: "exact path"
            case .regex: "a regular expression goes before a prefix"
            case .prefix: "path prefix"
            }
        case .path:
            switch kind {
            case .grpcExact, .grpcService, .grpcScan: "longer service"
            case .regex: "longer regular expression"
            case .exact, .prefix: "longer prefix"
            }
        case .method: "longer method"
        case .verb: "it asks for a method"
        case .headers: "it asks for more headers"
        case .query: "it asks for more query parameters"
        case .port: "it is for this port only"
        case .order: "it comes first"
        }
    }
}

extension ConditionTable {
    /// Why condition `index` does not hold, as a clause.
    fileprivate func reason(_ index: Int, _ head: MessageHead, _ subject: Subject) -> String {
        let condition = conditions[index]
        let name = wantedName(condition)
        let wanted = wantedText(condition)
        let relation = condition.regex < 0 ? "is not" : "does not match"
        let path = head.span(subject.path)
        switch condition.part {
        case .method: return "method \(head.text(head.methodRange)) \(relation) \(wanted)"
        case .path: return "path \(head.text(subject.path)) \(relation) \(wanted)"
        case .port: return "port \(subject.port(head)) is not \(condition.port)"
        case .grpcService:
            return "service \(MeshTraffic.text(of: path.extracting(GRPCPath.service(path)))) \(relation) \(wanted)"
        case .grpcMethod:
            return "method \(MeshTraffic.text(of: path.extracting(GRPCPath.method(path)))) \(relation) \(wanted)"
        case .header:
            let values = fieldValues(condition, head)
            if values.isEmpty { return "header \(name) is missing" }
            return "header \(name) is \"\(values.joined(separator: ","))\", which \(relation) \"\(wanted)\""
        case .query:
            let query = head.span(subject.query)
            guard let value = QueryString.value(of: Array(name.utf8).span, in: query) else {
                return "query parameter \(name) is missing"
            }
            return
                "query parameter \(name) is \"\(MeshTraffic.text(of: query.extracting(value)))\", which \(relation) \"\(wanted)\""
        }
    }
}

extension PathMatch {
    /// Why a path that the index did not find for this match does not fit.
    fileprivate func reason(_ path: String, isGRPC: Bool) -> String {
        switch self {
        case .exact(let wanted): return "path \(path) is not \(wanted)"
        case .prefix(let wanted): return "path \(path) is not below \(wanted)"
        case .regex(let pattern): return "path \(path) does not match \(pattern)"
        case .grpc:
            if !isGRPC { return "the request is not gRPC: its content-type is not application/grpc" }
            return "path \(path) is not \(summary)"
        }
    }

    fileprivate var summary: String {
        switch self {
        case .exact(let path): "path \(path)"
        case .prefix(let path): "path prefix \(path)"
        case .regex(let pattern): "path matching \(pattern)"
        case .grpc(let service, let method):
            "gRPC service \(service?.summary ?? "(any)"), method \(method?.summary ?? "(any)")"
        }
    }
}

extension StringMatch {
    fileprivate var summary: String {
        switch self {
        case .exact(let text): text
        case .regex(let pattern): "matching \(pattern)"
        }
    }
}

extension NamedMatch {
    fileprivate var summary: String {
        switch value {
        case .exact(let text): "\(name) = \"\(text)\""
        case .regex(let pattern): "\(name) matching \"\(pattern)\""
        }
    }
}

extension RouteMatch {
    /// What it asks for, for people.
    var summary: String {
        var parts = [path.summary]
        if let method { parts.append("method \(method)") }
        parts += ConditionTable.distinct(headers, ignoringCase: true).map { "header \($0.summary)" }
        parts += ConditionTable.distinct(queryParams, ignoringCase: false).map { "query parameter \($0.summary)" }
        return parts.joined(separator: ", ")
    }
}

extension PathIndex.Draft {
    /// What it asks for, for people.
    fileprivate var summary: String { match.summary + (port.map { ", port \($0)" } ?? "") }
}

extension MessageHead {
    /// The bytes of `range` as text; what is not UTF-8 is replaced.
    fileprivate func text(_ range: ByteRange) -> String { MeshTraffic.text(of: span(range)) }
}

/// `bytes` as text; what is not UTF-8 is replaced.
func text(of bytes: Span<UInt8>) -> String {
    String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)
}
