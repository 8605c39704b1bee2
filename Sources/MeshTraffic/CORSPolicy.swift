import MeshCore
import MeshHTTP
import MeshModel

/// The CORS protocol (Fetch standard §3.3) as the Gateway API's HTTPCORSFilter wants it.
///
/// The filter owns the protocol on its rule: what the backend says about it is replaced. An origin that may be let in
/// is echoed, even where every origin may, and `vary: origin` says so to caches. Preflight requests are answered here,
/// those of other origins with 200 and without a CORS field, which browsers take as a no. Where credentials are
/// allowed, browsers take `*` literally, so that the names asked for are echoed instead.
struct CORSPolicy: Sendable {
    private let origins: [OriginPattern]
    private let allowsEveryOrigin: Bool
    private let allowsCredentials: Bool
    private let methods: NameList
    private let headers: NameList
    private let exposed: NameList
    private let maxAge: [UInt8]

    /// Names for one field.
    private enum NameList: Sendable {
        case none
        case every
        /// Joined by `, `.
        case listed([UInt8])

        init(_ names: [String]) {
            self =
                names.isEmpty
                ? .none : names.contains("*") ? .every : .listed(Array(names.joined(separator: ", ").utf8))
        }
    }

    init(_ cors: CORS) {
        allowsEveryOrigin = cors.allowOrigins.contains("*")
        origins = cors.allowOrigins.compactMap { OriginPattern($0) }
        allowsCredentials = cors.allowCredentials
        methods = NameList(cors.allowMethods)
        headers = NameList(cors.allowHeaders)
        exposed = NameList(cors.exposeHeaders)
        maxAge = Array(String(cors.maxAge).utf8)
    }

    /// True for a CORS-preflight request.
    static func isPreflight(_ request: MessageHead) -> Bool {
        request.method == .options && request.firstIndex(of: .origin) != nil
            && request.firstIndex(of: .accessControlRequestMethod) != nil
    }

    func answerPreflight(_ request: MessageHead, in answer: MessageHead) {
        answer.reset()
        answer.status = Reason.corsPreflight.status
        answer.append(.contentLength, value: ("0" as StaticString).bytes)
        answer.append(.vary, value: ("origin" as StaticString).bytes)
        guard let origin = allowedOrigin(request) else { return }
        writeOrigin(request, origin, to: answer)
        write(.accessControlAllowMethods, methods, asked: .accessControlRequestMethod, request, to: answer)
        write(.accessControlAllowHeaders, headers, asked: .accessControlRequestHeaders, request, to: answer)
        // The names to list in place of * are those of the response that this answer is not yet.
        if case .every = exposed, allowsCredentials {} else { writeExposed(to: answer) }
        answer.append(.accessControlMaxAge, value: maxAge.span)
    }

    func apply(to response: MessageHead, request: MessageHead) {
        response.removeAll(.accessControlAllowOrigin)
        response.removeAll(.accessControlAllowCredentials)
        response.removeAll(.accessControlAllowMethods)
        response.removeAll(.accessControlAllowHeaders)
        response.removeAll(.accessControlExposeHeaders)
        response.removeAll(.accessControlMaxAge)
        addVary(to: response)
        guard let origin = allowedOrigin(request) else { return }
        writeOrigin(request, origin, to: response)
        writeExposed(to: response)
    }

    // MARK: Parts

    /// The field of the request's origin if it may be let in.
    private func allowedOrigin(_ request: MessageHead) -> Int? {
        guard let index = request.firstIndex(of: .origin) else { return nil }
        if allowsEveryOrigin { return index }
        let origin = request.span(request[index].valueRange)
        var number = 0
        while number < origins.count {
            if origins[number].matches(origin) { return index }
            number &+= 1
        }
        return nil
    }

    private func writeOrigin(_ request: MessageHead, _ origin: Int, to head: MessageHead) {
        head.append(.accessControlAllowOrigin, value: request.span(request[origin].valueRange))
        if allowsCredentials { head.append(.accessControlAllowCredentials, value: ("true" as StaticString).bytes) }
    }

    private func write(
        _ name: HeaderName, _ list: NameList, asked: HeaderName, _ request: MessageHead, to head: MessageHead
    ) {
        switch list {
        case .none: break
        case .listed(let names): head.append(name, value: names.span)
        case .every:
            if !allowsCredentials {
                head.append(name, value: ("*" as StaticString).bytes)
            } else if let index = request.firstIndex(of: asked) {
                head.append(name, value: request.span(request[index].valueRange))
            }
        }
    }

    private func writeExposed(to head: MessageHead) {
        switch exposed {
        case .none: break
        case .listed(let names): head.append(.accessControlExposeHeaders, value: names.span)
        case .every:
            if !allowsCredentials {
                head.append(.accessControlExposeHeaders, value: ("*" as StaticString).bytes)
            } else {
                exposeAll(of: head)
            }
        }
    }

    /// Lists the fields that are there, since `*` is no wildcard where credentials are allowed.
    private func exposeAll(of head: MessageHead) {
        let start = head.byteCount
        var index = 0
        let count = head.fieldCount
        while index < count {
            let field = head[index]
            index &+= 1
            if field.name == .removed || field.name == .setCookie { continue }
            if head.byteCount > start { head.put((", " as StaticString).bytes) }
            _ = head.store(copyOf: field.nameRange)
        }
        if head.byteCount > start { head.append(.accessControlExposeHeaders, value: head.stored(since: start)) }
    }

    private func addVary(to response: MessageHead) {
        var index = response.firstIndex(of: .vary)
        while let found = index {
            let value = response.span(response[found].valueRange)
            if TokenList.contains(value, "origin") || TokenList.contains(value, "*") { return }
            index = response.firstIndex(of: .vary, from: found &+ 1)
        }
        response.append(.vary, value: ("origin" as StaticString).bytes)
    }
}

/// `scheme://host[:port]`, where the host may be `*` or begin with `*.`, which stands for any number of labels. A port
/// that is not written is the scheme's.
struct OriginPattern: Sendable {
    private let scheme: [UInt8]
    /// The host, or what is behind `*`.
    private let host: [UInt8]
    private let isWildcard: Bool
    private let port: Int

    /// Nil if `text` is no such pattern.
    init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard let parts = OriginParts(bytes.span) else { return nil }
        scheme = Array(bytes[parts.scheme])
        isWildcard = bytes[parts.host].first == UInt8(ascii: "*")
        host = Array(bytes[parts.host].dropFirst(isWildcard ? 1 : 0))
        port = parts.port
    }

    func matches(_ origin: Span<UInt8>) -> Bool {
        guard let parts = OriginParts(origin), parts.port == port,
            origin.extracting(parts.scheme).equalsIgnoringCase(scheme.span)
        else { return false }
        let name = origin.extracting(parts.host)
        if !isWildcard { return name.equalsIgnoringCase(host.span) }
        return name.count > host.count && name.extracting(last: host.count).equalsIgnoringCase(host.span)
    }
}

/// Where the parts of a serialized origin stand.
private struct OriginParts {
    let scheme: Range<Int>
    let host: Range<Int>
    /// The port that is meant; 0 if the scheme has none.
    let port: Int

    init?(_ text: Span<UInt8>) {
        var colon = 0
        while colon < text.count, text[colon] != UInt8(ascii: ":") { colon &+= 1 }
        guard colon > 0, colon &+ 3 < text.count, text[colon &+ 1] == UInt8(ascii: "/"),
            text[colon &+ 2] == UInt8(ascii: "/")
        else { return nil }
        scheme = 0..<colon
        let authority = text.extracting(droppingFirst: colon &+ 3)
        let length = Subject.hostLength(authority)
        guard length > 0 else { return nil }
        host = (colon &+ 3)..<(colon &+ 3 &+ length)
        if length < authority.count {
            guard let number = Grammar.decimal(authority.extracting(droppingFirst: length &+ 1)) else { return nil }
            port = number
        } else if text.extracting(scheme).equalsIgnoringCase("https") {
            port = 443
        } else {
            port = text.extracting(scheme).equalsIgnoringCase("http") ? 80 : 0
        }
    }
}
