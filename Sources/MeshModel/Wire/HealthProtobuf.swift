import MeshCore

extension HealthCheck {
    init(protobuf: ProtoHealthCheck) throws(ProxyError) {
        let probe: Probe
        switch protobuf.probe {
        case .http(let http):
            var statuses: [ClosedRange<Int>] = []
            for range in http.statuses {
                guard range.first <= range.last else {
                    throw ProxyError("the compiled configuration is damaged: a range of statuses ends before it begins")
                }
                statuses.append(Int(range.first)...Int(range.last))
            }
            probe = .http(path: http.path, host: http.hasHost ? http.host : nil, statuses: statuses)
        case .grpc(let service): probe = .grpc(service: service)
        case .tcp: probe = .tcp
        case nil: throw Protobuf.unknown("kind of health check")
        }
        self.init(
            probe, interval: Duration(protobuf: protobuf.interval), timeout: Duration(protobuf: protobuf.timeout),
            healthyThreshold: Int(protobuf.healthyThreshold), unhealthyThreshold: Int(protobuf.unhealthyThreshold),
            port: protobuf.hasPort ? try Protobuf.port(protobuf.port) : nil)
    }

    func protobuf() -> ProtoHealthCheck {
        var message = ProtoHealthCheck()
        switch probe {
        case .http(let path, let host, let statuses):
            message.http.path = path
            if let host { message.http.host = host }
            message.http.statuses = statuses.map { range in
                var message = ProtoStatusRange()
                message.first = Int32(clamping: range.lowerBound)
                message.last = Int32(clamping: range.upperBound)
                return message
            }
        case .grpc(let service): message.grpc = service
        case .tcp: message.tcp = ProtoEmpty()
        }
        message.interval = interval.protobuf()
        message.timeout = timeout.protobuf()
        message.healthyThreshold = Int64(healthyThreshold)
        message.unhealthyThreshold = Int64(unhealthyThreshold)
        if let port { message.port = UInt32(port) }
        return message
    }
}

extension OutlierDetection {
    init(protobuf: ProtoOutlierDetection) {
        self.init(
            consecutive5xx: protobuf.hasConsecutive5Xx ? Int(protobuf.consecutive5Xx) : nil,
            consecutiveGatewayErrors: protobuf.hasConsecutiveGatewayErrors
                ? Int(protobuf.consecutiveGatewayErrors) : nil,
            consecutiveConnectFailures: protobuf.hasConsecutiveConnectFailures
                ? Int(protobuf.consecutiveConnectFailures) : nil,
            interval: Duration(protobuf: protobuf.interval),
            baseEjectionTime: Duration(protobuf: protobuf.baseEjectionTime),
            maxEjectionTime: Duration(protobuf: protobuf.maxEjectionTime),
            maxEjectionPercent: Int(protobuf.maxEjectionPercent))
        if protobuf.hasSuccessRate {
            successRate = SuccessRateDetection(
                minimumEndpoints: Int(protobuf.successRate.minimumEndpoints),
                requestVolume: Int(protobuf.successRate.requestVolume),
                deviationThousandths: Int(protobuf.successRate.deviationThousandths))
        }
        if protobuf.hasFailurePercentage {
            failurePercentage = FailurePercentageDetection(
                threshold: Int(protobuf.failurePercentage.threshold),
                minimumEndpoints: Int(protobuf.failurePercentage.minimumEndpoints),
                requestVolume: Int(protobuf.failurePercentage.requestVolume))
        }
    }

    func protobuf() -> ProtoOutlierDetection {
        var message = ProtoOutlierDetection()
        if let consecutive5xx { message.consecutive5Xx = Int64(consecutive5xx) }
        if let consecutiveGatewayErrors { message.consecutiveGatewayErrors = Int64(consecutiveGatewayErrors) }
        if let consecutiveConnectFailures { message.consecutiveConnectFailures = Int64(consecutiveConnectFailures) }
        if let successRate {
            message.successRate.minimumEndpoints = Int64(successRate.minimumEndpoints)
            message.successRate.requestVolume = Int64(successRate.requestVolume)
            message.successRate.deviationThousandths = Int64(successRate.deviationThousandths)
        }
        if let failurePercentage {
            message.failurePercentage.threshold = Int64(failurePercentage.threshold)
            message.failurePercentage.minimumEndpoints = Int64(failurePercentage.minimumEndpoints)
            message.failurePercentage.requestVolume = Int64(failurePercentage.requestVolume)
        }
        message.interval = interval.protobuf()
        message.baseEjectionTime = baseEjectionTime.protobuf()
        message.maxEjectionTime = maxEjectionTime.protobuf()
        message.maxEjectionPercent = Int64(maxEjectionPercent)
        return message
    }
}
