import MeshCore
import Synchronization

/// Sessions that a client can resume, by server. Bounded; the server heard of longest ago goes first.
final class SessionStore: Sendable {
    /// Several at a time, as TLS 1.3 sessions are used once and connections are opened in bursts.
    static let perServer = 4

    private struct Entry: Sendable {
        var sessions: [OwnedSession]
        var stamp: UInt64
    }

    private struct State: Sendable {
        var entries: [String: Entry] = [:]
        var count = 0
        var clock: UInt64 = 0
    }

    private let limit: Int
    /// Held per handshake, never per request.
    private let state = Mutex(State())

    /// A store for up to `limit` sessions.
    init(limit: Int) { self.limit = limit }

    /// Sessions kept now.
    var count: Int { state.withLock { $0.count } }

    /// Keeps `session` for the next connection to `server`.
    func put(_ session: OwnedSession, for server: String) {
        state.withLock {
            $0.clock &+= 1
            var entry = $0.entries[server] ?? Entry(sessions: [], stamp: 0)
            entry.stamp = $0.clock
            // A server that speaks TLS 1.2 needs one session only, the newest.
            let room = session.isSingleUse ? Self.perServer : 1
            while entry.sessions.count >= room {
                entry.sessions.removeFirst()
                $0.count -= 1
            }
            entry.sessions.append(session)
            $0.entries[server] = entry
            $0.count += 1
            while $0.count > limit, let oldest = $0.entries.min(by: { $0.value.stamp < $1.value.stamp }) {
                $0.count -= oldest.value.sessions.count
                $0.entries[oldest.key] = nil
            }
        }
    }

    /// A session for a connection to `server`; one that can be used once leaves the store.
    func take(for server: String) -> OwnedSession? {
        state.withLock {
            guard let session = $0.entries[server]?.sessions.last else { return nil }
            guard session.isSingleUse else { return session }
            $0.count -= 1
            $0.entries[server]?.sessions.removeLast()
            if $0.entries[server]?.sessions.isEmpty == true { $0.entries[server] = nil }
            return session
        }
    }
}
