/// A configuration that uses every kind and most fields.
enum Examples {
    /// Pieces that mean something to a YAML parser or to us.
    static let tokens = [
        "\n", "\n---\n", ": ", "- ", "[", "]", "{", "}", "*", "&a ", "*a", "\"", "'", "|\n", "#", "!!", "\t", "null",
        "~",
        "-1", "0", "99999999999999999999", "1e9", "true", "\u{0}", "é", "spec:", "rules: []", "name: x", "type: ",
        "0s", "1h1h1h1h1h", "file:../x", "(", "\\", "/../", "%2f", "::1", "*.", "kind: Gateway", "<<: *a",
    ]

    static let everything = """
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: Gateway
        metadata: {name: secure, namespace: shop}
        spec:
          gatewayClassName: martlet
          addresses: [{type: IPAddress, value: 127.0.0.1}]
          tls:
            frontend:
              default: {validation: {caCertificateRefs: [{kind: ConfigMap, name: clients}]}}
              perPort:
              - port: 8444
                tls: {validation: {mode: AllowInsecureFallback, caCertificateRefs: [{kind: ConfigMap, name: clients}]}}
            backend: {clientCertificateRef: {name: cert}}
          listeners:
          - name: https
            protocol: HTTPS
            port: 8443
            hostname: "*.shop.example"
            tls: {certificateRefs: [{name: cert}, {name: cert2}]}
            allowedRoutes:
              namespaces: {from: Selector, selector: {matchLabels: {team: shop}}}
              kinds: [{kind: HTTPRoute}]
          - {name: other, protocol: HTTPS, port: 8444, tls: {certificateRefs: [{name: cert}]}}
          - {name: pass, protocol: TLS, port: 8445, tls: {mode: Passthrough}}
          - {name: end, protocol: TLS, port: 8446, tls: {certificateRefs: [{name: cert}]}}
          - {name: tcp, protocol: TCP, port: 9000}
          - {name: grpc, protocol: HTTP, port: 9090}
        ---
        apiVersion: v1
        kind: Namespace
        metadata: {name: shop, labels: {team: shop}}
        ---
        apiVersion: v1
        kind: Secret
        metadata: {name: cert, namespace: shop}
        type: kubernetes.io/tls
        stringData:
          tls.crt: &crt |
            -----BEGIN CERTIFICATE-----
            AAAA
            -----END CERTIFICATE-----
          tls.key: &key |
            -----BEGIN PRIVATE KEY-----
            AAAA
            -----END PRIVATE KEY-----
        ---
        apiVersion: v1
        kind: Secret
        metadata: {name: cert2, namespace: shop}
        type: kubernetes.io/tls
        data:
          tls.crt: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBQUEKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=
          tls.key: LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCkFBQUEKLS0tLS1FTkQgUFJJVkFURSBLRVktLS0tLQo=
        ---
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: clients, namespace: shop}
        data:
          ca.crt: |
            -----BEGIN CERTIFICATE-----
            AAAA
            -----END CERTIFICATE-----
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: {name: all, namespace: shop}
        spec:
          parentRefs: [{name: secure, sectionName: https}]
          hostnames: [a.shop.example]
          rules:
          - name: first
            matches:
            - path: {type: Exact, value: /a}
              headers: [{name: X-Beta, value: "1"}, {type: RegularExpression, name: x-v, value: "v[0-9]+"}]
              queryParams: [{name: q, value: z}]
              method: GET
            - path: {type: RegularExpression, value: "/i/[0-9]+"}
            filters:
            - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}], add: [{name: c, value: d}], remove: [e]}}
            - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: a, value: b}]}}
            - {type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}, percent: 10}}
            - {type: CORS, cors: {allowOrigins: ["https://*.example"], allowMethods: [GET], allowCredentials: true, maxAge: 60}}
            - {type: URLRewrite, urlRewrite: {hostname: x.example, path: {type: ReplaceFullPath, replaceFullPath: /z}}}
            backendRefs:
            - name: web
              port: 80
              weight: 9
              filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: x, value: y}]}}]
            - {name: web, port: 81, weight: 1}
            timeouts: {request: 10s, backendRequest: 2s500ms}
            retry: {codes: [503], attempts: 2, backoff: 100ms}
            sessionPersistence: {type: Cookie, cookie: {name: s, lifetimeType: Permanent}, absoluteTimeout: 24h}
          - matches: [{path: {value: /old}}]
            filters:
            - type: RequestRedirect
              requestRedirect: {scheme: https, hostname: n.example, port: 8443, statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: GRPCRoute
        metadata: {name: g, namespace: shop}
        spec:
          parentRefs: [{name: secure, sectionName: grpc}]
          rules:
          - matches: [{method: {service: shop.v1.Cart, method: Add}, headers: [{name: a, value: b}]}]
            backendRefs: [{name: web, port: 80}]
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: TLSRoute
        metadata: {name: t, namespace: shop}
        spec:
          parentRefs: [{name: secure, port: 8445}]
          hostnames: [raw.example]
          rules: [{backendRefs: [{name: web, port: 80}]}]
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: TCPRoute
        metadata: {name: c, namespace: shop}
        spec:
          parentRefs: [{name: secure, sectionName: tcp}, {name: secure, sectionName: end}]
          rules: [{backendRefs: [{group: martlet.dev, kind: Backend, name: full}]}]
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: BackendTLSPolicy
        metadata: {name: p, namespace: shop}
        spec:
          targetRefs: [{group: "", kind: Service, name: web, sectionName: h2}]
          validation:
            hostname: web.internal
            caCertificateRefs: [{group: "", kind: ConfigMap, name: clients}]
            subjectAltNames: [{type: Hostname, hostname: web.internal}, {type: URI, uri: "spiffe://mesh/web"}]
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: ReferenceGrant
        metadata: {name: rg, namespace: shop}
        spec:
          from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: other}]
          to: [{group: "", kind: Service}]
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: Backend
        metadata: {name: full, namespace: shop}
        spec:
          endpoints:
          - {ip: {address: "::1", port: 9001}, weight: 3, zone: z, labels: {a: b}}
          - {fqdn: {hostname: cart.internal, port: 8080}}
          - {unix: {path: /run/cart.sock}}
          proxyProtocol: v2
          loadBalancer: {type: RoundRobin}
          connectionLimits: {maxConnections: 10, maxIdleConnections: 5, maxRequestsPerConnection: 100, maxConcurrentStreams: 7}
          timeouts: {connect: 1s, idle: 2s}
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: ListenerPolicy
        metadata: {name: lp, namespace: shop}
        spec:
          targetRefs: [{kind: Gateway, name: secure}]
          role: sidecar
          proxyProtocol: true
          trustedHops: 2
          tls: {minimumVersion: "1.3"}
          limits: {maxHeaders: 50, headerTimeout: 5s, maxBodyBytes: 1000000, http2: {maxConcurrentStreams: 10, resets: {burst: 10, perSecond: 1}}}
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: ProxySettings
        metadata: {name: settings}
        spec: {drainTimeout: 10s, resolutionInterval: 5s, accessLog: {type: text, format: "%m"}}

        """

    /// All that resilience can be configured with; goes with ``everything``.
    static let resilience = """
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: BackendSubset
        metadata: {name: part, namespace: shop}
        spec: {backendRef: {group: martlet.dev, kind: Backend, name: cart}, labels: {a: b}}
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: TrafficPolicy
        metadata: {name: backends, namespace: shop}
        spec:
          targetRefs: [{group: martlet.dev, kind: Backend, name: cart}, {group: "", kind: Service, name: web, sectionName: h2}]
          loadBalancer: {type: MAGLEV, tableSize: 251, hash: [{cookie: {name: c, path: /, ttl: 1h}}, {sourceIP: true}, {header: {name: x}}, {queryParam: {name: q}}], boundedLoad: 125, slowStart: {window: 30s, minimumPercent: 5}, panicThreshold: 10}
          healthCheck: {http: {path: /healthz, host: x, statuses: [200, "300-302"]}, interval: 5s, timeout: 2s, healthyThreshold: 1, port: 8081}
          outlierDetection: {consecutive5xx: 0, successRate: {deviation: 1.25}, failurePercentage: {threshold: 50}, baseEjectionTime: 5s, maxEjectionPercent: 100}
          connectionLimits: {maxRequests: 20, maxPendingRequests: 30, pendingTimeout: 500ms, maxRetries: 0, endpoint: {maxRequests: 6}}
          adaptiveConcurrency: {minLimit: 2, maxLimit: 10}
          retryBudget: {percent: 10, minConcurrency: 0}
          timeouts: {request: 10s, backendRequest: 2s, idle: 0s, connect: 1s}
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: TrafficPolicy
        metadata: {name: requests, namespace: shop}
        spec:
          targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: all, sectionName: first}]
          retry: {attempts: 3, codes: [500], on: [reset, 5xx, unavailable], perTryTimeout: 250ms, backoff: {base: 10ms}, bufferBytes: 128Ki, maxRetryAfter: 0s, hedgeDelay: 10ms}
          rateLimits: [{by: HEADER, header: x-key, requests: 30, unit: HOUR, burst: 5}]
          faults: [{fraction: {numerator: 1, denominator: 1000}, headers: [{name: x, value: "y"}], delay: 1s, abort: {grpcStatus: 14}}]
          priority: LOW

        """
}
