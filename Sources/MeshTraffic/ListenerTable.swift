import MeshCore
import MeshHTTP
import MeshModel

/// All that a listener serves, compiled: which section and which rule a request belongs to (Gateway API v1).
///
/// Nothing is scanned that grows with the number of hosts or routes, and nothing is allocated: hosts and paths are
/// found by hash (``HostIndex``, ``PathIndex``), then conditions are tried in the standard's order of precedence.
public final class ListenerTable: Sendable {
    /// What a request gets.
    public enum Verdict: Sendable, Equatable {
        /// This index of ``ListenerTable/rules``. `prefixLength`: the bytes of the path that the winning PathPrefix
        /// match covers, without a slash at its end; 0 for matches of other kinds.
        case rule(Int, prefixLength: Int)
        /// No section or no rule is for it: 404.
        case notFound
        /// It came over TLS for a host that another section matches better: 421.
        case misdirected
    }

    /// A section as far as matching is concerned.
    struct CompiledSection: Sendable {
        let name: String
        let hostname: Hostname
        let origin: Origin?
    }

    /// The rules of all sections, in document order.
    public let rules: [CompiledRule]
    let sections: [CompiledSection]
    /// One group; the values are sections.
    let sectionIndex: HostIndex
    /// A group per section; the values are hosts of ``paths``.
    let hostIndex: HostIndex
    /// The pattern of each host of ``paths``.
    let hosts: [(section: Int, hostname: Hostname)]
    let paths: PathIndex
    /// Connections come with their section, by where they were going: hosts do not choose one.
    let sectionsAreGiven: Bool
    /// A group per section; the values are indices of ``splits``.
    private let streamIndex: HostIndex
    private let splits: [Split]

    /// Compiles a valid listener; `index` finds a backend by its name. Throws for a regular expression that is not
    /// valid.
    public init(_ listener: Listener, backend index: (String) -> Int?) throws(ProxyError) {
        var builder = TableBuilder(role: listener.role)
        var splits: [Split] = []
        var streams: [(group: Int, hostname: Hostname, value: Int)] = []
        for (number, section) in listener.sections.enumerated() {
            for route in section.routes { builder.add(route, section: number, backend: index) }
            for route in section.streamRoutes {
                for hostname in route.hostnames {
                    streams.append((group: number, hostname: hostname, value: splits.count))
                }
                splits.append(Split(route.backends, index: index))
            }
        }
        sectionsAreGiven = listener.originalDestination != nil
        rules = builder.rules
        hosts = builder.hosts
        sections = listener.sections.map {
            CompiledSection(name: $0.name, hostname: $0.hostname, origin: $0.origin)
        }
        sectionIndex = HostIndex(
            listener.sections.enumerated().map { (group: 0, hostname: $0.element.hostname, value: $0.offset) })
        hostIndex = HostIndex(
            hosts.enumerated().map { (group: $0.element.section, hostname: $0.element.hostname, value: $0.offset) })
        paths = try PathIndex(builder.drafts, hostCount: builder.hosts.count)
        streamIndex = HostIndex(streams)
        self.splits = splits
    }

    /// The rule for a request.
    ///
    /// - Parameter section: in TLS, the section that the connection was accepted for (``section(serverName:)``); nil
    ///   in clear text, where the section that matches the host best serves the request. On a listener for redirected
    ///   connections, the section that the connection's destination led to.
    public func match(_ head: MessageHead, section: Int?) -> Verdict {
        let subject = self.subject(head, section)
        let name = head.span(subject.host)
        let best = self.section(for: name, section)
        if best < 0 { return .notFound }
        if let section, section != best { return .misdirected }
        var walk = HostIndex.Walk()
        while true {
            // A rule for a more specific host goes first; if none fits, those of the next wider pattern are tried.
            let host = hostIndex.next(&walk, group: best, name)
            if host < 0 { return .notFound }
            let found = candidate(host, head, subject)
            if found >= 0 {
                let winner = paths.candidates[found]
                return .rule(Int(winner.rule), prefixLength: Int(winner.prefixLength))
            }
        }
    }

    /// A request that names no port is for the one of its scheme.
    func subject(_ head: MessageHead, _ section: Int?) -> Subject {
        Subject(head, defaultPort: section == nil || sectionsAreGiven ? 80 : 443)
    }

    /// The section that serves `host`, or -1.
    func section(for host: Span<UInt8>, _ given: Int?) -> Int {
        sectionsAreGiven ? given ?? -1 : sectionIndex.best(group: 0, host)
    }

    /// The first candidate of `host` that fits, or -1.
    private func candidate(_ host: Int, _ head: MessageHead, _ subject: Subject) -> Int {
        var walk = paths.walk(host, head.span(subject.path), isGRPC: subject.isGRPC)
        while true {
            let range = paths.next(&walk)
            if range.isEmpty { return -1 }
            var index = range.lowerBound
            while index < range.upperBound {
                if paths.firstFailure(index, head, subject) < 0 { return index }
                index &+= 1
            }
        }
    }

    /// The section for a TLS connection whose client named `serverName`, empty if it named none: the exact hostname,
    /// the longest wildcard, or the section of every host; nil if there is none.
    public func section(serverName: Span<UInt8>) -> Int? {
        let found = sectionIndex.best(group: 0, Self.withoutDot(serverName))
        return found < 0 ? nil : found
    }

    /// Where a connection of a `tls` or `tcp` section goes; nil if no route is for the server name, which is empty in
    /// clear text.
    public func streamRoute(section: Int, serverName: Span<UInt8>) -> Split? {
        let found = streamIndex.best(group: section, Self.withoutDot(serverName))
        return found < 0 ? nil : splits[found]
    }

    @_lifetime(copy name)
    private static func withoutDot(_ name: Span<UInt8>) -> Span<UInt8> {
        guard name.count > 1, name[name.count &- 1] == UInt8(ascii: ".") else { return name }
        return name.extracting(droppingLast: 1)
    }
}

/// Numbers hosts and rules while a listener is compiled.
private struct TableBuilder {
    private struct HostKey: Hashable {
        let section: Int
        let hostname: Hostname
    }

    let role: Role
    var rules: [CompiledRule] = []
    var hosts: [(section: Int, hostname: Hostname)] = []
    var drafts: [PathIndex.Draft] = []
    private var numbers: [HostKey: Int] = [:]

    init(role: Role) { self.role = role }

    mutating func add(_ route: Route, section: Int, backend index: (String) -> Int?) {
        let own = Set(route.hostnames).map { number($0, section) }
        for (number, rule) in route.rules.enumerated() {
            let compiled = CompiledRule(rule, number: number, of: route, section: section, backend: index)
            for match in rule.matches.map(normal) {
                let rank = Rank(match, port: route.port, order: drafts.count)
                for host in own {
                    drafts.append(
                        PathIndex.Draft(
                            host: host, rule: rules.count, rank: rank, match: match, ruleName: compiled.name,
                            port: route.port))
                }
            }
            rules.append(compiled)
        }
    }

    private func normal(_ match: RouteMatch) -> RouteMatch {
        var match = match
        switch match.path {
        case .exact(let path): match.path = .exact(PathNormalizer.normal(path, role: role))
        case .prefix(let path): match.path = .prefix(PathNormalizer.normal(path, role: role))
        case .regex, .grpc: break
        }
        return match
    }

    private mutating func number(_ hostname: Hostname, _ section: Int) -> Int {
        let key = HostKey(section: section, hostname: hostname)
        if let known = numbers[key] { return known }
        numbers[key] = hosts.count
        hosts.append((section: section, hostname: hostname))
        return hosts.count - 1
    }
}
