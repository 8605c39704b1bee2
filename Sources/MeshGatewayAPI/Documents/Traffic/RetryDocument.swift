import MeshModel

/// `retry` of a TrafficPolicy and of a rule.
enum RetryDocument {
    /// As the standard has it in a rule: codes, attempts and the first pause. What cannot have been answered is tried
    /// again too: failed connects, refused streams and resets.
    static func inline(_ rule: Fields) -> Setting<RequestPolicy>? {
        guard let fields = rule.fields("retry") else { return nil }
        defer { fields.done() }
        var reader = PartReader(fields)
        var retry = Retry(triggers: [.connectFailure, .refusedStream, .reset])
        if let attempts = attempts(&reader, least: 1, zero: "remove retry: nothing is tried again without it") {
            retry.attempts = attempts
        }
        retry.codes = codes(&reader)
        var base: Duration?
        reader.duration("backoff", orZero: true, &base)
        if let base {
            retry.backoff = Backoff(base: base, max: base * 10)
            if base > .seconds(3600) {
                fields.report.error(
                    "backoff is longer than an hour", at: fields.place(of: "backoff"), remedy: "1h or less")
            }
        }
        for name in ["on", "perTryTimeout", "nonIdempotent", "bufferBytes", "maxRetryAfter", "hedgeDelay"]
        where fields.has(name) {
            fields.ignore(name)
            fields.report.error(
                "unknown field \"\(name)\"", at: fields.place(of: name),
                remedy: "a TrafficPolicy for the route or its rule has it")
        }
        let result = retry
        return Setting(name: "retry", place: rule.place(of: "retry"), parts: reader.places) { $0.retry = result }
    }

    /// As a TrafficPolicy has it.
    static func policy(_ spec: Fields) -> Setting<RequestPolicy>? {
        guard let fields = spec.fields("retry") else { return nil }
        defer { fields.done() }
        var reader = PartReader(fields)
        var retry = Retry()
        if let attempts = attempts(&reader, least: 0, zero: "") { retry.attempts = attempts }
        retry.codes = codes(&reader)
        conditions(&reader, &retry)
        reader.duration("perTryTimeout", &retry.perTryTimeout)
        backoff(&reader, &retry)
        reader.boolean("nonIdempotent", &retry.nonIdempotent)
        reader.bytes("bufferBytes", in: 0...(64 << 20), &retry.bufferBytes)
        reader.duration("maxRetryAfter", orZero: true, &retry.maxRetryAfter)
        reader.duration("hedgeDelay", &retry.hedgeDelay)
        if retry.maxRetryAfter > .seconds(86_400) {
            fields.report.error(
                "maxRetryAfter is longer than a day", at: fields.place(of: "maxRetryAfter"), remedy: "24h or less")
        }
        let isUseless = retry.codes.isEmpty && retry.grpcStatuses.isEmpty && retry.triggers.isEmpty
        if isUseless, retry.attempts > 0 {
            fields.report.warning(
                "there is nothing that retry is for", at: fields.place,
                remedy: "codes: [503], or on: [connect-failure, refused-stream]")
        }
        let result = retry
        return Setting(name: "retry", place: spec.place(of: "retry"), parts: reader.places) { $0.retry = result }
    }

    // MARK: Parts

    private static func attempts(_ reader: inout PartReader, least: Int, zero remedy: String) -> Int? {
        guard let given = reader.fields.integer("attempts", in: 0...100) else { return nil }
        reader.note("attempts", given.place)
        guard given.value >= least else {
            reader.fields.report.error("attempts is 0, which is no retry", at: given.place, remedy: remedy)
            return nil
        }
        return given.value
    }

    private static func codes(_ reader: inout PartReader) -> [Int] {
        let fields = reader.fields
        if fields.has("codes") { reader.note("codes", fields.place(of: "codes")) }
        var codes: [Int] = []
        for (node, place) in fields.items("codes", most: 64) {
            if case .scalar(let text, true) = node.content, let code = Int(text), (400...599).contains(code) {
                if !codes.contains(code) { codes.append(code) }
            } else {
                fields.report.error(
                    "a retry code must be a number from 400 to 599", at: place, remedy: "for example 503")
            }
        }
        return codes
    }

    private static func backoff(_ reader: inout PartReader, _ retry: inout Retry) {
        reader.inside("backoff") { inner in
            inner.duration("base", orZero: true, &retry.backoff.base)
            if inner.fields.has("base") { retry.backoff.max = retry.backoff.base * 10 }
            inner.duration("max", orZero: true, &retry.backoff.max)
            let longest = Duration.seconds(3600)
            if retry.backoff.max > longest || retry.backoff.base > longest {
                let name = retry.backoff.base > longest ? "base" : "max"
                inner.fields.report.error(
                    "backoff.\(name) is longer than an hour", at: inner.fields.place(of: name), remedy: "1h or less")
            } else if retry.backoff.max < retry.backoff.base {
                inner.fields.report.error(
                    "backoff.max is shorter than backoff.base, which is \(retry.backoff.base.asWritten)",
                    at: inner.fields.place(of: "max"), remedy: "\(retry.backoff.base.asWritten) or more")
            }
        }
    }

    // MARK: On

    /// What `on` may name beside codes.
    static let triggers: [String: RetryTriggers] = [
        "connect-failure": .connectFailure, "refused-stream": .refusedStream, "reset": .reset, "timeout": .timeout,
    ]
    private static let groups: [String: [Int]] = ["5xx": Array(500...599), "gateway-error": [502, 503, 504]]
    /// gRPC statuses after which another attempt may succeed.
    static let statuses: [String: Int] = [
        "cancelled": 1, "unknown": 2, "deadline-exceeded": 4, "resource-exhausted": 8, "aborted": 10, "internal": 13,
        "unavailable": 14,
    ]

    private static func conditions(_ reader: inout PartReader, _ retry: inout Retry) {
        let fields = reader.fields
        guard fields.has("on") else {
            fields.ignore("on")
            return
        }
        reader.note("on", fields.place(of: "on"))
        retry.triggers = []
        for condition in fields.strings("on", most: 32) {
            if let trigger = triggers[condition.value] {
                retry.triggers.insert(trigger)
            } else if let status = statuses[condition.value] {
                if !retry.grpcStatuses.contains(status) { retry.grpcStatuses.append(status) }
            } else if let codes = groups[condition.value] {
                retry.codes += codes.filter { !retry.codes.contains($0) }
            } else {
                let known = Array(triggers.keys) + Array(statuses.keys) + Array(groups.keys)
                let isCode = Int(condition.value).map { (400...599).contains($0) } ?? false
                fields.report.error(
                    "\"\(condition.value)\" is not something to try again on", at: condition.place,
                    remedy: isCode
                        ? "codes: [\(condition.value)]" : Suggestion.remedy(for: condition.value, in: known))
            }
        }
    }
}
