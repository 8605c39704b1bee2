import MeshModel

/// Whether a service takes clear text, as documents write it.
enum MTLSModeName: String, CaseIterable {
    case strict = "STRICT"
    case permissive = "PERMISSIVE"
    case disabled = "DISABLED"

    /// As the model has it.
    var mode: MTLSMode {
        switch self {
        case .strict: .strict
        case .permissive: .permissive
        case .disabled: .disabled
        }
    }

    /// `mtls.mode` of `owner`; nil if it says none.
    static func read(_ owner: Fields) -> MTLSMode? {
        guard let fields = owner.fields("mtls") else { return nil }
        defer { fields.done() }
        if !fields.has("mode") { fields.missing("mode", remedy: "STRICT, PERMISSIVE or DISABLED") }
        return fields.choice("mode", MTLSModeName.self)?.value.mode
    }
}

/// ALLOW or DENY, as documents write it.
enum AccessActionName: String, CaseIterable {
    case allow = "ALLOW"
    case deny = "DENY"

    /// As the model has it.
    var action: AccessAction {
        switch self {
        case .allow: .allow
        case .deny: .deny
        }
    }
}

/// Mesh of martlet.dev/v1alpha1: what holds for the whole mesh. At most one object.
struct MeshDocument {
    var metadata: Metadata
    var trustDomain: Located<String>?
    /// For services of which neither the Workload nor the namespace says one.
    var mode: MTLSMode?
    /// By namespace.
    var modes: [String: MTLSMode] = [:]
    var defaultAccess: AccessAction?
    var unknownDestinations: AccessAction?
    /// Nanoseconds.
    var certificateLifetime: UInt64?

    init(_ spec: Fields, metadata: Metadata) {
        self.metadata = metadata
        trustDomain = spec.string("trustDomain").flatMap { Self.trustDomain($0, spec.report) }
        mode = MTLSModeName.read(spec)
        readNamespaces(spec)
        if let access = spec.fields("access") {
            defaultAccess = access.choice("default", AccessActionName.self)?.value.action
            access.done()
        }
        unknownDestinations = spec.choice("unknownDestinations", AccessActionName.self)?.value.action
        guard let certificates = spec.fields("certificates") else { return }
        defer { certificates.done() }
        guard let lifetime = certificates.duration("lifetime") else { return }
        // Renewed at half of it: less is a load for nothing, more is no short-lived certificate any longer.
        if (10_000_000_000...(8784 * 3_600_000_000_000)).contains(lifetime.value) {
            certificateLifetime = lifetime.value
        } else {
            spec.report.error(
                "the lifetime of certificates is shorter than 10s or longer than a year", at: lifetime.place,
                remedy: "for example 24h")
        }
    }

    private mutating func readNamespaces(_ spec: Fields) {
        _ = spec.list("namespaces", most: 1000) { fields -> Void? in
            let name = fields.required("name", remedy: "the name of a namespace")
            let mode = MTLSModeName.read(fields)
            if !fields.has("mtls") { fields.missing("mtls", remedy: Shape.example(at: "mtls")) }
            guard let name, Syntax.objectName(name, fields.report) != nil, let mode else { return nil }
            if modes.updateValue(mode, forKey: name.value) != nil {
                fields.report.error("the namespace \(name.value) is given twice", at: name.place, remedy: "remove one")
            }
            return nil
        }
    }

    /// Reports a trust domain that is none.
    static func trustDomain(_ text: Located<String>, _ report: Report) -> Located<String>? {
        if SPIFFEID.isTrustDomain(text.value) { return text }
        let lower = text.value.lowercased()
        let remedy: String
        if text.value.hasPrefix("spiffe://") {
            remedy = "without spiffe://, as in \(MeshSettings.defaultTrustDomain)"
        } else if SPIFFEID.isTrustDomain(lower) {
            remedy = "write it in lower case: \"\(lower)\""
        } else {
            remedy = "lower case letters, digits, '.', '-' and '_', as in \(MeshSettings.defaultTrustDomain)"
        }
        report.error("\"\(text.value)\" is not a trust domain", at: text.place, remedy: remedy)
        return nil
    }
}
