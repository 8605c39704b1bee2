import Synchronization

/// Decides who asks, and whether they may. Pure but for the record of failures.
struct Authentication: Sendable {
    /// What of a request says who asks.
    struct Evidence: Sendable {
        /// The peer's IP address, without port.
        var address: String
        /// The `Host` header.
        var host: String
        /// The `Authorization` header.
        var authorization: String?
        /// True if a proxy in between says that it asks for somebody else.
        var isForwarded: Bool
        /// The SPIFFE id of the client certificate, if there is one that is believed.
        var identity: String?
    }

    /// What comes of it.
    enum Verdict: Sendable, Equatable {
        /// Who it is; empty: somebody on this machine.
        case caller(String)
        /// 401: nothing was shown, or something that is wrong.
        case unauthenticated(String)
        /// 403: who it is may not.
        case forbidden(String)
        /// 429: too many wrong tokens from there.
        case limited
    }

    let token: AdminToken
    /// `spiffe://TD/ns/martlet/svc/operator`.
    let `operator`: String
    /// Where the token is, for messages.
    let tokenPath: String
    let failures: FailedAttempts

    /// Who asks `access` of this process, and whether that is all right.
    func verdict(_ access: Endpoint.Access, _ evidence: Evidence) -> Verdict {
        switch access {
        case .open: return .caller("")
        case .read, .change: break
        }
        if let authorization = evidence.authorization {
            guard failures.allows(evidence.address) else { return .limited }
            guard let text = Self.bearer(authorization), token.accepts(text) else {
                failures.note(evidence.address)
                return .unauthenticated("the token is not the admin token")
            }
            return .caller("admin token")
        }
        if let identity = evidence.identity {
            if identity == `operator` { return .caller(identity) }
            return .forbidden("\(identity) is no operator: the certificate must be for \(`operator`)")
        }
        switch access {
        case .open: return .caller("")
        case .change: return .unauthenticated("changing something needs the admin token or an operator's certificate")
        case .read: return anonymous(evidence)
        }
    }

    /// Reading is open to those on this machine who mean it: a page in a browser, whose name somebody has pointed at
    /// this machine (DNS rebinding), sends that name as the host; a reverse proxy says for whom it asks.
    private func anonymous(_ evidence: Evidence) -> Verdict {
        guard Self.isLoopback(address: evidence.address), !evidence.isForwarded else {
            return .unauthenticated("reading from another machine needs the admin token or an operator's certificate")
        }
        guard Self.isLoopback(host: evidence.host) else {
            return .forbidden(
                "the host \"\(evidence.host.prefix(100))\" is not this machine: without a token, ask 127.0.0.1")
        }
        return .caller("")
    }

    /// The token of `Bearer TOKEN`.
    static func bearer(_ field: String) -> String? {
        let parts = field.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
        return String(parts[1].drop { $0 == " " })
    }

    /// Whether an IP address is this machine's own.
    static func isLoopback(address: String) -> Bool {
        address == "::1" || isLoopbackIPv4(address)
            || (address.hasPrefix("::ffff:") && isLoopbackIPv4(String(address.dropFirst(7))))
    }

    /// Whether a `Host` is a name of this machine that nobody else can give it.
    static func isLoopback(host: String) -> Bool {
        if host.hasPrefix("[") {
            guard let end = host.firstIndex(of: "]") else { return false }
            return isPort(host[host.index(after: end)...])
                && isLoopback(address: String(host[host.index(after: host.startIndex)..<end]))
        }
        let name = host.prefix { $0 != ":" }
        return isPort(host[name.endIndex...]) && (name.lowercased() == "localhost" || isLoopbackIPv4(String(name)))
    }

    private static func isPort(_ text: Substring) -> Bool {
        text.isEmpty || (text.first == ":" && text.dropFirst().allSatisfy { "0"..."9" ~= $0 })
    }

    /// `127.`, and three more numbers: not `127.0.0.1.example.com`.
    private static func isLoopbackIPv4(_ text: String) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil && $0.first != "+" }
    }
}

/// How many wrong tokens came from where lately: ten at once, then one a second from each address.
final class FailedAttempts: Sendable {
    private struct Bucket {
        var tokens: Double
        var time: Double
    }

    private static let burst = 10.0
    private static let perSecond = 1.0
    /// Addresses beyond these share one bucket, so that nobody fills the memory.
    private static let most = 1024

    private let buckets = Mutex<[String: Bucket]>([:])
    private let now: @Sendable () -> Double

    /// With a clock, in seconds.
    init(now: @escaping @Sendable () -> Double) { self.now = now }

    /// Whether a token from there is looked at.
    func allows(_ address: String) -> Bool {
        let time = now()
        return buckets.withLock { buckets in
            guard let bucket = buckets[Self.key(address, buckets)] else { return true }
            return Self.refilled(bucket, time) >= 1
        }
    }

    /// A wrong one came from there.
    func note(_ address: String) {
        let time = now()
        buckets.withLock { buckets in
            if buckets.count >= Self.most {
                buckets = buckets.filter { Self.refilled($0.value, time) < Self.burst }
            }
            let key = Self.key(address, buckets)
            let tokens = buckets[key].map { Self.refilled($0, time) } ?? Self.burst
            buckets[key] = Bucket(tokens: max(tokens - 1, 0), time: time)
        }
    }

    private static func key(_ address: String, _ buckets: [String: Bucket]) -> String {
        buckets[address] != nil || buckets.count < most ? address : "others"
    }

    private static func refilled(_ bucket: Bucket, _ time: Double) -> Double {
        min(burst, bucket.tokens + max(time - bucket.time, 0) * perSecond)
    }
}
