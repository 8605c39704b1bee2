import Synchronization

/// What the API has done, for `/metrics`.
final class APICounters: Sendable {
    private struct Key: Hashable, Comparable {
        var operation: String
        var status: Int

        static func < (left: Key, right: Key) -> Bool {
            (left.operation, left.status) < (right.operation, right.status)
        }
    }

    private struct State {
        var requests: [Key: Int] = [:]
        var failures: [String: Int] = ["unauthenticated": 0, "forbidden": 0, "limited": 0]
    }

    private let state = Mutex(State())

    /// A request was answered; `operation` is one of the table's, or `none`.
    func answered(_ operation: String, status: Int) {
        state.withLock { $0.requests[Key(operation: operation, status: status), default: 0] += 1 }
    }

    /// Somebody was not let in.
    func refused(_ why: String) { state.withLock { $0.failures[why, default: 0] += 1 } }

    /// Prometheus text.
    func exposition() -> String {
        let state = state.withLock { $0 }
        var text = """
            # HELP martlet_api_requests_total Requests to the HTTP API.
            # TYPE martlet_api_requests_total counter

            """
        for (key, count) in state.requests.sorted(by: { $0.key < $1.key }) {
            text += "martlet_api_requests_total{operation=\"\(key.operation)\",status=\"\(key.status)\"} \(count)\n"
        }
        text += """
            # HELP martlet_api_authentication_failures_total Requests to the HTTP API from those who may not.
            # TYPE martlet_api_authentication_failures_total counter

            """
        for (why, count) in state.failures.sorted(by: { $0.key < $1.key }) {
            text += "martlet_api_authentication_failures_total{reason=\"\(why)\"} \(count)\n"
        }
        return text
    }
}
