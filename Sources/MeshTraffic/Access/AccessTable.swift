import MeshCore
import MeshHTTP
import MeshModel

/// Who asks, as far as access goes. Spans: valid during the call.
public struct AccessCaller: ~Escapable {
    /// The SPIFFE id that mutual TLS has proven; empty: none.
    public let identity: Span<UInt8>
    /// The namespace of that identity if it is of the proxy's own trust domain; else empty.
    public let namespace: Span<UInt8>
    /// The caller's address; IPv4 is mapped into IPv6.
    public let address: (high: UInt64, low: UInt64)

    /// A caller.
    @_lifetime(copy identity, copy namespace)
    public init(identity: Span<UInt8>, namespace: Span<UInt8>, address: (high: UInt64, low: UInt64)) {
        self.identity = identity
        self.namespace = namespace
        self.address = address
    }
}

/// What access rules say of a request. Policies are indices of ``AccessTable/names``.
public struct AccessVerdict: Sendable, Equatable {
    /// The policy that refuses it; nil: it is allowed.
    public var denied: Int?
    /// The policy that would refuse it if those that are only audited were in force, where it is allowed now.
    public var audited: Int?

    /// Allowed, and by audited policies too.
    public static let allowed = AccessVerdict(denied: nil, audited: nil)
}

/// The access rules of one section, compiled: evaluated without allocation, for all loops. First DENY, then ALLOW, then
/// the default (``AccessRules``).
public final class AccessTable: Sendable {
    /// `default`, which stands for no policy, then the policies' names.
    public let names: [String]
    /// A rule looks at addresses: they are to be given.
    public let looksAtAddresses: Bool
    /// A rule looks at paths.
    public let looksAtPaths: Bool

    private let denying: [CompiledPolicy]
    private let allowing: [CompiledPolicy]
    private let auditedDenying: [CompiledPolicy]
    private let auditedAllowing: [CompiledPolicy]
    private let isAllowedByDefault: Bool

    private struct CompiledPolicy: Sendable {
        let number: Int
        let rules: [CompiledAccessRule]
    }

    /// Compiles `rules` for a section that serves `port`; `address` reads an IP address as 128 bits.
    ///
    /// - Throws: a line that names the policy and what is not valid in it.
    public init(
        _ rules: AccessRules, port: UInt16, address: (String) -> (high: UInt64, low: UInt64)?
    ) throws(ProxyError) {
        var policies: [CompiledPolicy] = []
        for (index, policy) in rules.policies.enumerated() {
            var compiled: [CompiledAccessRule] = []
            for rule in policy.rules {
                compiled.append(try CompiledAccessRule(rule, policy: policy.name, port: port, address: address))
            }
            policies.append(CompiledPolicy(number: index + 1, rules: compiled))
        }
        func chosen(_ action: AccessAction, audited: Bool) -> [CompiledPolicy] {
            zip(rules.policies, policies).filter { $0.0.action == action && $0.0.isAudit == audited }.map(\.1)
        }
        names = ["default"] + rules.policies.map(\.name)
        let all = rules.policies.flatMap(\.rules)
        looksAtAddresses = all.contains { $0.from.contains { !$0.cidrs.isEmpty } }
        looksAtPaths = all.contains { $0.to.contains { !$0.paths.isEmpty } }
        denying = chosen(.deny, audited: false)
        allowing = chosen(.allow, audited: false)
        auditedDenying = chosen(.deny, audited: true)
        auditedAllowing = chosen(.allow, audited: true)
        isAllowedByDefault = rules.defaultAction == .allow
    }

    /// The path of `request` as the rules see it, without query: normal as at the edge whatever the role, so that no
    /// other way to write it leads past a rule. Nil if it has no normal form, and must be refused; empty if no rule
    /// looks at it.
    public func path(of request: MessageHead) -> ByteRange? {
        looksAtPaths ? PathNormalizer.normalForm(of: request) : .empty
    }

    /// What the rules say of `request` by `caller`; `path` comes from ``path(of:)``. Nil is a connection of bytes.
    public func judge(_ caller: borrowing AccessCaller, _ request: MessageHead?, path: ByteRange) -> AccessVerdict {
        let denied = decide(caller, request, path, withAudited: false)
        if denied != nil || (auditedDenying.isEmpty && auditedAllowing.isEmpty) {
            return AccessVerdict(denied: denied, audited: nil)
        }
        return AccessVerdict(denied: nil, audited: decide(caller, request, path, withAudited: true))
    }

    private func decide(
        _ caller: borrowing AccessCaller, _ request: MessageHead?, _ path: ByteRange, withAudited: Bool
    ) -> Int? {
        if let hit = Self.first(denying, caller, request, path) { return hit }
        if withAudited, let hit = Self.first(auditedDenying, caller, request, path) { return hit }
        let hasAudited = withAudited && !auditedAllowing.isEmpty
        if allowing.isEmpty && !hasAudited { return isAllowedByDefault ? nil : 0 }
        if Self.first(allowing, caller, request, path) != nil { return nil }
        guard hasAudited else { return 0 }
        return Self.first(auditedAllowing, caller, request, path) != nil ? nil : auditedAllowing[0].number
    }

    private static func first(
        _ policies: [CompiledPolicy], _ caller: borrowing AccessCaller, _ request: MessageHead?, _ path: ByteRange
    ) -> Int? {
        var index = 0
        while index < policies.count {
            var rule = 0
            while rule < policies[index].rules.count {
                if policies[index].rules[rule].fits(caller, request, path) { return policies[index].number }
                rule &+= 1
            }
            index &+= 1
        }
        return nil
    }
}
