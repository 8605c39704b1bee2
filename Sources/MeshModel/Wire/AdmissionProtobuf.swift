import MeshCore

extension ConnectionLimits {
    init(protobuf: ProtoConnectionLimits) {
        self.init()
        maxConnections = protobuf.hasMaxConnections ? Int(protobuf.maxConnections) : nil
        maxIdleConnections = Int(protobuf.maxIdleConnections)
        maxRequestsPerConnection =
            protobuf.hasMaxRequestsPerConnection ? Int(protobuf.maxRequestsPerConnection) : nil
        maxConcurrentStreams = Int(protobuf.maxConcurrentStreams)
        maxRequests = protobuf.hasMaxRequests ? Int(protobuf.maxRequests) : nil
        maxPendingRequests = Int(protobuf.maxPendingRequests)
        pendingTimeout = Duration(protobuf: protobuf.pendingTimeout)
        maxRetries = protobuf.hasMaxRetries ? Int(protobuf.maxRetries) : nil
        endpoint.maxConnections =
            protobuf.endpoint.hasMaxConnections ? Int(protobuf.endpoint.maxConnections) : nil
        endpoint.maxRequests = protobuf.endpoint.hasMaxRequests ? Int(protobuf.endpoint.maxRequests) : nil
    }

    func protobuf() -> ProtoConnectionLimits {
        var message = ProtoConnectionLimits()
        if let maxConnections { message.maxConnections = Int64(maxConnections) }
        message.maxIdleConnections = Int64(maxIdleConnections)
        if let maxRequestsPerConnection { message.maxRequestsPerConnection = Int64(maxRequestsPerConnection) }
        message.maxConcurrentStreams = Int64(maxConcurrentStreams)
        if let maxRequests { message.maxRequests = Int64(maxRequests) }
        message.maxPendingRequests = Int64(maxPendingRequests)
        message.pendingTimeout = pendingTimeout.protobuf()
        if let maxRetries { message.maxRetries = Int64(maxRetries) }
        if let maximum = endpoint.maxConnections { message.endpoint.maxConnections = Int64(maximum) }
        if let maximum = endpoint.maxRequests { message.endpoint.maxRequests = Int64(maximum) }
        return message
    }
}

extension AdaptiveConcurrency {
    init(protobuf: ProtoAdaptiveConcurrency) {
        self.init(
            minLimit: Int(protobuf.minLimit), maxLimit: Int(protobuf.maxLimit),
            initialLimit: Int(protobuf.initialLimit), interval: Duration(protobuf: protobuf.interval),
            tolerance: Int(protobuf.tolerance))
    }

    func protobuf() -> ProtoAdaptiveConcurrency {
        var message = ProtoAdaptiveConcurrency()
        message.minLimit = Int64(minLimit)
        message.maxLimit = Int64(maxLimit)
        message.initialLimit = Int64(initialLimit)
        message.interval = interval.protobuf()
        message.tolerance = Int64(tolerance)
        return message
    }
}

extension OverloadProtection {
    init(protobuf: ProtoOverloadProtection) {
        self.init(
            maxMemoryBytes: protobuf.hasMaxMemoryBytes ? Int(protobuf.maxMemoryBytes) : nil,
            maxDescriptorPercent: protobuf.hasMaxDescriptorPercent ? Int(protobuf.maxDescriptorPercent) : nil,
            maxLoopLag: protobuf.hasMaxLoopLag ? Duration(protobuf: protobuf.maxLoopLag) : nil)
    }

    func protobuf() -> ProtoOverloadProtection {
        var message = ProtoOverloadProtection()
        if let maxMemoryBytes { message.maxMemoryBytes = Int64(maxMemoryBytes) }
        if let maxDescriptorPercent { message.maxDescriptorPercent = Int64(maxDescriptorPercent) }
        if let maxLoopLag { message.maxLoopLag = maxLoopLag.protobuf() }
        return message
    }
}
