import MeshHTTP

/// The text exposition format of Prometheus, version 0.0.4.
struct PrometheusText {
    /// The content type of the answer that carries it.
    static let contentType: StaticString = "text/plain; version=0.0.4; charset=utf-8"

    enum Kind {
        case counter, gauge, histogram
    }

    private(set) var bytes: [UInt8] = []
    private var name: StaticString = ""

    /// The upper limits of the buckets: what they are called, and in nanoseconds.
    static let limits: [(text: StaticString, nanoseconds: UInt64)] = [
        ("0.0005", 500_000), ("0.001", 1_000_000), ("0.0025", 2_500_000), ("0.005", 5_000_000), ("0.01", 10_000_000),
        ("0.025", 25_000_000), ("0.05", 50_000_000), ("0.1", 100_000_000), ("0.25", 250_000_000),
        ("0.5", 500_000_000), ("1", 1_000_000_000), ("2.5", 2_500_000_000), ("5", 5_000_000_000),
        ("10", 10_000_000_000), ("30", 30_000_000_000), ("60", 60_000_000_000),
    ]

    private static let nanoseconds = limits.map(\.nanoseconds)

    /// Begins a family; samples follow until the next one. `help` has no backslash and no line feed.
    mutating func family(_ name: StaticString, _ kind: Kind, _ help: StaticString) {
        self.name = name
        bytes.put("# HELP ")
        bytes.put(name)
        bytes.append(UInt8(ascii: " "))
        bytes.put(help)
        bytes.put("\n# TYPE ")
        bytes.put(name)
        switch kind {
        case .counter: bytes.put(" counter\n")
        case .gauge: bytes.put(" gauge\n")
        case .histogram: bytes.put(" histogram\n")
        }
    }

    /// A sample of the family begun last.
    mutating func sample(_ labels: Labels, _ value: UInt64) {
        start(labels)
        bytes.put(decimal: value)
        bytes.append(UInt8(ascii: "\n"))
    }

    /// A sample that may be negative for a moment, as sums over loops can be.
    mutating func sample(_ labels: Labels = Labels(), gauge value: Int) {
        start(labels)
        bytes.put(decimal: value)
        bytes.append(UInt8(ascii: "\n"))
    }

    /// A sample in seconds.
    mutating func sample(_ labels: Labels = Labels(), seconds nanoseconds: UInt64) {
        start(labels)
        bytes.put(seconds: nanoseconds)
        bytes.append(UInt8(ascii: "\n"))
    }

    /// The buckets, sum and count of a histogram.
    mutating func samples(_ labels: Labels, _ histogram: Histogram) {
        let counts = histogram.counts(upTo: Self.nanoseconds)
        for (limit, count) in zip(Self.limits, counts) { bucket(labels, limit.text, count) }
        bucket(labels, "+Inf", histogram.count)
        start(labels, suffix: "_sum")
        bytes.put(seconds: histogram.sum)
        bytes.append(UInt8(ascii: "\n"))
        start(labels, suffix: "_count")
        bytes.put(decimal: histogram.count)
        bytes.append(UInt8(ascii: "\n"))
    }

    /// The buckets, sum and count of a histogram whose own buckets are those of `limits`, and one for the rest.
    mutating func samples(_ labels: Labels, limits: [StaticString], _ counts: [UInt64], _ nanoseconds: UInt64) {
        var total: UInt64 = 0
        for (limit, count) in zip(limits, counts) {
            total &+= count
            bucket(labels, limit, total)
        }
        total = counts.reduce(0, &+)
        bucket(labels, "+Inf", total)
        start(labels, suffix: "_sum")
        bytes.put(seconds: nanoseconds)
        bytes.append(UInt8(ascii: "\n"))
        start(labels, suffix: "_count")
        bytes.put(decimal: total)
        bytes.append(UInt8(ascii: "\n"))
    }

    private mutating func bucket(_ labels: Labels, _ limit: StaticString, _ count: UInt64) {
        bytes.put(name)
        bytes.put("_bucket{")
        bytes.append(contentsOf: labels.text)
        bytes.put(labels.text.isEmpty ? "le=\"" : ",le=\"")
        bytes.put(limit)
        bytes.put("\"} ")
        bytes.put(decimal: count)
        bytes.append(UInt8(ascii: "\n"))
    }

    private mutating func start(_ labels: Labels, suffix: StaticString = "") {
        bytes.put(name)
        bytes.put(suffix)
        if !labels.text.isEmpty {
            bytes.append(UInt8(ascii: "{"))
            bytes.append(contentsOf: labels.text)
            bytes.append(UInt8(ascii: "}"))
        }
        bytes.append(UInt8(ascii: " "))
    }
}

/// Labels as they stand between the braces of a sample.
struct Labels {
    private(set) var text: [UInt8] = []

    init() {}

    init(_ name: StaticString, _ value: [UInt8]) { add(name, value) }

    init(_ name: StaticString, _ value: StaticString) { add(name, value) }

    init(_ route: RouteLabels) {
        add("listener", route.listener)
        add("route", route.route)
        add("backend", route.backend)
    }

    func with(_ name: StaticString, _ value: [UInt8]) -> Labels {
        var labels = self
        labels.add(name, value)
        return labels
    }

    func with(_ name: StaticString, _ value: StaticString) -> Labels {
        var labels = self
        labels.add(name, value)
        return labels
    }

    mutating func add(_ name: StaticString, _ value: StaticString) { add(name, value.bytes) }

    mutating func add(_ name: StaticString, _ value: [UInt8]) { add(name, value.span) }

    private mutating func add(_ name: StaticString, _ value: Span<UInt8>) {
        if !text.isEmpty { text.append(UInt8(ascii: ",")) }
        text.put(name)
        text.put("=\"")
        for index in 0..<value.count {
            switch value[index] {
            case UInt8(ascii: "\\"): text.put("\\\\")
            case UInt8(ascii: "\""): text.put("\\\"")
            case UInt8(ascii: "\n"): text.put("\\n")
            default: text.append(value[index])
            }
        }
        text.append(UInt8(ascii: "\""))
    }
}
