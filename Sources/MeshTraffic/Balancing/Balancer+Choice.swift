import Glibc
import MeshCore
import MeshModel

/// The algorithms. Each looks at one group, which may be empty: -1 then, or if it finds none.
extension Balancer {
    @inline(__always)
    func choose(in group: Int, _ random: UInt64, _ now: Instant, _ key: UInt64?, _ tried: TriedEndpoints) -> Int {
        let count = groups[group].count
        if count <= 1 { return count == 0 ? -1 : Int(order[groups[group].start]) }
        switch settings.algorithm {
        case .leastRequest: return lighter(in: group, random, tried)
        case .roundRobin: return nextInTurn(in: group, tried)
        case .peakEWMA: return quicker(in: group, random, now, tried)
        case .random: return Int(order[draw(in: group, random).position])
        case .ringHash, .maglev:
            guard let key else { return lighter(in: group, random, tried) }
            return home(of: key, in: group, tried)
        }
    }

    // MARK: Drawing

    /// A position of ``order`` with a chance in proportion to its share, and what is left of the random number, which is
    /// as random as the rest.
    @inline(__always)
    private func draw(in group: Int, _ random: UInt64) -> (position: Int, rest: UInt64) {
        let start = groups[group].start
        if groups[group].isUniform {
            let (number, rest) = random.multipliedFullWidth(by: UInt64(groups[group].count))
            return (start &+ Int(truncatingIfNeeded: number), rest)
        }
        let (sum, rest) = random.multipliedFullWidth(by: groups[group].total)
        return (position(of: sum, in: group), rest)
    }

    /// Another position than `first`, in proportion to the shares of the others.
    @inline(__always)
    private func draw(in group: Int, _ random: UInt64, except first: Int) -> Int {
        if groups[group].isUniform {
            let others = UInt64(groups[group].count &- 1)
            let position = groups[group].start &+ Int(truncatingIfNeeded: random.multipliedFullWidth(by: others).high)
            return position >= first ? position &+ 1 : position
        }
        let own = states[Int(order[first])].share
        var sum = random.multipliedFullWidth(by: groups[group].total &- own).high
        if sum >= before[first] { sum &+= own }
        return position(of: sum, in: group)
    }

    /// The position into whose share `sum`, below the sum of all shares, falls.
    private func position(of sum: UInt64, in group: Int) -> Int {
        var low = groups[group].start
        var high = low &+ groups[group].count &- 1
        while low < high {
            let middle = (low &+ high &+ 1) >> 1
            if before[middle] <= sum { low = middle } else { high = middle &- 1 }
        }
        return low
    }

    // MARK: Two choices

    /// Of two endpoints at random, the one with fewer requests in flight for its share (Mitzenmacher, "The power of two
    /// choices"): nearly as good as the least loaded of all, without looking at all, and without every loop running to
    /// the same one.
    ///
    /// Each of the two is drawn with a chance in proportion to its share, and of two that are equally loaded the first
    /// drawn wins, so that an idle backend is shared exactly by weight. (Drawing evenly and comparing
    /// weight / (active + 1) would, at rest, always give the heavier of the two.)
    @inline(__always)
    private func lighter(in group: Int, _ random: UInt64, _ tried: TriedEndpoints) -> Int {
        let (position, rest) = draw(in: group, random)
        let first = Int(order[position])
        let other = Int(order[draw(in: group, rest, except: position)])
        if isPassedOver(first, tried) { return other }
        if isPassedOver(other, tried) { return first }
        let firstLoad = UInt64(truncatingIfNeeded: max(states[first].active, 0)) &* states[other].share
        let otherLoad = UInt64(truncatingIfNeeded: max(states[other].active, 0)) &* states[first].share
        return firstLoad <= otherLoad ? first : other
    }

    /// Of two endpoints at random, the one with the smaller product of its recent response time and the requests that it
    /// would then have in flight (Peak EWMA, as in Finagle and Linkerd).
    ///
    /// Both are drawn in proportion to their shares, which is what weights do here.
    private func quicker(in group: Int, _ random: UInt64, _ now: Instant, _ tried: TriedEndpoints) -> Int {
        let (position, rest) = draw(in: group, random)
        let first = Int(order[position])
        let other = Int(order[draw(in: group, rest, except: position)])
        if isPassedOver(first, tried) { return other }
        if isPassedOver(other, tried) { return first }
        return cost(first, now) <= cost(other, now) ? first : other
    }

    /// An idle endpoint's estimate falls with time, so that one that was slow is tried again. One with requests in flight
    /// keeps it: an endpoint that hangs answers nothing, and must not look better for that.
    private func cost(_ index: Int, _ now: Instant) -> Double {
        var estimate = states[index].roundTrip
        let active = states[index].active
        if active <= 0 { estimate *= exp(-Double(now.nanoseconds(since: states[index].measured)) / decay) }
        return estimate * Double(max(active, 0) &+ 1)
    }

    // MARK: Turns

    /// The endpoint whose turn it is, by share, and smoothly: of weights 5, 1, 1 the picks are a a b a c a a, not five a
    /// in a row (the method of nginx).
    func nextInTurn(in group: Int, _ tried: TriedEndpoints) -> Int {
        let start = groups[group].start
        let count = groups[group].count
        if groups[group].isUniform {
            var left = count
            while left > 0 {
                let next = groups[group].next
                groups[group].next = next &+ 1 == count ? 0 : next &+ 1
                let index = Int(order[start &+ next])
                if !isPassedOver(index, tried) { return index }
                left &-= 1
            }
            return -1
        }
        var best = -1
        var total = 0
        var position = start
        while position < start &+ count {
            let index = Int(order[position])
            position &+= 1
            if isPassedOver(index, tried) { continue }
            let share = Int(truncatingIfNeeded: states[index].share)
            total &+= share
            states[index].current &+= share
            if best < 0 || states[index].current > states[best].current { best = index }
        }
        if best >= 0 { states[best].current &-= total }
        return best
    }

    // MARK: Hashing

    /// The endpoint that `key` belongs to, or the next one in the key's own order that can take it.
    private func home(of key: UInt64, in group: Int, _ tried: TriedEndpoints) -> Int {
        let table = groups[group].table
        if tables[table].isEmpty { return -1 }
        var place = tables[table].place(of: key)
        var number = 1
        while number <= HashTable.probes {
            let index = tables[table].owner(at: place)
            if takes(index, group), !isPassedOver(index, tried) { return index }
            place = tables[table].place(after: place, key: key, number: number)
            number &+= 1
        }
        return -1
    }

    /// True if `index` is in `group` and, where load is bounded (Mirrokni et al., "Consistent hashing with bounded
    /// loads"), has less than its bound: that percentage of its share of all requests in flight, this one included.
    private func takes(_ index: Int, _ group: Int) -> Bool {
        guard Int(states[index].group) == group else { return false }
        guard let bound = settings.boundedLoad else { return true }
        let load = Double(groups[group].active &+ 1) * Double(bound) / 100
        let limit = (load * Double(states[index].share) / Double(groups[group].total)).rounded(.up)
        return Double(states[index].active) < limit
    }

    // MARK: When the choice cannot take it

    /// Any endpoint that can take the request: of `first` before the other group, and those that were tried last.
    func pickAmongRest(first: Int, _ random: UInt64, _ key: UInt64?, _ tried: TriedEndpoints) -> Int? {
        let key = settings.algorithm.hashes ? key : nil
        if key != nil, settings.boundedLoad != nil {
            if let index = rest(in: first, random, key, tried, bounded: true) { return index }
        }
        if let index = rest(in: first, random, key, tried, bounded: false) { return index }
        if let index = rest(in: 1 &- first, random, key, tried, bounded: false) { return index }
        if tried.isEmpty { return nil }
        return rest(in: first, random, key, TriedEndpoints(), bounded: false)
            ?? rest(in: 1 &- first, random, key, TriedEndpoints(), bounded: false)
    }

    /// One of those in `group` that can take the request, in proportion to their shares: for a key the one that wins by
    /// rendezvous, the same each time, otherwise at random. Looks at each.
    private func rest(
        in group: Int, _ random: UInt64, _ key: UInt64?, _ tried: TriedEndpoints, bounded: Bool
    ) -> Int? {
        let end = groups[group].start &+ groups[group].count
        var best: Int?
        var bestScore = 0.0
        var position = groups[group].start
        while position < end {
            let index = Int(order[position])
            position &+= 1
            if isPassedOver(index, tried) || bounded && !takes(index, group) { continue }
            // Weighted rendezvous: the largest of -share / ln u, with u in (0, 1) made of key and endpoint.
            let bits = Hashing.mix((key ?? random) ^ Hashing.mix(states[index].identity))
            let unit = (Double(bits >> 11) + 0.5) / 9_007_199_254_740_992
            let score = -Double(states[index].share) / log(unit)
            if best == nil || score > bestScore {
                best = index
                bestScore = score
            }
        }
        return best
    }
}
