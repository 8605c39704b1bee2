/// What to write where a mapping or a list is wanted and something else stands: an example for each field in which
/// people write short forms of their own.
enum Shape {
    /// The example for the field at `path`, as in `spec.rules[0].matches[0].path`; empty if there is none.
    static func example(at path: String) -> String {
        var name = path[...]
        let isItem = name.hasSuffix("]")
        if isItem, let bracket = name.lastIndex(of: "[") { name = name[..<bracket] }
        if let dot = name.lastIndex(of: ".") { name = name[name.index(after: dot)...] }
        if isItem { return items[String(name)].map { "- \($0)" } ?? "" }
        if let item = items[String(name)] { return "\(name): [\(item)]" }
        if name == "path", path.contains("filters[") {
            return "path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}"
        }
        return mappings[String(name)].map { "\(name): \($0)" } ?? ""
    }

    private static let mappings = [
        "path": "{type: PathPrefix, value: /cart}",
        "method": "{service: shop.v1.Cart, method: AddItem}",
        "timeouts": "{request: 10s}",
        "retry": "{attempts: 2, codes: [503]}",
        "ip": "{address: 127.0.0.1, port: 8080}",
        "fqdn": "{hostname: cart.internal, port: 8080}",
        "unix": "{path: /run/cart.sock}",
        "tls": "{certificateRefs: [{name: NAME-OF-A-SECRET}]}",
        "metadata": "{name: NAME}",
        "backendRef": "{group: martlet.dev, kind: Backend, name: NAME}",
        "allowedRoutes": "{namespaces: {from: All}}",
        "namespaces": "{from: All}",
        "selector": "{matchLabels: {team: shop}}",
        "loadBalancer": "{type: ROUND_ROBIN}",
        "accessLog": "{type: json}",
        "resets": "{burst: 200, perSecond: 20}",
        "glitches": "{burst: 500, perSecond: 50}",
        "controlFrames": "{burst: 500, perSecond: 100}",
        "healthCheck": "{http: {path: /healthz}}",
        "readiness": "{http: {path: /healthz}}",
        "mtls": "{mode: STRICT}",
        "access": "{default: DENY}",
        "certificates": "{lifetime: 24h}",
        "outbound": "{port: 15001}",
        "transparent": "{port: 15006}",
        "http": "{path: /healthz}",
        "outlierDetection": "{consecutive5xx: 5}",
        "connectionLimits": "{maxRequests: 100}",
        "endpoint": "{maxRequests: 10}",
        "retryBudget": "{percent: 20, minConcurrency: 3}",
        "backoff": "{base: 25ms, max: 250ms}",
        "slowStart": "{window: 30s}",
        "zonePreference": "{minimumAvailable: 70}",
        "abort": "{status: 503}",
        "labels": "{version: v2}",
        "overload": "{maxMemory: 512Mi}",
        "header": "{name: x-user}",
        "cookie": "{name: user}",
        "queryParam": "{name: user}",
        "fraction": "{numerator: 1, denominator: 1000}",
    ]

    private static let items = [
        "endpoints": "{ip: {address: 127.0.0.1, port: 8080}}",
        "backendRefs": "{group: martlet.dev, kind: Backend, name: NAME}",
        "parentRefs": "{name: NAME-OF-A-GATEWAY}",
        "targetRefs": "{group: martlet.dev, kind: Backend, name: NAME}",
        "matches": "{path: {type: PathPrefix, value: /cart}}",
        "headers": "{name: x-beta, value: \"1\"}",
        "queryParams": "{name: page, value: \"1\"}",
        "set": "{name: x-beta, value: \"1\"}",
        "add": "{name: x-beta, value: \"1\"}",
        "filters": "{type: URLRewrite, urlRewrite: {hostname: shop.internal}}",
        "listeners": "{name: http, protocol: HTTP, port: 8080}",
        "certificateRefs": "{name: NAME-OF-A-SECRET}",
        "caCertificateRefs": "{group: \"\", kind: ConfigMap, name: NAME}",
        "addresses": "{type: IPAddress, value: 127.0.0.1}",
        "kinds": "{kind: HTTPRoute}",
        "rules": "{backendRefs: [{group: martlet.dev, kind: Backend, name: NAME}]}",
        "hash": "{header: {name: x-user}}",
        "on": "connect-failure",
        "codes": "503",
        "statuses": "\"200-299\"",
        "rateLimits": "{requests: 100, unit: 1s}",
        "faults": "{percent: 1, delay: 2s}",
        "hostnames": "shop.example",
        "hosts": "shop.example",
        "ports": "{port: 80}",
        "backends": "{service: NAME}",
        "identities": "shop/cart",
        "cidrs": "10.0.0.0/8",
        "methods": "GET",
        "paths": "/cart/*",
        "remove": "x-beta",
        "allowOrigins": "\"https://shop.example\"",
    ]
}
