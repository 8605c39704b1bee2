import MeshCore
import MeshModel
import MeshTraffic

extension Exchange {
    /// What it says about the endpoint that a clock ran out.
    func outcome(ofExpiry reason: Reason) -> AttemptOutcome {
        switch reason {
        case .upstreamTimeout: .timeout
        // The endpoint had all it needed, and was silent.
        case .requestTimeout, .idleTimeout: state.phase == .awaiting && state.requestSent ? .timeout : .none
        default: .none
        }
    }

    /// What the response says about the endpoint that it came from.
    var outcomeOfResponse: AttemptOutcome {
        AttemptOutcome(status: account.status, grpcStatus: account.grpcStatus)
    }

    /// A stream may last for hours: what its beginning says of a half-open endpoint is enough to bring it back.
    func settleProbe() {
        guard admission.contains(.probe), let endpoint else { return }
        admission.remove(.probe)
        endpoint.giveBack(.probe, AttemptResult(outcome: outcomeOfResponse))
    }

    /// True if the proxy has so much to do that a request of this priority is refused.
    var isShed: Bool { worker.overload.refuses(plan?.priority ?? .normal) }
}

extension AttemptOutcome {
    /// What a failed attempt says about its endpoint.
    init(_ failure: ExchangeState.Failure) {
        switch failure {
        // The endpoint closed a connection that was idle: that is its right.
        case .staleConnection: self = .none
        case .unprocessed(let reason), .failed(let reason): self.init(reason)
        }
    }
}
