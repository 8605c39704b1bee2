import Foundation

/// A filter of a route rule or of one backend, as written.
struct FilterDocument {
    /// The standard's filter types.
    enum Kind: String, CaseIterable {
        case requestHeaderModifier = "RequestHeaderModifier"
        case responseHeaderModifier = "ResponseHeaderModifier"
        case requestMirror = "RequestMirror"
        case requestRedirect = "RequestRedirect"
        case urlRewrite = "URLRewrite"
        case cors = "CORS"
        case externalAuth = "ExternalAuth"
        case extensionRef = "ExtensionRef"

        /// The field that holds this type's settings.
        var field: String { rawValue.first == "U" || self == .cors ? shortField : lowered }
        private var lowered: String { rawValue.prefix(1).lowercased() + rawValue.dropFirst() }
        private var shortField: String { self == .cors ? "cors" : "urlRewrite" }
    }

    /// What a filter does.
    enum Action {
        case requestHeaders(HeaderChange)
        case responseHeaders(HeaderChange)
        case mirror(MirrorDocument)
        case redirect(RedirectDocument)
        case rewrite(RewriteDocument)
        case cors(CORSDocument)
    }

    var action: Action
    var place: Place

    /// Filters a rule of an HTTPRoute may have.
    static let httpKinds = Kind.allCases
    /// Filters a rule of a GRPCRoute may have.
    static let grpcKinds: [Kind] = [.requestHeaderModifier, .responseHeaderModifier, .requestMirror, .extensionRef]

    /// The list `filters` of `owner`, with what may not stand together reported.
    static func list(_ owner: Fields, of kinds: [Kind]) -> [FilterDocument] {
        var seen: Set<Kind> = []
        return owner.list("filters", most: 16) { fields in
            guard let type = fields.choice("type", Kind.self) else {
                if !fields.has("type") { fields.missing("type", remedy: names(kinds)) }
                Kind.allCases.forEach { fields.ignore($0.field) }
                return nil
            }
            let kind = type.value
            guard kinds.contains(kind) else {
                owner.report.error(
                    "the filter \(kind.rawValue) is not possible here", at: type.place, remedy: names(kinds))
                Kind.allCases.forEach { fields.ignore($0.field) }
                return nil
            }
            if !seen.insert(kind).inserted, kind != .requestMirror, kind != .extensionRef {
                owner.report.error(
                    "the filter \(kind.rawValue) is given twice", at: fields.place, remedy: "merge the two")
            }
            if kind == .requestRedirect && seen.contains(.urlRewrite)
                || kind == .urlRewrite && seen.contains(.requestRedirect)
            {
                owner.report.error(
                    "RequestRedirect and URLRewrite cannot stand together", at: fields.place,
                    remedy: "a redirect answers the request itself; use its path and hostname")
            }
            for other in Kind.allCases where other != kind && fields.has(other.field) {
                owner.report.error(
                    "\(other.field) does not belong to a filter of type \(kind.rawValue)",
                    at: fields.place(of: other.field), remedy: "remove it, or write \"type: \(other.rawValue)\"")
                fields.ignore(other.field)
            }
            return action(kind, fields).map { FilterDocument(action: $0, place: fields.place) }
        }
    }

    private static func names(_ kinds: [Kind]) -> String {
        "one of " + kinds.map(\.rawValue).joined(separator: ", ")
    }

    private static func action(_ kind: Kind, _ fields: Fields) -> Action? {
        guard let settings = fields.requiredFields(kind.field) else { return nil }
        defer { settings.done() }
        switch kind {
        case .requestHeaderModifier: return .requestHeaders(HeaderChange(settings))
        case .responseHeaderModifier: return .responseHeaders(HeaderChange(settings))
        case .requestMirror: return MirrorDocument(settings).map { .mirror($0) }
        case .requestRedirect: return .redirect(RedirectDocument(settings))
        case .urlRewrite: return .rewrite(RewriteDocument(settings))
        case .cors: return .cors(CORSDocument(settings))
        case .externalAuth, .extensionRef:
            settings.names.forEach { settings.ignore($0) }
            settings.report.error("the filter \(kind.rawValue) is not supported", at: fields.place, remedy: "remove it")
            return nil
        }
    }
}

/// Headers to set, add and remove.
struct HeaderChange {
    var set: [(name: String, value: String)]
    var add: [(name: String, value: String)]
    var remove: [String]

    init(_ fields: Fields) {
        func pairs(_ name: String) -> [(name: String, value: String)] {
            var seen: Set<String> = []
            return fields.list(name, most: 16) { item in
                let name = item.required("name")
                let value = item.string("value")
                if value == nil, !item.has("value") { item.missing("value") }
                guard let name, let key = Syntax.headerName(name, fields.report), let value,
                    let text = Syntax.headerValue(value, fields.report)
                else { return nil }
                if !seen.insert(key.lowercased()).inserted {
                    fields.report.error("the header \(key) is given twice", at: name.place, remedy: "keep one of them")
                }
                return (key, text)
            }
        }
        set = pairs("set")
        add = pairs("add")
        remove = fields.strings("remove", most: 16).compactMap { Syntax.headerName($0, fields.report) }
    }
}

/// How the path changes in a redirect or a rewrite.
enum PathChange: Equatable {
    case full(String)
    case prefix(String)

    enum Kind: String, CaseIterable {
        case full = "ReplaceFullPath"
        case prefix = "ReplacePrefixMatch"
    }

    init?(_ owner: Fields) {
        guard let fields = owner.fields("path") else { return nil }
        defer { fields.done() }
        guard let kind = fields.choice("type", Kind.self) else {
            if !fields.has("type") { fields.missing("type", remedy: "ReplaceFullPath or ReplacePrefixMatch") }
            fields.ignore("replaceFullPath", "replacePrefixMatch")
            return nil
        }
        let (used, unused) =
            kind.value == .full
            ? ("replaceFullPath", "replacePrefixMatch") : ("replacePrefixMatch", "replaceFullPath")
        if fields.has(unused) {
            fields.report.error(
                "\(unused) does not belong to type \(kind.value.rawValue)", at: fields.place(of: unused),
                remedy: "write \(used)")
        }
        fields.ignore(unused)
        guard let value = fields.string(used) else {
            if !fields.has(used) { fields.missing(used) }
            return nil
        }
        let isClean =
            value.value.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x23 && $0 != 0x3F }
            && value.value.utf8.count <= 1024
        guard isClean else {
            fields.report.error(
                "the path has a space, ?, # or a byte outside ASCII", at: value.place, remedy: "encode it")
            return nil
        }
        guard value.value.hasPrefix("/") || (kind.value == .prefix && value.value.isEmpty) else {
            fields.report.error("the path does not start with /", at: value.place, remedy: "\"/\(value.value)\"")
            return nil
        }
        self = kind.value == .full ? .full(value.value) : .prefix(value.value)
    }
}

/// RequestRedirect.
struct RedirectDocument {
    enum Scheme: String, CaseIterable { case http, https }

    var scheme: Scheme?
    var hostname: String?
    var path: PathChange?
    var port: Int?
    var statusCode: Int

    init(_ fields: Fields) {
        scheme = fields.choice("scheme", Scheme.self)?.value
        hostname = fields.string("hostname").flatMap { Syntax.hostname($0, wildcard: false, fields.report) }
        path = PathChange(fields)
        port = fields.integer("port", in: 1...65535)?.value
        let status = fields.integer("statusCode", in: 100...999)
        statusCode = status?.value ?? 302
        if let status, ![301, 302, 303, 307, 308].contains(status.value) {
            fields.report.error(
                "statusCode \(status.value) is not a redirect", at: status.place, remedy: "301, 302, 303, 307 or 308")
        }
    }
}

/// URLRewrite.
struct RewriteDocument {
    var hostname: String?
    var path: PathChange?

    init(_ fields: Fields) {
        hostname = fields.string("hostname").flatMap { Syntax.hostname($0, wildcard: false, fields.report) }
        path = PathChange(fields)
    }
}

/// RequestMirror.
struct MirrorDocument {
    var reference: ObjectReference
    /// Parts of `denominator` requests that are mirrored.
    var numerator: Int
    var denominator: Int

    init?(_ fields: Fields) {
        let reference = fields.requiredFields("backendRef").flatMap { inner -> ObjectReference? in
            defer { inner.done() }
            return ObjectReference(inner, kind: "Service", hasPort: true)
        }
        let share = Share(fields)
        (numerator, denominator) = (share.numerator, share.denominator)
        guard let reference else { return nil }
        self.reference = reference
    }
}

/// CORS.
struct CORSDocument {
    var allowOrigins: [String]
    var allowCredentials: Bool
    var allowMethods: [String]
    var allowHeaders: [String]
    var exposeHeaders: [String]
    var maxAge: Int

    init(_ fields: Fields) {
        let report = fields.report
        allowOrigins = fields.strings("allowOrigins", most: 64).compactMap { origin in
            if Self.isOrigin(origin.value) { return origin.value }
            report.error(
                "\"\(origin.value)\" is not an origin", at: origin.place,
                remedy: "\"*\", or scheme and host such as \"https://shop.example\" or \"https://*.example\"")
            return nil
        }
        allowCredentials = fields.boolean("allowCredentials")?.value ?? false
        func tokens(_ name: String, most: Int) -> [String] {
            fields.strings(name, most: most).compactMap { Syntax.headerName($0, report) }
        }
        allowMethods = tokens("allowMethods", most: 9)
        allowHeaders = tokens("allowHeaders", most: 64)
        exposeHeaders = tokens("exposeHeaders", most: 64)
        maxAge = fields.integer("maxAge", in: 1...Int(Int32.max))?.value ?? 5
        if allowMethods.contains("*"), allowMethods.count > 1 {
            report.error("* must stand alone", at: fields.place(of: "allowMethods"), remedy: "remove the others")
        }
    }

    private static func isOrigin(_ text: String) -> Bool {
        if text == "*" { return true }
        guard let colon = text.range(of: "://") else { return false }
        let scheme = text[..<colon.lowerBound]
        var host = text[colon.upperBound...]
        if let port = host.lastIndex(of: ":") {
            guard let number = Int(host[host.index(after: port)...]), (1...65535).contains(number) else { return false }
            host = host[..<port]
        }
        let isScheme =
            scheme.utf8.first.map { (0x61...0x7A).contains($0 | 0x20) } == true
            && scheme.utf8.allSatisfy { (0x61...0x7A).contains($0 | 0x20) || "0123456789+-.".utf8.contains($0) }
        return isScheme
            && (host == "*" || Syntax.isHostname(host.lowercased(), wildcard: true)
                || Syntax.isIPv4(String(host)))
    }
}
