import MeshCore
import MeshHTTP
import MeshModel

/// The matches of all hosts of a listener, found by path without looking at the others.
///
/// One hash table for all hosts holds every path that some match names, as it is or as a prefix; matches for the same
/// path of the same host stand together in order of precedence. A look-up goes over the path once, looks up what it
/// has hashed at every `/`, and so finds the exact path and the longest prefix; every prefix knows the next shorter
/// one. Matches without a text to look up (regular expressions) are tried one after the other.
struct PathIndex: Sendable {
    /// The kinds of entries, in order of precedence.
    enum Kind: UInt8, Sendable {
        /// GRPCRoute with exact service and method.
        case grpcExact
        /// GRPCRoute with exact service.
        case grpcService
        /// Other matches of a GRPCRoute.
        case grpcScan
        case exact
        case regex
        case prefix

        init(_ path: PathMatch) {
            self =
                switch path {
                case .exact: .exact
                case .prefix: .prefix
                case .regex: .regex
                case .grpc(.exact, .exact): .grpcExact
                case .grpc(.exact, _): .grpcService
                case .grpc: .grpcScan
                }
        }
    }

    /// What all matches for one path of one host have in common.
    private struct Entry: Sendable {
        let kind: Kind
        let host: Int32
        let path: ByteRange
        /// The matches, in order of precedence.
        let first: Int32
        let count: Int32
        /// The longest shorter prefix of the same host; -1: none.
        var parent: Int32 = -1
    }

    /// One match of one rule: its conditions beyond the path.
    struct Candidate: Sendable {
        let rule: Int32
        let firstCondition: Int32
        let conditionCount: Int32
        /// Bytes of the path that the prefix covers, without a slash at its end; 0 if it is no prefix.
        let prefixLength: Int32
    }

    /// What is known about a host before its paths are looked up; lengths are -1 if there are none.
    private struct Host: Sendable {
        var grpcScan: Int32 = -1
        var regex: Int32 = -1
        var hasGRPC = false
        var longestExact = -1
        var longestPrefix = -1
    }

    /// A match to be put in, with the host that it is for.
    struct Draft {
        let host: Int
        let rule: Int
        let rank: Rank
        let match: RouteMatch
        let ruleName: String
        /// The port that the route is for; nil: any.
        var port: UInt16?
    }

    private var text: [UInt8] = []
    private var entries: [Entry] = []
    private var slots: [Int32] = []
    private var hosts: [Host]
    private(set) var candidates: [Candidate] = []
    private(set) var conditions = ConditionTable()
    /// The drafts that ``candidates`` were made of, one for one; for explanations.
    private(set) var drafts: [Draft] = []

    // MARK: Compiling

    /// An index of `drafts` for hosts `0..<hostCount`.
    init(_ drafts: [Draft], hostCount: Int) throws(ProxyError) {
        hosts = Array(repeating: Host(), count: hostCount)
        let sorted = drafts.sorted { left, right in
            left.host != right.host ? left.host < right.host : left.rank.decision(against: right.rank).wins
        }
        var capacity = 16
        while capacity < drafts.count * 2 { capacity *= 2 }
        slots = Array(repeating: -1, count: capacity)
        // Equal paths of one kind need not be neighbours in order of precedence, for exact paths of one length.
        var order: [Key] = []
        var groups: [Key: [Draft]] = [:]
        for draft in sorted {
            let key = Key(kind: draft.rank.kind, host: draft.host, path: Self.bytes(draft.match.path))
            if groups[key] == nil { order.append(key) }
            groups[key, default: []].append(draft)
        }
        for key in order { try insert(key, groups[key] ?? []) }
        for index in entries.indices where entries[index].kind == .prefix { entries[index].parent = parent(of: index) }
    }

    private struct Key: Hashable {
        let kind: Kind
        let host: Int
        let path: [UInt8]
    }

    private mutating func insert(_ key: Key, _ group: [Draft]) throws(ProxyError) {
        let number = Int32(entries.count)
        entries.append(
            Entry(
                kind: key.kind, host: Int32(key.host), path: ByteRange(text.count, key.path.count),
                first: Int32(candidates.count), count: Int32(group.count)))
        text += key.path
        for draft in group {
            let first = conditions.conditions.count
            try conditions.add(draft.match, port: draft.port, rule: draft.ruleName)
            candidates.append(
                Candidate(
                    rule: Int32(draft.rule), firstCondition: Int32(first),
                    conditionCount: Int32(conditions.conditions.count - first),
                    prefixLength: key.kind == .prefix ? Int32(key.path.count) : 0))
            drafts.append(draft)
        }
        switch key.kind {
        case .grpcExact, .grpcService: hosts[key.host].hasGRPC = true
        case .grpcScan: (hosts[key.host].hasGRPC, hosts[key.host].grpcScan) = (true, number)
        case .regex: hosts[key.host].regex = number
        case .exact: hosts[key.host].longestExact = max(hosts[key.host].longestExact, key.path.count)
        case .prefix: hosts[key.host].longestPrefix = max(hosts[key.host].longestPrefix, key.path.count)
        }
        var hash = ByteHash()
        for byte in key.path { hash.add(byte) }
        var slot = hash.slot(seed: Self.seed(key.kind, Int32(key.host)), of: slots.count)
        while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
        slots[slot] = number
    }

    private func parent(of entry: Int) -> Int32 {
        let path = text.span.extracting(entries[entry].path)
        var longest: Int32 = -1
        var hash = ByteHash()
        for index in 0..<path.count {
            if path[index] == UInt8(ascii: "/") {
                let found = find(.prefix, entries[entry].host, hash, path.extracting(first: index))
                if found >= 0 { longest = found }
            }
            hash.add(path[index])
        }
        return longest
    }

    /// What a match is looked up by; empty for what has no text.
    private static func bytes(_ path: PathMatch) -> [UInt8] {
        switch path {
        case .exact(let path): Array(path.utf8)
        case .prefix(let path): prefixBytes(path)
        case .grpc(.exact(let service), .exact(let method)): Array("/\(service)/\(method)".utf8)
        case .grpc(.exact(let service), _): Array("/\(service)".utf8)
        case .regex, .grpc: []
        }
    }

    /// A prefix without the slash at its end, which does not count; nothing for `/`.
    static func prefixBytes(_ path: String) -> [UInt8] {
        Array((path.hasSuffix("/") ? path.dropLast() : path[...]).utf8)
    }

    // MARK: Looking up

    /// The entries that fit a path, each to be taken once; -1: none, or taken.
    struct Walk {
        fileprivate var grpcExact: Int32 = -1
        fileprivate var grpcService: Int32 = -1
        fileprivate var grpcScan: Int32 = -1
        fileprivate var exact: Int32 = -1
        fileprivate var regex: Int32 = -1
        fileprivate var prefix: Int32 = -1
    }

    /// Finds what fits `path` in `host`.
    func walk(_ host: Int, _ path: Span<UInt8>, isGRPC: Bool) -> Walk {
        let known = hosts[host]
        let number = Int32(truncatingIfNeeded: host)
        let isGRPC = isGRPC && known.hasGRPC
        var walk = Walk()
        walk.regex = known.regex
        var hash = ByteHash()
        if known.longestPrefix >= 0 { walk.prefix = find(.prefix, number, hash, path.extracting(first: 0)) }
        var service = hash
        var serviceEnd = 0
        let wantsAll = isGRPC || path.count <= max(known.longestExact, known.longestPrefix)
        let end = wantsAll ? path.count : known.longestPrefix &+ 1
        var index = 0
        while index < end {
            if path[index] == UInt8(ascii: "/"), index > 0 {
                if index <= known.longestPrefix {
                    let found = find(.prefix, number, hash, path.extracting(first: index))
                    if found >= 0 { walk.prefix = found }
                }
                service = hash
                serviceEnd = index
            }
            hash.add(path[index])
            index &+= 1
        }
        guard wantsAll else { return walk }
        if path.count <= known.longestPrefix, path.count > 0 {
            let found = find(.prefix, number, hash, path)
            if found >= 0 { walk.prefix = found }
        }
        if path.count <= known.longestExact { walk.exact = find(.exact, number, hash, path) }
        if isGRPC {
            walk.grpcExact = find(.grpcExact, number, hash, path)
            walk.grpcService = find(.grpcService, number, service, path.extracting(first: serviceEnd))
            walk.grpcScan = known.grpcScan
        }
        return walk
    }

    /// The candidates of the next entry in order of precedence; an empty range when there are no more.
    func next(_ walk: inout Walk) -> Range<Int> {
        var entry: Int32 = -1
        if walk.grpcExact >= 0 {
            swap(&entry, &walk.grpcExact)
        } else if walk.grpcService >= 0 {
            swap(&entry, &walk.grpcService)
        } else if walk.grpcScan >= 0 {
            swap(&entry, &walk.grpcScan)
        } else if walk.exact >= 0 {
            swap(&entry, &walk.exact)
        } else if walk.regex >= 0 {
            swap(&entry, &walk.regex)
        } else if walk.prefix >= 0 {
            entry = walk.prefix
            walk.prefix = entries[Int(entry)].parent
        } else {
            return 0..<0
        }
        let found = entries[Int(entry)]
        return Int(found.first)..<Int(found.first &+ found.count)
    }

    /// The first condition of candidate `index` that does not hold, or -1 if the request fits.
    func firstFailure(_ index: Int, _ head: MessageHead, _ subject: Subject) -> Int {
        let candidate = candidates[index]
        return conditions.firstFailure(
            Int(candidate.firstCondition), Int(candidate.conditionCount), head, subject)
    }

    private func find(_ kind: Kind, _ host: Int32, _ hash: ByteHash, _ path: Span<UInt8>) -> Int32 {
        var slot = hash.slot(seed: Self.seed(kind, host), of: slots.count)
        while slots[slot] >= 0 {
            let entry = entries[Int(slots[slot])]
            if entry.host == host, entry.kind == kind, path.equals(text.span.extracting(entry.path)) {
                return slots[slot]
            }
            slot = (slot &+ 1) & (slots.count &- 1)
        }
        return -1
    }

    private static func seed(_ kind: Kind, _ host: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: host)) << 3 | UInt64(kind.rawValue)
    }
}
