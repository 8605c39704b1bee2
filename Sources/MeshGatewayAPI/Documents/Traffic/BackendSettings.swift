import MeshModel

/// What concerns a backend as a whole, in a Backend and in a TrafficPolicy.
enum BackendSettings {
    /// What a TrafficPolicy may say, without `timeouts.connect`.
    static func all(_ spec: Fields) -> [Setting<Backend>] {
        var result = connectionLimits(spec)
        for setting in [
            LoadBalancerDocument.setting(spec), HealthCheckDocument.setting(spec),
            OutlierDetectionDocument.setting(spec), adaptiveConcurrency(spec), retryBudget(spec),
        ] {
            if let setting { result.append(setting) }
        }
        return result
    }

    /// One setting for each limit, so that several documents can each set their own.
    static func connectionLimits(_ spec: Fields) -> [Setting<Backend>] {
        guard let fields = spec.fields("connectionLimits") else { return [] }
        defer { fields.done() }
        var result: [Setting<Backend>] = []
        func take(_ fields: Fields, _ name: String, _ range: ClosedRange<Int>, _ path: WritableKeyPath<Backend, Int?>) {
            guard let given = fields.integer(name, in: range) else { return }
            result.append(Setting(name: full(fields, name), place: given.place) { $0[keyPath: path] = given.value })
        }
        func take(_ fields: Fields, _ name: String, _ range: ClosedRange<Int>, _ path: WritableKeyPath<Backend, Int>) {
            guard let given = fields.integer(name, in: range) else { return }
            result.append(Setting(name: full(fields, name), place: given.place) { $0[keyPath: path] = given.value })
        }
        func full(_ owner: Fields, _ name: String) -> String {
            owner === fields ? "connectionLimits.\(name)" : "connectionLimits.endpoint.\(name)"
        }
        take(fields, "maxConnections", 1...1_000_000, \.limits.maxConnections)
        take(fields, "maxIdleConnections", 0...1_000_000, \.limits.maxIdleConnections)
        take(fields, "maxRequestsPerConnection", 1...1_000_000_000, \.limits.maxRequestsPerConnection)
        take(fields, "maxConcurrentStreams", 1...100_000, \.limits.maxConcurrentStreams)
        take(fields, "maxRequests", 1...1_000_000, \.limits.maxRequests)
        take(fields, "maxPendingRequests", 0...1_000_000, \.limits.maxPendingRequests)
        take(fields, "maxRetries", 0...1_000_000, \.limits.maxRetries)
        var reader = PartReader(fields)
        var pending: Duration?
        reader.duration("pendingTimeout", &pending)
        if let pending {
            let place = fields.place(of: "pendingTimeout")
            result.append(
                Setting(name: full(fields, "pendingTimeout"), place: place) { $0.limits.pendingTimeout = pending })
        }
        if let endpoint = fields.fields("endpoint") {
            take(endpoint, "maxConnections", 1...1_000_000, \.limits.endpoint.maxConnections)
            take(endpoint, "maxRequests", 1...1_000_000, \.limits.endpoint.maxRequests)
            endpoint.done()
        }
        return result
    }

    private static func adaptiveConcurrency(_ spec: Fields) -> Setting<Backend>? {
        guard let fields = spec.fields("adaptiveConcurrency") else { return nil }
        defer { fields.done() }
        var reader = PartReader(fields)
        var adaptive = AdaptiveConcurrency()
        reader.number("minLimit", in: 1...1_000_000, &adaptive.minLimit)
        reader.number("maxLimit", in: 1...1_000_000, &adaptive.maxLimit)
        reader.number("initialLimit", in: 1...1_000_000, &adaptive.initialLimit)
        reader.duration("interval", &adaptive.interval)
        reader.number("tolerance", in: 100...10_000, &adaptive.tolerance)
        // A default gives way to what was written.
        if !fields.has("maxLimit") { adaptive.maxLimit = max(adaptive.maxLimit, adaptive.minLimit) }
        if !fields.has("minLimit") { adaptive.minLimit = min(adaptive.minLimit, adaptive.maxLimit) }
        if adaptive.minLimit > adaptive.maxLimit {
            fields.report.error(
                "minLimit \(adaptive.minLimit) is more than maxLimit \(adaptive.maxLimit)",
                at: fields.place(of: "minLimit"), remedy: "at most \(adaptive.maxLimit)")
        } else if !(adaptive.minLimit...adaptive.maxLimit).contains(adaptive.initialLimit) {
            if fields.has("initialLimit") {
                fields.report.error(
                    "initialLimit \(adaptive.initialLimit) is not between minLimit and maxLimit",
                    at: fields.place(of: "initialLimit"),
                    remedy: "a number from \(adaptive.minLimit) to \(adaptive.maxLimit)")
            }
            adaptive.initialLimit = min(max(adaptive.initialLimit, adaptive.minLimit), adaptive.maxLimit)
        }
        let result = adaptive
        return Setting(name: "adaptiveConcurrency", place: spec.place(of: "adaptiveConcurrency"), parts: reader.places)
        {
            $0.adaptiveConcurrency = result
        }
    }

    private static func retryBudget(_ spec: Fields) -> Setting<Backend>? {
        guard let fields = spec.fields("retryBudget") else { return nil }
        defer { fields.done() }
        var reader = PartReader(fields)
        var budget = RetryBudget()
        reader.number("percent", in: 0...100, &budget.percent)
        reader.number("minConcurrency", in: 0...1_000_000, &budget.minConcurrency)
        let result = budget
        return Setting(name: "retryBudget", place: spec.place(of: "retryBudget"), parts: reader.places) {
            $0.retryBudget = result
        }
    }
}

extension BackendSettings {
    /// `connect` of `timeouts`.
    static func connectTimeout(_ timeouts: Fields) -> Setting<Backend>? {
        duration(timeouts, "connect", \.connectTimeout)
    }

    /// `idle` of a Backend's `timeouts`.
    static func idleTimeout(_ timeouts: Fields) -> Setting<Backend>? { duration(timeouts, "idle", \.idleTimeout) }

    private static func duration(
        _ timeouts: Fields, _ name: String, _ path: WritableKeyPath<Backend, Duration>
    ) -> Setting<Backend>? {
        guard let given = timeouts.duration(name) else { return nil }
        guard given.value > 0 else {
            timeouts.report.error("the timeout must not be 0", at: given.place, remedy: "for example 5s")
            return nil
        }
        return Setting(name: "timeouts.\(name)", place: given.place) { $0[keyPath: path] = .nanoseconds(given.value) }
    }
}
