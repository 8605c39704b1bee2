/// Names that a person may have meant.
enum Suggestion {
    /// The one of `known` that is closest to `name`, if any is close.
    static func closest(to name: String, in known: some Sequence<String>) -> String? {
        let habit = habits[name.lowercased()] ?? []
        if let meant = habit.first(where: { known.contains($0) }) { return meant }
        let limit = name.count <= 4 ? 1 : name.count <= 8 ? 2 : 3
        var best: (name: String, distance: Int)?
        for candidate in known.sorted() {
            let distance =
                candidate.lowercased() == name.lowercased()
                ? 0 : editDistance(Array(name.lowercased().utf8.prefix(64)), Array(candidate.lowercased().utf8))
            if distance <= limit, distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        return best?.name
    }

    /// What people call things elsewhere, in lower case, and what these may be here.
    private static let habits: [String: [String]] = [
        "host": ["hostname", "hostnames", "hosts"], "hosts": ["hostnames"], "domains": ["hostnames"],
        "sni": ["hostnames"],
        "gateway": ["parentRefs"], "gateways": ["parentRefs"], "parents": ["parentRefs"], "routes": ["rules"],
        "backend": ["backendRef", "backendRefs", "Backend"], "backends": ["backendRefs"], "services": ["backendRefs"],
        "destinations": ["backendRefs"], "upstreams": ["backendRefs", "endpoints"], "servers": ["endpoints"],
        "targets": ["targetRefs", "endpoints"], "address": ["ip"], "dns": ["fqdn"], "socket": ["unix"],
        "match": ["matches"], "prefix": ["PathPrefix"], "pathprefix": ["PathPrefix"], "regex": ["RegularExpression"],
        "query": ["queryParams"], "params": ["queryParams"], "queryparameters": ["queryParams"],
        "timeout": ["timeouts", "request"], "retries": ["retry", "attempts"], "numretries": ["attempts"],
        "secret": ["certificateRefs"], "secretname": ["certificateRefs"], "certificates": ["certificateRefs"],
        "cacertificates": ["caCertificateRefs"], "protocol": ["appProtocol"], "http2": ["h2c"], "grpcs": ["grpc"],
        "websocket": ["ws"], "redirect": ["RequestRedirect", "requestRedirect"],
        "rewrite": ["URLRewrite", "urlRewrite"], "mirror": ["RequestMirror", "requestMirror"],
        "requestheaders": ["RequestHeaderModifier"], "responseheaders": ["ResponseHeaderModifier"],
        "code": ["statusCode"], "status": ["statusCode"], "passthrough": ["Passthrough"],
        "round_robin": ["ROUND_ROBIN"], "least_conn": ["LEAST_REQUEST"], "leastconn": ["LEAST_REQUEST"],
        "least_connections": ["LEAST_REQUEST"], "consistent_hash": ["RING_HASH", "hash"],
        "consistenthash": ["RING_HASH", "hash"], "ewma": ["PEAK_EWMA"], "p2c": ["LEAST_REQUEST"],
        "circuitbreaker": ["connectionLimits", "outlierDetection"], "connectionpool": ["connectionLimits"],
        "consecutive5xxerrors": ["consecutive5xx"], "maxejectionduration": ["maxEjectionTime"],
        "baseejectionduration": ["baseEjectionTime"], "maxparallelrequests": ["maxRequests"],
        "maxparallelretries": ["maxRetries"], "retryon": ["on"], "triggers": ["on"], "loadbalancing": ["loadBalancer"],
        "targetref": ["targetRefs"], "ratelimit": ["rateLimits"], "fault": ["faults"], "delayed": ["delay"],
        "subset": ["BackendSubset"], "destinationrule": ["TrafficPolicy"], "backendtrafficpolicy": ["TrafficPolicy"],
        "connecttimeout": ["timeouts"], "maxheadersize": ["maxHeaderBytes"],
        "maxbodysize": ["maxBodyBytes"], "clientmaxbodysize": ["maxBodyBytes"],
        "principals": ["identities"], "principal": ["identities"], "ipblocks": ["cidrs"], "remoteipblocks": ["cidrs"],
        "source": ["from"], "operation": ["to"], "containerport": ["appPort"], "targetport": ["appPort"],
        "healthcheck": ["readiness"], "readinessprobe": ["readiness"], "virtualnode": ["Workload"],
        "authorizationpolicy": ["AccessPolicy"], "peerauthentication": ["Mesh"], "hostnames": ["hosts"],
        "outboundtrafficpolicy": ["unknownDestinations"],
    ]

    /// "write X" for the closest one, or "one of A, B, C".
    static func remedy(for name: String, in known: some Sequence<String>) -> String {
        if let closest = closest(to: name, in: known) { return "did you mean \"\(closest)\"?" }
        let all = known.sorted()
        return all.isEmpty ? "" : "one of \(all.joined(separator: ", "))"
    }

    /// Insertions, deletions, replacements and swaps of neighbours.
    private static func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
        var beforeLast = [Int](repeating: 0, count: b.count + 1)
        var last = Array(0...b.count)
        for i in 1...a.count {
            var current = [Int](repeating: i, count: b.count + 1)
            for j in 1...b.count {
                let cost = a[i - 1] == b[j - 1] ? 0 : 1
                current[j] = min(last[j] + 1, current[j - 1] + 1, last[j - 1] + cost)
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
                    current[j] = min(current[j], beforeLast[j - 2] + 1)
                }
            }
            (beforeLast, last) = (last, current)
        }
        return last[b.count]
    }
}
