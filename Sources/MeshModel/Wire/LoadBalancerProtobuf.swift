import MeshCore

extension LoadBalancer {
    init(protobuf: ProtoLoadBalancer) throws(ProxyError) {
        let algorithm: Algorithm =
            switch protobuf.algorithm {
            case .roundRobin: .roundRobin
            case .leastRequest: .leastRequest
            case .peakEwma(let settings):
                .peakEWMA(
                    PeakEWMASettings(
                        decay: Duration(protobuf: settings.decay), initial: Duration(protobuf: settings.initial),
                        penalty: Duration(protobuf: settings.penalty)))
            case .random: .random
            case .ringHash(let size): .ringHash(size: Int(size))
            case .maglev(let size): .maglev(tableSize: Int(size))
            case nil: throw Protobuf.unknown("way of balancing")
            }
        self.init(
            algorithm: algorithm, boundedLoad: protobuf.hasBoundedLoad ? Int(protobuf.boundedLoad) : nil,
            zonePreference: protobuf.hasZonePreference
                ? ZonePreference(minimumAvailable: Int(protobuf.zonePreference.minimumAvailable)) : nil,
            slowStart: protobuf.hasSlowStart
                ? SlowStart(
                    window: Duration(protobuf: protobuf.slowStart.window),
                    minimumPercent: Int(protobuf.slowStart.minimumPercent)) : nil,
            panicThreshold: Int(protobuf.panicThreshold))
        for source in protobuf.hash { hash.append(try HashSource(protobuf: source)) }
    }

    func protobuf() -> ProtoLoadBalancer {
        var message = ProtoLoadBalancer()
        switch algorithm {
        case .roundRobin: message.roundRobin = ProtoEmpty()
        case .leastRequest: message.leastRequest = ProtoEmpty()
        case .peakEWMA(let settings):
            message.peakEwma.decay = settings.decay.protobuf()
            message.peakEwma.initial = settings.initial.protobuf()
            message.peakEwma.penalty = settings.penalty.protobuf()
        case .random: message.random = ProtoEmpty()
        case .ringHash(let size): message.ringHash = Int64(size)
        case .maglev(let size): message.maglev = Int64(size)
        }
        message.hash = hash.map { $0.protobuf() }
        if let boundedLoad { message.boundedLoad = Int64(boundedLoad) }
        if let zonePreference { message.zonePreference.minimumAvailable = Int64(zonePreference.minimumAvailable) }
        if let slowStart {
            message.slowStart.window = slowStart.window.protobuf()
            message.slowStart.minimumPercent = Int64(slowStart.minimumPercent)
        }
        message.panicThreshold = Int64(panicThreshold)
        return message
    }
}

extension HashSource {
    init(protobuf: ProtoHashSource) throws(ProxyError) {
        switch protobuf.kind {
        case .header(let name): self = .header(name: name)
        case .cookie(let cookie):
            self = .cookie(
                name: cookie.name, path: cookie.path,
                timeToLive: cookie.hasTimeToLive ? Duration(protobuf: cookie.timeToLive) : nil)
        case .sourceIp: self = .sourceIP
        case .queryParam(let name): self = .queryParam(name: name)
        case nil: throw Protobuf.unknown("source of hashes")
        }
    }

    func protobuf() -> ProtoHashSource {
        var message = ProtoHashSource()
        switch self {
        case .header(let name): message.header = name
        case .cookie(let name, let path, let timeToLive):
            message.cookie.name = name
            message.cookie.path = path
            if let timeToLive { message.cookie.timeToLive = timeToLive.protobuf() }
        case .sourceIP: message.sourceIp = ProtoEmpty()
        case .queryParam(let name): message.queryParam = name
        }
        return message
    }
}
