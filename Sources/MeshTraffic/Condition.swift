import MeshCore
import MeshHTTP
import MeshModel

/// One thing that a match asks for beyond what the index of paths has answered. A plain value: texts are ranges of the
/// arena that all conditions of a listener share, regular expressions are numbers.
struct Condition: Sendable {
    enum Part: UInt8, Sendable {
        case method
        case header
        case query
        /// The whole path; only as a regular expression.
        case path
        /// The first part of a gRPC path.
        case grpcService
        /// The second part of a gRPC path.
        case grpcMethod
        /// The port behind the host.
        case port
    }

    let part: Part
    /// The interned name of a header; `other` if it is not one of ours.
    let name: HeaderName
    /// The name of a header or parameter.
    let nameText: ByteRange
    /// The wanted text; not used with a regular expression.
    let text: ByteRange
    /// Which regular expression the value must fit; -1: it must be `text`.
    let regex: Int32
    /// The wanted port.
    var port: UInt16 = 0
}

/// The texts and expressions of a listener's conditions, and the one place that decides whether a condition holds.
struct ConditionTable: Sendable {
    private var text: [UInt8] = []
    private var regexes: [LinearRegex] = []
    private(set) var conditions: [Condition] = []

    // MARK: Compiling

    /// Adds what `match` asks for apart from exact texts of its path; cheap questions come first. `port` is its route's.
    mutating func add(_ match: RouteMatch, port: UInt16? = nil, rule: String) throws(ProxyError) {
        if let port {
            conditions.append(
                Condition(part: .port, name: .other, nameText: .empty, text: .empty, regex: -1, port: port))
        }
        if let method = match.method { try add(.method, "", .exact(method), rule) }
        switch match.path {
        case .exact, .prefix: break
        case .regex(let pattern): try add(.path, "", .regex(pattern), rule)
        case .grpc(let service, let method):
            // An exact service is in the index, with it an exact method.
            var serviceIsIndexed = false
            if case .exact = service { serviceIsIndexed = true }
            if let service, !serviceIsIndexed { try add(.grpcService, "", service, rule) }
            if case .exact = method, serviceIsIndexed { break }
            if let method { try add(.grpcMethod, "", method, rule) }
        }
        for header in Self.distinct(match.headers, ignoringCase: true) {
            try add(.header, header.name, header.value, rule)
        }
        for parameter in Self.distinct(match.queryParams, ignoringCase: false) {
            try add(.query, parameter.name, parameter.value, rule)
        }
    }

    /// Of several matches for one name the first counts, the others are ignored (Gateway API, HTTPHeaderMatch).
    static func distinct(_ matches: [NamedMatch], ignoringCase: Bool) -> [NamedMatch] {
        var seen: Set<String> = []
        return matches.filter { seen.insert(ignoringCase ? $0.name.lowercased() : $0.name).inserted }
    }

    private mutating func add(
        _ part: Condition.Part, _ name: String, _ value: StringMatch, _ rule: String
    ) throws(ProxyError) {
        let bytes = Array(name.utf8)
        var wanted = ByteRange.empty
        var regex: Int32 = -1
        let nameText = store(bytes)
        switch value {
        case .exact(let text): wanted = store(Array(text.utf8))
        case .regex(let pattern):
            regex = Int32(regexes.count)
            do {
                regexes.append(try LinearRegex(pattern))
            } catch {
                throw ProxyError("rule \(rule): regular expression '\(pattern)': \(error)")
            }
        }
        conditions.append(
            Condition(part: part, name: .intern(bytes.span), nameText: nameText, text: wanted, regex: regex))
    }

    private mutating func store(_ bytes: [UInt8]) -> ByteRange {
        let range = ByteRange(text.count, bytes.count)
        text += bytes
        return range
    }

    // MARK: Deciding

    /// The first of `count` conditions from `first` on that does not hold for the request, or -1 if all do.
    func firstFailure(_ first: Int, _ count: Int, _ head: MessageHead, _ subject: Subject) -> Int {
        var index = first
        while index < first &+ count {
            if !holds(conditions[index], head, subject) { return index }
            index &+= 1
        }
        return -1
    }

    private func holds(_ condition: Condition, _ head: MessageHead, _ subject: Subject) -> Bool {
        switch condition.part {
        case .method: return fits(head.span(head.methodRange), condition)
        case .path: return fits(head.span(subject.path), condition)
        case .port: return subject.port(head) == condition.port
        case .grpcService:
            let path = head.span(subject.path)
            return fits(path.extracting(GRPCPath.service(path)), condition)
        case .grpcMethod:
            let path = head.span(subject.path)
            return fits(path.extracting(GRPCPath.method(path)), condition)
        case .query:
            let query = head.span(subject.query)
            guard let value = QueryString.value(of: text.span.extracting(condition.nameText), in: query) else {
                return false
            }
            return parameterFits(query.extracting(value), condition)
        case .header:
            // HTTP/2 has no Host field; what it said stands in the authority in every version.
            if condition.name == .host { return fits(head.span(head.authorityRange), condition) }
            guard let found = find(condition, head, from: 0) else { return false }
            guard let more = find(condition, head, from: found &+ 1) else {
                return fits(head.span(head[found].valueRange), condition)
            }
            return listFits(condition, head, found, more)
        }
    }

    private func find(_ condition: Condition, _ head: MessageHead, from start: Int) -> Int? {
        condition.name == .other
            ? head.firstIndex(named: text.span.extracting(condition.nameText), from: start)
            : head.firstIndex(of: condition.name, from: start)
    }

    private func fits(_ value: Span<UInt8>, _ condition: Condition) -> Bool {
        condition.regex < 0
            ? value.equals(text.span.extracting(condition.text)) : regexes[Int(condition.regex)].matches(value)
    }

    private func parameterFits(_ value: Span<UInt8>, _ condition: Condition) -> Bool {
        if condition.regex < 0 { return QueryString.decodes(value, to: text.span.extracting(condition.text)) }
        let regex = regexes[Int(condition.regex)]
        var run = LinearRegex.Run()
        var position = 0
        while position < value.count { regex.feed(QueryString.next(value, &position), to: &run) }
        return regex.accepts(run)
    }

    /// Several fields of one name count as one, their values joined by `,` (RFC 9110 §5.3, without the optional
    /// space); those of Cookie, which HTTP/2 clients split, by `; ` (RFC 9113 §8.2.3).
    private func listFits(_ condition: Condition, _ head: MessageHead, _ first: Int, _ second: Int) -> Bool {
        let separator: StaticString = condition.name == .cookie ? "; " : ","
        let regex = condition.regex < 0 ? nil : regexes[Int(condition.regex)]
        var run = LinearRegex.Run()
        var rest = text.span.extracting(condition.text)
        var index = first
        var following: Int? = second
        while true {
            let piece = head.span(head[index].valueRange)
            if let regex { regex.feed(piece, to: &run) } else if !take(piece, &rest) { return false }
            guard let next = following else { break }
            if let regex {
                regex.feed(separator.bytes, to: &run)
            } else if !take(separator.bytes, &rest) {
                return false
            }
            index = next
            following = find(condition, head, from: index &+ 1)
        }
        return regex?.accepts(run) ?? (rest.count == 0)
    }

    private func take(_ piece: Span<UInt8>, _ rest: inout Span<UInt8>) -> Bool {
        guard rest.count >= piece.count, rest.extracting(first: piece.count).equals(piece) else { return false }
        rest = rest.extracting(droppingFirst: piece.count)
        return true
    }
}

// MARK: - For people

extension ConditionTable {
    /// The name of the header or parameter that a condition is about.
    func wantedName(_ condition: Condition) -> String { string(condition.nameText) }

    /// The text or pattern that a condition wants.
    func wantedText(_ condition: Condition) -> String {
        condition.regex < 0 ? string(condition.text) : regexes[Int(condition.regex)].pattern
    }

    /// The values that a header condition looked at.
    func fieldValues(_ condition: Condition, _ head: MessageHead) -> [String] {
        if condition.name == .host { return [MeshTraffic.text(of: head.span(head.authorityRange))] }
        var values: [String] = []
        var index = find(condition, head, from: 0)
        while let found = index {
            values.append(MeshTraffic.text(of: head.span(head[found].valueRange)))
            index = find(condition, head, from: found + 1)
        }
        return values
    }

    private func string(_ range: ByteRange) -> String { MeshTraffic.text(of: text.span.extracting(range)) }
}

/// `/service/method`: the method is what is behind the last slash.
enum GRPCPath {
    /// The bytes of `path` that name the service; none if it has no two parts.
    static func service(_ path: Span<UInt8>) -> Range<Int> {
        let slash = lastSlash(path)
        return slash > 0 ? 1..<slash : 0..<0
    }

    /// The bytes of `path` that name the method; none if it has no two parts.
    static func method(_ path: Span<UInt8>) -> Range<Int> {
        let slash = lastSlash(path)
        return slash > 0 ? (slash &+ 1)..<path.count : 0..<0
    }

    private static func lastSlash(_ path: Span<UInt8>) -> Int {
        var index = path.count
        while index > 0 {
            index &-= 1
            if path[index] == UInt8(ascii: "/") { return index }
        }
        return -1
    }
}
