import MeshCore
import MeshHTTP
import MeshModel

/// The rate limits of one policy, for all loops: a request must be allowed by all of them.
public final class RateLimiter: Sendable {
    /// Why a request is refused, as the client is told (draft-ietf-httpapi-ratelimit-headers-07).
    public struct Refusal: Sendable, Equatable {
        /// `RateLimit-Limit`: requests at once.
        public var limit: Int
        /// `RateLimit-Remaining`.
        public var remaining: Int
        /// `RateLimit-Reset`: seconds until the bucket is full.
        public var reset: Int
        /// `Retry-After`: seconds until another request is allowed, at least 1.
        public var retryAfter: Int
    }

    /// Who asks, as far as limits go. Spans: valid during the call.
    public struct Client: ~Escapable {
        /// The verified identity; empty: none.
        public let identity: Span<UInt8>
        /// The client's address, 128 bits; of an IPv6 address the network counts (/64): a host has all of it.
        public let address: (UInt64, UInt64)

        /// A client.
        @_lifetime(copy identity)
        public init(identity: Span<UInt8>, address: (UInt64, UInt64)) {
            self.identity = identity
            self.address = address
        }
    }

    private enum Buckets: Sendable {
        case one(TokenBucket)
        case byIdentity(KeyedBuckets)
        case byAddress(KeyedBuckets)
        case byHeader(KeyedBuckets, HeaderName, [UInt8])
    }

    /// What it was made from.
    public let limits: [RequestRateLimit]
    private let parts: [(buckets: Buckets, pace: TokenPace)]

    /// Full buckets for `limits`; `start` is when their time begins.
    public init(_ limits: [RequestRateLimit], start: Instant) {
        self.limits = limits
        parts = limits.map { limit in
            let pace = TokenPace(requests: limit.requests, nanoseconds: limit.unit.nanoseconds, burst: limit.burst)
            let buckets: Buckets =
                switch limit.key {
                case .rule: .one(TokenBucket(pace, start: start))
                case .identity: .byIdentity(KeyedBuckets(pace, start: start))
                case .address: .byAddress(KeyedBuckets(pace, start: start))
                case .header(let name):
                    .byHeader(
                        KeyedBuckets(pace, start: start), .intern(Array(name.utf8).span), Array(name.utf8))
                }
            return (buckets: buckets, pace: pace)
        }
    }

    /// Nil if all limits allow the request; else what the first that does not has to say, and none is charged.
    public func refusal(_ head: MessageHead, _ client: borrowing Client, now: Instant) -> Refusal? {
        var index = 0
        while index < parts.count {
            if let level = take(index, head, client, now) {
                var earlier = 0
                while earlier < index {
                    giveBack(earlier, head, client, now)
                    earlier &+= 1
                }
                return Self.refusal(level, parts[index].pace)
            }
            index &+= 1
        }
        return nil
    }

    private func take(_ index: Int, _ head: MessageHead, _ client: borrowing Client, _ now: Instant) -> TokenLevel? {
        switch parts[index].buckets {
        case .one(let bucket): bucket.take(at: now)
        case .byIdentity(let buckets): buckets.take(Self.hash(client.identity), at: now)
        case .byAddress(let buckets): buckets.take(Self.hash(client.address), at: now)
        case .byHeader(let buckets, let name, let text): buckets.take(Self.hash(head, name, text), at: now)
        }
    }

    private func giveBack(_ index: Int, _ head: MessageHead, _ client: borrowing Client, _ now: Instant) {
        switch parts[index].buckets {
        case .one(let bucket): bucket.giveBack()
        case .byIdentity(let buckets): buckets.giveBack(Self.hash(client.identity), at: now)
        case .byAddress(let buckets): buckets.giveBack(Self.hash(client.address), at: now)
        case .byHeader(let buckets, let name, let text): buckets.giveBack(Self.hash(head, name, text), at: now)
        }
    }

    private static func refusal(_ level: TokenLevel, _ pace: TokenPace) -> Refusal {
        Refusal(
            limit: pace.burst, remaining: level.remaining, reset: seconds(level.untilFull),
            retryAfter: max(seconds(level.untilNext), 1))
    }

    private static func seconds(_ nanoseconds: UInt64) -> Int {
        Int(clamping: nanoseconds / 1_000_000_000) &+ (nanoseconds % 1_000_000_000 == 0 ? 0 : 1)
    }

    // MARK: Keys

    private static func hash(_ bytes: Span<UInt8>) -> UInt64 {
        var hasher = Hasher()
        add(bytes, to: &hasher)
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    private static func hash(_ address: (UInt64, UInt64)) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(address.0)
        // The upper half is 0 for IPv4, and the whole network for IPv6.
        if address.0 == 0 { hasher.combine(address.1) }
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    /// All fields of the name count, in their order: a second one is no way around.
    private static func hash(_ head: MessageHead, _ name: HeaderName, _ text: [UInt8]) -> UInt64 {
        var hasher = Hasher()
        var index = head.firstIndex(of: name, text: text.span)
        while let found = index {
            add(head.span(head[found].valueRange), to: &hasher)
            index = head.firstIndex(of: name, text: text.span, from: found &+ 1)
        }
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    private static func add(_ bytes: Span<UInt8>, to hasher: inout Hasher) {
        hasher.combine(bytes.count)
        var word: UInt64 = 0
        var index = 0
        while index < bytes.count {
            word = word << 8 | UInt64(bytes[index])
            index &+= 1
            if index & 7 == 0 { hasher.combine(word) }
        }
        // What is left of the word before is in there again, which does no harm.
        if index & 7 != 0 { hasher.combine(word) }
    }
}
