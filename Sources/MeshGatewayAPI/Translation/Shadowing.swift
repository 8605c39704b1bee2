import MeshModel

/// Which match of which rule owns which requests, to find those that can never match.
///
/// The standard's precedence puts the more specific of two matches first. So a match is covered by an earlier one only
/// if both describe the same requests of the same host name: then the older route wins, and in one route the first rule.
struct ClaimTable {
    private struct Key: Hashable {
        var slot: String
        var hostname: Hostname
        /// What the match describes, in a form in which order and case that do not count are gone.
        var requests: String
    }

    private struct Owner {
        var text: String
        var place: Place
    }

    private var owners: [Key: Owner] = [:]

    /// Claims what `route` says with `rules`; returns one sentence for each part of it that can never match.
    mutating func claim(
        _ route: AttachableRoute, _ rules: [RouteRule], slot: String, _ hostnames: [Hostname], _ report: Report
    ) -> [String] {
        let id = route.metadata.id
        switch route.content {
        case .http(let document):
            let places = document.rules.map { ($0.place, $0.matches.map(\.place)) }
            return claim(rules, places, slot: slot, hostnames, id, report)
        case .grpc(let document):
            let places = document.rules.map { ($0.place, $0.matches.map(\.place)) }
            return claim(rules, places, slot: slot, hostnames, id, report)
        case .stream(let document):
            return claim(streamAt: document.place, slot: slot, hostnames, id, report)
        }
    }

    /// Claims the matches of a route's `rules`, whose places are those of the rule and of its matches; returns one
    /// sentence for each rule that can never match, and reports it.
    private mutating func claim(
        _ rules: [RouteRule], _ places: [(rule: Place, matches: [Place])], slot: String, _ hostnames: [Hostname],
        _ route: ObjectID, _ report: Report
    ) -> [String] {
        var shadows: [String] = []
        for (index, rule) in rules.enumerated() where index < places.count {
            var reachable = false
            var lost: [(match: Int, owner: Owner)] = []
            for (number, match) in rule.matches.enumerated() {
                let place = number < places[index].matches.count ? places[index].matches[number] : places[index].rule
                let owner = Owner(text: "\(route.description) rule \(index)", place: place)
                var winner: Owner?
                var isFree = false
                for hostname in hostnames {
                    let key = Key(slot: slot, hostname: hostname, requests: Self.text(match))
                    if let first = owners[key] {
                        winner = winner ?? first
                    } else {
                        owners[key] = owner
                        isFree = true
                    }
                }
                if isFree { reachable = true } else if let winner { lost.append((number, winner)) }
            }
            for (number, owner) in lost {
                let place = number < places[index].matches.count ? places[index].matches[number] : places[index].rule
                report.warning(
                    "this match can never win: \(owner.text) at \(owner.place.fileAndLine) describes the same requests",
                    at: place, remedy: "remove one of them, or make this one more specific")
            }
            if !reachable, let winner = lost.first?.owner {
                shadows.append("rule \(index) by \(winner.text) at \(winner.place.fileAndLine)")
            }
        }
        return shadows
    }

    /// Claims a socket or server names for a TCPRoute or TLSRoute.
    private mutating func claim(
        streamAt place: Place, slot: String, _ hostnames: [Hostname], _ route: ObjectID, _ report: Report
    ) -> [String] {
        var winner: Owner?
        var isFree = false
        for hostname in hostnames {
            let key = Key(slot: slot, hostname: hostname, requests: "")
            if let first = owners[key] {
                winner = winner ?? first
            } else {
                owners[key] = Owner(text: route.description, place: place)
                isFree = true
            }
        }
        guard !isFree, let winner else { return [] }
        report.warning(
            "this route can never win: \(winner.text) at \(winner.place.fileAndLine) takes the same connections",
            at: place, remedy: "remove one of them")
        return ["all by \(winner.text) at \(winner.place.fileAndLine)"]
    }

    private static func text(_ match: RouteMatch) -> String {
        func value(_ match: StringMatch) -> String {
            switch match {
            case .exact(let text): "=\(text)"
            case .regex(let text): "~\(text)"
            }
        }
        var parts: [String] = []
        switch match.path {
        case .exact(let path): parts.append("exact \(path)")
        case .prefix(let path):
            parts.append("prefix \(path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path)")
        case .regex(let path): parts.append("regex \(path)")
        case .grpc(let service, let method):
            parts.append("grpc \(service.map(value) ?? "*") \(method.map(value) ?? "*")")
        }
        parts.append(match.method ?? "*")
        parts += match.headers.map { "h \($0.name.lowercased())\(value($0.value))" }.sorted()
        parts += match.queryParams.map { "q \($0.name)\(value($0.value))" }.sorted()
        return parts.joined(separator: "\u{0}")
    }
}
