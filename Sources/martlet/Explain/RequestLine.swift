import MeshCore
import MeshHTTP

/// The request that is asked about.
struct RequestLine {
    enum Scheme: String { case http, https, tls, tcp }

    let method: String
    let url: String
    let scheme: Scheme
    /// Host and port as a client would send them.
    let authority: String
    /// The host alone, in lower case, without brackets; what a TLS client names.
    let host: String
    /// The port that was written; nil: the scheme's own.
    let port: UInt16?
    /// Path and query.
    let target: String
    let headers: [(name: String, value: String)]

    /// Reads what curl would be given; the error says what to write.
    init(method: String, url: String, headers: [String]) throws(ProxyError) {
        self.method = method
        self.url = url
        let example = "for example http://shop.example/cart"
        guard let mark = url.firstRange(of: "://") else {
            throw ProxyError("the URL \"\(url)\" has no scheme: \(example)")
        }
        guard let scheme = Scheme(rawValue: url[..<mark.lowerBound].lowercased()) else {
            throw ProxyError("the scheme \"\(url[..<mark.lowerBound])\" is not http, https, tls or tcp: \(example)")
        }
        self.scheme = scheme
        let rest = url[mark.upperBound...].prefix { $0 != "#" }
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        let path = rest[end...]
        target = path.hasPrefix("/") ? String(path) : "/" + path
        authority = String(rest[..<end])
        var name = rest[..<end]
        if let at = name.lastIndex(of: "@") { name = name[name.index(after: at)...] }
        var number: UInt16?
        if let colon = name.lastIndex(of: ":"), !name[colon...].contains("]") {
            number = UInt16(name[name.index(after: colon)...])
            guard let number, number > 0 else { throw ProxyError("the URL \"\(url)\" has no port from 1 to 65535") }
            name = name[..<colon]
        }
        port = number
        host = name.filter { $0 != "[" && $0 != "]" }.lowercased()
        guard !host.isEmpty || scheme == .tcp else { throw ProxyError("the URL \"\(url)\" has no host: \(example)") }
        var fields: [(name: String, value: String)] = []
        for header in headers {
            guard let colon = header.firstIndex(of: ":"), colon != header.startIndex else {
                throw ProxyError("the header \"\(header)\" has no name: write it as -H 'x-beta: 1'")
            }
            let value = header[header.index(after: colon)...].drop { $0 == " " }
            fields.append((name: String(header[..<colon]), value: String(value)))
        }
        self.headers = fields
    }

    /// True if it is a connection that is asked about, not a request.
    var isStream: Bool { scheme == .tls || scheme == .tcp }

    /// True if the client speaks TLS.
    var isEncrypted: Bool { scheme == .https || scheme == .tls }

    /// The port that a client would connect to; nil: no port goes without saying.
    var effectivePort: UInt16? {
        switch scheme {
        case .http: port ?? 80
        case .https: port ?? 443
        case .tls, .tcp: port
        }
    }

    /// The head as the proxy's own parser reads it; a reason if the proxy would refuse it.
    func head(maxHeaders: Int, maxHeaderBytes: Int, maxTargetBytes: Int) -> Result<MessageHead, Refused> {
        var text = "\(method) \(target) HTTP/1.1\r\n"
        if !headers.contains(where: { $0.name.lowercased() == "host" }) { text += "Host: \(authority)\r\n" }
        for field in headers { text += "\(field.name): \(field.value)\r\n" }
        let bytes = Array((text + "\r\n").utf8)
        let head = MessageHead()
        var limits = HTTP1Limits()
        limits.maxHeaders = maxHeaders
        limits.maxHeaderBytes = maxHeaderBytes
        limits.maxTargetBytes = maxTargetBytes
        switch HTTP1Parser.parseRequest(bytes.span, into: head, limits: limits) {
        case .complete(let count):
            // A line break in an argument would end the head early.
            return count == bytes.count ? .success(head) : .failure(Refused(reason: .malformedHeader))
        case .incomplete: return .failure(Refused(reason: .malformedHeader))
        case .failed(let reason): return .failure(Refused(reason: reason))
        }
    }

    /// The proxy answers by itself.
    struct Refused: Error { var reason: Reason }
}
