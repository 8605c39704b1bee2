import MeshModel

/// What concerns requests on their way, in a rule and in a TrafficPolicy.
enum RequestSettings {
    /// What a TrafficPolicy may say; `timeouts` are its fields of that name.
    static func all(_ spec: Fields, timeouts: Fields?) -> [Setting<RequestPolicy>] {
        var result: [Setting<RequestPolicy>] = []
        if let retry = RetryDocument.policy(spec) { result.append(retry) }
        if let timeouts { result += self.timeouts(timeouts, ["request", "backendRequest", "idle"]) }
        check(result, spec.report)
        if let limits = rateLimits(spec) { result.append(limits) }
        if let faults = FaultDocument.setting(spec) { result.append(faults) }
        if let priority = spec.choice("priority", PriorityName.self) {
            result.append(Setting(name: "priority", place: priority.place) { $0.priority = priority.value.model })
        }
        return result
    }

    /// What the standard lets a rule of an HTTPRoute say.
    static func inline(_ rule: Fields) -> [Setting<RequestPolicy>] {
        var result: [Setting<RequestPolicy>] = []
        if let fields = rule.fields("timeouts") {
            result += timeouts(fields, ["request", "backendRequest"])
            fields.done()
        }
        check(result, rule.report)
        if let retry = RetryDocument.inline(rule) { result.append(retry) }
        return result
    }

    /// The timeouts called `names`; 0 is none, also where something weaker sets one.
    private static func timeouts(_ fields: Fields, _ names: [String]) -> [Setting<RequestPolicy>] {
        let paths: [String: WritableKeyPath<RequestPolicy, Duration?>] = [
            "request": \.timeouts.request, "backendRequest": \.timeouts.backendRequest, "idle": \.timeouts.idle,
        ]
        return names.compactMap { name in
            guard let given = fields.duration(name), let path = paths[name] else { return nil }
            let value = given.value == 0 ? Timeouts.unlimited : Duration.nanoseconds(given.value)
            return Setting(name: "timeouts.\(name)", place: given.place) { $0[keyPath: path] = value }
        }
    }

    /// What one document says against itself.
    private static func check(_ settings: [Setting<RequestPolicy>], _ report: Report) {
        var policy = RequestPolicy()
        var places: [String: Place] = [:]
        for setting in settings {
            setting.apply(&policy)
            places.note(setting, under: "")
        }
        for problem in policy.contradictions() {
            guard let place = places[problem.field] else { continue }
            report.error(problem.message, at: place, remedy: problem.remedy)
        }
    }

    private enum PriorityName: String, CaseIterable {
        case low = "LOW"
        case normal = "NORMAL"
        case high = "HIGH"

        var model: RequestPriority {
            switch self {
            case .low: .low
            case .normal: .normal
            case .high: .high
            }
        }
    }

    // MARK: Rate limits

    private enum KeyName: String, CaseIterable {
        case rule = "RULE"
        case identity = "IDENTITY"
        case header = "HEADER"
        case address = "ADDRESS"
    }

    private static func rateLimits(_ spec: Fields) -> Setting<RequestPolicy>? {
        guard spec.has("rateLimits") else {
            spec.ignore("rateLimits")
            return nil
        }
        var parts: [String: Place] = [:]
        var limits: [RequestRateLimit] = []
        limits = spec.list("rateLimits", most: 16) { fields in
            parts["\(parts.count)"] = fields.place
            return rateLimit(fields)
        }
        let result = limits
        return Setting(name: "rateLimits", place: spec.place(of: "rateLimits"), parts: parts) {
            $0.rateLimits = result
        }
    }

    private static func rateLimit(_ fields: Fields) -> RequestRateLimit? {
        let by = fields.choice("by", KeyName.self)
        let header = fields.string("header").flatMap { Syntax.headerName($0, fields.report)?.lowercased() }
        let key: RequestRateLimit.Key
        switch by?.value ?? (fields.has("header") ? .header : .rule) {
        case .rule: key = .rule
        case .identity: key = .identity
        case .address: key = .address
        case .header:
            if !fields.has("header") { fields.missing("header", remedy: "header: x-api-key") }
            key = .header(name: header ?? "")
        }
        if let by, by.value != .header, fields.has("header") {
            fields.report.error(
                "header belongs to HEADER only", at: fields.place(of: "header"), remedy: "write by: HEADER")
        }
        if !fields.has("requests") { fields.missing("requests", remedy: "requests: 100") }
        let requests = fields.integer("requests", in: 1...1_000_000_000)
        let burst = fields.integer("burst", in: 1...1_000_000_000)
        let unit = unit(fields)
        return requests.map { RequestRateLimit(key: key, requests: $0.value, unit: unit, burst: burst?.value) }
    }

    /// A duration, or a word for one.
    private static func unit(_ fields: Fields) -> Duration {
        let words: [String: Duration] = [
            "second": .seconds(1), "minute": .seconds(60), "hour": .seconds(3600), "day": .seconds(86_400),
        ]
        if let node = fields.node("unit"), case .scalar(let text, _) = node.content,
            let duration = words[text.lowercased()]
        {
            return duration
        }
        var reader = PartReader(fields)
        var unit = Duration.seconds(1)
        reader.duration("unit", &unit)
        return unit
    }
}

extension RequestPolicy {
    /// Something that contradicts something else.
    struct Contradiction {
        /// The field that is too large, and the one that it is larger than.
        var field: String
        var bound: String
        var message: String
        var remedy: String
    }

    /// Parts of a request's time that are longer than the whole.
    func contradictions() -> [Contradiction] {
        guard let request = timeouts.request, request != Timeouts.unlimited else { return [] }
        let parts: [(String, Duration?)] = [
            ("timeouts.backendRequest", timeouts.backendRequest), ("retry.perTryTimeout", retry?.perTryTimeout),
            ("retry.hedgeDelay", retry?.hedgeDelay),
        ]
        return parts.compactMap { field, value in
            guard let value, value > request, value != Timeouts.unlimited else { return nil }
            return Contradiction(
                field: field, bound: "timeouts.request",
                message: "\(field) is longer than timeouts.request, which is \(request.asWritten)",
                remedy: "at most \(request.asWritten)")
        }
    }
}

/// A share of requests: `percent`, or `fraction: {numerator, denominator}`; all of them where neither is written.
struct Share {
    var numerator: Int
    var denominator: Int

    init(_ fields: Fields) {
        let percent = fields.integer("percent", in: 0...100)
        (numerator, denominator) = (percent?.value ?? 100, 100)
        guard let fraction = fields.fields("fraction") else { return }
        defer { fraction.done() }
        if let percent {
            fields.report.error(
                "percent and fraction cannot stand together", at: percent.place, remedy: "keep one of them")
        }
        denominator = fraction.integer("denominator", in: 1...Int(Int32.max))?.value ?? 100
        if let value = fraction.integer("numerator", in: 0...Int(Int32.max)) {
            numerator = value.value
            if value.value > denominator {
                fields.report.error(
                    "the numerator is larger than the denominator \(denominator)", at: value.place,
                    remedy: "at most \(denominator)")
            }
        } else if !fraction.has("numerator") {
            fraction.missing("numerator")
        }
    }
}

/// `faults` of a TrafficPolicy.
enum FaultDocument {
    static func setting(_ spec: Fields) -> Setting<RequestPolicy>? {
        guard spec.has("faults") else {
            spec.ignore("faults")
            return nil
        }
        var parts: [String: Place] = [:]
        var faults: [Fault] = []
        faults = spec.list("faults", most: 16) { fields in
            parts["\(parts.count)"] = fields.place
            return fault(fields)
        }
        let result = faults
        return Setting(name: "faults", place: spec.place(of: "faults"), parts: parts) { $0.faults = result }
    }

    private static func fault(_ fields: Fields) -> Fault {
        let share = Share(fields)
        var fault = Fault(numerator: share.numerator, denominator: share.denominator)
        fault.headers = ValueMatch.list(fields, "headers") { Syntax.headerName($0, fields.report)?.lowercased() }
            .map { NamedMatch($0) }
        var reader = PartReader(fields)
        reader.duration("delay", &fault.delay)
        if let abort = fields.fields("abort") {
            let status = abort.integer("status", in: 200...599)
            let grpc = abort.integer("grpcStatus", in: 1...16)
            if let status { fault.abort = .status(status.value) }
            if let grpc { fault.abort = .grpcStatus(grpc.value) }
            if abort.has("status") == abort.has("grpcStatus") {
                fields.report.error(
                    abort.has("status") ? "abort has status and grpcStatus" : "abort does not say with what",
                    at: abort.place, remedy: "one of status: 503 and grpcStatus: 14")
            }
            abort.done()
        }
        if !fields.has("delay"), !fields.has("abort") {
            fields.report.error(
                "the fault does nothing", at: fields.place, remedy: "delay: 2s, abort: {status: 503}, or both")
        }
        return fault
    }
}

extension NamedMatch {
    init(_ match: ValueMatch) {
        self.init(name: match.name, value: match.kind == .exact ? .exact(match.value) : .regex(match.value))
    }
}
