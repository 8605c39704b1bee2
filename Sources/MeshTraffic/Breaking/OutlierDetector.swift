import MeshCore
import MeshModel

/// Takes endpoints of one backend out that fail real requests, and lets them back in: one of them for all loops, behind
/// their lock. It is asked only when something changes; what happens on each request is ``OutcomeTally``'s.
///
/// ```
/// available ─ threshold, rate ▸ ejected ─ its time is over ▸ half-open ─ claim ▸ probing ─ success ▸ available
///                                  ▲                             ▲                  ├ no verdict ▸ half-open
///                                  └─────────── twice as long ───┼────── failure ───┘
/// ```
///
/// An endpoint comes back through exactly one real request, not by time alone: without that, a dead endpoint would get
/// its full share again and again, for as many failures as the threshold allows.
public struct OutlierDetector: Sendable {
    /// Where an endpoint stands.
    public enum State: Sendable, Equatable {
        /// It gets its share.
        case available
        /// It gets nothing until then.
        case ejected(until: Instant)
        /// It gets the next request, and only that.
        case halfOpen
        /// That request is under way.
        case probing
    }

    private struct Record {
        let tally: OutcomeTally
        var state = State.available
        /// Ejections in a row.
        var ejections = 0
        /// Since when it has been well, as far as the next decay goes.
        var wellSince = Instant.never
        var cause: EjectionCause?
    }

    /// How it is done. A change holds from the next decision on.
    public var settings: OutlierDetection
    private var records: [Int: Record] = [:]
    /// Endpoints that are half-open, so that nobody has to look for one.
    public private(set) var halfOpenCount = 0
    /// Endpoints that are not available.
    public private(set) var ejectedCount = 0

    /// A detector without endpoints.
    public init(_ settings: OutlierDetection) { self.settings = settings }

    // MARK: Endpoints

    /// Endpoint `id` is there; again: nothing.
    public mutating func add(_ id: Int, _ tally: OutcomeTally) {
        if records[id] == nil { records[id] = Record(tally: tally) }
    }

    /// Endpoint `id` is gone, and forgotten.
    public mutating func remove(_ id: Int) {
        guard let record = records.removeValue(forKey: id) else { return }
        count(from: record.state, to: .available)
    }

    /// Where endpoint `id` stands; one that is not known is available.
    public func state(of id: Int) -> State { records[id]?.state ?? .available }

    /// True if endpoint `id` gets its share.
    public func isAvailable(_ id: Int) -> Bool { state(of: id) == .available }

    /// Why endpoint `id` was ejected last.
    public func cause(of id: Int) -> EjectionCause? { records[id]?.cause }

    // MARK: Ejecting

    /// Ejects endpoint `id`, unless it is out already or too many are. True if it did.
    public mutating func eject(_ id: Int, _ cause: EjectionCause, now: Instant) -> Bool {
        guard records[id]?.state == .available, ejectedCount < ejectionLimit else { return false }
        takeOut(id, cause, now)
        return true
    }

    /// So many may be out at a time.
    private var ejectionLimit: Int {
        let share = records.count &* min(max(settings.maxEjectionPercent, 0), 100) / 100
        return records.count > 1 ? max(share, 1) : share
    }

    private mutating func takeOut(_ id: Int, _ cause: EjectionCause, _ now: Instant) {
        guard var record = records[id] else { return }
        record.ejections += 1
        record.cause = cause
        let time = ejectionTime(record.ejections)
        count(from: record.state, to: .ejected(until: now))
        record.state = .ejected(until: now.advanced(byNanoseconds: time))
        record.tally.clear()
        _ = record.tally.take()
        records[id] = record
    }

    /// How long the `number`th ejection in a row takes, in nanoseconds.
    func ejectionTime(_ number: Int) -> UInt64 {
        let (base, most) = (settings.baseEjectionTime.nanoseconds, settings.maxEjectionTime.nanoseconds)
        let doublings = UInt64(min(max(number - 1, 0), 62))
        let (time, overflow) = base.multipliedReportingOverflow(by: 1 << doublings)
        return overflow ? max(most, base) : min(time, max(most, base))
    }

    private mutating func count(from old: State, to new: State) {
        if old == .halfOpen { halfOpenCount -= 1 }
        if new == .halfOpen { halfOpenCount += 1 }
        if old != .available { ejectedCount -= 1 }
        if new != .available { ejectedCount += 1 }
    }

    private mutating func move(_ id: Int, to state: State) {
        guard let old = records[id]?.state else { return }
        count(from: old, to: state)
        records[id]?.state = state
    }

    // MARK: Coming back

    /// When ``reopen(now:)`` has something to do; `never` if nothing is ejected.
    public var nextReopening: Instant {
        var next = Instant.never
        for record in records.values {
            if case .ejected(let until) = record.state, until < next { next = until }
        }
        return next
    }

    /// Endpoints whose ejection is over become half-open. True if there was one.
    public mutating func reopen(now: Instant) -> Bool {
        guard ejectedCount > 0 else { return false }
        var found = false
        for (id, record) in records {
            guard case .ejected(let until) = record.state, until <= now else { continue }
            move(id, to: .halfOpen)
            found = true
        }
        return found
    }

    /// A half-open endpoint that `mayServe` for one request, which must end in ``probeEnded(_:_:now:)``; nil if there is
    /// none.
    public mutating func claimProbe(where mayServe: (Int) -> Bool = { _ in true }) -> Int? {
        guard halfOpenCount > 0 else { return nil }
        // The one with the lowest number: which does not matter, but that it is always the same makes tests easy.
        let id = records.filter { $0.value.state == .halfOpen && mayServe($0.key) }.keys.min()
        if let id { move(id, to: .probing) }
        return id
    }

    /// The request of ``claimProbe()`` is over. Success brings the endpoint back, failure ejects it for longer, and if
    /// nothing can be said, the next request is the probe. True if the endpoint is available now.
    public mutating func probeEnded(_ id: Int, _ outcome: AttemptOutcome, now: Instant) -> Bool {
        guard records[id]?.state == .probing else { return false }
        switch outcome {
        case .success:
            move(id, to: .available)
            records[id]?.wellSince = now
            return true
        case .none: move(id, to: .halfOpen)
        case .serverError, .gatewayError, .connectFailure, .reset, .timeout: takeOut(id, .probeFailed, now)
        }
        return false
    }

    // MARK: Rates

    /// Looks at what was counted since the last time, once per `interval`: ejects outliers, worst first, and lets the
    /// memory of old ejections fade. Returns what was ejected.
    public mutating func sweep(now: Instant) -> [(id: Int, cause: EjectionCause)] {
        var counted: [(id: Int, successes: Int, failures: Int)] = []
        for (id, record) in records {
            let (successes, failures) = record.tally.take()
            guard record.state == .available else { continue }
            counted.append((id, successes, failures))
            fade(id, now)
        }
        counted.sort { $0.failures &* ($1.successes &+ $1.failures) > $1.failures &* ($0.successes &+ $0.failures) }
        var ejected: [(id: Int, cause: EjectionCause)] = []
        for (id, cause) in outliers(counted) where eject(id, cause, now: now) { ejected.append((id, cause)) }
        return ejected
    }

    /// One ejection is forgotten for each `baseEjectionTime` without another.
    private mutating func fade(_ id: Int, _ now: Instant) {
        guard var record = records[id], record.ejections > 0 else { return }
        let step = max(settings.baseEjectionTime.nanoseconds, 1)
        let steps = now.nanoseconds(since: record.wellSince) / step
        guard steps > 0 else { return }
        record.ejections = max(0, record.ejections - Int(clamping: steps))
        record.wellSince = record.wellSince.advanced(byNanoseconds: steps &* step)
        records[id] = record
    }

    private func outliers(
        _ counted: [(id: Int, successes: Int, failures: Int)]
    ) -> [(id: Int, cause: EjectionCause)] {
        var found: [(id: Int, cause: EjectionCause)] = []
        if let wanted = settings.successRate {
            let rates = counted.filter { $0.successes + $0.failures >= max(wanted.requestVolume, 1) }.map {
                (id: $0.id, rate: Double($0.successes) / Double($0.successes + $0.failures))
            }
            if rates.count >= max(wanted.minimumEndpoints, 1) {
                let bound = Self.bound(rates.map(\.rate), Double(wanted.deviationThousandths) / 1000)
                found += rates.filter { $0.rate < bound }.map { ($0.id, .successRate) }
            }
        }
        if let wanted = settings.failurePercentage {
            let known = counted.filter { $0.successes + $0.failures >= max(wanted.requestVolume, 1) }
            if known.count >= max(wanted.minimumEndpoints, 1) {
                let bad = known.filter { $0.failures * 100 >= wanted.threshold * ($0.successes + $0.failures) }
                found += bad.filter { $0.failures > 0 }.map { ($0.id, .failurePercentage) }
            }
        }
        return found
    }

    /// Mean − `deviations` × standard deviation.
    private static func bound(_ rates: [Double], _ deviations: Double) -> Double {
        let mean = rates.reduce(0, +) / Double(rates.count)
        let variance = rates.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rates.count)
        return mean - deviations * variance.squareRoot()
    }
}
