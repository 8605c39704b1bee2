import MeshModel

/// What all kinds of route share.
struct RouteHeader {
    var parents: [ParentReference]
    var hostnames: [Located<String>]

    /// Reads parentRefs and hostnames of a route's spec.
    init(_ spec: Fields, wildcard: Bool = true, hasHostnames: Bool = true) {
        parents = spec.list("parentRefs", most: 32) { ParentReference($0) }
        if parents.isEmpty, !spec.has("parentRefs") {
            spec.report.warning(
                "the route has no parentRefs and serves nothing", at: spec.place(of: "parentRefs"),
                remedy: "parentRefs: [{name: NAME-OF-A-GATEWAY}]")
        }
        spec.ignore("useDefaultGateways")
        hostnames = []
        guard hasHostnames else { return }
        var seen: Set<String> = []
        for name in spec.strings("hostnames", most: 16) {
            guard let text = Syntax.hostname(name, wildcard: wildcard, spec.report) else { continue }
            guard seen.insert(text).inserted else {
                spec.report.warning("the host name \(text) is given twice", at: name.place, remedy: "remove one")
                continue
            }
            hostnames.append(Located(text, at: name.place))
        }
    }
}

/// Exact or by regular expression.
enum ValueMatchKind: String, CaseIterable {
    case exact = "Exact"
    case regularExpression = "RegularExpression"
}

/// A name and what its value must be, for headers and query parameters.
struct ValueMatch {
    var kind: ValueMatchKind
    var name: String
    var value: String
    var place: Place

    /// The list `list` of `owner`; `name` checks and normalises a name.
    static func list(_ owner: Fields, _ list: String, name check: (Located<String>) -> String?) -> [ValueMatch] {
        var seen: Set<String> = []
        return owner.list(list, most: 16) { fields in
            let kind = fields.choice("type", ValueMatchKind.self)?.value ?? .exact
            let name = fields.required("name")
            let value = fields.required("value")
            guard let name, let checked = check(name), let value else { return nil }
            guard seen.insert(checked).inserted else {
                owner.report.error(
                    "\(checked) is matched twice in one match", at: name.place,
                    remedy: "conditions of one match all have to hold; write a second match for an alternative")
                return nil
            }
            if kind == .regularExpression { RegularExpression.check(value, owner.report) }
            return ValueMatch(kind: kind, name: checked, value: value.value, place: value.place)
        }
    }
}

/// HTTPRoute.
struct HTTPRouteDocument {
    enum PathKind: String, CaseIterable {
        case exact = "Exact"
        case prefix = "PathPrefix"
        case regularExpression = "RegularExpression"
    }

    enum Method: String, CaseIterable {
        case get = "GET"
        case head = "HEAD"
        case post = "POST"
        case put = "PUT"
        case delete = "DELETE"
        case connect = "CONNECT"
        case options = "OPTIONS"
        case trace = "TRACE"
        case patch = "PATCH"
    }

    struct Match {
        var pathKind = PathKind.prefix
        var path = "/"
        var headers: [ValueMatch] = []
        var queryParameters: [ValueMatch] = []
        var method: Method?
        var place: Place
    }

    struct Rule {
        var name: String?
        var matches: [Match]
        var filters: [FilterDocument]
        var backends: [BackendReference]
        /// `timeouts` and `retry`.
        var settings: [Setting<RequestPolicy>]
        var session: SessionDocument?
        var place: Place
    }

    var metadata: Metadata
    var header: RouteHeader
    var rules: [Rule]

    init(_ spec: Fields, metadata: Metadata) {
        self.metadata = metadata
        header = RouteHeader(spec)
        var names: Set<String> = []
        rules = spec.list("rules", most: 16) { Self.rule($0, names: &names) }
        if !spec.has("rules") {
            spec.ignore("rules")
            rules = [
                Rule(
                    name: nil, matches: [Match(place: spec.place)], filters: [], backends: [], settings: [],
                    session: nil, place: spec.place)
            ]
        }
        let matches = rules.reduce(0) { $0 + $1.matches.count }
        if matches > 128 {
            spec.report.error(
                "the route has \(matches) matches", at: spec.place(of: "rules"),
                remedy: "at most 128; split it into several HTTPRoutes")
        }
    }

    private static func rule(_ fields: Fields, names: inout Set<String>) -> Rule {
        let name = ruleName(fields, &names)
        var matches = fields.list("matches", most: 64) { match($0) }
        let hasMatches = fields.has("matches") && !fields.items("matches", most: 64).isEmpty
        if !hasMatches { matches = [Match(place: fields.place)] }
        let filters = FilterDocument.list(fields, of: FilterDocument.httpKinds)
        let backends = fields.list("backendRefs", most: 16) { BackendReference($0, filters: FilterDocument.httpKinds) }
        let rule = Rule(
            name: name, matches: matches, filters: filters, backends: backends,
            settings: RequestSettings.inline(fields), session: SessionDocument(fields), place: fields.place)
        check(rule, fields.report)
        return rule
    }

    /// What the standard forbids in combination.
    private static func check(_ rule: Rule, _ report: Report) {
        let isOnePrefix = rule.matches.count == 1 && rule.matches[0].pathKind == .prefix
        for filter in rule.filters + rule.backends.flatMap(\.filters) {
            let path: PathChange?
            switch filter.action {
            case .redirect(let redirect): path = redirect.path
            case .rewrite(let rewrite): path = rewrite.path
            case .requestHeaders, .responseHeaders, .mirror, .cors: path = nil
            }
            if case .prefix = path, !isOnePrefix {
                report.error(
                    "ReplacePrefixMatch needs a rule with exactly one match, of type PathPrefix", at: filter.place,
                    remedy: "split the rule, one for each prefix")
            }
        }
        for filter in rule.filters {
            if case .redirect = filter.action, !rule.backends.isEmpty {
                report.error(
                    "a rule with RequestRedirect cannot have backendRefs", at: filter.place,
                    remedy: "remove the backendRefs, or move the filter into one of them")
            }
        }
    }

    private static func match(_ fields: Fields) -> Match {
        var match = Match(place: fields.place)
        if let path = fields.fields("path") {
            let kind = path.choice("type", PathKind.self)
            match.pathKind = kind?.value ?? .prefix
            // With a type that is none, nobody knows what the value should be.
            if let value = path.string("value"), kind != nil || !path.has("type") {
                if match.pathKind == .regularExpression {
                    RegularExpression.check(value, fields.report)
                    match.path = value.value
                } else {
                    match.path = Syntax.path(value, fields.report) ?? "/"
                    if match.path.hasSuffix("*") {
                        fields.report.warning(
                            "the * in the path stands for itself", at: value.place,
                            remedy: "PathPrefix includes everything below the path; write it without the *")
                    }
                }
            }
            path.done()
        }
        match.headers = ValueMatch.list(fields, "headers") { Syntax.headerName($0, fields.report)?.lowercased() }
        match.queryParameters = ValueMatch.list(fields, "queryParams") { $0.value }
        match.method = fields.choice("method", Method.self)?.value
        return match
    }
}

/// Reads and checks the optional name of a rule.
private func ruleName(_ fields: Fields, _ names: inout Set<String>) -> String? {
    guard let name = fields.string("name"), let text = Syntax.objectName(name, fields.report) else { return nil }
    if !names.insert(text).inserted {
        fields.report.error("two rules have the name \(text)", at: name.place, remedy: "rename one of them")
    }
    return text
}

/// GRPCRoute.
struct GRPCRouteDocument {
    struct Match {
        var kind = ValueMatchKind.exact
        var service: String?
        var method: String?
        var headers: [ValueMatch] = []
        var place: Place
    }

    struct Rule {
        var name: String?
        var matches: [Match]
        var filters: [FilterDocument]
        var backends: [BackendReference]
        var session: SessionDocument?
        var place: Place
    }

    var metadata: Metadata
    var header: RouteHeader
    var rules: [Rule]

    init(_ spec: Fields, metadata: Metadata) {
        self.metadata = metadata
        header = RouteHeader(spec)
        var names: Set<String> = []
        rules = spec.list("rules", most: 16) { fields in
            let name = ruleName(fields, &names)
            for field in ["timeouts", "retry"] where fields.has(field) {
                fields.ignore(field)
                fields.report.error(
                    "a GRPCRoute has no \(field)", at: fields.place(of: field),
                    remedy: "a TrafficPolicy with targetRefs: [{group: \(APIGroup.gateway), kind: GRPCRoute, name: "
                        + "\(metadata.name)}]")
            }
            let isEmpty = fields.items("matches", most: 64).isEmpty
            let matches = fields.list("matches", most: 64) { Self.match($0) }
            return Rule(
                name: name, matches: isEmpty ? [Match(place: fields.place)] : matches,
                filters: FilterDocument.list(fields, of: FilterDocument.grpcKinds),
                backends: fields.list("backendRefs", most: 16) {
                    BackendReference($0, filters: FilterDocument.grpcKinds)
                },
                session: SessionDocument(fields), place: fields.place)
        }
        if !spec.has("rules") {
            rules = [
                Rule(
                    name: nil, matches: [Match(place: spec.place)], filters: [], backends: [], session: nil,
                    place: spec.place)
            ]
        }
    }

    private static func match(_ fields: Fields) -> Match {
        var match = Match(place: fields.place)
        if let method = fields.fields("method") {
            match.kind = method.choice("type", ValueMatchKind.self)?.value ?? .exact
            let service = method.string("service")
            let name = method.string("method")
            for value in [service, name].compactMap({ $0 }) {
                if match.kind == .regularExpression {
                    RegularExpression.check(value, fields.report)
                } else if value.value.isEmpty || !value.value.utf8.allSatisfy(isServiceCharacter) {
                    fields.report.error(
                        "\"\(value.value)\" is not a gRPC name", at: value.place,
                        remedy: "as in service: shop.v1.Cart, method: AddItem")
                }
            }
            if service == nil, name == nil {
                fields.report.error("a method match needs service, method, or both", at: method.place)
            }
            (match.service, match.method) = (service?.value, name?.value)
            method.done()
        }
        match.headers = ValueMatch.list(fields, "headers") { Syntax.headerName($0, fields.report)?.lowercased() }
        return match
    }

    private static func isServiceCharacter(_ byte: UInt8) -> Bool {
        (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A) || (0x30...0x39).contains(byte) || byte == 0x2E || byte == 0x5F
    }
}

/// TLSRoute and TCPRoute: all that arrives goes to the backends of one rule.
struct StreamRouteDocument {
    var metadata: Metadata
    var header: RouteHeader
    var isTLS: Bool
    var backends: [BackendReference] = []
    var place: Place

    init(_ spec: Fields, metadata: Metadata, isTLS: Bool) {
        self.metadata = metadata
        self.isTLS = isTLS
        header = RouteHeader(spec, hasHostnames: isTLS)
        place = spec.place(of: "rules")
        if isTLS, header.hostnames.isEmpty, !spec.has("hostnames") {
            spec.missing("hostnames", remedy: "the server names to route, for example [shop.example.com]")
        }
        let rules = spec.list("rules", most: 16) { fields -> [BackendReference] in
            _ = fields.string("name")
            return fields.list("backendRefs", most: 16) { BackendReference($0, filters: []) }
        }
        if rules.isEmpty, !spec.has("rules") { spec.missing("rules") }
        if rules.count > 1 {
            spec.report.error(
                "only the first of \(rules.count) rules could ever match", at: place, remedy: "keep one rule")
        }
        backends = rules.first ?? []
    }
}

/// `sessionPersistence` of a rule.
struct SessionDocument {
    enum Kind: String, CaseIterable {
        case cookie = "Cookie"
        case header = "Header"
    }

    enum Lifetime: String, CaseIterable {
        case session = "Session"
        case permanent = "Permanent"
    }

    var kind: Kind
    var name: String?
    var path: String
    var lifetime: Lifetime
    /// Nanoseconds.
    var absoluteTimeout: UInt64?
    var place: Place

    init?(_ rule: Fields) {
        guard let fields = rule.fields("sessionPersistence") else { return nil }
        place = fields.place
        let kind = fields.choice("type", Kind.self)?.value ?? .cookie
        self.kind = kind
        let given = fields.string("sessionName")
        name = given.flatMap {
            kind == .cookie ? Syntax.cookieName($0, fields.report) : Syntax.headerName($0, fields.report)
        }
        path = "/"
        lifetime = .session
        for field in ["cookie", "cookieConfig"] {
            guard let cookie = fields.fields(field) else { continue }
            name = cookie.string("name").flatMap { Syntax.cookieName($0, fields.report) } ?? name
            path = cookie.string("path").flatMap { Syntax.cookiePath($0, fields.report) } ?? path
            lifetime = cookie.choice("lifetimeType", Lifetime.self)?.value ?? lifetime
            cookie.done()
        }
        if let header = fields.fields("header") {
            name = header.string("name").flatMap { Syntax.headerName($0, fields.report) } ?? name
            header.done()
        }
        if let timeout = fields.duration("absoluteTimeout") {
            if timeout.value == 0 {
                fields.report.error(
                    "absoluteTimeout must not be 0", at: timeout.place, remedy: "for example 24h, or leave it out")
            } else {
                absoluteTimeout = timeout.value
            }
        }
        fields.ignoreWithWarning("idleTimeout", because: "a session lasts until its absoluteTimeout")
        fields.done()
        if lifetime == .permanent, !fields.has("absoluteTimeout") {
            fields.missing("absoluteTimeout", remedy: "a permanent cookie needs one, for example 24h")
        }
        if kind == .header, name == nil, given == nil, !fields.has("header") {
            fields.missing("header", remedy: "header: {name: NAME}")
        }
    }
}
