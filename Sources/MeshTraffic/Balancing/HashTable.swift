/// Where keys belong: a ring or a Maglev table over the endpoints of one group.
///
/// Made from what the endpoints are called, not from their order, so that all loops and all proxies agree, and so that
/// few keys move when an endpoint comes or goes. Endpoints that cannot take a request stay in it and are passed over:
/// only their keys move, and come back.
struct HashTable {
    /// An endpoint as the table sees it.
    struct Entry: Equatable {
        let identity: UInt64
        let weight: Int
        let index: Int32
    }

    /// The points of a ring in order; empty in a Maglev table.
    private let points: ContiguousArray<UInt64>
    /// The endpoint of each point or slot.
    private let owners: ContiguousArray<Int32>

    /// Points of a ring at most, whatever its size: 24 MiB while it is made, 12 after.
    private static let pointLimit = 1_048_576.0
    /// So many places are tried for one key before it is looked for in another way.
    static let probes = 32

    var isEmpty: Bool { owners.isEmpty }

    /// No endpoints.
    init() {
        points = []
        owners = []
    }

    // MARK: Reading

    /// Where `key` belongs first. The table must not be empty.
    func place(of key: UInt64) -> Int {
        if points.isEmpty { return Int(truncatingIfNeeded: key.multipliedFullWidth(by: UInt64(owners.count)).high) }
        var low = 0
        var high = points.count
        while low < high {
            let middle = (low &+ high) >> 1
            if points[middle] < key { low = middle &+ 1 } else { high = middle }
        }
        return low == points.count ? 0 : low
    }

    /// Where `key` belongs after `place`, which is its `number`th from 1.
    func place(after place: Int, key: UInt64, number: Int) -> Int {
        if points.isEmpty {
            // Not the next slot: the keys of one endpoint would then not be spread over all others.
            return self.place(of: Hashing.mix(key &+ UInt64(truncatingIfNeeded: number)))
        }
        return place &+ 1 == owners.count ? 0 : place &+ 1
    }

    /// The endpoint at `place`.
    func owner(at place: Int) -> Int { Int(owners[place]) }

    // MARK: Making

    /// A ring (Karger et al.; as in Ketama): an eighth of `size` points for the heaviest endpoint, fewer for lighter
    /// ones, at least one each.
    ///
    /// Points do not depend on how many endpoints there are. If the ring were to stay at one size, every endpoint would
    /// get a few points more when one leaves, and those would move as many keys again as the one that left. Only a ring
    /// that would get very large has fewer points each.
    static func ring(_ entries: [Entry], size: Int) -> HashTable {
        let heaviest = Double(entries.map(\.weight).max() ?? 0)
        guard heaviest > 0 else { return HashTable() }
        let equals = entries.reduce(0.0) { $0 + Double(max($1.weight, 0)) } / heaviest
        var most = Double(max(size / 8, 1))
        while most > 1, most * equals > min(Double(max(size, 1)) * 64, pointLimit) { most = (most / 2).rounded(.up) }
        var points: [(point: UInt64, identity: UInt64, index: Int32)] = []
        for entry in entries where entry.weight > 0 {
            let count = max(1, Int((Double(entry.weight) / heaviest * most).rounded()))
            for number in 0..<count {
                let point = Hashing.mix(entry.identity ^ Hashing.mix(UInt64(number)))
                points.append((point, entry.identity, entry.index))
            }
        }
        points.sort { ($0.point, $0.identity) < ($1.point, $1.identity) }
        return HashTable(
            points: ContiguousArray(points.map(\.point)), owners: ContiguousArray(points.map(\.index)))
    }

    /// A Maglev table (Eisenbud et al. 2016, §3.4) of the first prime from `size` on: endpoints take free slots in
    /// turn, each in an order of its own, lighter ones less often.
    static func maglev(_ entries: [Entry], size: Int) -> HashTable {
        let entries = entries.filter { $0.weight > 0 }.sorted { $0.identity < $1.identity }
        guard let heaviest = entries.map(\.weight).max() else { return HashTable() }
        let size = prime(from: max(size, entries.count, 2))
        var owners = ContiguousArray<Int32>(repeating: -1, count: size)
        var cursor = entries.map { Int($0.identity % UInt64(size)) }
        let skip = entries.map { Int(Hashing.mix($0.identity) % UInt64(size - 1)) + 1 }
        var credit = Array(repeating: 0, count: entries.count)
        var filled = 0
        while true {
            for index in entries.indices {
                credit[index] += entries[index].weight
                guard credit[index] >= heaviest else { continue }
                credit[index] -= heaviest
                while owners[cursor[index]] >= 0 { cursor[index] = (cursor[index] + skip[index]) % size }
                owners[cursor[index]] = entries[index].index
                filled += 1
                if filled == size { return HashTable(points: [], owners: owners) }
            }
        }
    }

    private init(points: ContiguousArray<UInt64>, owners: ContiguousArray<Int32>) {
        self.points = points
        self.owners = owners
    }

    /// The first prime that is not below `number`: only then does every skip reach every slot.
    private static func prime(from number: Int) -> Int {
        var candidate = number
        while !isPrime(candidate) { candidate += 1 }
        return candidate
    }

    private static func isPrime(_ number: Int) -> Bool {
        if number < 4 { return number > 1 }
        if number % 2 == 0 { return false }
        var divisor = 3
        while divisor * divisor <= number {
            if number % divisor == 0 { return false }
            divisor += 2
        }
        return true
    }
}
