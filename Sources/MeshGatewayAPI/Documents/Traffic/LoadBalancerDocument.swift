import MeshModel

/// `loadBalancer` of a Backend or TrafficPolicy.
enum LoadBalancerDocument {
    enum Kind: String, CaseIterable {
        case roundRobin = "ROUND_ROBIN"
        case leastRequest = "LEAST_REQUEST"
        case peakEWMA = "PEAK_EWMA"
        case random = "RANDOM"
        case ringHash = "RING_HASH"
        case maglev = "MAGLEV"

        /// Where requests are hashed.
        var hashes: Bool { self == .ringHash || self == .maglev }

        /// As other gateways write them.
        static let others: [String: Kind] = [
            "RoundRobin": .roundRobin, "LeastRequest": .leastRequest, "PeakEWMA": .peakEWMA, "Random": .random,
            "RingHash": .ringHash, "Maglev": .maglev,
        ]
    }

    static func setting(_ spec: Fields) -> Setting<Backend>? {
        guard let fields = spec.fields("loadBalancer") else { return nil }
        defer { fields.done() }
        var reader = PartReader(fields)
        var balancer = LoadBalancer()
        let kind = kind(&reader) ?? .leastRequest
        balancer.algorithm = algorithm(kind, &reader)
        balancer.hash = hash(kind, &reader)
        if let place = misplaced("boundedLoad", fields, kind.hashes, "RING_HASH or MAGLEV") {
            reader.note("boundedLoad", place)
        }
        reader.optional("boundedLoad", in: 100...100_000, &balancer.boundedLoad)
        reader.inside("zonePreference") { inner in
            var preference = ZonePreference()
            inner.number("minimumAvailable", in: 0...100, &preference.minimumAvailable)
            balancer.zonePreference = preference
        }
        reader.inside("slowStart") { inner in
            var start = SlowStart(window: .zero)
            inner.duration("window", &start.window)
            inner.number("minimumPercent", in: 1...100, &start.minimumPercent)
            if !inner.fields.has("window") { inner.fields.missing("window", remedy: "window: 30s") }
            balancer.slowStart = start
        }
        reader.number("panicThreshold", in: 0...100, &balancer.panicThreshold)
        return Setting(name: "loadBalancer", place: spec.place(of: "loadBalancer"), parts: reader.places) {
            $0.loadBalancer = balancer
        }
    }

    private static func kind(_ reader: inout PartReader) -> Kind? {
        guard let text = reader.fields.string("type") else { return nil }
        reader.note("type", text.place)
        if let kind = Kind(rawValue: text.value) ?? Kind.others[text.value] { return kind }
        reader.fields.report.error(
            "type is \"\(text.value)\"", at: text.place,
            remedy: Suggestion.remedy(for: text.value, in: Kind.allCases.map(\.rawValue)))
        return nil
    }

    /// Reports a field that does not belong to the type.
    @discardableResult
    private static func misplaced(_ name: String, _ fields: Fields, _ belongs: Bool, _ types: String) -> Place? {
        guard fields.has(name), !belongs else { return nil }
        let place = fields.place(of: name)
        fields.report.error("\(name) belongs to type \(types)", at: place, remedy: "write type: \(types), or remove it")
        return place
    }

    private static func algorithm(_ kind: Kind, _ reader: inout PartReader) -> LoadBalancer.Algorithm {
        let fields = reader.fields
        misplaced("ringSize", fields, kind == .ringHash, "RING_HASH")
        misplaced("tableSize", fields, kind == .maglev, "MAGLEV")
        misplaced("peakEWMA", fields, kind == .peakEWMA, "PEAK_EWMA")
        var ringSize = LoadBalancer.defaultRingSize
        reader.number("ringSize", in: LoadBalancer.ringSizes, &ringSize)
        var tableSize = LoadBalancer.defaultTableSize
        reader.number("tableSize", in: LoadBalancer.tableSizes, &tableSize)
        if !LoadBalancer.isPrime(tableSize) {
            let next = (tableSize...).first { LoadBalancer.isPrime($0) } ?? LoadBalancer.defaultTableSize
            fields.report.error(
                "tableSize \(tableSize) is not a prime number", at: fields.place(of: "tableSize"),
                remedy: "for example \(min(next, LoadBalancer.tableSizes.upperBound))")
        }
        var settings = PeakEWMASettings()
        reader.inside("peakEWMA") { inner in
            inner.duration("decay", &settings.decay)
            inner.duration("initial", &settings.initial)
            inner.duration("penalty", &settings.penalty)
        }
        switch kind {
        case .roundRobin: return .roundRobin
        case .leastRequest: return .leastRequest
        case .peakEWMA: return .peakEWMA(settings)
        case .random: return .random
        case .ringHash: return .ringHash(size: ringSize)
        case .maglev: return .maglev(tableSize: tableSize)
        }
    }

    // MARK: Hash

    private static func hash(_ kind: Kind, _ reader: inout PartReader) -> [HashSource] {
        let fields = reader.fields
        misplaced("hash", fields, kind.hashes, "RING_HASH or MAGLEV")
        let sources = fields.list("hash", most: 8) { source($0) }
        if fields.has("hash") { reader.note("hash", fields.place(of: "hash")) }
        if kind.hashes, fields.items("hash", most: 8).isEmpty {
            fields.report.warning(
                "there is nothing to hash by, so any endpoint gets a request", at: fields.place(of: "hash"),
                remedy: Shape.example(at: "hash"))
        }
        return sources
    }

    private static func source(_ fields: Fields) -> HashSource? {
        let given = ["header", "cookie", "sourceIP", "queryParam"].filter { fields.has($0) }
        var result: HashSource?
        if let header = fields.fields("header") {
            result = header.required("name").flatMap { Syntax.headerName($0, fields.report) }
                .map { .header(name: $0.lowercased()) }
            header.done()
        }
        if let cookie = fields.fields("cookie") {
            let name = cookie.required("name").flatMap { Syntax.cookieName($0, fields.report) }
            let path = cookie.string("path").map { Syntax.cookiePath($0, fields.report) } ?? "/"
            let time = cookie.duration("ttl").map { Duration.nanoseconds($0.value) }
            if let name, let path { result = .cookie(name: name, path: path, timeToLive: time) }
            cookie.done()
        }
        if let address = fields.boolean("sourceIP") {
            result = .sourceIP
            if !address.value {
                fields.report.error("sourceIP is false", at: address.place, remedy: "true, or leave the item out")
            }
        }
        if let parameter = fields.fields("queryParam") {
            result = parameter.required("name").map { .queryParam(name: $0.value) }
            parameter.done()
        }
        guard given.count != 1 else { return result }
        fields.report.error(
            given.isEmpty ? "the item says nothing to hash by" : "the item has \(given.joined(separator: " and "))",
            at: fields.place, remedy: "exactly one of header, cookie, sourceIP and queryParam")
        return nil
    }
}
