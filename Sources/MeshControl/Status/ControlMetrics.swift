import Synchronization

/// The control plane's own counters, as Prometheus text. May be used from anywhere.
public final class ControlMetrics: Sendable {
    /// What only grows.
    public enum Counter: String, Sendable, CaseIterable {
        case pushes = "martlet_control_pushes_total"
        case acks = "martlet_control_acks_total"
        case rejections = "martlet_control_rejections_total"
        case changes = "martlet_control_changes_total"
        case storeErrors = "martlet_control_store_errors_total"
        case refusedStreams = "martlet_control_refused_streams_total"
        case endpointChanges = "martlet_control_endpoint_changes_total"
        case lostInstances = "martlet_control_lost_instances_total"

        /// What it counts, and the name of its label; nil: it has none.
        var about: (help: String, label: String?) {
            switch self {
            case .pushes: ("Discovery responses sent, by type of resource.", "type")
            case .acks: ("Discovery responses that proxies accepted, by type of resource.", "type")
            case .rejections: ("Discovery responses that proxies refused, by type of resource.", "type")
            case .changes: ("Changes of the configuration, by what became of them.", "result")
            case .storeErrors: ("What the store did not do, by the reason.", "kind")
            case .refusedStreams: ("Streams of proxies that were refused, by the reason.", "reason")
            case .endpointChanges: ("Changes of the set of endpoints of a port of a service.", nil)
            case .lostInstances: ("Streams of instances that broke.", nil)
            }
        }
    }

    /// What goes up and down.
    public enum Gauge: String, Sendable, CaseIterable {
        case discoveryStreams = "martlet_control_discovery_streams"
        case instances = "martlet_control_connected_instances"
        case resources = "martlet_control_resources"
        case scopes = "martlet_control_scopes"
        case unsettled = "martlet_control_unsettled_proxies"
        case revision = "martlet_control_revision"
        case directoryValid = "martlet_control_directory_valid"

        var help: String {
            switch self {
            case .discoveryStreams: "Open discovery streams."
            case .instances: "Connected instances."
            case .resources: "Resources of the mesh."
            case .scopes: "Distinct sets of resources that proxies get."
            case .unsettled: "Proxies that have not answered everything they were sent, or will be."
            case .revision: "The revision that holds."
            case .directoryValid: "1 if the directory is valid as it is, 0 if an older state of it holds."
            }
        }
    }

    private struct Values {
        var counters: [Counter: [String: UInt64]] = [:]
        var gauges: [Gauge: Int] = [:]
        var convergence = [UInt64](repeating: 0, count: ControlMetrics.bounds.count + 1)
        var convergenceSum = 0.0
    }

    /// Upper bounds of the histogram of convergence, in seconds.
    static let bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

    private let values = Mutex(Values())

    /// Nothing counted yet.
    public init() {}

    /// Counts one event.
    public func count(_ counter: Counter, _ label: String = "") {
        values.withLock { $0.counters[counter, default: [:]][label, default: 0] &+= 1 }
    }

    /// Says what is.
    public func set(_ gauge: Gauge, _ value: Int) { values.withLock { $0.gauges[gauge] = value } }

    /// A proxy has accepted a change so long after it was made.
    func observeConvergence(_ duration: Duration) {
        let seconds = Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
        let bucket = Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count
        values.withLock {
            $0.convergence[bucket] &+= 1
            $0.convergenceSum += seconds
        }
    }

    /// What was counted of an event, with any label.
    func value(_ counter: Counter) -> UInt64 {
        values.withLock { $0.counters[counter]?.values.reduce(0, &+) ?? 0 }
    }

    /// Everything in the Prometheus text format.
    public func text() -> String {
        let values = self.values.withLock { $0 }
        var lines: [String] = []
        for counter in Counter.allCases {
            lines.append("# HELP \(counter.rawValue) \(counter.about.help)")
            lines.append("# TYPE \(counter.rawValue) counter")
            let counts = values.counters[counter] ?? [:]
            guard let label = counter.about.label else {
                lines.append("\(counter.rawValue) \(counts.values.reduce(0, &+))")
                continue
            }
            for (value, count) in counts.sorted(by: { $0.key < $1.key }) {
                lines.append("\(counter.rawValue){\(label)=\"\(Self.escaped(value))\"} \(count)")
            }
        }
        for gauge in Gauge.allCases {
            lines.append("# HELP \(gauge.rawValue) \(gauge.help)")
            lines.append("# TYPE \(gauge.rawValue) gauge")
            lines.append("\(gauge.rawValue) \(values.gauges[gauge] ?? 0)")
        }
        lines += Self.histogram(values)
        return lines.joined(separator: "\n") + "\n"
    }

    private static func histogram(_ values: Values) -> [String] {
        let name = "martlet_control_convergence_seconds"
        var lines = [
            "# HELP \(name) From a change to the moment when a proxy that needs it has accepted it.",
            "# TYPE \(name) histogram",
        ]
        var sum: UInt64 = 0
        for (bound, count) in zip(bounds.map { "\($0)" } + ["+Inf"], values.convergence) {
            sum &+= count
            lines.append("\(name)_bucket{le=\"\(bound)\"} \(sum)")
        }
        lines.append("\(name)_sum \(values.convergenceSum)")
        lines.append("\(name)_count \(sum)")
        return lines
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
