import MeshCore
import MeshHTTP
import MeshTraffic

/// Who may do what.
extension Exchange {
    /// True if the rules of section `section` refuse the request, and it is answered.
    func isDenied(_ table: AccessTable, section: Int) -> Bool {
        guard let path = table.path(of: request) else {
            answer(.invalidPath)
            return true
        }
        let verdict =
            downstream.withOrigin { origin, connection in
                let address =
                    table.looksAtAddresses
                    ? ForwardedFields.client(of: request, origin, connection).ipv6Halves : (high: 0, low: 0)
                let peer = origin.isTLS ? connection.peerIdentity : nil
                let (identity, namespace) = (peer?.uri ?? [], peer?.namespace ?? [])
                let caller = AccessCaller(identity: identity.span, namespace: namespace.span, address: address)
                return table.judge(caller, request, path: path)
            } ?? .allowed
        guard let policy = verdict.denied ?? verdict.audited else { return false }
        let isAudit = verdict.denied == nil
        if let slot = configuration?.accessSlot(listener: listener, section: section, policy: policy) {
            worker.metrics.accessDenied(slot, isAudit: isAudit)
        }
        account.policy = Array(table.names[policy].utf8)
        if isAudit { return false }
        answer(.accessDenied)
        return true
    }
}
