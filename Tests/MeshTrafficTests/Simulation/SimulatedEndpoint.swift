import MeshCore

/// An endpoint of a ``Simulation``: so many requests at a time, the others wait in its queue.
///
/// All settings may change while the simulation runs (``Simulation/at(_:_:)``); they hold for what begins from then on.
struct SimulatedEndpoint {
    /// How an endpoint fails.
    enum Failure {
        /// It does not.
        case none
        /// So many percent of the requests fail, and take `nanoseconds` for it instead of the service time. They take no
        /// place, as errors of a process that is in trouble often do.
        case errors(percent: Int, nanoseconds: UInt64)
        /// It takes requests and never answers. What waits and what comes is lost; what is served is finished.
        case hangs
        /// No connection can be made: fails at once, nothing is processed.
        case refuses
    }

    /// The mean service time in nanoseconds.
    var service: UInt64
    /// True: service times are exponentially distributed; false: all the same.
    var varies = true
    /// Requests that it works on at a time.
    var capacity = Int.max
    /// Requests that may wait; one more is refused as an error at once.
    var queueLimit = Int.max
    var failure = Failure.none
    var weight = 1
    var zone: String?
    var isBackup = false
    /// The hash of its address; by default made of its number.
    var identity: UInt64?

    init(
        milliseconds: Double, capacity: Int = .max, queueLimit: Int = .max, weight: Int = 1, zone: String? = nil,
        isBackup: Bool = false, varies: Bool = true, failure: Failure = .none
    ) {
        service = UInt64(milliseconds * 1e6)
        self.capacity = capacity
        self.queueLimit = queueLimit
        self.weight = weight
        self.zone = zone
        self.isBackup = isBackup
        self.varies = varies
        self.failure = failure
    }
}

/// One request of a ``Simulation``, with all its attempts.
struct SimulatedRequest {
    let number: Int
    let arrived: Instant
    /// Attempts that have begun.
    var attempts = 0
    /// Endpoints that attempts failed at.
    var tried: [Int] = []
    /// What hashing balancers place it by.
    var key: UInt64?
}

/// How an attempt or a request ended.
enum SimulatedOutcome: Equatable {
    case answered
    /// The endpoint answered with an error.
    case failed
    /// No connection: nothing was processed.
    case refused
    /// The attempt took longer than ``Simulation/attemptTimeout``. The endpoint goes on with it.
    case timedOut
    /// ``Simulation/admit`` said no.
    case shed
    /// The balancer had no endpoint.
    case noEndpoint
}

/// What came of a ``Simulation``: requests that arrived after ``Simulation/warmUp``.
struct SimulationReport {
    /// Nanoseconds from arrival to answer, retries included; of requests that were answered.
    var latencies: [UInt64] = []
    /// Requests by how they ended.
    var answered = 0
    var failed = 0
    /// Attempts per endpoint.
    var attempts: [Int] = []
    /// Attempts in all, those that were not first included.
    var totalAttempts: Int { attempts.reduce(0, +) }

    /// The latency in milliseconds that `percent` of the answered requests did not exceed.
    func percentile(_ percent: Double) -> Double {
        let sorted = latencies.sorted()
        if sorted.isEmpty { return .nan }
        return Double(sorted[min(Int(Double(sorted.count) * percent / 100), sorted.count - 1)]) / 1e6
    }

    /// The share of endpoint `index` of all attempts, in percent.
    func share(_ index: Int) -> Double { Double(attempts[index]) * 100 / Double(max(totalAttempts, 1)) }

    /// Answered requests of all, in percent.
    var success: Double { Double(answered) * 100 / Double(max(answered + failed, 1)) }
}
