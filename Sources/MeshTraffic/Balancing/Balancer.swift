import Glibc
import MeshCore
import MeshModel

/// An endpoint as a ``Balancer`` is told of it.
public struct BalancedEndpoint: Sendable, Equatable {
    /// What it is called: a hash of its address (``Balancer/identity(_:)``). What is known of an endpoint stays with its
    /// identity when the list changes.
    public var identity: UInt64
    /// Its share; 0 or less: none.
    public var weight: Int
    /// Where it stands; nil: unknown.
    public var zone: String?
    /// True if it gets requests only while none of the others is available.
    public var isBackup: Bool

    /// An endpoint of these parts.
    public init(identity: UInt64, weight: Int = 1, zone: String? = nil, isBackup: Bool = false) {
        self.identity = identity
        self.weight = weight
        self.zone = zone
        self.isBackup = isBackup
    }
}

/// Endpoints that one request has tried already: the last four.
public struct TriedEndpoints: Sendable, Equatable {
    private var indices = SIMD4<Int32>(repeating: -1)
    private var count = 0

    /// None.
    public init() {}

    /// Just `index`; none if it is negative.
    public init(_ index: Int) { insert(index) }

    /// True if there is none.
    public var isEmpty: Bool { count == 0 }

    /// Adds `index`, unless it is negative; a fifth takes the place of the first.
    public mutating func insert(_ index: Int) {
        guard index >= 0, !contains(index) else { return }
        indices[count & 3] = Int32(truncatingIfNeeded: index)
        count &+= 1
    }

    /// True if `index` is one of them.
    public func contains(_ index: Int) -> Bool {
        count > 0 && any(indices .== SIMD4(repeating: Int32(truncatingIfNeeded: index)))
    }
}

/// Why an endpoint gets no requests.
public enum Unavailability: UInt8, Sendable {
    /// Its health checks fail. Counts for the panic threshold.
    case health = 1
    /// It was ejected as an outlier. Counts for the panic threshold.
    case ejection = 2
    /// It has as much as it may have. Not a fault: it does not count for the panic threshold, and holds in panic too.
    case limit = 4
}

/// One loop's view of a backend's endpoints: who is there, who is well, who has how much to do, and who is next.
///
/// Pure: time and randomness are arguments. Belongs to one loop. Nothing is allocated by a pick; what depends on the list
/// or on health is worked out when these change (and, during a slow start, a hundred times in its window).
///
/// Endpoints are called by their index in the list of the last ``update(_:zone:endpoints:random:now:)``.
///
/// A pick first settles the *tier* (backups only if no other is well), then the *group* (the own zone or the others),
/// then the endpoint by the algorithm; one that is full or was tried already is passed over.
public final class Balancer {
    /// The endpoints that can be picked now in one zone group, as a run of ``order``.
    struct Group {
        var start = 0
        var count = 0
        /// The sum of their shares.
        var total: UInt64 = 0
        /// All shares are the same: a draw needs no search.
        var isUniform = true
        /// Round robin among equals: the next position.
        var next = 0
        /// Requests in flight.
        var active = 0
        /// Which of ``tables`` is theirs.
        var table = 0
    }

    /// What is known of one endpoint.
    struct State {
        let identity: UInt64
        var weight: Int
        var isHome: Bool
        var isBackup: Bool
        /// ``Unavailability`` of the kinds that count as faults.
        var faults: UInt8 = 0
        var isFull = false
        /// 0 or 1; -1 while it cannot be picked.
        var group: Int8 = -1
        var active: Int32 = 0
        /// Its weight after slow start.
        var share: UInt64 = 0
        /// Smooth round robin.
        var current = 0
        /// When it was new or became well.
        var since: Instant
        /// Peak EWMA: the estimate in nanoseconds, and when it was made.
        var roundTrip: Double
        var measured: Instant
    }

    var settings = LoadBalancer()
    var states: ContiguousArray<State> = []
    /// Endpoints that can be picked, group by group.
    var order: ContiguousArray<Int32> = []
    /// By position in ``order``: the sum of the shares before it in its group.
    var before: ContiguousArray<UInt64> = []
    /// The own zone, and the others; all are in the first while zones do not count.
    var groups: ContiguousArray<Group> = [Group(), Group()]
    /// Of 2⁶⁴ draws so many go to the first group.
    var homeShare = UInt64.max
    /// When shares change by themselves: during a slow start.
    var nextArrangement = Instant.never
    /// By tier and group; empty unless the algorithm hashes.
    var tables: ContiguousArray<HashTable> = Balancer.noTables
    /// What ``tables`` were made of.
    var tableEntries: [[HashTable.Entry]] = []
    var tableAlgorithm: LoadBalancer.Algorithm?
    /// Peak EWMA in nanoseconds; 0 if nothing is measured.
    var decay = 0.0
    var penalty: UInt64 = 0

    /// Endpoints that are neither unwell nor ejected, of those with a weight; full ones included.
    public internal(set) var availableCount = 0
    /// True while so few endpoints are well that all of them get requests.
    public internal(set) var isPanicking = false
    private let key: SipKey

    /// A balancer without endpoints for the backend of this name.
    public init(backend name: String) { key = SipKey(naming: name) }

    static let noTables = ContiguousArray(repeating: HashTable(), count: 4)

    /// What an endpoint with this address is called: the same in every proxy for the same backend.
    public func identity(_ address: Span<UInt8>) -> UInt64 { key.hash(address) }

    /// How many endpoints there are.
    public var count: Int { states.count }

    // MARK: Picking

    /// The endpoint for a request, or nil if none can take it: there is none, none is well, or all are full.
    ///
    /// - Parameters:
    ///   - random: 64 random bits.
    ///   - now: the time.
    ///   - key: the hash that the request is placed by; nil: it may go anywhere. Only hashing algorithms look at it.
    ///   - tried: passed over as long as another endpoint can take the request.
    public func pick(
        random: UInt64, now: Instant, key: UInt64? = nil, avoiding tried: TriedEndpoints = TriedEndpoints()
    ) -> Int? {
        if now >= nextArrangement { arrange(now: now) }
        var group = 0
        if homeShare != .max { group = Hashing.mix(key ?? random) < homeShare ? 0 : 1 }
        let index = choose(in: group, random, now, key, tried)
        if index >= 0 && !isPassedOver(index, tried) { return index }
        return pickAmongRest(first: group, random, key, tried)
    }

    /// True if `index` can be picked now, tier, health and limits considered: whether a session stays with it.
    public func canPick(_ index: Int) -> Bool {
        index >= 0 && index < states.count && states[index].group >= 0 && !states[index].isFull
    }

    /// The endpoint of this identity, or nil if there is none. Looks at each.
    public func index(of identity: UInt64) -> Int? {
        var index = 0
        while index < states.count {
            if states[index].identity == identity { return index }
            index &+= 1
        }
        return nil
    }

    /// What the endpoint at `index` is called; nil if there is none.
    public func identity(at index: Int) -> UInt64? {
        index >= 0 && index < states.count ? states[index].identity : nil
    }

    // MARK: What requests tell

    /// A request begins at endpoint `index`.
    public func begin(_ index: Int) { count(1, at: index) }

    /// A request that began at endpoint `index` is over.
    public func end(_ index: Int) { count(-1, at: index) }

    private func count(_ change: Int32, at index: Int) {
        guard index >= 0, index < states.count else { return }
        states[index].active &+= change
        let group = Int(states[index].group)
        if group >= 0 { groups[group].active &+= Int(change) }
    }

    /// Endpoint `index` has answered, or failed, after `latency` nanoseconds: to the head of the response, not to its
    /// end, or long answers would look slow. For ``LoadBalancer/Algorithm/peakEWMA(_:)``; else nothing is remembered.
    public func observe(_ index: Int, latency: UInt64, failed: Bool, now: Instant) {
        guard decay > 0, index >= 0, index < states.count else { return }
        let seen = Double(failed ? max(latency, penalty) : latency)
        let known = states[index].roundTrip
        if seen >= known {
            // A peak counts at once; only what is better is believed slowly.
            states[index].roundTrip = seen
        } else {
            let kept = exp(-Double(now.nanoseconds(since: states[index].measured)) / decay)
            states[index].roundTrip = known * kept + seen * (1 - kept)
        }
        states[index].measured = now
    }

    /// Requests in flight at endpoint `index`.
    public func activeCount(at index: Int) -> Int {
        index >= 0 && index < states.count ? Int(states[index].active) : 0
    }

    // MARK: Availability

    /// Says whether endpoint `index` is available as far as `cause` is concerned; it is picked while no cause speaks
    /// against it. One that becomes well again starts slowly, if that is configured.
    ///
    /// ``Unavailability/limit`` is cheap and may change with every request; the others look at all endpoints.
    public func setAvailable(_ isAvailable: Bool, of index: Int, _ cause: Unavailability, now: Instant) {
        guard index >= 0, index < states.count else { return }
        if cause == .limit {
            states[index].isFull = !isAvailable
            return
        }
        let before = states[index].faults
        let after = isAvailable ? before & ~cause.rawValue : before | cause.rawValue
        if after == before { return }
        states[index].faults = after
        if after == 0 { states[index].since = now }
        arrange(now: now)
    }

    /// True if no cause speaks against endpoint `index`.
    public func isAvailable(_ index: Int) -> Bool {
        index >= 0 && index < states.count && states[index].faults == 0 && !states[index].isFull
    }

    @inline(__always)
    func isPassedOver(_ index: Int, _ tried: TriedEndpoints) -> Bool {
        states[index].isFull || tried.contains(index)
    }
}
