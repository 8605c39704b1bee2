import MeshModel
internal import SwiftProtobuf

/// Rules as routes. What Envoy or gRPC has no word for is left out: mirrors, CORS, session persistence and rate limits are
/// for Martlet's own proxies; docs/envoy.md lists it.
extension EnvoyView {
    /// The routes of a rule, one for each of its matches.
    func routes(_ rule: RouteRule, _ flavor: EnvoyFlavor) -> [EnvoyRouteRoute] {
        rule.matches.compactMap { match in
            // gRPC ignores a route with query parameters, which would make it wider.
            if flavor == .grpc, !match.queryParams.isEmpty { return nil }
            var route = EnvoyRouteRoute()
            route.name = rule.name
            route.match = self.match(match, flavor)
            if let redirect = rule.redirect, flavor == .envoy {
                route.redirect = self.redirect(redirect, match)
                return route
            }
            action(rule, match, flavor, &route)
            if flavor == .envoy { headers(rule.filters, &route) }
            return route
        }
    }

    private func match(_ match: RouteMatch, _ flavor: EnvoyFlavor) -> EnvoyRouteRouteMatch {
        var message = EnvoyRouteRouteMatch()
        switch match.path {
        case .exact(let path): message.path = path
        case .prefix(let prefix):
            let trimmed = prefix.hasSuffix("/") ? String(prefix.dropLast()) : prefix
            if trimmed.isEmpty || flavor == .grpc {
                message.prefix = trimmed
            } else {
                message.pathSeparatedPrefix = trimmed
            }
        case .regex(let regex): message.safeRegex.regex = regex
        case .grpc(let service, let method): grpc(service, method, &message)
        }
        message.headers = match.headers.map { header in
            var matcher = EnvoyRouteHeaderMatcher()
            matcher.name = header.name.lowercased()
            matcher.stringMatch = string(header.value)
            return matcher
        }
        if let method = match.method {
            var matcher = EnvoyRouteHeaderMatcher()
            matcher.name = ":method"
            matcher.stringMatch.exact = method
            message.headers.append(matcher)
        }
        message.queryParameters = match.queryParams.map { parameter in
            var matcher = EnvoyRouteQueryParameterMatcher()
            matcher.name = parameter.name
            matcher.stringMatch = string(parameter.value)
            return matcher
        }
        return message
    }

    private func grpc(_ service: StringMatch?, _ method: StringMatch?, _ message: inout EnvoyRouteRouteMatch) {
        switch (service, method) {
        case (nil, nil): message.prefix = ""
        case (.exact(let service), nil): message.prefix = "/\(service)/"
        case (.exact(let service), .exact(let method)): message.path = "/\(service)/\(method)"
        default: message.safeRegex.regex = "/\(pattern(service))/\(pattern(method))"
        }
    }

    private func pattern(_ match: StringMatch?) -> String {
        switch match {
        case .exact(let text)?: text.replacing(".", with: "\\.")
        case .regex(let regex)?: "(?:\(regex))"
        case nil: "[^/]+"
        }
    }

    private func string(_ match: StringMatch) -> EnvoyMatcherStringMatcher {
        var matcher = EnvoyMatcherStringMatcher()
        switch match {
        case .exact(let text): matcher.exact = text
        case .regex(let regex): matcher.safeRegex.regex = regex
        }
        return matcher
    }

    private func action(
        _ rule: RouteRule, _ match: RouteMatch, _ flavor: EnvoyFlavor, _ route: inout EnvoyRouteRoute
    ) {
        let valid = rule.backends.compactMap { share -> (name: String, weight: Int)? in
            guard case .backend(let name) = share.target, share.weight > 0, backends[name] != nil else { return nil }
            return (name, share.weight)
        }
        guard let first = valid.first else {
            route.directResponse.status = rule.backends.isEmpty ? 500 : 503
            return
        }
        var action = EnvoyRouteRouteAction()
        if valid.count == 1 {
            action.cluster = first.name
        } else {
            action.weightedClusters.clusters = valid.map { share in
                var weight = EnvoyRouteWeightedCluster.ClusterWeight()
                weight.name = share.name
                weight.weight = .init(share.weight)
                return weight
            }
        }
        let policy = rule.policy.inheriting(backends[first.name]?.backend.policy ?? RequestPolicy())
        // 0 is no limit; Envoy's own default of 15 s is nobody's wish.
        action.timeout = .init(policy.timeouts.request ?? .zero)
        if let limit = policy.timeouts.request { action.maxStreamDuration.maxStreamDuration = .init(limit) }
        if let retry = policy.retry { action.retryPolicy = self.retry(retry, policy.timeouts, flavor) }
        if flavor == .envoy { rewrite(rule.filters, match, &action) }
        route.route = action
    }

    private func retry(_ retry: Retry, _ timeouts: Timeouts, _ flavor: EnvoyFlavor) -> EnvoyRouteRetryPolicy {
        var message = EnvoyRouteRetryPolicy()
        message.numRetries = .init(retry.attempts)
        message.retryBackOff.baseInterval = .init(retry.backoff.base)
        message.retryBackOff.maxInterval = .init(retry.backoff.max)
        let statuses = [
            1: "cancelled", 4: "deadline-exceeded", 8: "resource-exhausted", 13: "internal", 14: "unavailable",
        ]
        var reasons = retry.grpcStatuses.compactMap { statuses[$0] }
        if flavor == .envoy {
            if retry.triggers.contains(.connectFailure) { reasons.append("connect-failure") }
            if retry.triggers.contains(.refusedStream) { reasons.append("refused-stream") }
            if retry.triggers.contains(.reset) { reasons.append("reset") }
            if !retry.codes.isEmpty {
                reasons.append("retriable-status-codes")
                message.retriableStatusCodes = retry.codes.map { UInt32(clamping: $0) }
            }
            if let limit = retry.perTryTimeout ?? timeouts.backendRequest { message.perTryTimeout = .init(limit) }
        } else if reasons.isEmpty {
            // What gRPC calls a failed connection.
            reasons = ["unavailable"]
        }
        message.retryOn = reasons.joined(separator: ",")
        return message
    }

    private func rewrite(_ filters: [Filter], _ match: RouteMatch, _ action: inout EnvoyRouteRouteAction) {
        for case .urlRewrite(let rewrite) in filters {
            if let host = rewrite.hostname { action.hostRewriteLiteral = host }
            if case .replacePrefixMatch(let prefix)? = rewrite.path { action.prefixRewrite = prefix }
        }
    }

    private func headers(_ filters: [Filter], _ route: inout EnvoyRouteRoute) {
        for filter in filters {
            switch filter {
            case .requestHeaderModifier(let modifier):
                route.requestHeadersToAdd += options(modifier)
                route.requestHeadersToRemove += modifier.remove
            case .responseHeaderModifier(let modifier):
                route.responseHeadersToAdd += options(modifier)
                route.responseHeadersToRemove += modifier.remove
            case .requestRedirect, .urlRewrite, .requestMirror, .cors: break
            }
        }
    }

    private func options(_ modifier: HeaderModifier) -> [EnvoyCoreHeaderValueOption] {
        func option(
            _ header: Header, _ action: EnvoyCoreHeaderValueOption.HeaderAppendAction
        ) -> EnvoyCoreHeaderValueOption {
            var option = EnvoyCoreHeaderValueOption()
            option.header.key = header.name
            option.header.value = header.value
            option.appendAction = action
            return option
        }
        return modifier.set.map { option($0, .overwriteIfExistsOrAdd) }
            + modifier.add.map { option($0, .appendIfExistsOrAdd) }
    }

    private func redirect(_ redirect: RequestRedirect, _ match: RouteMatch) -> EnvoyRouteRedirectAction {
        var action = EnvoyRouteRedirectAction()
        if let scheme = redirect.scheme { action.schemeRedirect = scheme }
        if let host = redirect.hostname { action.hostRedirect = host }
        if let port = redirect.port { action.portRedirect = UInt32(port) }
        switch redirect.path {
        case .replaceFullPath(let path)?: action.pathRedirect = path
        case .replacePrefixMatch(let prefix)?: action.prefixRewrite = prefix
        case nil: break
        }
        switch redirect.statusCode {
        case 301: action.responseCode = .movedPermanently
        case 303: action.responseCode = .seeOther
        case 307: action.responseCode = .temporaryRedirect
        case 308: action.responseCode = .permanentRedirect
        default: action.responseCode = .found
        }
        return action
    }
}

extension RouteRule {
    /// The redirect that answers in place of a backend; nil if there is none.
    fileprivate var redirect: RequestRedirect? {
        for case .requestRedirect(let redirect) in filters { return redirect }
        return nil
    }
}
