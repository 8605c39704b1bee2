import MeshModel

/// `healthCheck` of a TrafficPolicy, `readiness` of a Workload.
enum HealthCheckDocument {
    static func setting(_ spec: Fields) -> Setting<Backend>? {
        guard let (check, parts) = read(spec, "healthCheck") else { return nil }
        return Setting(name: "healthCheck", place: spec.place(of: "healthCheck"), parts: parts) {
            $0.healthCheck = check
        }
    }

    /// The check in field `name` of `owner`, and where its parts are written.
    static func read(_ owner: Fields, _ name: String) -> (check: HealthCheck, parts: [String: Place])? {
        guard let fields = owner.fields(name) else { return nil }
        defer { fields.done() }
        var reader = PartReader(fields)
        let probe = probe(&reader, name)
        var check = HealthCheck(probe ?? .tcp)
        reader.duration("interval", &check.interval)
        reader.duration("timeout", &check.timeout)
        reader.number("healthyThreshold", in: 1...1000, &check.healthyThreshold)
        reader.number("unhealthyThreshold", in: 1...1000, &check.unhealthyThreshold)
        if let port = fields.integer("port", in: 1...65535) {
            check.port = UInt16(clamping: port.value)
            reader.note("port", port.place)
        }
        if check.timeout > check.interval {
            fields.report.error(
                "\(name).timeout \(check.timeout.asWritten) is longer than its interval "
                    + check.interval.asWritten, at: fields.place(of: fields.has("timeout") ? "timeout" : "interval"),
                remedy: "a timeout of at most \(check.interval.asWritten)")
        }
        return (check, reader.places)
    }

    private static func probe(_ reader: inout PartReader, _ name: String) -> HealthCheck.Probe? {
        let fields = reader.fields
        let given = ["http", "grpc", "tcp"].filter { fields.has($0) }
        var probe: HealthCheck.Probe?
        reader.inside("http") { probe = http(&$0) }
        reader.inside("grpc") { inner in
            let service = inner.fields.string("service")
            if let service {
                inner.note("service", service.place)
                let isName =
                    service.value.utf8.count <= 1024 && service.value.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
                if !isName {
                    inner.fields.report.error(
                        "\"\(service.value)\" is not a gRPC service", at: service.place, remedy: "as in shop.v1.Cart")
                }
            }
            probe = .grpc(service: service?.value ?? "")
        }
        reader.inside("tcp") { _ in probe = .tcp }
        if given.count != 1 {
            fields.report.error(
                given.isEmpty
                    ? "\(name) does not say what is asked" : "\(name) has \(given.joined(separator: " and "))",
                at: fields.place, remedy: "exactly one of http: {path: /healthz}, grpc: {} and tcp: {}")
        }
        return probe
    }

    private static func http(_ reader: inout PartReader) -> HealthCheck.Probe {
        let fields = reader.fields
        var path = "/"
        if let given = fields.string("path") {
            reader.note("path", given.place)
            path = given.value
            let isTarget =
                path.hasPrefix("/") && path.utf8.count <= 4096
                && path.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x23 }
            if !isTarget {
                fields.report.error(
                    "the path \"\(path)\" cannot be asked for", at: given.place,
                    remedy: "a path that starts with /, without spaces and #, such as /healthz")
            }
        }
        let host = fields.string("host")
        if let host {
            reader.note("host", host.place)
            if !(1...255).contains(host.value.utf8.count) || !host.value.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) {
                fields.report.error("\"\(host.value)\" is not a host", at: host.place, remedy: "such as shop.example")
            }
        }
        var statuses: [ClosedRange<Int>] = []
        if fields.has("statuses") { reader.note("statuses", fields.place(of: "statuses")) }
        for (node, place) in fields.items("statuses", most: 32) {
            if let range = range(node) {
                statuses.append(range)
            } else {
                fields.report.error(
                    "a status must be a number or a range from 100 to 599", at: place,
                    remedy: "for example 200, or \"200-299\"")
            }
        }
        return .http(path: path, host: host?.value, statuses: statuses.isEmpty ? [200...299] : statuses)
    }

    private static func range(_ node: YAMLNode) -> ClosedRange<Int>? {
        guard case .scalar(let text, _) = node.content else { return nil }
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        guard let first = ends[0], let last = ends.count == 2 ? ends[1] : first, ends.count <= 2, 100 <= first,
            first <= last, last <= 599
        else { return nil }
        return first...last
    }
}

/// `outlierDetection` of a TrafficPolicy.
enum OutlierDetectionDocument {
    static func setting(_ spec: Fields) -> Setting<Backend>? {
        guard let fields = spec.fields("outlierDetection") else { return nil }
        defer { fields.done() }
        var reader = PartReader(fields)
        var detection = OutlierDetection()
        reader.switchable("consecutive5xx", upTo: most, &detection.consecutive5xx)
        reader.switchable("consecutiveGatewayErrors", upTo: most, &detection.consecutiveGatewayErrors)
        reader.switchable("consecutiveConnectFailures", upTo: most, &detection.consecutiveConnectFailures)
        reader.inside("successRate") { inner in
            var rate = SuccessRateDetection()
            inner.number("minimumEndpoints", in: 1...most, &rate.minimumEndpoints)
            inner.number("requestVolume", in: 1...most, &rate.requestVolume)
            if let deviation = inner.fields.thousandths("deviation", in: 1...100_000) {
                rate.deviationThousandths = deviation.value
                inner.note("deviation", deviation.place)
            }
            detection.successRate = rate
        }
        reader.inside("failurePercentage") { inner in
            var failures = FailurePercentageDetection()
            inner.number("threshold", in: 1...100, &failures.threshold)
            inner.number("minimumEndpoints", in: 1...most, &failures.minimumEndpoints)
            inner.number("requestVolume", in: 1...most, &failures.requestVolume)
            detection.failurePercentage = failures
        }
        reader.duration("interval", &detection.interval)
        reader.duration("baseEjectionTime", &detection.baseEjectionTime)
        reader.duration("maxEjectionTime", &detection.maxEjectionTime)
        reader.number("maxEjectionPercent", in: 1...100, &detection.maxEjectionPercent)
        check(&detection, fields)
        let result = detection
        return Setting(name: "outlierDetection", place: spec.place(of: "outlierDetection"), parts: reader.places) {
            $0.outlierDetection = result
        }
    }

    private static let most = 1_000_000

    private static func check(_ detection: inout OutlierDetection, _ fields: Fields) {
        if detection.maxEjectionTime < detection.baseEjectionTime {
            if fields.has("maxEjectionTime") {
                fields.report.error(
                    "maxEjectionTime is shorter than baseEjectionTime, which is "
                        + detection.baseEjectionTime.asWritten,
                    at: fields.place(of: "maxEjectionTime"), remedy: "\(detection.baseEjectionTime.asWritten) or more")
            }
            detection.maxEjectionTime = detection.baseEjectionTime
        }
        let looksAtNothing =
            detection.consecutive5xx == nil && detection.consecutiveGatewayErrors == nil
            && detection.consecutiveConnectFailures == nil && detection.successRate == nil
            && detection.failurePercentage == nil
        if looksAtNothing {
            fields.report.warning(
                "outlierDetection looks at nothing: everything in it is off", at: fields.place,
                remedy: "remove it, or set for example consecutive5xx: 5")
        }
    }
}
