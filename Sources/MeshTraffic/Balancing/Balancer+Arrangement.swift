import MeshCore
import MeshModel

/// What is worked out apart from requests: tiers, groups, shares, tables.
extension Balancer {
    /// The endpoints are these now. What is known of those that stay is kept: requests in flight, response times, faults,
    /// age.
    ///
    /// - Parameters:
    ///   - settings: how they share requests.
    ///   - zone: where the proxy stands.
    ///   - endpoints: all of them, in the order that indices count.
    ///   - random: 64 random bits, so that loops that all begin now do not all begin with the same endpoint.
    ///   - now: the time.
    public func update(
        _ settings: LoadBalancer, zone: String?, endpoints: [BalancedEndpoint], random: UInt64, now: Instant
    ) {
        self.settings = settings
        var initial = 0.0
        decay = 0
        if case .peakEWMA(let values) = settings.algorithm {
            decay = max(Double(values.decay.nanoseconds), 1)
            penalty = values.penalty.nanoseconds
            initial = Double(values.initial.nanoseconds)
        }
        var known: [UInt64: State] = [:]
        for state in states { known[state.identity] = state }
        let isNew = states.isEmpty
        states = []
        for endpoint in endpoints {
            var state =
                known.removeValue(forKey: endpoint.identity)
                ?? State(
                    identity: endpoint.identity, weight: 0, isHome: true, isBackup: false, since: now,
                    roundTrip: initial, measured: now)
            if state.roundTrip == 0 { state.roundTrip = initial }
            state.weight = max(endpoint.weight, 0)
            state.isBackup = endpoint.isBackup
            state.isHome = settings.zonePreference == nil || zone == nil || endpoint.zone == zone
            states.append(state)
        }
        makeTables()
        arrange(now: now)
        if isNew { turn(random) }
    }

    /// Lets round robin begin anywhere.
    private func turn(_ random: UInt64) {
        for group in 0...1 where groups[group].count > 0 {
            let turns = Int(random % UInt64(groups[group].count))
            for _ in 0..<turns { _ = nextInTurn(in: group, TriedEndpoints()) }
        }
    }

    private func makeTables() {
        var entries: [[HashTable.Entry]] = []
        let make: ([HashTable.Entry]) -> HashTable
        switch settings.algorithm {
        case .roundRobin, .leastRequest, .peakEWMA, .random:
            tables = Self.noTables
            tableEntries = []
            tableAlgorithm = nil
            return
        case .ringHash(let size): make = { .ring($0, size: size) }
        case .maglev(let size): make = { .maglev($0, size: size) }
        }
        for (isBackup, isHome) in [(false, true), (false, false), (true, true), (true, false)] {
            entries.append(
                states.enumerated().filter { $0.element.isBackup == isBackup && $0.element.isHome == isHome }.map {
                    HashTable.Entry(identity: $0.element.identity, weight: $0.element.weight, index: Int32($0.offset))
                })
        }
        let isSame = tableAlgorithm == settings.algorithm
        for (number, entries) in entries.enumerated() where !isSame || tableEntries[number] != entries {
            tables[number] = make(entries)
        }
        tableEntries = entries
        tableAlgorithm = settings.algorithm
    }

    /// Works out who can be picked, and with which share.
    func arrange(now: Instant) {
        let isBackup = settleTier()
        order.removeAll(keepingCapacity: true)
        before.removeAll(keepingCapacity: true)
        nextArrangement = .never
        var index = 0
        while index < states.count {
            states[index].group = -1
            index &+= 1
        }
        if let isBackup {
            arrange(group: 0, isBackup, now)
            arrange(group: 1, isBackup, now)
            homeShare = shareOfHome(isBackup)
        } else {
            groups = [Group(), Group()]
            homeShare = .max
        }
    }

    /// Whether backups are those that get requests; nil if nobody does. Settles whether there is panic.
    private func settleTier() -> Bool? {
        let primaries = wellness { !$0.isBackup }
        let backups = wellness { $0.isBackup }
        availableCount = primaries.well &+ backups.well
        isPanicking = false
        var isBackup = false
        if primaries.well == 0 { isBackup = backups.well > 0 || primaries.count == 0 }
        let used = isBackup ? backups : primaries
        isPanicking = used.well &* 100 < settings.panicThreshold &* used.count
        return used.well > 0 || isPanicking ? isBackup : nil
    }

    private func wellness(_ belongs: (State) -> Bool) -> (count: Int, well: Int) {
        var count = 0
        var well = 0
        var index = 0
        while index < states.count {
            if states[index].weight > 0 && belongs(states[index]) {
                count &+= 1
                if states[index].faults == 0 { well &+= 1 }
            }
            index &+= 1
        }
        return (count, well)
    }

    private func arrange(group: Int, _ isBackup: Bool, _ now: Instant) {
        var made = Group()
        made.start = order.count
        made.table = (isBackup ? 2 : 0) &+ group
        var index = 0
        while index < states.count {
            let state = states[index]
            if state.weight > 0, state.isBackup == isBackup, state.isHome == (group == 0),
                state.faults == 0 || isPanicking
            {
                let share = share(of: state, now)
                states[index].group = Int8(truncatingIfNeeded: group)
                states[index].share = share
                if made.count > 0 && share != states[Int(order[made.start])].share { made.isUniform = false }
                order.append(Int32(truncatingIfNeeded: index))
                before.append(made.total)
                made.total &+= share
                made.active &+= Int(state.active)
                made.count &+= 1
            }
            index &+= 1
        }
        if made.count > 0 { made.next = groups[group].next % made.count }
        groups[group] = made
        settleTurns(made)
    }

    /// Keeps what is left of turns under other weights from counting for longer than one round.
    private func settleTurns(_ group: Group) {
        let bound = Int(clamping: group.total)
        var position = group.start
        while position < group.start &+ group.count {
            let index = Int(order[position])
            states[index].current = max(-bound, min(states[index].current, bound))
            position &+= 1
        }
    }

    /// The weight of an endpoint, in hundredths where there is a slow start.
    private func share(of state: State, _ now: Instant) -> UInt64 {
        guard let start = settings.slowStart else { return UInt64(state.weight) }
        let window = max(start.window.nanoseconds, 1)
        let age = now.nanoseconds(since: state.since)
        guard age < window else { return UInt64(state.weight) &* 100 }
        let step = max(window / 100, 1_000_000)
        nextArrangement = min(nextArrangement, now.advanced(byNanoseconds: step))
        let percent = max(Double(age) / Double(window) * 100, Double(start.minimumPercent))
        return max(UInt64(Double(state.weight) * min(percent, 100)), 1)
    }

    /// How many of 2⁶⁴ requests stay in the proxy's own zone.
    private func shareOfHome(_ isBackup: Bool) -> UInt64 {
        if groups[1].count == 0 { return .max }
        if groups[0].count == 0 { return 0 }
        let home = wellness { $0.isBackup == isBackup && $0.isHome }
        let others = wellness { $0.isBackup == isBackup && !$0.isHome }
        if home.well &+ others.well == 0 {
            return Self.fraction(Double(home.count) / Double(home.count &+ others.count))
        }
        if others.well == 0 { return .max }
        if home.well == 0 { return 0 }
        let minimum = Double(settings.zonePreference?.minimumAvailable ?? 0) / 100
        let available = Double(home.well) / Double(home.count)
        return available >= minimum ? .max : Self.fraction(available / minimum)
    }

    private static func fraction(_ value: Double) -> UInt64 {
        // Rounded up, 1 - 2⁻⁵³ times 2⁶⁴ still fits; 1 does not.
        value >= 1 ? .max : UInt64(max(value, 0) * 18_446_744_073_709_551_616)
    }
}
