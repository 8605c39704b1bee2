import MeshModel
internal import SwiftProtobuf

/// Backends as clusters, endpoint sets as load assignments.
extension EnvoyView {
    /// The cluster of a backend; nil if it does not exist. Its endpoints come by EDS, under the backend's name.
    func cluster(_ name: String, _ flavor: EnvoyFlavor) -> EnvoyResource? {
        guard let mesh = backends[name] else { return nil }
        let backend = mesh.backend
        var cluster = EnvoyClusterCluster()
        cluster.name = name
        cluster.type = .eds
        cluster.edsClusterConfig.edsConfig = .ads
        cluster.edsClusterConfig.serviceName = name
        cluster.connectTimeout = .init(backend.connectTimeout)
        cluster.lbPolicy = policy(backend.loadBalancer, flavor)
        limits(backend.limits, flavor, &cluster)
        if let detection = backend.outlierDetection { outliers(detection, flavor, &cluster) }
        if let peer = backend.mesh { cluster.transportSocket = tls(peer, flavor) }
        // Proxies of the mesh speak HTTP/2 whatever is behind them; gRPC speaks nothing else.
        if flavor == .envoy, backend.mesh != nil || backend.protocol == .http2 {
            var options = EnvoyUpstreamHttpProtocolOptions()
            options.explicitHTTPConfig.http2ProtocolOptions = .init()
            cluster.typedExtensionProtocolOptions["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"] =
                .init(holding: options)
        }
        return EnvoyResource(.cluster, name, cluster)
    }

    /// Where a backend is served: by zones, each as heavy as its endpoints together; nil if it does not exist.
    func assignment(_ name: String) -> EnvoyResource? {
        guard let mesh = backends[name] else { return nil }
        var assignment = EnvoyEndpointClusterLoadAssignment()
        assignment.clusterName = name
        let fitting = (endpoints[mesh.endpoints]?.endpoints ?? []).filter { endpoint in
            endpoint.weight > 0 && endpoint.isMeshed == (mesh.backend.mesh != nil)
                && mesh.selector.allSatisfy { endpoint.labels[$0.key] == $0.value }
        }
        let zones = Dictionary(grouping: fitting) { Zone(name: $0.zone ?? "", isBackup: $0.isBackup) }
        // Priorities have no gaps: backups are 1 only if somebody is 0.
        let hasFirst = zones.keys.contains { !$0.isBackup }
        for (zone, members) in zones.sorted(by: {
            ($0.key.isBackup ? 1 : 0, $0.key.name) < ($1.key.isBackup ? 1 : 0, $1.key.name)
        }) {
            var locality = EnvoyEndpointLocalityLbEndpoints()
            locality.locality.zone = zone.name
            locality.priority = zone.isBackup && hasFirst ? 1 : 0
            locality.lbEndpoints = members.compactMap(Self.endpoint)
            locality.loadBalancingWeight = .init(members.reduce(0) { $0 + $1.weight })
            if !locality.lbEndpoints.isEmpty { assignment.endpoints.append(locality) }
        }
        return EnvoyResource(.endpoints, name, assignment)
    }

    private struct Zone: Hashable {
        var name: String
        var isBackup: Bool
    }

    /// Names and unix sockets are left out: EDS wants addresses.
    private static func endpoint(_ endpoint: MeshModel.Endpoint) -> EnvoyEndpointLbEndpoint? {
        guard case .ip(let address, let port) = endpoint.address else { return nil }
        var message = EnvoyEndpointLbEndpoint()
        message.endpoint.address.socketAddress.address = address
        message.endpoint.address.socketAddress.portValue = UInt32(port)
        message.healthStatus = .healthy
        message.loadBalancingWeight = .init(endpoint.weight)
        return message
    }

    private func policy(_ balancer: LoadBalancer, _ flavor: EnvoyFlavor) -> EnvoyClusterCluster.LbPolicy {
        // gRPC's core knows two; one that it does not know would make it reject the cluster.
        if flavor == .grpc { return balancer.algorithm.hashes ? .ringHash : .roundRobin }
        return switch balancer.algorithm {
        case .roundRobin: .roundRobin
        case .leastRequest, .peakEWMA: .leastRequest
        case .random: .random
        case .ringHash: .ringHash
        case .maglev: .maglev
        }
    }

    private func limits(_ limits: ConnectionLimits, _ flavor: EnvoyFlavor, _ cluster: inout EnvoyClusterCluster) {
        var threshold = EnvoyClusterCircuitBreakers.Thresholds()
        var isEmpty = true
        if let most = limits.maxRequests {
            threshold.maxRequests = .init(most)
            isEmpty = false
        }
        if flavor == .envoy {
            if let most = limits.maxConnections {
                threshold.maxConnections = .init(most)
                isEmpty = false
            }
            if let most = limits.maxRetries {
                threshold.maxRetries = .init(most)
                isEmpty = false
            }
        }
        if !isEmpty { cluster.circuitBreakers.thresholds = [threshold] }
    }

    private func outliers(_ detection: OutlierDetection, _ flavor: EnvoyFlavor, _ cluster: inout EnvoyClusterCluster) {
        // gRPC knows success rates and percentages only.
        guard flavor == .envoy else { return }
        var message = EnvoyClusterOutlierDetection()
        if let count = detection.consecutive5xx { message.consecutive5Xx = .init(count) }
        if let count = detection.consecutiveGatewayErrors {
            message.consecutiveGatewayFailure = .init(count)
            message.enforcingConsecutiveGatewayFailure = .init(100)
        }
        message.interval = .init(detection.interval)
        message.baseEjectionTime = .init(detection.baseEjectionTime)
        message.maxEjectionPercent = .init(detection.maxEjectionPercent)
        cluster.outlierDetection = message
    }

    /// Mutual TLS with the certificate and the roots that the client's bootstrap calls `martlet`.
    private func tls(_ peer: MeshPeer, _ flavor: EnvoyFlavor) -> EnvoyCoreTransportSocket {
        var tls = EnvoyTLSUpstreamTlsContext()
        switch flavor {
        case .grpc:
            tls.commonTlsContext.tlsCertificateProviderInstance.instanceName = Self.bootstrapName
            tls.commonTlsContext.validationContext.caCertificateProviderInstance.instanceName = Self.bootstrapName
            tls.commonTlsContext.validationContext.matchSubjectAltNames = peer.identities.map { identity in
                var matcher = EnvoyMatcherStringMatcher()
                matcher.exact = identity
                return matcher
            }
        case .envoy:
            var own = EnvoyTLSSdsSecretConfig()
            own.name = "\(Self.bootstrapName)-identity"
            tls.commonTlsContext.tlsCertificateSdsSecretConfigs = [own]
            tls.commonTlsContext.alpnProtocols = ["h2"]
            tls.commonTlsContext.tlsParams.tlsMaximumProtocolVersion = .tlsv13
            var names = EnvoyTLSCertificateValidationContext()
            names.matchTypedSubjectAltNames = peer.identities.map { identity in
                var matcher = EnvoyTLSSubjectAltNameMatcher()
                matcher.sanType = .uri
                matcher.matcher.exact = identity
                return matcher
            }
            tls.commonTlsContext.combinedValidationContext.defaultValidationContext = names
            tls.commonTlsContext.combinedValidationContext.validationContextSdsSecretConfig.name =
                "\(Self.bootstrapName)-roots"
        }
        var socket = EnvoyCoreTransportSocket()
        socket.name = "envoy.transport_sockets.tls"
        socket.typedConfig = .init(holding: tls)
        return socket
    }

    /// How bootstraps call the certificate provider, and the beginning of the names of their secrets.
    static let bootstrapName = "martlet"
}

extension EnvoyCoreConfigSource {
    /// The stream that this is sent on.
    static var ads: EnvoyCoreConfigSource {
        var source = EnvoyCoreConfigSource()
        source.ads = .init()
        source.resourceApiVersion = .v3
        return source
    }
}
