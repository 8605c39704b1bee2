import MeshHTTP
import MeshModel

/// What requests are hashed by, ready for use: the first of several sources that a request has.
public struct RequestHash: Sendable {
    /// Where a request belongs.
    public enum Placement: Sendable, Equatable {
        /// It has none of the sources.
        case anywhere
        /// Where this hash leads.
        case key(UInt64)
        /// Its client is to be given the cookie of this source, by number, and belongs where ``RequestHash/key(ofCookie:)``
        /// of its value leads.
        case newCookie(Int)
    }

    private enum Source: Sendable {
        case header(HeaderName, [UInt8])
        case cookie([UInt8], ResponseCookie?)
        case client
        case query([UInt8])
    }

    private let sources: [Source]
    /// True if the client's address is asked for.
    public let usesClient: Bool

    /// The given sources; nil if there are none.
    public init?(_ sources: [HashSource]) {
        if sources.isEmpty { return nil }
        var usesClient = false
        self.sources = sources.map { source in
            switch source {
            case .header(let name):
                let bytes = Array(name.lowercased().utf8)
                return .header(.intern(bytes.span), bytes)
            case .cookie(let name, let path, let timeToLive):
                let seconds = timeToLive.map { $0.nanoseconds / 1_000_000_000 }
                let made = seconds.map { ResponseCookie(name: name, path: path, maxAge: $0 == 0 ? nil : $0) }
                return .cookie(Array(name.utf8), made)
            case .sourceIP:
                usesClient = true
                return .client
            case .queryParam(let name): return .query(Array(name.utf8))
            }
        }
        self.usesClient = usesClient
    }

    /// Where `head` belongs. `client` is a hash of the client's address, if it is known.
    public func placement(of head: MessageHead, client: UInt64?) -> Placement {
        var index = 0
        while index < sources.count {
            switch sources[index] {
            case .header(let name, let text):
                let field = head.firstIndex(of: name, text: text.span)
                if name == .host {
                    if !head.authorityRange.isEmpty { return .key(Hashing.hash(head.span(head.authorityRange))) }
                } else if let field {
                    return .key(Hashing.hash(head.span(head[field].valueRange)))
                }
            case .cookie(let name, let made):
                if let value = RequestCookie.value(of: name.span, in: head), !value.isEmpty {
                    return .key(Hashing.hash(head.span(value)))
                }
                if made != nil { return .newCookie(index) }
            case .client:
                if let client { return .key(client) }
            case .query(let name):
                if let key = Self.parameter(name.span, of: head) { return .key(key) }
            }
            index &+= 1
        }
        return .anywhere
    }

    /// The hash of a parameter's decoded value: `%6A` is a `j`.
    private static func parameter(_ name: Span<UInt8>, of head: MessageHead) -> UInt64? {
        let target = head.span(head.pathRange)
        let start = Subject.pathLength(target)
        guard start < target.count else { return nil }
        let query = target.extracting((start &+ 1)..<target.count)
        guard let range = QueryString.value(of: name, in: query) else { return nil }
        let value = query.extracting(range)
        var hash = Hashing.start
        var position = 0
        while position < value.count { Hashing.add(QueryString.next(value, &position), to: &hash) }
        return Hashing.mix(hash)
    }

    /// The hash of a new cookie with this value: the one that the client's next request will have.
    public static func key(ofCookie value: UInt64) -> UInt64 {
        var hash = Hashing.start
        var shift: UInt64 = 64
        while shift > 0 {
            shift &-= 4
            let digit = UInt8(truncatingIfNeeded: value >> shift & 15)
            Hashing.add(digit < 10 ? 48 &+ digit : 87 &+ digit, to: &hash)
        }
        return Hashing.mix(hash)
    }

    /// Gives the client the cookie of source `number` with this value.
    public func setCookie(_ number: Int, value: UInt64, in response: MessageHead, isSecure: Bool) {
        guard number >= 0, number < sources.count, case .cookie(_, let made?) = sources[number] else { return }
        made.append(to: response, isSecure: isSecure) { HexDigits.store(value, count: 16, in: $0) }
    }
}
