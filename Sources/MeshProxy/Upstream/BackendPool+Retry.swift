import MeshTraffic

extension BackendPool {
    /// Takes a place for one more retry in the backend's budget, to be given back with ``endRetry()``; nil: taken, else
    /// why there is none, which is counted.
    func beginRetry() -> RetryVerdict.Refusal? {
        var active = 0
        for endpoint in endpoints { active &+= balancer.activeCount(at: endpoint.index) }
        let refusal = retryGate.begin(
            backend.model.retryBudget, maxRetries: backend.limits.maxRetries, active: active, shared: backend.retries)
        if let refusal {
            worker.metrics.upstreamRetry(
                backend: metricsSlot, refusal == .limit ? .refusedByLimit : .refusedByBudget)
        }
        return refusal
    }

    /// The retry is over, or its response goes to the client.
    func endRetry() { retryGate.end(backend.retries) }
}
