import MeshModel

/// Resources of the mesh as they are made, and which objects each is made from.
final class ResourceList {
    private var all: [MeshResource] = []
    private(set) var objects: [MeshResourceID: [String]] = [:]

    /// Adds a resource that `objects` make, first the one that it is.
    func add(_ resource: MeshResource, of objects: [String]) {
        var unique: [String] = []
        for object in objects where !unique.contains(object) { unique.append(object) }
        if self.objects.updateValue(unique, forKey: resource.id) == nil { all.append(resource) }
    }

    /// Adds a route under one parent.
    func add(
        _ route: AttachableRoute, _ content: AttachedRoute.Content, _ parent: AttachedRoute.Parent,
        _ traffic: TrafficPolicies
    ) {
        let object = route.metadata.id.description
        let attached = AttachedRoute(
            parent: parent, object: object, content: content, age: Precedence.age(route.metadata))
        add(.route(attached), of: [object] + traffic.objects(for: route))
    }

    /// By type and name.
    var sorted: [MeshResource] {
        // Places are sorted, not resources: to move one of those costs more than to compare two names.
        let names = all.map(\.id)
        let places = all.indices.sorted { (names[$0].type, names[$0].name) < (names[$1].type, names[$1].name) }
        return places.map { all[$0] }
    }
}

extension TrafficPolicies {
    /// The policies that say something about a route or one of its rules.
    func objects(for route: AttachableRoute) -> [String] {
        let names: [String?]
        switch route.content {
        case .http(let document): names = document.rules.map(\.name)
        case .grpc(let document): names = document.rules.map(\.name)
        case .stream: names = []
        }
        return names.flatMap { policies(for: route.metadata.id, section: $0) }.map(\.metadata.id.description)
    }
}

extension Precedence {
    /// Larger than any time in milliseconds that RFC 3339 can write.
    private static let youngest: Int64 = 1 << 53

    /// The age of an object as a number of which the smaller is the older: its creation in milliseconds since 1970, or
    /// if it does not say, more than that, in the order of reading.
    static func age(_ metadata: Metadata) -> Int64 {
        milliseconds(metadata.creationTimestamp) ?? youngest + Int64(metadata.order)
    }

    /// `2026-01-31T12:00:00Z`, with a fraction or without; nil for anything else.
    static func milliseconds(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.last == UInt8(ascii: "Z"), text.utf8.count <= 40 else { return nil }
        func number(_ range: Range<Int>) -> Int64? {
            guard bytes[range].allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            return Int64(String(decoding: bytes[range], as: UTF8.self))
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
            let minute = number(14..<16), let second = number(17..<19), (1...12).contains(month), (1...31).contains(day)
        else { return nil }
        var fraction: Int64 = 0
        if bytes.count > 20 {
            guard bytes[19] == UInt8(ascii: "."), number(20..<bytes.count - 1) != nil else { return nil }
            let digits = bytes[20..<bytes.count - 1].prefix(3)
            for index in 0..<3 {
                fraction = fraction * 10 + (index < digits.count ? Int64(digits[20 + index] - 0x30) : 0)
            }
        }
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
        return seconds * 1000 + fraction
    }

    /// Days from 1970-01-01 in the Gregorian calendar, by years that begin in March.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
