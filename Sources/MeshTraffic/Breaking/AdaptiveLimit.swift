import MeshCore
import MeshModel

/// Finds the number of requests in flight that a backend takes without getting slower, from response times alone.
///
/// Once per window of measurements (Netflix's "gradient", as in Envoy's adaptive concurrency):
///
///     limit' = limit × clamp(best × tolerance / current, ½ … 1) + √limit
///
/// While answers take no longer than `tolerance` times the best, the limit grows by its square root, which is the queue
/// that it allows itself; beyond, it shrinks in proportion. It grows only while it is used. As a backend can become
/// slower for good, what is best is measured anew now and then: for one window the limit is halved, so that no queue is
/// measured with it.
public struct AdaptiveLimit: Sendable {
    /// What a window was for.
    private enum Phase: Equatable {
        case normal
        /// Only requests that began after this count.
        case measuring(since: Instant)
    }

    let settings: AdaptiveConcurrency
    private var exact: Double
    private var phase = Phase.normal
    /// The mean response time without a queue, in nanoseconds; nil: not known yet.
    private var best: Double?
    private var measureAt = Instant.never

    /// Windows from one measurement of the best time to the next, at least.
    static let windowsPerMeasurement: UInt64 = 300
    /// A window has at least so many measurements, however long that takes.
    public static let windowSize = 10

    /// A limit at the beginning of `settings`.
    public init(_ settings: AdaptiveConcurrency) {
        self.settings = settings
        exact = Double(max(settings.initialLimit, 1))
        clamp()
    }

    /// So many requests may be in flight.
    public var limit: Int {
        switch phase {
        case .normal: Int(exact)
        case .measuring: max(min(settings.minLimit, Int(exact)), Int(exact / 2), 1)
        }
    }

    /// Response times of requests that began before do not count.
    public var measuresFrom: Instant {
        switch phase {
        case .normal: Instant(nanoseconds: 0)
        case .measuring(let since): since
        }
    }

    /// A window is over.
    ///
    /// - Parameters:
    ///   - mean: of the response times in it, in nanoseconds.
    ///   - peak: the most requests that were in flight at a time.
    ///   - random: 64 random bits, so that many proxies do not measure in step.
    public mutating func windowEnded(mean: Double, peak: Int, now: Instant, random: UInt64) {
        guard mean > 0 else { return }
        switch phase {
        case .measuring:
            best = mean
            phase = .normal
            plan(now, random)
        case .normal:
            if measureAt == .never { plan(now, random) }
            best = min(best ?? mean, mean)
            adjust(mean, peak)
            if now >= measureAt {
                // What is in flight by now still has its queue before it.
                phase = .measuring(since: now.advanced(byNanoseconds: UInt64(min(mean, 1e12))))
            }
        }
    }

    private mutating func adjust(_ current: Double, _ peak: Int) {
        guard let best else { return }
        let gradient = min(max(best * Double(max(settings.tolerance, 100)) / 100 / current, 0.5), 1)
        let wanted = exact * gradient + exact.squareRoot()
        // A limit that nobody reaches says nothing about what lies above it.
        if wanted > exact && peak * 2 < Int(exact) { return }
        exact = wanted
        clamp()
    }

    private mutating func clamp() {
        let low = Double(max(settings.minLimit, 1))
        exact = min(max(exact, low), max(Double(settings.maxLimit), low))
    }

    private mutating func plan(_ now: Instant, _ random: UInt64) {
        let period = max(settings.interval.nanoseconds, 1_000_000) &* Self.windowsPerMeasurement
        measureAt = now.advanced(byNanoseconds: period &+ random.multipliedFullWidth(by: period / 2 &+ 1).high)
    }
}
