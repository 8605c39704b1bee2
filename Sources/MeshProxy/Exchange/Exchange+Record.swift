import MeshCore
import MeshHTTP
import MeshTelemetry

extension Exchange {
    /// Accounts for the exchange, which has just ended at `side`.
    func record(_ side: DownstreamSide) {
        guard let origin = side.withOrigin({ origin, _ in Link(origin) }) else { return }
        if origin({ $0.listener.isAdmin }) { return }
        var record = ExchangeRecord(
            slot: account.slot, listener: metricsListener, started: account.started, ended: worker.loop.now,
            version: request.version)
        record.status = account.status
        record.reason = account.reason
        record.grpcStatus = account.grpcStatus
        record.requestBytes = UInt64(account.requestBytes)
        record.responseBytes = UInt64(account.responseBytes)
        if let configuration, configuration.countsHops {
            let hop = configuration.hop(listener: listener, rule: rule, share: share, passes: passthrough != nil)
            record.hopSlot = hop.slot
            record.hopSide = hop.isInbound ? side.withOrigin { $1.hopSide } ?? 0 : account.hopSide
        }
        worker.record(record) { fill(&$0, side) }
    }

    private func fill(_ record: inout ExchangeRecord, _ side: DownstreamSide) {
        record.attempts = account.attempts
        record.upstreamConnect = account.upstreamConnect
        record.upstreamFirstByte = account.firstByte
        record.wasCutOff = account.wasCutOff
        record.endpoint = account.endpoint
        record.policy = account.policy
        if request.methodRange.count > 0 {
            record.request = Link(request)
            record.routedPath = account.routedPath
            record.routedAuthority = account.routedAuthority
        }
        if account.status != 0 { record.response = Link(response) }
        side.withOrigin { _, connection in
            record.client = connection.peerText
            record.tls = connection.tls?.facts().map { Link($0) }
        }
    }
}
