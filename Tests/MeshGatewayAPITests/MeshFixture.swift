import MeshGatewayAPI
import MeshModel
import Testing

/// Objects of a mesh that most tests of it need.
enum MeshFixture {
    /// Two Services with Workloads, and one without.
    static let services = """
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: orders, namespace: shop}
        spec:
          clusterIP: 10.96.0.1
          clusterIPs: [10.96.0.1, "fd00::1"]
          ports:
          - {name: http, port: 80, targetPort: 8080}
          - {name: grpc, port: 9000, appProtocol: grpc}
          - {name: dns, port: 53, protocol: UDP}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: db, namespace: data}
        spec: {clusterIP: None, ports: [{port: 5432, appProtocol: tcp}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web, namespace: shop}
        spec: {ports: [{port: 80}]}
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
        ports: [{port: 3000}]
        endpoints: [{addresses: [10.0.0.2]}, {addresses: [10.0.0.1], zone: a}]

        """

    /// `orders`, with defaults.
    static let orders = workload("{}")

    /// A Workload `shop/NAME` with this spec, in the flow style or as a block without indentation.
    static func workload(_ spec: String, name: String = "orders", namespace: String = "shop") -> String {
        object("Workload", spec, name: name, namespace: namespace)
    }

    /// An AccessPolicy `shop/NAME`.
    static func policy(_ spec: String, name: String = "policy") -> String { object("AccessPolicy", spec, name: name) }

    /// The Mesh `martlet/default`.
    static func mesh(_ spec: String) -> String { object("Mesh", spec, name: "default", namespace: "martlet") }

    static func object(_ kind: String, _ spec: String, name: String, namespace: String = "shop") -> String {
        let body = spec.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)" }
        return """
            ---
            apiVersion: martlet.dev/v1alpha1
            kind: \(kind)
            metadata: {name: \(name), namespace: \(namespace)}
            spec:
            \(body.joined(separator: "\n"))

            """
    }

    /// A route of any kind with Services as parents.
    static func route(
        _ kind: String, _ spec: String, name: String = "r", namespace: String = "shop",
        parent: String = "group: \"\", kind: Service, name: orders", created: String = ""
    ) -> String {
        let body = spec.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)" }
        let time = created.isEmpty ? "" : ", creationTimestamp: \"\(created)\""
        return """
            ---
            apiVersion: gateway.networking.k8s.io/v1
            kind: \(kind)
            metadata: {name: \(name), namespace: \(namespace)\(time)}
            spec:
              parentRefs: [{\(parent)}]
            \(body.joined(separator: "\n"))

            """
    }
}

/// Translates for a control plane.
func translateMesh(_ yaml: String, trustDomain: String? = nil) -> Translation {
    Translator.translate(
        [SourceFile(path: "a.yaml", text: yaml)], base: "/nonexistent",
        for: .controlPlane(trustDomain: trustDomain))
}

extension Translation {
    /// The resource of a type and name.
    func resource(_ type: MeshResourceType, _ name: String) -> MeshResource? {
        resources.first { $0.type == type && $0.name == name }
    }

    func workload(_ name: String) -> Workload? {
        guard case .workload(let workload)? = resource(.workload, name) else { return nil }
        return workload
    }

    func backend(_ name: String) -> MeshBackend? {
        guard case .backend(let backend)? = resource(.backend, name) else { return nil }
        return backend
    }

    func endpoints(_ name: String) -> [Endpoint]? {
        guard case .endpoints(let set)? = resource(.endpoints, name) else { return nil }
        return set.endpoints
    }

    func service(_ name: String) -> MeshService? {
        guard case .service(let service)? = resource(.service, name) else { return nil }
        return service
    }

    func gateway(_ name: String) -> MeshGateway? {
        guard case .gateway(let gateway)? = resource(.gateway, name) else { return nil }
        return gateway
    }

    func accessPolicy(_ name: String) -> AccessPolicy? {
        guard case .accessPolicy(let policy)? = resource(.accessPolicy, name) else { return nil }
        return policy
    }

    var settings: MeshSettings? {
        guard case .mesh(let settings)? = resource(.mesh, "mesh") else { return nil }
        return settings
    }

    var attached: [AttachedRoute] {
        resources.compactMap { resource in
            guard case .route(let route) = resource else { return nil }
            return route
        }
    }

    /// Checks that the first diagnostic is this one.
    func expect(_ path: String, _ message: String, _ remedy: String, _ severity: Diagnostic.Severity = .error) throws {
        let found = try #require(diagnostics.first { $0.severity == severity }, "\(lines)")
        #expect(found.place.fieldPath == path, "\(lines)")
        #expect(found.message.contains(message), "\(found.message)")
        #expect(found.remedy.contains(remedy), "\(found.remedy)")
    }
}
