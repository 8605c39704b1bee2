import MeshModel

/// What a route says apart from where it is attached.
struct TranslatedRoute {
    var rules: [RouteRule] = []
    /// Of TLSRoute and TCPRoute.
    var backends: [WeightedBackend] = []
    /// The first reference that does not resolve.
    var problem: BackendTable.Problem?

    /// ResolvedRefs.
    var condition: Condition {
        Condition(
            "ResolvedRefs", problem == nil, reason: problem?.reason ?? "ResolvedRefs", message: problem?.message ?? "")
    }
}

/// Rules, matches and filters.
extension Linker {
    /// Translates a route for the Gateway of `slot`, whose client certificate backends get to see.
    func resolvedRefs(_ route: AttachableRoute, certificateOf slot: ListenerSlot?) -> TranslatedRoute {
        let certificate = slot.flatMap { slot in
            slot.gateway.backendCertificate.flatMap { resolve($0, kinds: ["Secret"], for: slot) }
        }.flatMap { material.certificate($0) }
        var translator = RouteTranslator(
            linker: self, source: route.metadata.id, use: .http, certificate: certificate)
        var result = TranslatedRoute()
        switch route.content {
        case .http(let document):
            result.rules = document.rules.enumerated().map { translator.rule($0.element, index: $0.offset) }
        case .grpc(let document):
            translator.use = .grpc
            result.rules = document.rules.enumerated().map { translator.rule($0.element, index: $0.offset) }
        case .stream(let document):
            translator.use = .stream
            result.backends = document.backends.map { translator.weighted($0, in: nil) }
            if document.backends.isEmpty {
                report.warning("the route has no backendRefs and refuses connections", at: document.place)
            }
        }
        result.problem = translator.problem
        return result
    }
}

private struct RouteTranslator {
    let linker: Linker
    let source: ObjectID
    var use: BackendTable.Use
    let certificate: Certificate?
    var problem: BackendTable.Problem?

    mutating func rule(_ document: HTTPRouteDocument.Rule, index: Int) -> RouteRule {
        var rule = RouteRule(name: document.name ?? "", origin: document.place.origin)
        rule.matches = document.matches.map { match(from: $0) }
        rule.filters = document.filters.compactMap { filter($0) }
        rule.backends = document.backends.map { weighted($0, in: document) }
        let key = "rule/\(source.namespace)/\(source.name)/\(index)/"
        rule.policy = policy(document.settings, rule, key)
        rule.sessionPersistence = session(document.session, key)
        warnIfEmpty(document.backends.isEmpty, rule.filters, document.place)
        return rule
    }

    mutating func rule(_ document: GRPCRouteDocument.Rule, index: Int) -> RouteRule {
        var rule = RouteRule(name: document.name ?? "", origin: document.place.origin)
        rule.matches = document.matches.map { match in
            func text(_ value: String?) -> StringMatch? {
                value.map { match.kind == .exact ? .exact($0) : .regex($0) }
            }
            return RouteMatch(
                path: .grpc(service: text(match.service), method: text(match.method)), headers: named(match.headers))
        }
        rule.filters = document.filters.compactMap { filter($0) }
        rule.backends = document.backends.map { weighted($0, in: nil) }
        let key = "grpcrule/\(source.namespace)/\(source.name)/\(index)/"
        rule.policy = policy([], rule, key)
        rule.sessionPersistence = session(document.session, key)
        warnIfEmpty(document.backends.isEmpty, rule.filters, document.place)
        return rule
    }

    private func warnIfEmpty(_ isEmpty: Bool, _ filters: [Filter], _ place: Place) {
        let redirects = filters.contains { if case .requestRedirect = $0 { true } else { false } }
        guard isEmpty, !redirects else { return }
        linker.report.warning(
            "the rule has no backendRefs and answers 500", at: place, remedy: "backendRefs: [{name: NAME}]")
    }

    // MARK: Matches

    private func match(from document: HTTPRouteDocument.Match) -> RouteMatch {
        let path: PathMatch
        switch document.pathKind {
        case .exact: path = .exact(document.path)
        case .prefix: path = .prefix(document.path)
        case .regularExpression: path = .regex(document.path)
        }
        return RouteMatch(
            path: path, headers: named(document.headers), queryParams: named(document.queryParameters),
            method: document.method?.rawValue)
    }

    private func named(_ matches: [ValueMatch]) -> [NamedMatch] { matches.map { NamedMatch($0) } }

    // MARK: Policy

    /// What the rule says itself, and then what the policies for its route and for itself say.
    private func policy(_ inline: [Setting<RequestPolicy>], _ rule: RouteRule, _ key: String) -> RequestPolicy {
        var policy = RequestPolicy()
        let section = rule.name.isEmpty ? nil : rule.name
        let policies = linker.traffic.policies(for: source, section: section)
        for setting in (inline + policies.flatMap(\.forRequests)).strongest {
            setting.apply(&policy)
            linker.note(setting, under: key)
        }
        let backends = rule.backends.compactMap { share -> Backend? in
            guard case .backend(let name) = share.target else { return nil }
            return linker.backends.backend(named: name)
        }
        check(policy, backends, key)
        policy.timeouts.forgetUnlimited(unless: backends.map(\.policy.timeouts))
        return policy
    }

    /// What the rule and its backends say against each other.
    private func check(_ policy: RequestPolicy, _ backends: [Backend], _ key: String) {
        for problem in policy.contradictions() {
            linker.report.contradiction(
                problem, at: linker.origins[key + problem.field], bound: linker.origins[key + problem.bound])
        }
        for backend in backends {
            let (own, theirs) = (linker.origins, linker.backends.origins)
            let theirKey = "backend/\(backend.name)/policy."
            for problem in policy.inheriting(backend.policy).contradictions() {
                let (field, bound) = (own[key + problem.field], own[key + problem.bound])
                // Else all of it is the rule's, or all of it the backend's, and has been reported for that.
                guard (field == nil) != (bound == nil) else { continue }
                linker.report.contradiction(
                    problem, at: field ?? theirs[theirKey + problem.field],
                    bound: bound ?? theirs[theirKey + problem.bound], isError: false)
            }
        }
    }

    // MARK: Backends

    mutating func weighted(_ document: BackendReference, in rule: HTTPRouteDocument.Rule?) -> WeightedBackend {
        WeightedBackend(
            target(document.reference), weight: document.weight, filters: document.filters.compactMap { filter($0) })
    }

    private mutating func target(_ reference: ObjectReference) -> BackendTarget {
        switch linker.backends.target(reference, from: source, use: use, certificate: certificate) {
        case .success(let target): return target
        case .failure(let problem):
            self.problem = self.problem ?? problem
            linker.report.warning(
                "\(problem.message); its share of requests is answered with 500 (\(problem.reason))",
                at: reference.place,
                remedy: problem.remedy)
            return .invalid(reason: problem.message)
        }
    }

    // MARK: Filters

    private mutating func filter(_ document: FilterDocument) -> Filter? {
        switch document.action {
        case .requestHeaders(let change): return .requestHeaderModifier(modifier(change))
        case .responseHeaders(let change): return .responseHeaderModifier(modifier(change))
        case .mirror(let mirror):
            return .requestMirror(
                RequestMirror(
                    target: target(mirror.reference), numerator: mirror.numerator, denominator: mirror.denominator))
        case .redirect(let redirect):
            return .requestRedirect(
                RequestRedirect(
                    scheme: redirect.scheme?.rawValue, hostname: redirect.hostname, path: path(redirect.path),
                    port: redirect.port.map { UInt16(clamping: $0) }, statusCode: redirect.statusCode))
        case .rewrite(let rewrite):
            return .urlRewrite(URLRewrite(hostname: rewrite.hostname, path: path(rewrite.path)))
        case .cors(let cors):
            return .cors(
                CORS(
                    allowOrigins: cors.allowOrigins, allowCredentials: cors.allowCredentials,
                    allowMethods: cors.allowMethods, allowHeaders: cors.allowHeaders,
                    exposeHeaders: cors.exposeHeaders, maxAge: cors.maxAge))
        }
    }

    private func modifier(_ change: HeaderChange) -> HeaderModifier {
        HeaderModifier(
            set: change.set.map { Header(name: $0.name, value: $0.value) },
            add: change.add.map { Header(name: $0.name, value: $0.value) }, remove: change.remove)
    }

    private func path(_ change: PathChange?) -> PathModifier? {
        switch change {
        case .full(let path): .replaceFullPath(path)
        case .prefix(let path): .replacePrefixMatch(path)
        case nil: nil
        }
    }

    private func session(_ document: SessionDocument?, _ key: String) -> SessionPersistence? {
        guard let document else { return nil }
        linker.remember(key + "sessionPersistence", document.place)
        let timeout = document.absoluteTimeout.map { Duration.nanoseconds($0) }
        switch document.kind {
        case .cookie:
            return SessionPersistence(
                kind: .cookie(
                    name: document.name ?? "martlet-session", path: document.path,
                    permanent: document.lifetime == .permanent), absoluteTimeout: timeout)
        case .header:
            return SessionPersistence(kind: .header(name: document.name ?? ""), absoluteTimeout: timeout)
        }
    }
}
