import MeshGatewayAPI
import MeshModel

/// Objects that most tests need, so that each test shows only what it is about.
enum Fixture {
    static let gateway = """
        apiVersion: gateway.networking.k8s.io/v1
        kind: Gateway
        metadata: {name: edge, namespace: shop}
        spec:
          gatewayClassName: martlet
          listeners:
          - {name: http, protocol: HTTP, port: 8080}

        """
    static let backends = """
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: Backend
        metadata: {name: cart, namespace: shop}
        spec: {endpoints: [{ip: {address: 127.0.0.1, port: 9001}}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web, namespace: shop}
        spec: {ports: [{port: 80}, {name: h2, port: 81, appProtocol: kubernetes.io/h2c}]}
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
        addressType: IPv4
        ports: [{name: "", port: 3000}, {name: h2, port: 3001}]
        endpoints:
        - {addresses: [10.0.0.1], zone: a, conditions: {ready: true}}
        - {addresses: [10.0.0.2], conditions: {ready: false}}

        """

    /// An HTTPRoute `shop/NAME` for Gateway `edge` with the YAML of its spec below parentRefs.
    static func route(_ spec: String, name: String = "r", namespace: String = "shop", parent: String = "name: edge")
        -> String
    {
        let body = spec.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)" }
        return """
            ---
            apiVersion: gateway.networking.k8s.io/v1
            kind: HTTPRoute
            metadata: {name: \(name), namespace: \(namespace)}
            spec:
              parentRefs: [{\(parent)}]
            \(body.joined(separator: "\n"))

            """
    }

    /// A rule that sends everything to Backend `cart`.
    static let toCart = "rules: [{backendRefs: [{group: martlet.dev, kind: Backend, name: cart}]}]"
}

/// Translates one file called `a.yaml`.
func translate(_ yaml: String, base: String = "/nonexistent") -> Translation {
    Translator.translate([SourceFile(path: "a.yaml", text: yaml)], base: base)
}

extension Translation {
    /// Diagnostics as `line: fieldPath: message`.
    var lines: [String] { diagnostics.map { "\($0.place.line): \($0.place.fieldPath): \($0.message)" } }

    /// Messages of the errors as `fieldPath: message`.
    var errors: [String] {
        diagnostics.filter { $0.severity == .error }.map { "\($0.place.fieldPath): \($0.message)" }
    }

    /// The condition `type` of `object`, of the part that contains `part`.
    func condition(_ object: String, _ type: String, part: String = "") -> Condition? {
        conditions.first { $0.object == object && (part.isEmpty || $0.part.contains(part)) }?.condition(type)
    }

    /// Routes of the only section, or of the section called `name`.
    func routes(_ name: String? = nil) -> [Route] {
        let sections = (model?.listeners ?? []).flatMap(\.sections)
        return sections.first { name == nil || $0.name == name }?.routes ?? []
    }
}
