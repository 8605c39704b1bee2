import MeshModel

/// A rule of a route as the proxy carries it out. An object, so that an exchange keeps it by one reference.
public final class CompiledRule: Sendable {
    /// `namespace/route/rule`: the rule's name, or its number from 0; for labels.
    public let name: String
    /// `namespace/route`.
    public let routeName: String
    /// The section that the route is attached to, by index.
    public let section: Int
    /// The kind of the route.
    public let kind: Route.Kind
    /// Where requests go.
    public let split: Split
    /// What is done to all requests of the rule; those of a share come after.
    public let filters: FilterChain
    /// How long it may take, when to try again, what is refused.
    public let policy: RequestPolicy
    /// How a client stays with one endpoint.
    public let session: SessionRule?
    /// Where it was written.
    public let origin: Origin?

    init(_ rule: RouteRule, number: Int, of route: Route, section: Int, backend index: (String) -> Int?) {
        name = "\(route.name)/\(rule.name.isEmpty ? String(number) : rule.name)"
        routeName = route.name
        self.section = section
        kind = route.kind
        split = Split(rule.backends, index: index)
        filters = FilterChain(rule.filters, backend: index)
        policy = rule.policy
        session = rule.sessionPersistence.map(SessionRule.init)
        origin = rule.origin ?? route.origin
    }
}
