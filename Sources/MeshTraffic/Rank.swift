import MeshModel

/// Where a match stands among those of its host: the standard's order, as numbers of which the first that differs
/// decides, larger first. The index of paths is sorted by it, and an explanation quotes it.
///
/// HTTPRoute: an exact path, the longest prefix, a method, most headers, most query parameters, then (ours) a port, document order. The
/// place of regular expressions is left to implementations: here behind exact paths and before prefixes, the longest
/// pattern first. GRPCRoute: most characters of the service, of the method, most headers, document order; exact texts
/// before regular expressions before none. The standard lets no host have routes of both kinds. Where one has, gRPC
/// requests try the GRPCRoutes first, as the narrower kind; other requests never see them.
struct Rank: Sendable, Equatable {
    /// What decided between two matches that both fit.
    enum Criterion: Sendable { case kind, path, method, verb, headers, query, port, order }

    let kind: PathIndex.Kind
    /// Bytes of the path, prefix or pattern; of a GRPCRoute's service.
    let path: Int
    /// GRPCRoute: bytes of the method.
    let method: Int
    /// HTTPRoute: 1 if it asks for a method.
    let verb: Int
    let headers: Int
    let query: Int
    /// 1 if its route is for one port.
    let port: Int
    /// Position in the documents, the first being 0.
    let order: Int

    init(_ match: RouteMatch, port: UInt16? = nil, order: Int) {
        self.order = order
        self.port = port == nil ? 0 : 1
        verb = match.method == nil ? 0 : 1
        headers = ConditionTable.distinct(match.headers, ignoringCase: true).count
        query = ConditionTable.distinct(match.queryParams, ignoringCase: false).count
        kind = PathIndex.Kind(match.path)
        switch match.path {
        case .exact(let path): (self.path, method) = (path.utf8.count, 0)
        case .prefix(let path): (self.path, method) = (PathIndex.prefixBytes(path).count, 0)
        case .regex(let pattern): (self.path, method) = (pattern.utf8.count, 0)
        case .grpc(let service, let method):
            (self.path, self.method) = (Self.weight(service), Self.weight(method))
        }
    }

    /// Exact texts before patterns before nothing, each by length.
    private static func weight(_ match: StringMatch?) -> Int {
        switch match {
        case .exact(let text): 1 << 32 + text.utf8.count
        case .regex(let pattern): 1 + pattern.utf8.count
        case nil: 0
        }
    }

    /// What decides between this match and `other`, and whether it decides for this one.
    func decision(against other: Rank) -> (criterion: Criterion, wins: Bool) {
        if kind != other.kind { return (.kind, kind.rawValue < other.kind.rawValue) }
        if path != other.path { return (.path, path > other.path) }
        if method != other.method { return (.method, method > other.method) }
        if verb != other.verb { return (.verb, verb > other.verb) }
        if headers != other.headers { return (.headers, headers > other.headers) }
        if query != other.query { return (.query, query > other.query) }
        if port != other.port { return (.port, port > other.port) }
        return (.order, order < other.order)
    }
}
