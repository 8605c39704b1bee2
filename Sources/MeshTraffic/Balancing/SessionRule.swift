import MeshHTTP
import MeshModel

/// How the clients of a rule stay with one endpoint, ready for use.
///
/// What the client keeps is a token of 42 hexadecimal digits: the endpoint's identity (a keyed hash of its address), the
/// second in which the session began, and a tag over both. The key is made of the backend's name
/// (``SipKey/init(naming:)``), so that all loops and all proxies of one configuration understand each other's tokens, and
/// a token of one backend means nothing to another. It is not a secret: whoever knows the configuration can choose an
/// endpoint by a token of his own, which he could by trying, too.
public struct SessionRule: Sendable {
    private enum Carrier: Sendable {
        case cookie([UInt8], ResponseCookie)
        case header(HeaderName, [UInt8])
    }

    private let carrier: Carrier
    /// Seconds; `max`: for ever.
    private let timeout: UInt64

    private static let tokenLength = 42

    /// The given persistence.
    public init(_ persistence: SessionPersistence) {
        timeout = persistence.absoluteTimeout.map { $0.nanoseconds / 1_000_000_000 } ?? .max
        switch persistence.kind {
        case .cookie(let name, let path, let permanent):
            let age = permanent && timeout != .max ? timeout : nil
            carrier = .cookie(Array(name.utf8), ResponseCookie(name: name, path: path, maxAge: age))
        case .header(let name):
            let bytes = Array(name.lowercased().utf8)
            carrier = .header(.intern(bytes.span), bytes)
        }
    }

    /// Where the client's token stands in `request`, or nil if it has none.
    public func token(in request: MessageHead) -> ByteRange? {
        switch carrier {
        case .cookie(let name, _): return RequestCookie.value(of: name.span, in: request)
        case .header(let name, let text):
            return request.firstIndex(of: name, text: text.span).map { request[$0].valueRange }
        }
    }

    /// The identity of the endpoint that `token` names; nil if it was not made with `key`, or is too old at `now`, in
    /// seconds of the calendar.
    public func endpoint(_ token: Span<UInt8>, key: SipKey, now: UInt64) -> UInt64? {
        guard token.count == Self.tokenLength, let identity = HexDigits.number(token, from: 0, count: 16),
            let began = HexDigits.number(token, from: 16, count: 10),
            let tag = HexDigits.number(token, from: 26, count: 16), tag == key.hash(identity, began)
        else { return nil }
        // A clock that is a little behind the one that began the session does not end it.
        let age = now > began ? now &- began : 0
        return age < timeout ? identity : nil
    }

    /// Tells the client with `response` that its session is with the endpoint of this identity, from `now` on.
    public func begin(_ identity: UInt64, key: SipKey, now: UInt64, in response: MessageHead, isSecure: Bool) {
        let began = now & 0xff_ffff_ffff
        let tag = key.hash(identity, began)
        switch carrier {
        case .cookie(_, let cookie):
            cookie.append(to: response, isSecure: isSecure) { Self.store(identity, began, tag, in: $0) }
        case .header(let name, let text):
            if name == .other { response.removeAll(named: text.span) } else { response.removeAll(name) }
            let nameRange = response.store(text.span)
            let start = response.byteCount
            Self.store(identity, began, tag, in: response)
            response.append(
                HeaderField(name: name, nameRange: nameRange, valueRange: response.stored(since: start)))
        }
    }

    private static func store(_ identity: UInt64, _ began: UInt64, _ tag: UInt64, in head: MessageHead) {
        HexDigits.store(identity, count: 16, in: head)
        HexDigits.store(began, count: 10, in: head)
        HexDigits.store(tag, count: 16, in: head)
    }
}
