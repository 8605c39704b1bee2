import MeshHTTP
import MeshModel

/// How a path is replaced, by a redirect or a rewrite (Gateway API, HTTPPathModifier). The query stays.
struct PathPlan: Sendable {
    private let replacement: [UInt8]
    private let keepsRest: Bool

    init(_ modifier: PathModifier) {
        switch modifier {
        case .replaceFullPath(let path):
            replacement = Array((path.isEmpty ? "/" : path).utf8)
            keepsRest = false
        case .replacePrefixMatch(let path):
            // Elements replace elements: a slash at the end does not count.
            replacement = PathIndex.prefixBytes(path)
            keepsRest = true
        }
    }

    /// Writes the new path and query of `request` to the end of `head`, which may be the same.
    func write(_ request: MessageHead, prefixLength: Int, to head: MessageHead) {
        let target = request.span(request.pathRange)
        let pathLength = Subject.pathLength(target)
        let kept = keepsRest ? Self.prefix(target, prefixLength, pathLength) : pathLength
        let offset = Int(request.pathRange.offset) &+ kept
        let rest = ByteRange(offset, request.pathRange.count &- kept)
        // What is left of "/foo" without "/foo" is nothing; a path has at least its slash.
        let needsSlash = replacement.isEmpty && (kept == pathLength || target[kept] != UInt8(ascii: "/"))
        if needsSlash { head.store(UInt8(ascii: "/")) }
        head.put(replacement.span)
        head.put(rest, of: request)
    }

    /// The bytes that go. A path that another filter has replaced may not have the prefix that was matched any more;
    /// it loses nothing rather than a part of an element.
    private static func prefix(_ target: Span<UInt8>, _ length: Int, _ pathLength: Int) -> Int {
        if length >= 0, length < pathLength, target[length] == UInt8(ascii: "/") { return length }
        return length == pathLength ? length : 0
    }
}

extension MessageHead {
    /// Appends `bytes`, which must not be this head's own.
    func put(_ bytes: Span<UInt8>) { _ = store(bytes) }

    /// Appends bytes of `other`, which may be this head.
    func put(_ range: ByteRange, of other: MessageHead) {
        if other === self { _ = store(copyOf: range) } else { _ = store(other.span(range)) }
    }
}

/// URLRewrite: a new host, a new path, or both, before the request is forwarded.
struct RewritePlan: Sendable {
    private let hostname: [UInt8]?
    private let path: PathPlan?

    init(_ rewrite: URLRewrite) {
        hostname = rewrite.hostname.map { Array($0.utf8) }
        path = rewrite.path.map(PathPlan.init)
    }

    func apply(to request: MessageHead, prefixLength: Int) {
        if let hostname { request.authorityRange = request.store(hostname.span) }
        guard let path else { return }
        let start = request.byteCount
        path.write(request, prefixLength: prefixLength, to: request)
        request.pathRange = request.stored(since: start)
    }
}

/// RequestRedirect: an answer whose Location is the request's URL with some parts replaced.
struct RedirectPlan: Sendable {
    private let status: Int
    /// Nil: as the request came.
    private let isHTTPS: Bool?
    private let hostname: [UInt8]?
    private let port: UInt16?
    private let path: PathPlan?

    init(_ redirect: RequestRedirect) {
        status = redirect.statusCode
        isHTTPS = redirect.scheme.map { $0 == "https" }
        hostname = redirect.hostname.map { Array($0.utf8) }
        port = redirect.port
        path = redirect.path.map(PathPlan.init)
    }

    func answer(_ request: MessageHead, in answer: MessageHead, facts: RequestFacts) {
        answer.reset()
        answer.status = status
        let start = answer.byteCount
        let authority = request.span(request.authorityRange)
        // HTTP/1.0 without Host: a path alone is a valid reference (RFC 9110 §10.2.2).
        let hasHost = hostname != nil || authority.count > 0
        if hasHost { writeOrigin(authority, facts, to: answer) }
        if let path {
            path.write(request, prefixLength: facts.prefixLength, to: answer)
        } else {
            answer.put(request.pathRange, of: request)
        }
        var location = answer.stored(since: start)
        // "//name" alone would be a reference to another host.
        while !hasHost, location.count > 1, answer.span(location)[1] == UInt8(ascii: "/") {
            location = ByteRange(Int(location.offset) &+ 1, location.count &- 1)
        }
        answer.append(.location, value: location)
        answer.append(.contentLength, value: ("0" as StaticString).bytes)
    }

    /// `scheme://host[:port]`. Without a port of its own the redirect goes to the well-known one of its scheme if it
    /// has a scheme, else to the listener's; well-known ports are not written.
    private func writeOrigin(_ authority: Span<UInt8>, _ facts: RequestFacts, to answer: MessageHead) {
        let isHTTPS = isHTTPS ?? facts.isTLS
        let wellKnown: UInt16 = isHTTPS ? 443 : 80
        let port = port ?? (self.isHTTPS == nil ? facts.port : wellKnown)
        answer.put((isHTTPS ? "https://" as StaticString : "http://").bytes)
        if let hostname {
            answer.put(hostname.span)
        } else {
            answer.put(authority.extracting(first: Subject.hostLength(authority)))
        }
        if port != wellKnown, port != 0 {
            answer.store(UInt8(ascii: ":"))
            answer.store(decimal: Int(port))
        }
    }
}

extension MessageHead {
    /// Appends a number that is not negative in decimal digits.
    func store(decimal value: Int) {
        var divisor = 1
        while value / divisor >= 10 { divisor &*= 10 }
        while divisor > 0 {
            store(UInt8(truncatingIfNeeded: 48 &+ value / divisor % 10))
            divisor /= 10
        }
    }
}
