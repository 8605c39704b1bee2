import MeshCore
import MeshHTTP
import MeshModel

/// The rules of a listener, compiled for matching without allocation (Gateway API v1, HTTPRoute precedence).
///
/// A host is found by hash: first its exact name, then `*.` before each of its suffixes, longest first, then the rules
/// for every host. Within a host the matches stand in order of precedence and the first that holds wins.
public struct RouteTable: Sendable {
    private struct Match: Sendable {
        let rule: Int
        let path: [UInt8]
        let isExact: Bool
        let method: [UInt8]?
        let headers: [(name: [UInt8], value: [UInt8])]
    }

    private struct Host: Sendable {
        let name: [UInt8]
        let matches: [Match]
    }

    private var hosts: [Host] = []
    private var slots: [Int32]
    private var everyHost: [Match] = []

    /// A rule and the host names for which it stands.
    public struct Entry: Sendable {
        let hostnames: [Hostname]
        let rule: RouteRule

        /// `rule` for requests to one of `hostnames`.
        public init(hostnames: [Hostname], rule: RouteRule) {
            self.hostnames = hostnames
            self.rule = rule
        }
    }

    /// Compiles `entries`; indices that ``match(_:)`` returns are indices into it. Throws for a match that this table
    /// cannot decide, rather than letting it match too much or too little.
    public init(_ entries: [Entry]) throws(ProxyError) {
        var order: [String] = []
        var byHost: [String: [Match]] = [:]
        for (index, entry) in entries.enumerated() {
            var matches: [Match] = []
            for match in entry.rule.matches { matches.append(try Self.compile(match, of: entry.rule, index: index)) }
            for hostname in entry.hostnames {
                if hostname == .any {
                    everyHost += matches
                    continue
                }
                let name = hostname.description
                if byHost[name] == nil { order.append(name) }
                byHost[name, default: []] += matches
            }
        }
        everyHost = Self.byPrecedence(everyHost)
        for name in order { hosts.append(Host(name: Array(name.utf8), matches: Self.byPrecedence(byHost[name] ?? []))) }
        var capacity = 16
        while capacity < hosts.count * 2 { capacity *= 2 }
        slots = Array(repeating: -1, count: capacity)
        for (index, host) in hosts.enumerated() {
            var slot = Int(truncatingIfNeeded: Self.hash(host.name.span)) & (capacity - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (capacity - 1) }
            slots[slot] = Int32(index)
        }
    }

    /// The index of the rule that wins for `head`, or nil if none matches.
    public func match(_ head: MessageHead) -> Int? {
        let authority = head.span(head.authorityRange)
        let name = authority.extracting(first: Self.hostLength(authority))
        let target = head.span(head.pathRange)
        let path = target.extracting(first: Self.pathLength(target))
        if let host = find(name, wildcard: false), let rule = first(hosts[host].matches, path, head) { return rule }
        var dot = 0
        while dot < name.count {
            if name[dot] == UInt8(ascii: "."), dot > 0,
                let host = find(name.extracting(droppingFirst: dot), wildcard: true),
                let rule = first(hosts[host].matches, path, head)
            {
                return rule
            }
            dot &+= 1
        }
        return first(everyHost, path, head)
    }

    private func first(_ matches: [Match], _ path: Span<UInt8>, _ head: MessageHead) -> Int? {
        var index = 0
        while index < matches.count {
            if Self.holds(matches[index], path, head) { return matches[index].rule }
            index &+= 1
        }
        return nil
    }

    /// The host called `name`; with `wildcard`, called `*` and `name`.
    private func find(_ name: Span<UInt8>, wildcard: Bool) -> Int? {
        let mask = slots.count &- 1
        var slot = Int(truncatingIfNeeded: Self.hash(name, seed: wildcard ? Self.wildcardSeed : Self.seed)) & mask
        while slots[slot] >= 0 {
            let text = hosts[Int(slots[slot])].name
            let host = text.span
            let skipped = host[0] == UInt8(ascii: "*") ? 1 : 0
            if skipped == (wildcard ? 1 : 0), name.equalsIgnoringCase(host.extracting(droppingFirst: skipped)) {
                return Int(slots[slot])
            }
            slot = (slot &+ 1) & mask
        }
        return nil
    }

    private static func holds(_ match: Match, _ path: Span<UInt8>, _ head: MessageHead) -> Bool {
        let wanted = match.path.span
        if match.isExact {
            guard path.equals(wanted) else { return false }
        } else {
            guard path.count >= wanted.count, path.extracting(first: wanted.count).equals(wanted) else { return false }
            // Element-wise; the empty prefix stands for "/".
            if path.count > wanted.count, path[wanted.count] != UInt8(ascii: "/") { return false }
        }
        if let method = match.method, !head.span(head.methodRange).equals(method.span) { return false }
        for header in match.headers {
            guard let index = head.firstIndex(named: header.name.span),
                head.span(head[index].valueRange).equals(header.value.span)
            else { return false }
        }
        return true
    }

    // MARK: Compiling

    private static func compile(_ match: RouteMatch, of rule: RouteRule, index: Int) throws(ProxyError) -> Match {
        guard match.queryParams.isEmpty else { throw unsupported(rule, "matches.queryParams") }
        var headers: [(name: [UInt8], value: [UInt8])] = []
        for header in match.headers {
            guard case .exact(let value) = header.value else { throw unsupported(rule, "matches.headers.type") }
            headers.append((name: Array(header.name.utf8), value: Array(value.utf8)))
        }
        let method = match.method.map { Array($0.utf8) }
        switch match.path {
        case .exact(let path):
            return Match(rule: index, path: Array(path.utf8), isExact: true, method: method, headers: headers)
        case .prefix(let path):
            // "/v2/" and "/v2" are the same prefix.
            let elements = path.hasSuffix("/") ? String(path.dropLast()) : path
            return Match(rule: index, path: Array(elements.utf8), isExact: false, method: method, headers: headers)
        case .regex: throw unsupported(rule, "matches.path.type RegularExpression")
        case .grpc: throw unsupported(rule, "GRPCRoute")
        }
    }

    private static func unsupported(_ rule: RouteRule, _ what: String) -> ProxyError {
        ProxyError("rule \(rule.name): \(what) is not served yet; take it out")
    }

    /// Exact paths, then longest prefixes, then a method, then most headers, then document order.
    private static func byPrecedence(_ matches: [Match]) -> [Match] {
        matches.enumerated().sorted { left, right in
            let (a, b) = (left.element, right.element)
            if a.isExact != b.isExact { return a.isExact }
            if a.path.count != b.path.count { return a.path.count > b.path.count }
            if (a.method != nil) != (b.method != nil) { return a.method != nil }
            if a.headers.count != b.headers.count { return a.headers.count > b.headers.count }
            return left.offset < right.offset
        }.map(\.element)
    }

    private static let seed: UInt64 = 0xcbf2_9ce4_8422_2325
    /// The hash state after `*`, so that `*.example.com` is found by `.example.com`.
    private static let wildcardSeed = (seed ^ 0x2A) &* 0x100_0000_01b3

    /// FNV-1a over lower-case bytes.
    private static func hash(_ name: Span<UInt8>, seed: UInt64 = seed) -> UInt64 {
        var hash = seed
        var index = 0
        while index < name.count {
            hash = (hash ^ UInt64(name[index].lowercased)) &* 0x100_0000_01b3
            index &+= 1
        }
        return hash
    }

    /// Bytes of the host in `host[:port]`.
    private static func hostLength(_ authority: Span<UInt8>) -> Int {
        var index = authority.count
        while index > 0 {
            index &-= 1
            if authority[index] == UInt8(ascii: ":") { return index }
            if authority[index] == UInt8(ascii: "]") { break }
        }
        return authority.count
    }

    /// Bytes before the query.
    private static func pathLength(_ target: Span<UInt8>) -> Int {
        var index = 0
        while index < target.count, target[index] != UInt8(ascii: "?") { index &+= 1 }
        return index
    }
}
