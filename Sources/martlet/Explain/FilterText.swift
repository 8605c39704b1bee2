import MeshModel

/// Filters in one line each.
enum FilterText {
    static func line(_ filter: Filter) -> String {
        switch filter {
        case .requestHeaderModifier(let modifier): "request headers: \(changes(modifier))"
        case .responseHeaderModifier(let modifier): "response headers: \(changes(modifier))"
        case .requestRedirect(let redirect): "redirect \(redirect.statusCode): \(parts(redirect))"
        case .urlRewrite(let rewrite): "rewrite: \(parts(rewrite))"
        case .requestMirror(let mirror): self.mirror(mirror)
        case .cors(let cors): self.cors(cors)
        }
    }

    private static func changes(_ modifier: HeaderModifier) -> String {
        let lines =
            modifier.remove.map { "remove \($0)" } + modifier.set.map { "set \($0.name): \($0.value)" }
            + modifier.add.map { "add \($0.name): \($0.value)" }
        return lines.isEmpty ? "nothing" : lines.joined(separator: ", ")
    }

    /// Where a redirect leads.
    static func parts(_ redirect: RequestRedirect) -> String {
        var parts: [String] = []
        if let scheme = redirect.scheme { parts.append("scheme \(scheme)") }
        if let host = redirect.hostname { parts.append("host \(host)") }
        if let port = redirect.port { parts.append("port \(port)") }
        if let path = redirect.path { parts.append(text(path)) }
        return parts.isEmpty ? "to itself" : parts.joined(separator: ", ")
    }

    private static func parts(_ rewrite: URLRewrite) -> String {
        var parts: [String] = []
        if let host = rewrite.hostname { parts.append("host \(host)") }
        if let path = rewrite.path { parts.append(text(path)) }
        return parts.isEmpty ? "nothing" : parts.joined(separator: ", ")
    }

    private static func text(_ path: PathModifier) -> String {
        switch path {
        case .replaceFullPath(let path): "path \(path)"
        case .replacePrefixMatch(let prefix): "the matched prefix becomes \(prefix.isEmpty ? "/" : prefix)"
        }
    }

    private static func mirror(_ mirror: RequestMirror) -> String {
        let percent = Double(mirror.numerator) * 100 / Double(max(mirror.denominator, 1))
        let target =
            switch mirror.target {
            case .backend(let name): name
            case .invalid(let reason): "nowhere (\(reason))"
            }
        return "mirror \(ExplainText.percent(percent)) to \(target)"
    }

    private static func cors(_ cors: CORS) -> String {
        var parts = ["origins \(cors.allowOrigins.isEmpty ? "none" : cors.allowOrigins.joined(separator: " "))"]
        if !cors.allowMethods.isEmpty { parts.append("methods \(cors.allowMethods.joined(separator: " "))") }
        if !cors.allowHeaders.isEmpty { parts.append("headers \(cors.allowHeaders.joined(separator: " "))") }
        if !cors.exposeHeaders.isEmpty { parts.append("exposed \(cors.exposeHeaders.joined(separator: " "))") }
        if cors.allowCredentials { parts.append("credentials") }
        return "CORS: \(parts.joined(separator: ", ")), kept \(cors.maxAge) s"
    }
}
