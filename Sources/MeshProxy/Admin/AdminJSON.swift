import MeshModel
import MeshTLS
import MeshTelemetry

/// JSON for the admin endpoint, written as text: values are few and their shapes are known.
enum JSON {
    static func string(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }

    static func object(_ fields: [(String, String?)]) -> String {
        "{" + fields.compactMap { name, value in value.map { "\(string(name)):\($0)" } }.joined(separator: ",") + "}"
    }

    static func array(_ values: [String]) -> String { "[" + values.joined(separator: ",") + "]" }

    static func strings(_ values: [String]) -> String { array(values.map(string)) }
}

/// The configuration that is served: what the model holds, without keys and certificates.
enum ConfigurationJSON {
    static func text(_ snapshot: Snapshot, control: String? = nil) -> String {
        JSON.object([
            ("revision", JSON.string(snapshot.model.revision)),
            ("control", control),
            ("listeners", JSON.array(snapshot.model.listeners.map(listener))),
            ("backends", JSON.array(snapshot.model.backends.map(backend))),
        ]) + "\n"
    }

    private static func listener(_ listener: Listener) -> String {
        JSON.object([
            ("address", JSON.string(listener.address.description)),
            ("role", JSON.string(listener.role == .edge ? "edge" : "sidecar")),
            ("proxyProtocol", String(listener.proxyProtocol)),
            ("sections", JSON.array(listener.sections.map(section))),
        ])
    }

    private static func section(_ section: Section) -> String {
        JSON.object([
            ("name", JSON.string(section.name)),
            ("hostname", JSON.string(section.hostname.description)),
            ("protocol", JSON.string("\(section.protocol)".uppercased())),
            ("certificates", section.tls.map { JSON.strings($0.certificates.map(\.name)) }),
            ("routes", JSON.array(section.routes.map(route))),
            (
                "streamRoutes",
                JSON.array(
                    section.streamRoutes.map { route in
                        JSON.object([
                            ("name", JSON.string(route.name)),
                            ("hostnames", JSON.strings(route.hostnames.map(\.description))),
                            ("backends", JSON.array(route.backends.map(share))),
                        ])
                    })
            ),
        ])
    }

    private static func route(_ route: Route) -> String {
        JSON.object([
            ("name", JSON.string(route.name)),
            ("kind", JSON.string(route.kind == .grpc ? "GRPCRoute" : "HTTPRoute")),
            ("hostnames", JSON.strings(route.hostnames.map(\.description))),
            (
                "rules",
                JSON.array(
                    route.rules.map { rule in
                        JSON.object([
                            ("name", JSON.string(rule.name)),
                            ("matches", JSON.strings(rule.matches.map(describe))),
                            ("filters", String(rule.filters.count)),
                            ("backends", JSON.array(rule.backends.map(share))),
                            ("origin", rule.origin.map { JSON.string("\($0.file):\($0.line)") }),
                        ])
                    })
            ),
        ])
    }

    private static func describe(_ match: RouteMatch) -> String {
        var parts: [String] = []
        if let method = match.method { parts.append(method) }
        switch match.path {
        case .exact(let path): parts.append("= \(path)")
        case .prefix(let path): parts.append("\(path)*")
        case .regex(let pattern): parts.append("~ \(pattern)")
        case .grpc(let service, let method): parts.append("grpc \(text(service))/\(text(method))")
        }
        parts += match.headers.map { "\($0.name): \(text($0.value))" }
        parts += match.queryParams.map { "?\($0.name)=\(text($0.value))" }
        return parts.joined(separator: " ")
    }

    private static func text(_ match: StringMatch?) -> String {
        switch match {
        case nil: "*"
        case .exact(let text): text
        case .regex(let pattern): "~\(pattern)"
        }
    }

    private static func share(_ share: WeightedBackend) -> String {
        switch share.target {
        case .backend(let name): JSON.object([("name", JSON.string(name)), ("weight", String(share.weight))])
        case .invalid(let reason): JSON.object([("invalid", JSON.string(reason)), ("weight", String(share.weight))])
        }
    }

    private static func backend(_ backend: Backend) -> String {
        JSON.object([
            ("name", JSON.string(backend.name)),
            ("protocol", JSON.string("\(backend.protocol)")),
            ("tls", backend.tls.map { JSON.string($0.hostname) }),
            (
                "endpoints",
                JSON.array(
                    backend.endpoints.map { endpoint in
                        JSON.object([
                            ("address", JSON.string(endpoint.address.description)), ("weight", String(endpoint.weight)),
                            ("zone", endpoint.zone.map(JSON.string)),
                        ])
                    })
            ),
        ])
    }
}

/// Backends and endpoints, summed over the loops.
enum UpstreamsJSON {
    static func text(_ reports: [LoopReport]) -> String {
        var order: [String] = []
        var sums: [String: (sample: LoopReport.Endpoint, connections: Int, idle: Int, requests: Int)] = [:]
        for endpoint in reports.flatMap(\.endpoints) {
            let key = "\(endpoint.backend) \(endpoint.address)"
            if sums[key] == nil { order.append(key) }
            let sum = sums[key] ?? (endpoint, 0, 0, 0)
            sums[key] = (
                endpoint, sum.connections + endpoint.connections, sum.idle + endpoint.idle,
                sum.requests + endpoint.requests
            )
        }
        let rows = order.compactMap { sums[$0] }.map { sum in
            JSON.object([
                ("backend", JSON.string(sum.sample.backend)), ("endpoint", JSON.string(sum.sample.address)),
                ("weight", String(sum.sample.weight)), ("connections", String(sum.connections)),
                ("idle", String(sum.idle)), ("requests", String(sum.requests)),
                ("available", String(sum.sample.standing.isAvailable)),
                ("ejection", ejection(sum.sample)), ("lastProbe", sum.sample.standing.lastProbe.map(probe)),
            ])
        }
        return JSON.array(rows) + "\n"
    }

    private static func ejection(_ endpoint: LoopReport.Endpoint) -> String? {
        let cause = ("cause", endpoint.standing.cause.map { JSON.string($0.rawValue) })
        switch endpoint.standing.ejection {
        case .available: return nil
        case .ejected:
            let until = endpoint.ejectedUntil.map { JSON.string(WallTime.text(Int64($0 / 1_000_000_000))) }
            return JSON.object([("state", JSON.string("ejected")), ("until", until), cause])
        case .halfOpen, .probing: return JSON.object([("state", JSON.string("half-open")), cause])
        }
    }

    private static func probe(_ probe: EndpointShare.LastProbe) -> String {
        JSON.object([
            ("time", JSON.string(WallTime.text(Int64(probe.wallTime / 1_000_000_000)))),
            ("succeeded", String(probe.success)), ("detail", JSON.string(probe.detail)),
        ])
    }
}

/// The certificates that are served.
enum CertificatesJSON {
    static func text(_ snapshot: Snapshot) -> String {
        let rows = named(snapshot).map { name, section, facts in
            JSON.object([
                ("name", JSON.string(name)), ("section", JSON.string(section)),
                ("subject", JSON.string(facts.subject)), ("issuer", JSON.string(facts.issuer)),
                ("dnsNames", JSON.strings(facts.dnsNames)), ("uris", JSON.strings(facts.uris)),
                ("serial", JSON.string(facts.serial)), ("sha256", JSON.string(facts.sha256)),
                ("notBefore", JSON.string(WallTime.text(facts.notBefore))),
                ("notAfter", JSON.string(WallTime.text(facts.notAfter))),
            ])
        }
        return JSON.array(rows) + "\n"
    }

    static func expiries(_ snapshot: Snapshot) -> [ProcessFacts.Certificate] {
        var seen: Set<String> = []
        return named(snapshot).compactMap { name, _, facts in
            seen.insert(name).inserted ? ProcessFacts.Certificate(name: name, expiry: Int(facts.notAfter)) : nil
        }
    }

    private static func named(_ snapshot: Snapshot) -> [(String, String, CertificateFacts)] {
        let identity = snapshot.mesh.map { mesh in
            mesh.server.certificateFacts.map { (snapshot.model.identity?.certificate.name ?? "", "", $0) }
        }
        return (identity ?? [])
            + snapshot.listeners.flatMap { listener in
                zip(listener.sections, listener.contexts).flatMap { section, context in
                    zip(section.tls?.certificates ?? [], context?.certificateFacts ?? []).map { certificate, facts in
                        (certificate.name, section.name, facts)
                    }
                }
            }
    }
}
