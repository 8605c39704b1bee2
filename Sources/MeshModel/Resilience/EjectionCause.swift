/// Why an endpoint was taken out for a while: one closed set for the log, the metrics and the admin endpoint.
public enum EjectionCause: String, Sendable, Equatable, CaseIterable {
    /// ``OutlierDetection/consecutive5xx``.
    case consecutive5xx = "consecutive_5xx"
    /// ``OutlierDetection/consecutiveGatewayErrors``.
    case consecutiveGatewayErrors = "consecutive_gateway_errors"
    /// ``OutlierDetection/consecutiveConnectFailures``.
    case consecutiveConnectFailures = "consecutive_connect_failures"
    /// ``OutlierDetection/successRate``.
    case successRate = "success_rate"
    /// ``OutlierDetection/failurePercentage``.
    case failurePercentage = "failure_percentage"
    /// The one request that was let through after an ejection failed too.
    case probeFailed = "probe_failed"
}
