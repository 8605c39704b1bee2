import MeshModel
import Synchronization

/// What attempts at one endpoint came to, counted by all loops without a lock: the runs of failures, and since they
/// were last taken, how many succeeded and failed.
///
/// Relaxed: a run that two loops end and begin at the same moment may be off by one, which is not worth a fence on each
/// request.
public final class OutcomeTally: Sendable {
    private let serverErrors = Atomic<Int>(0)
    private let gatewayErrors = Atomic<Int>(0)
    private let connectFailures = Atomic<Int>(0)
    private let successes = Atomic<Int>(0)
    private let failures = Atomic<Int>(0)

    /// Nothing counted.
    public init() {}

    /// Counts one attempt. Returns the first threshold of `settings` that a run of failures has reached: then
    /// ``OutlierDetector/eject(_:_:now:)`` decides. It is said again each time that as many failures have come.
    public func note(_ outcome: AttemptOutcome, _ settings: OutlierDetection) -> EjectionCause? {
        switch outcome {
        case .none: return nil
        case .success:
            clear()
            if settings.looksAtRates { successes.add(1, ordering: .relaxed) }
            return nil
        case .serverError, .gatewayError, .connectFailure, .reset, .timeout: break
        }
        if settings.looksAtRates { failures.add(1, ordering: .relaxed) }
        let isGateway = outcome == .gatewayError || outcome == .connectFailure || outcome == .timeout
        let connects = Self.extend(connectFailures, outcome == .connectFailure)
        let gateway = Self.extend(gatewayErrors, isGateway)
        let server = Self.extend(serverErrors, true)
        if Self.reaches(connects, settings.consecutiveConnectFailures) { return .consecutiveConnectFailures }
        if Self.reaches(gateway, settings.consecutiveGatewayErrors) { return .consecutiveGatewayErrors }
        return Self.reaches(server, settings.consecutive5xx) ? .consecutive5xx : nil
    }

    /// One more in the run, or the end of it.
    private static func extend(_ run: borrowing Atomic<Int>, _ goesOn: Bool) -> Int {
        if goesOn { return run.add(1, ordering: .relaxed).newValue }
        run.store(0, ordering: .relaxed)
        return 0
    }

    private static func reaches(_ run: Int, _ threshold: Int?) -> Bool {
        guard let threshold, threshold > 0, run > 0 else { return false }
        return run % threshold == 0
    }

    /// Ends all runs. Loads first: an endpoint that is well keeps its line shared between the loops.
    func clear() {
        if serverErrors.load(ordering: .relaxed) != 0 { serverErrors.store(0, ordering: .relaxed) }
        if gatewayErrors.load(ordering: .relaxed) != 0 { gatewayErrors.store(0, ordering: .relaxed) }
        if connectFailures.load(ordering: .relaxed) != 0 { connectFailures.store(0, ordering: .relaxed) }
    }

    /// What was counted since this was last called.
    func take() -> (successes: Int, failures: Int) {
        (successes.exchange(0, ordering: .relaxed), failures.exchange(0, ordering: .relaxed))
    }
}

extension OutlierDetection {
    /// True if successes have to be counted too.
    var looksAtRates: Bool { successRate != nil || failurePercentage != nil }
}
