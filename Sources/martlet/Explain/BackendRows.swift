import MeshGatewayAPI
import MeshModel

/// What applies to a backend as a whole.
extension SettingsTable {
    mutating func backend(_ backend: Backend) {
        let key = "backend/\(backend.name)/"
        let group = "backend \(backend.name)"
        guard !rows.contains(where: { $0.group == group }) else { return }
        let written = backend.origin?.text ?? "default"
        row(group, "protocol", Self.spoken(backend), origins[key + "appProtocol"]?.fileAndLine ?? "default")
        balancer(backend.loadBalancer, group, key)
        add(group, "timeouts.connect", backend.connectTimeout.asWritten, key)
        add(group, "timeouts.idle", backend.idleTimeout.asWritten, key)
        limits(backend.limits, group, key)
        health(backend.healthCheck, group, key)
        outlier(backend.outlierDetection, group, key)
        if let adaptive = backend.adaptiveConcurrency {
            add(group, "adaptiveConcurrency.minLimit", String(adaptive.minLimit), key)
            add(group, "adaptiveConcurrency.maxLimit", String(adaptive.maxLimit), key)
            add(group, "adaptiveConcurrency.initialLimit", String(adaptive.initialLimit), key)
            add(group, "adaptiveConcurrency.interval", adaptive.interval.asWritten, key)
            add(group, "adaptiveConcurrency.tolerance", String(adaptive.tolerance), key)
        } else {
            add(group, "adaptiveConcurrency", "none", key)
        }
        add(group, "retryBudget.percent", String(backend.retryBudget.percent), key)
        add(group, "retryBudget.minConcurrency", String(backend.retryBudget.minConcurrency), key)
        let header =
            switch backend.proxyProtocol {
            case .none: "none"
            case .v1: "v1"
            case .v2: "v2"
            }
        add(group, "proxyProtocol", header, key)
        guard let tls = backend.tls else { return }
        row(group, "tls.hostname", tls.hostname, origins[key + "tls"]?.fileAndLine ?? written)
        row(
            group, "tls.trust", tls.trust == .system ? "system" : "own authorities",
            origins[key + "tls"]?.fileAndLine ?? written)
        if let certificate = tls.clientCertificate { row(group, "tls.clientCertificate", certificate.name, written) }
    }

    private mutating func balancer(_ balancer: LoadBalancer, _ group: String, _ key: String) {
        let hashes: Bool
        switch balancer.algorithm {
        case .roundRobin, .leastRequest, .random, .peakEWMA: hashes = false
        case .ringHash, .maglev: hashes = true
        }
        add(group, "loadBalancer.type", SettingText.name(balancer.algorithm), key)
        switch balancer.algorithm {
        case .roundRobin, .leastRequest, .random: break
        case .peakEWMA(let settings):
            add(group, "loadBalancer.peakEWMA.decay", settings.decay.asWritten, key)
            add(group, "loadBalancer.peakEWMA.initial", settings.initial.asWritten, key)
            add(group, "loadBalancer.peakEWMA.penalty", settings.penalty.asWritten, key)
        case .ringHash(let size): add(group, "loadBalancer.ringSize", String(size), key)
        case .maglev(let size): add(group, "loadBalancer.tableSize", String(size), key)
        }
        if hashes {
            let sources = balancer.hash.map { SettingText.hash($0) }
            add(group, "loadBalancer.hash", sources.isEmpty ? "none" : sources.joined(separator: ", "), key)
            add(group, "loadBalancer.boundedLoad", balancer.boundedLoad.map(String.init) ?? "none", key)
        }
        if let zones = balancer.zonePreference {
            add(group, "loadBalancer.zonePreference.minimumAvailable", String(zones.minimumAvailable), key)
        } else {
            add(group, "loadBalancer.zonePreference", "none", key)
        }
        if let start = balancer.slowStart {
            add(group, "loadBalancer.slowStart.window", start.window.asWritten, key)
            add(group, "loadBalancer.slowStart.minimumPercent", String(start.minimumPercent), key)
        } else {
            add(group, "loadBalancer.slowStart", "none", key)
        }
        add(group, "loadBalancer.panicThreshold", String(balancer.panicThreshold), key)
    }

    private mutating func limits(_ limits: ConnectionLimits, _ group: String, _ key: String) {
        for (name, value) in [
            ("maxConnections", SettingText.number(limits.maxConnections)),
            ("maxIdleConnections", String(limits.maxIdleConnections)),
            ("maxRequestsPerConnection", SettingText.number(limits.maxRequestsPerConnection)),
            ("maxConcurrentStreams", String(limits.maxConcurrentStreams)),
            ("maxRequests", SettingText.number(limits.maxRequests)),
            ("maxPendingRequests", String(limits.maxPendingRequests)),
            ("pendingTimeout", limits.pendingTimeout.asWritten),
            ("maxRetries", SettingText.number(limits.maxRetries)),
            ("endpoint.maxConnections", SettingText.number(limits.endpoint.maxConnections)),
            ("endpoint.maxRequests", SettingText.number(limits.endpoint.maxRequests)),
        ] {
            add(group, "connectionLimits.\(name)", value, key)
        }
    }

    private mutating func health(_ check: HealthCheck?, _ group: String, _ key: String) {
        guard let check else {
            add(group, "healthCheck", "none", key)
            return
        }
        switch check.probe {
        case .http(let path, let host, let statuses):
            add(group, "healthCheck.http.path", path, key)
            add(group, "healthCheck.http.host", host ?? "the endpoint's", key)
            add(group, "healthCheck.http.statuses", statuses.map(SettingText.range).joined(separator: " "), key)
        case .grpc(let service): add(group, "healthCheck.grpc.service", service.isEmpty ? "the server" : service, key)
        case .tcp: add(group, "healthCheck.tcp", "connects", key)
        }
        add(group, "healthCheck.interval", check.interval.asWritten, key)
        add(group, "healthCheck.timeout", check.timeout.asWritten, key)
        add(group, "healthCheck.healthyThreshold", String(check.healthyThreshold), key)
        add(group, "healthCheck.unhealthyThreshold", String(check.unhealthyThreshold), key)
        add(group, "healthCheck.port", check.port.map { "\($0)" } ?? "the endpoint's", key)
    }

    private mutating func outlier(_ detection: OutlierDetection?, _ group: String, _ key: String) {
        guard let detection else {
            add(group, "outlierDetection", "none", key)
            return
        }
        var all = [
            ("consecutive5xx", SettingText.switchable(detection.consecutive5xx)),
            ("consecutiveGatewayErrors", SettingText.switchable(detection.consecutiveGatewayErrors)),
            ("consecutiveConnectFailures", SettingText.switchable(detection.consecutiveConnectFailures)),
        ]
        if let rate = detection.successRate {
            all += [
                ("successRate.minimumEndpoints", String(rate.minimumEndpoints)),
                ("successRate.requestVolume", String(rate.requestVolume)),
                ("successRate.deviation", SettingText.decimal(rate.deviationThousandths)),
            ]
        } else {
            all.append(("successRate", "none"))
        }
        if let failures = detection.failurePercentage {
            all += [
                ("failurePercentage.threshold", String(failures.threshold)),
                ("failurePercentage.minimumEndpoints", String(failures.minimumEndpoints)),
                ("failurePercentage.requestVolume", String(failures.requestVolume)),
            ]
        } else {
            all.append(("failurePercentage", "none"))
        }
        all += [
            ("interval", detection.interval.asWritten), ("baseEjectionTime", detection.baseEjectionTime.asWritten),
            ("maxEjectionTime", detection.maxEjectionTime.asWritten),
            ("maxEjectionPercent", String(detection.maxEjectionPercent)),
        ]
        for (name, value) in all { add(group, "outlierDetection.\(name)", value, key) }
    }
}

extension SettingText {
    static func name(_ algorithm: LoadBalancer.Algorithm) -> String {
        switch algorithm {
        case .roundRobin: "ROUND_ROBIN"
        case .leastRequest: "LEAST_REQUEST"
        case .peakEWMA: "PEAK_EWMA"
        case .random: "RANDOM"
        case .ringHash: "RING_HASH"
        case .maglev: "MAGLEV"
        }
    }
}
