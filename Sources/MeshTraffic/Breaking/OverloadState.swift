import MeshModel

/// Whether the proxy itself has too much to do, and who is refused for it: the lowest priority first.
///
/// Each of the three measures says for itself whose requests are refused, the worst of them counts:
///
/// | refused | memory, of its limit | lag, of its limit | descriptors, limit p |
/// |---|---|---|---|
/// | `low` | 100 % | 1 × | p |
/// | `low`, `normal` | 110 % | 2 × | p + (100 − p) × ¾ |
/// | all | 120 % | 4 × | – |
///
/// It rises with the first sample, and falls by one step once ``calmSamples`` in a row are below 90 % of what the step
/// began with, so that it does not flap. Descriptors never refuse all: connections that are open need no new one, and
/// accepting pauses (``pausesAccepting``) at p + (100 − p) / 2, before requests of normal priority are refused.
public struct OverloadState: Sendable, Equatable {
    /// One look at the process.
    public struct Sample: Sendable, Equatable {
        /// Memory in RAM, bytes.
        public var memoryBytes: Int
        /// Open descriptors, in percent of what may be; 0 if there is no limit.
        public var descriptorPercent: Double
        /// How late the loop's timers were at most, nanoseconds.
        public var lag: UInt64

        /// A sample.
        public init(memoryBytes: Int = 0, descriptorPercent: Double = 0, lag: UInt64 = 0) {
            self.memoryBytes = memoryBytes
            self.descriptorPercent = descriptorPercent
            self.lag = lag
        }
    }

    /// Samples in a row that must be calm before fewer are refused.
    public static let calmSamples = 5

    /// How many of the priorities are refused: 0 none, 1 `low`, 2 `normal` too, 3 all.
    public private(set) var level = 0
    /// No connection is accepted: the next ones would take the descriptors that answers need.
    public private(set) var pausesAccepting = false
    private var calm = 0

    /// Nothing is refused.
    public init() {}

    /// True if requests of `priority` are refused.
    @inlinable
    public func refuses(_ priority: RequestPriority) -> Bool { priority.rawValue < level }

    /// Takes a sample. True if ``level`` or ``pausesAccepting`` changed.
    public mutating func take(_ sample: Sample, _ limits: OverloadProtection) -> Bool {
        let before = self
        let found = Self.level(sample, limits, ease: 1)
        if found >= level {
            level = found
            calm = 0
        } else if Self.level(sample, limits, ease: 0.9) >= level {
            calm = 0
        } else {
            calm += 1
            if calm >= Self.calmSamples {
                level -= 1
                calm = 0
            }
        }
        pausesAccepting = Self.isFull(sample, limits, ease: pausesAccepting ? 0.98 : 1)
        return level != before.level || pausesAccepting != before.pausesAccepting
    }

    /// What `sample` alone asks for; every threshold is multiplied by `ease`.
    private static func level(_ sample: Sample, _ limits: OverloadProtection, ease: Double) -> Int {
        var level = 0
        if let most = limits.maxMemoryBytes, most > 0 {
            level = steps(Double(sample.memoryBytes) / Double(most), [1, 1.1, 1.2], ease)
        }
        if let most = limits.maxLoopLag, most.nanoseconds > 0 {
            level = max(level, steps(Double(sample.lag) / Double(most.nanoseconds), [1, 2, 4], ease))
        }
        if let percent = limits.maxDescriptorPercent, percent > 0 {
            let limit = Double(percent)
            level = max(level, steps(sample.descriptorPercent, [limit, limit + (100 - limit) * 0.75], ease))
        }
        return level
    }

    private static func steps(_ value: Double, _ thresholds: [Double], _ ease: Double) -> Int {
        thresholds.count { value >= $0 * ease }
    }

    private static func isFull(_ sample: Sample, _ limits: OverloadProtection, ease: Double) -> Bool {
        guard let percent = limits.maxDescriptorPercent, percent > 0 else { return false }
        return sample.descriptorPercent >= (Double(percent) + 100) / 2 * ease
    }
}
