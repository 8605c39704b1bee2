internal import MeshDiscovery

/// What passed between services, from the reports of all proxies. Proxies report totals since their start, so that a
/// lost report loses nothing; here they become differences, in slots of ``slotLength``. No clock: times are given.
struct TrafficBook {
    typealias Instant = ContinuousClock.Instant

    /// How long what is counted together took.
    static let slotLength = Duration.seconds(5)
    /// How many slots are kept: ten minutes.
    static let slotCount = 120
    /// More distinct hops of one proxy than this are not kept: its counters would fill the memory.
    static let mostHops = 10_000

    private struct Slot {
        var index: Int64
        var hops: [HopKey: HopSum] = [:]
    }

    private struct Last {
        var boot: UInt64
        var hops: [HopKey: HopSum] = [:]
    }

    private let start: Instant
    private var slots: [Slot] = []
    private var total: [HopKey: HopSum] = [:]
    private var last: [StoredInstance.ID: Last] = [:]

    /// A book that begins at `start`.
    init(at start: Instant) { self.start = start }

    /// Takes a report. `isFresh`: the program has just started, so that all it has counted is recent.
    mutating func record(
        _ traffic: ControlTraffic, from id: StoredInstance.ID, boot: UInt64, isFresh: Bool, at now: Instant
    ) {
        let before = last[id]
        // Totals of a program that was running before we knew of it are no rate.
        let isRecent = before != nil || isFresh
        let known = before?.boot == boot ? before?.hops : nil
        var current: [HopKey: HopSum] = [:]
        for hop in traffic.hops.prefix(Self.mostHops) {
            guard let key = HopKey(hop) else { continue }
            current[key, default: HopSum()].add(HopSum(hop))
        }
        last[id] = Last(boot: boot, hops: current)
        for (key, sum) in current {
            let difference = sum.since(known?[key])
            guard !difference.isEmpty else { continue }
            total[key, default: HopSum()].add(difference)
            if isRecent { add(difference, to: key, at: now) }
        }
    }

    private mutating func add(_ sum: HopSum, to key: HopKey, at now: Instant) {
        let index = slot(now)
        if slots.last?.index != index {
            slots.append(Slot(index: index))
            slots.removeAll { $0.index <= index - Int64(Self.slotCount) }
        }
        slots[slots.count - 1].hops[key, default: HopSum()].add(sum)
    }

    private func slot(_ now: Instant) -> Int64 {
        (now - start).components.seconds / Self.slotLength.components.seconds
    }

    /// A proxy is forgotten; what it counted stays.
    mutating func forget(_ id: StoredInstance.ID) { last[id] = nil }

    /// What was counted in the last `seconds`, in whole slots, and the time that this is; nil: ever.
    func sums(seconds: Int?, at now: Instant) -> (seconds: Double, hops: [HopKey: HopSum]) {
        let age = max(1, Self.seconds(now - start))
        guard let seconds else { return (age, total) }
        let wanted = max(
            1, (Int64(seconds) + Self.slotLength.components.seconds - 1) / Self.slotLength.components.seconds)
        let first = slot(now) - min(wanted, Int64(Self.slotCount))
        var hops: [HopKey: HopSum] = [:]
        for slot in slots where slot.index > first || slot.index == self.slot(now) {
            for (key, sum) in slot.hops { hops[key, default: HopSum()].add(sum) }
        }
        let length = Double(min(wanted, Int64(Self.slotCount)) * Self.slotLength.components.seconds)
        return (min(age, length), hops)
    }

    private static func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
    }
}
