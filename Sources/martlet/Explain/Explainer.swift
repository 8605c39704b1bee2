import MeshCore
import MeshGatewayAPI
import MeshHTTP
import MeshModel
import MeshTraffic

/// Finds out what becomes of a request, by the tables that the proxy uses.
struct Explainer {
    private let model: Model
    private let origins: [String: Place]
    private let backends: [String: Int]

    init(_ model: Model, origins: [String: Place]) {
        self.model = model
        self.origins = origins
        backends = Dictionary(model.backends.enumerated().map { ($0.element.name, $0.offset) }) { first, _ in first }
    }

    func report(_ request: RequestLine) throws(ProxyError) -> ExplainReport {
        var report = ExplainReport(request)
        guard let listener = chooseListener(request, &report) else { return report }
        let table = try ListenerTable(listener) { backends[$0] }
        var section: Int?
        if request.isEncrypted {
            let name = Array(request.host.utf8)
            section = table.section(serverName: name.span)
            guard section != nil else {
                report.verdict.text = "the TLS handshake fails: no listener here is for the server name \(request.host)"
                return report
            }
        }
        if request.isStream {
            stream(request, listener, section ?? 0, table, &report)
        } else {
            try http(request, listener, section, table, &report)
        }
        return report
    }

    // MARK: Listener

    /// The listener that a client of this URL reaches: the one at its port, or, if no port is written and nobody
    /// listens at the well-known one, the first that speaks the scheme.
    private func chooseListener(_ request: RequestLine, _ report: inout ExplainReport) -> Listener? {
        let speaking = model.listeners.filter { Self.speaks($0, request) }
        let atPort = speaking.filter { $0.address.port == request.effectivePort }
        let chosen = atPort.first ?? (request.port == nil ? speaking.first : nil)
        for listener in model.listeners {
            let isChosen = listener.address == chosen?.address
            var why = ""
            if !isChosen {
                if !Self.speaks(listener, request) {
                    why = "it does not speak \(request.scheme.rawValue)"
                } else if let port = request.effectivePort, listener.address.port != port {
                    why = "the request goes to port \(port)"
                } else {
                    why = "\(chosen.map { "\($0.address)" } ?? "another") comes first"
                }
            }
            report.candidates.append(
                ExplainReport.Candidate(
                    kind: "listener", name: "\(listener.address)", detail: Self.speech(listener),
                    origin: listener.sections.first?.origin?.text ?? "", wins: isChosen, why: why))
        }
        report.listener = chosen.map { "\($0.address)" }
        guard chosen == nil else { return chosen }
        let ports = speaking.map { "\($0.address)" }.joined(separator: ", ")
        report.verdict.text =
            "nothing listens there for \(request.scheme.rawValue)" + (ports.isEmpty ? "" : "; at \(ports) it would")
        return nil
    }

    private static func speaks(_ listener: Listener, _ request: RequestLine) -> Bool {
        listener.sections.contains { section in
            switch (request.scheme, section.protocol) {
            case (.http, .http), (.https, .https), (.tls, .tls), (.tcp, .tcp): true
            case (.http, _), (.https, _), (.tls, _), (.tcp, _): false
            }
        }
    }

    private static func speech(_ listener: Listener) -> String {
        var names: [String] = []
        for section in listener.sections {
            let name =
                switch section.protocol {
                case .http: "HTTP"
                case .https: "HTTPS"
                case .tls: section.tls == nil ? "TLS passthrough" : "TLS"
                case .tcp: "TCP"
                }
            if !names.contains(name) { names.append(name) }
        }
        return names.joined(separator: ", ")
    }

    // MARK: Streams

    private func stream(
        _ request: RequestLine, _ listener: Listener, _ index: Int, _ table: ListenerTable,
        _ report: inout ExplainReport
    ) {
        let section = listener.sections[index]
        report.section = section.name
        let name = request.isEncrypted ? Array(request.host.utf8) : []
        let split = table.streamRoute(section: index, serverName: name.span)
        // The table knows shares only; the route is the first of those with the most specific pattern that fits.
        let fitting = section.streamRoutes.filter { Self.specificity($0, request) >= 0 }
        var winner = split == nil ? nil : fitting.first
        for route in fitting {
            guard let best = winner else { break }
            if Self.specificity(route, request) > Self.specificity(best, request) { winner = route }
        }
        for route in section.streamRoutes {
            let wins = route.name == winner?.name
            let fits = fitting.contains { $0.name == route.name }
            report.candidates.append(
                ExplainReport.Candidate(
                    kind: "route", name: route.name,
                    detail: route.hostnames.map(\.description).joined(separator: ", "),
                    origin: route.origin?.text ?? "", wins: wins,
                    why: wins
                        ? ""
                        : fits
                            ? "\(winner?.name ?? "") is more specific or comes first" : "it is for other server names"))
        }
        if let winner {
            report.route = winner.name
            report.ruleOrigin = winner.origin?.text
            report.backends = shares(winner.backends)
            report.verdict = ExplainReport.Verdict(kind: "forwarded", status: nil, text: "its bytes go to a backend")
        } else {
            report.verdict.text = "the connection is closed: no route is for it"
        }
        var settings = SettingsTable(origins)
        settings.listener(listener, section)
        for share in winner?.backends ?? [] { backend(share).map { settings.backend($0) } }
        settings.process(model.settings)
        report.settings = settings.rows
    }

    /// How closely a route's server names describe the one asked for; negative: not at all.
    private static func specificity(_ route: StreamRoute, _ request: RequestLine) -> Int {
        route.hostnames.reduce(-1) { best, hostname in
            switch hostname {
            case .any: max(best, 0)
            case .exact(let name): request.host == name ? 1000 : best
            case .wildcard(let suffix): hostname.matches(request.host) ? max(best, suffix.utf8.count) : best
            }
        }
    }

    // MARK: HTTP

    private func http(
        _ request: RequestLine, _ listener: Listener, _ section: Int?, _ table: ListenerTable,
        _ report: inout ExplainReport
    ) throws(ProxyError) {
        let limits = listener.limits
        let head: MessageHead
        switch request.head(
            maxHeaders: limits.maxHeaders, maxHeaderBytes: limits.maxHeaderBytes, maxTargetBytes: limits.maxTargetBytes)
        {
        case .success(let parsed): head = parsed
        case .failure(let refused):
            report.verdict = Self.answered("refused", refused.reason)
            return
        }
        if let reason = PathNormalizer.normalize(head, role: listener.role) {
            report.verdict = Self.answered("refused", reason)
            return
        }
        let normal = Self.text(head.span(head.pathRange))
        if normal != request.target { report.normalizedPath = normal }
        let explanation = table.explain(head, section: section)
        note(explanation, &report)
        var settings = SettingsTable(origins)
        switch explanation.verdict {
        case .notFound: report.verdict = Self.answered("answered", .routeNotFound)
        case .misdirected: report.verdict = Self.answered("answered", .misdirectedRequest)
        case .rule(let index, _):
            let place = Self.rule(index, of: listener)
            report.route = place.route.name
            report.rule = table.rules[index].name
            report.ruleOrigin = table.rules[index].origin?.text
            report.filters = place.rule.filters.map { FilterText.line($0) }
            report.backends = shares(place.rule.backends)
            report.verdict = verdict(place.rule, report.backends)
            settings.rule(
                place.rule, number: place.number, of: place.route,
                backends: place.rule.backends.compactMap { backend($0) })
            settings.listener(listener, place.section)
            for share in place.rule.backends { backend(share).map { settings.backend($0) } }
        }
        if report.rule == nil {
            settings.listener(listener, listener.sections[section ?? 0])
        }
        settings.process(model.settings)
        report.settings = settings.rows
    }

    private func note(_ explanation: Explanation, _ report: inout ExplainReport) {
        for section in explanation.sections {
            let why = Self.why(section.outcome)
            if why.isEmpty { report.section = section.name }
            report.candidates.append(
                ExplainReport.Candidate(
                    kind: "section", name: section.name, detail: "host \(section.hostname)",
                    origin: section.origin?.text ?? "", wins: why.isEmpty, why: why))
        }
        for match in explanation.matches {
            let why = Self.why(match.outcome)
            let host = match.hostname == .any ? "" : "host \(match.hostname), "
            report.candidates.append(
                ExplainReport.Candidate(
                    kind: "match", name: match.ruleName, detail: host + match.match,
                    origin: match.origin?.text ?? "", wins: why.isEmpty, why: why))
        }
        report.otherHostnames = explanation.otherHostnames.map(\.description)
    }

    private static func why(_ outcome: Explanation.Outcome) -> String {
        switch outcome {
        case .won: ""
        case .lost(let why): why
        }
    }

    /// The rule that the table calls `index`: it numbers all rules of all sections in document order.
    private static func rule(
        _ index: Int, of listener: Listener
    ) -> (section: Section, route: Route, rule: RouteRule, number: Int) {
        var rest = index
        for section in listener.sections {
            for route in section.routes {
                if rest < route.rules.count { return (section, route, route.rules[rest], rest) }
                rest -= route.rules.count
            }
        }
        preconditionFailure("the table has a rule that its listener does not have")
    }

    private func verdict(_ rule: RouteRule, _ shares: [ExplainReport.Share]) -> ExplainReport.Verdict {
        for filter in rule.filters {
            if case .requestRedirect(let redirect) = filter {
                return ExplainReport.Verdict(
                    kind: "redirected", status: redirect.statusCode, text: FilterText.parts(redirect))
            }
        }
        guard !rule.backends.isEmpty else { return Self.answered("answered", .backendNotConfigured) }
        let good = shares.filter { $0.problem.isEmpty && $0.percent > 0 }
        guard !good.isEmpty else {
            let bad = shares.first { $0.percent > 0 }
            return ExplainReport.Verdict(
                kind: "answered", status: bad?.status ?? 500, text: bad?.problem ?? "every weight is 0")
        }
        let target = good.count == 1 ? good[0].backend : "one of \(good.count) backends"
        return ExplainReport.Verdict(kind: "forwarded", status: nil, text: "goes to \(target)")
    }

    private static func answered(_ kind: String, _ reason: Reason) -> ExplainReport.Verdict {
        var sentence = reason.sentence
        if sentence.last == "." { sentence.removeLast() }
        return ExplainReport.Verdict(
            kind: kind, status: reason.status, text: "\(sentence) (reason \(reason.rawValue))")
    }

    private static func text(_ bytes: Span<UInt8>) -> String {
        var copy: [UInt8] = []
        for index in bytes.indices { copy.append(bytes[index]) }
        return String(decoding: copy, as: UTF8.self)
    }

    // MARK: Backends

    private func backend(_ share: WeightedBackend) -> Backend? {
        guard case .backend(let name) = share.target, let index = backends[name] else { return nil }
        return model.backends[index]
    }

    private func shares(_ weighted: [WeightedBackend]) -> [ExplainReport.Share] {
        let total = weighted.reduce(0) { $0 + $1.weight }
        return weighted.map { share in
            let percent = total == 0 ? 0 : Double(share.weight) * 100 / Double(total)
            var result = ExplainReport.Share(
                backend: "(not valid)", percent: percent, weight: share.weight, protocol: "", endpoints: [],
                filters: share.filters.map { FilterText.line($0) }, origin: "", status: nil, problem: "")
            switch share.target {
            case .invalid(let reason): (result.status, result.problem) = (500, reason)
            case .backend(let name):
                result.backend = name
                guard let backend = backend(share) else { return result }
                result.protocol = SettingsTable.spoken(backend)
                result.origin = backend.origin?.text ?? ""
                result.endpoints = backend.endpoints.map { endpoint in
                    "\(endpoint.address)" + (endpoint.weight == Endpoint.defaultWeight ? "" : "*\(endpoint.weight)")
                }
                if backend.endpoints.isEmpty { (result.status, result.problem) = (503, "it has no endpoint") }
            }
            return result
        }
    }
}
