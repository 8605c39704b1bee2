import MeshCore
import Synchronization

/// Token buckets by key: one per identity, header value or address, for all loops, in memory that does not grow.
///
/// A bucket that is full again is as good as none, so that only keys in use need a place. Places are groups of eight
/// that a key's hash chooses; a new key takes a free place of its group, or the place of the bucket that has most
/// tokens, which loses least by it. Whoever comes with more keys than there are places can so have fresh buckets for
/// old keys, which those keys gave it anyway; it cannot take tokens from anybody, nor memory.
///
/// Keys are known by a 64-bit hash with a seed of the process: two keys in one bucket are less likely than a machine
/// that fails. Locked by shard, and never longer than eight places take to be looked at.
final class KeyedBuckets: Sendable {
    private struct Place {
        var key: UInt64 = 0
        var full: UInt64 = 0
    }

    private final class Shard: Sendable {
        let places = Mutex<[Place]>([])
    }

    private let pace: TokenPace
    private let start: Instant
    private let shards: [Shard]
    private let placesPerShard: Int

    private static let shardCount = 16
    private static let groupSize = 8
    /// Keys that are told apart at a time: 1 MiB if all are in use.
    static let defaultCapacity = 65_536

    init(_ pace: TokenPace, start: Instant, capacity: Int = KeyedBuckets.defaultCapacity) {
        self.pace = pace
        self.start = start
        shards = (0..<Self.shardCount).map { _ in Shard() }
        // A power of two of groups in each shard.
        var groups = 1
        while groups * Self.groupSize * Self.shardCount < capacity { groups *= 2 }
        placesPerShard = groups * Self.groupSize
    }

    /// Places in all shards.
    var capacity: Int { placesPerShard * Self.shardCount }

    /// Takes a token of the bucket of the key with this hash; nil if one was there, else what the bucket holds.
    func take(_ hash: UInt64, at now: Instant) -> TokenLevel? {
        let tick = now.nanoseconds(since: start) &* TokenPace.ticks
        return withPlace(of: hash, at: tick) { place in
            guard let next = pace.take(place.full, at: tick) else { return pace.level(place.full, at: tick) }
            place.full = next
            return nil
        }
    }

    /// Gives a token back that turned out not to be used.
    func giveBack(_ hash: UInt64, at now: Instant) {
        let tick = now.nanoseconds(since: start) &* TokenPace.ticks
        withPlace(of: hash, at: tick) { place in
            if place.full >= pace.interval { place.full &-= pace.interval }
        }
    }

    private func withPlace<Result: Sendable>(
        of hash: UInt64, at tick: UInt64, _ body: (inout Place) -> Result
    ) -> Result {
        // 0 marks a place that was never used.
        let key = hash == 0 ? 1 : hash
        let shard = shards[Int(truncatingIfNeeded: key >> 60)]
        return shard.places.withLock { places in
            if places.isEmpty { places = Array(repeating: Place(), count: placesPerShard) }
            let group = Int(truncatingIfNeeded: key) & (placesPerShard / Self.groupSize - 1)
            let index = Self.index(of: key, in: places, from: group * Self.groupSize)
            if places[index].key != key { places[index] = Place(key: key, full: tick) }
            return body(&places[index])
        }
    }

    /// The key's place, or the one that it gets: the fullest bucket is the one whose instant is first.
    private static func index(of key: UInt64, in places: [Place], from start: Int) -> Int {
        var best = start
        var index = start
        while index < start + groupSize {
            if places[index].key == key { return index }
            if places[index].full < places[best].full { best = index }
            index += 1
        }
        return best
    }
}
