import MeshGatewayAPI
import MeshModel

/// What applies to requests: what the rule says, else what the backend's policy says, else the default.
extension SettingsTable {
    /// The rows of a rule; what differs between its backends stands in groups of its own.
    mutating func rule(_ rule: RouteRule, number: Int, of route: Route, backends: [Backend]) {
        let key = "\(route.kind == .http ? "rule" : "grpcrule")/\(route.name)/\(number)/"
        let tables = (backends.isEmpty ? [nil] : backends.map(Optional.some)).map { backend in
            var table = RequestRows(origins, rule.policy, backend, key)
            table.write()
            return (backend, table.rows)
        }
        let common = tables[0].1.filter { row in tables.allSatisfy { $0.1.contains(row) } }
        for row in common { self.row("rule", row.name, row.value, row.origin) }
        for (backend, all) in tables {
            for row in all where !common.contains(row) {
                self.row("rule to \(backend?.name ?? "")", row.name, row.value, row.origin)
            }
        }
        var session = "none"
        switch rule.sessionPersistence?.kind {
        case .cookie(let name, let path, let permanent):
            session = "cookie \(name), path \(path)\(permanent ? ", permanent" : "")"
        case .header(let name): session = "header \(name)"
        case nil: break
        }
        if let timeout = rule.sessionPersistence?.absoluteTimeout { session += ", at most \(timeout.asWritten)" }
        row("rule", "sessionPersistence", session, origins[key + "sessionPersistence"]?.fileAndLine ?? "default")
    }
}

/// The settings of requests from one rule to one backend.
private struct RequestRows {
    struct Row: Equatable {
        var name: String
        var value: String
        var origin: String
    }

    private let origins: [String: Place]
    private let policy: RequestPolicy
    private let rule: RequestPolicy
    private let key: String
    private let backendKey: String
    private(set) var rows: [Row] = []

    init(_ origins: [String: Place], _ rule: RequestPolicy, _ backend: Backend?, _ key: String) {
        self.origins = origins
        self.rule = rule
        self.key = key
        policy = rule.inheriting(backend?.policy ?? RequestPolicy())
        backendKey = "backend/\(backend?.name ?? "")/policy."
    }

    mutating func write() {
        let (own, their) = (key, backendKey)
        func owner(_ isOfRule: Bool) -> String { isOfRule ? own : their }
        let timeouts = policy.timeouts
        add("timeouts.request", Self.text(timeouts.request), owner(rule.timeouts.request != nil))
        add("timeouts.backendRequest", Self.text(timeouts.backendRequest), owner(rule.timeouts.backendRequest != nil))
        add("timeouts.idle", Self.text(timeouts.idle), owner(rule.timeouts.idle != nil))
        rows.append(Row(name: "replay", value: "at most 2, of what no endpoint has processed", origin: "always"))
        retry(owner(rule.retry != nil))
        let limits = owner(!rule.rateLimits.isEmpty)
        for (index, limit) in policy.rateLimits.enumerated() {
            add("rateLimits[\(index)]", Self.text(limit), limits, "rateLimits.\(index)")
        }
        if policy.rateLimits.isEmpty { add("rateLimits", "none", limits) }
        let faults = owner(!rule.faults.isEmpty)
        for (index, fault) in policy.faults.enumerated() {
            add("faults[\(index)]", Self.text(fault), faults, "faults.\(index)")
        }
        if policy.faults.isEmpty { add("faults", "none", faults) }
        let priority =
            switch policy.priority {
            case .low: "LOW"
            case .normal, nil: "NORMAL"
            case .high: "HIGH"
            }
        add("priority", priority, owner(rule.priority != nil))
    }

    private mutating func retry(_ owner: String) {
        guard let retry = policy.retry, retry.attempts > 0 else {
            let isOff = policy.retry != nil
            add("retry", "none", owner, isOff ? "retry.attempts" : "retry")
            return
        }
        add("retry.attempts", String(retry.attempts), owner)
        add("retry.codes", Self.text(codes: retry.codes), owner, written(owner, "codes", "on"))
        add("retry.on", SettingText.conditions(retry), owner)
        add("retry.perTryTimeout", Self.text(retry.perTryTimeout), owner)
        let hasBase = origins[owner + "retry.backoff"] != nil && origins[owner + "retry.backoff.base"] == nil
        let inline = hasBase && origins[owner + "retry.backoff.max"] == nil
        add("retry.backoff.base", retry.backoff.base.asWritten, owner, inline ? "retry.backoff" : nil)
        add("retry.backoff.max", retry.backoff.max.asWritten, owner)
        add("retry.nonIdempotent", retry.nonIdempotent ? "true" : "false", owner)
        add("retry.bufferBytes", String(retry.bufferBytes), owner)
        add("retry.maxRetryAfter", retry.maxRetryAfter.asWritten, owner)
        add("retry.hedgeDelay", Self.text(retry.hedgeDelay), owner)
    }

    /// The first of these parts of `retry` that was written.
    private func written(_ owner: String, _ first: String, _ second: String) -> String {
        origins[owner + "retry." + first] == nil && policy.retry?.codes.isEmpty == false
            ? "retry." + second : "retry." + first
    }

    private mutating func add(_ name: String, _ value: String, _ owner: String, _ field: String? = nil) {
        let origin = origins[owner + (field ?? name)]?.fileAndLine ?? "default"
        rows.append(Row(name: name, value: value, origin: origin))
    }

    // MARK: Text

    private static func text(_ duration: Duration?) -> String {
        duration.map { $0 == Timeouts.unlimited ? "none" : $0.asWritten } ?? "none"
    }

    private static func text(codes: [Int]) -> String {
        var ranges: [ClosedRange<Int>] = []
        for code in codes.sorted() {
            if let last = ranges.last, last.upperBound + 1 == code {
                ranges[ranges.count - 1] = last.lowerBound...code
            } else {
                ranges.append(code...code)
            }
        }
        return ranges.isEmpty ? "none" : ranges.map(SettingText.range).joined(separator: " ")
    }

    private static func text(_ limit: RequestRateLimit) -> String {
        let key =
            switch limit.key {
            case .rule: "RULE"
            case .identity: "IDENTITY"
            case .header(let name): "HEADER \(name)"
            case .address: "ADDRESS"
            }
        return "\(limit.requests) in \(limit.unit.asWritten) by \(key), burst \(limit.burst)"
    }

    private static func text(_ fault: Fault) -> String {
        var parts: [String] = []
        if let delay = fault.delay { parts.append("delay \(delay.asWritten)") }
        switch fault.abort {
        case .status(let status): parts.append("abort with status \(status)")
        case .grpcStatus(let status): parts.append("abort with gRPC status \(status)")
        case nil: break
        }
        let percent = Double(fault.numerator) * 100 / Double(max(fault.denominator, 1))
        let names = fault.headers.map(\.name).joined(separator: ", ")
        return "\(ExplainText.percent(percent)) \(parts.joined(separator: ", "))"
            + (names.isEmpty ? "" : " where \(names) fits")
    }
}

/// Values of settings as documents write them.
enum SettingText {
    static func conditions(_ retry: Retry) -> String {
        let triggers: [(String, RetryTriggers)] = [
            ("connect-failure", .connectFailure), ("refused-stream", .refusedStream), ("reset", .reset),
            ("timeout", .timeout),
        ]
        let names = [
            1: "cancelled", 2: "unknown", 4: "deadline-exceeded", 8: "resource-exhausted", 10: "aborted",
            13: "internal", 14: "unavailable",
        ]
        let all =
            triggers.filter { retry.triggers.contains($0.1) }.map(\.0)
            + retry.grpcStatuses.map { names[$0] ?? "grpc-status-\($0)" }
        return all.isEmpty ? "none" : all.joined(separator: " ")
    }

    static func range(_ range: ClosedRange<Int>) -> String {
        range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
    }

    static func number(_ number: Int?) -> String { number.map(String.init) ?? "no limit" }

    /// A number that 0 turns off.
    static func switchable(_ number: Int?) -> String { String(number ?? 0) }

    /// Thousandths as a decimal number.
    static func decimal(_ thousandths: Int) -> String {
        var text = "\(thousandths / 1000).\(String(thousandths % 1000 + 1000).dropFirst())"
        while text.hasSuffix("0") { text.removeLast() }
        return text.hasSuffix(".") ? String(text.dropLast()) : text
    }

    static func hash(_ source: HashSource) -> String {
        switch source {
        case .header(let name): "header \(name)"
        case .cookie(let name, _, let time): "cookie \(name)" + (time.map { " (ttl \($0.asWritten))" } ?? "")
        case .sourceIP: "sourceIP"
        case .queryParam(let name): "queryParam \(name)"
        }
    }
}
