/// A strict reader of the text exposition format 0.0.4, with what `promtool check metrics` asks for on top.
struct Exposition {
    struct Fault: Error, CustomStringConvertible {
        let description: String
    }

    struct Family {
        var name: String
        var kind: String
        var help: String
        /// Samples in order: their suffix, labels and value.
        var samples: [(suffix: String, labels: [String: String], value: Double)] = []
    }

    private(set) var families: [Family] = []

    init(_ text: String) throws {
        guard text.hasSuffix("\n") else { throw Fault(description: "the last line does not end") }
        var seen: Set<String> = []
        var help: (name: String, text: String)?
        for line in text.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("# HELP ") {
                let parts = line.dropFirst(7).split(separator: " ", maxSplits: 1)
                guard parts.count == 2, help == nil else { throw Fault(description: "HELP: \(line)") }
                help = (String(parts[0]), String(parts[1]))
            } else if line.hasPrefix("# TYPE ") {
                let parts = line.dropFirst(7).split(separator: " ").map(String.init)
                guard parts.count == 2, let found = help, found.name == parts[0],
                    ["counter", "gauge", "histogram"].contains(parts[1])
                else { throw Fault(description: "TYPE without HELP before it: \(line)") }
                help = nil
                families.append(Family(name: parts[0], kind: parts[1], help: found.text))
            } else {
                guard help == nil, !families.isEmpty else { throw Fault(description: "sample without TYPE: \(line)") }
                try addSample(String(line), &seen)
            }
        }
        guard Set(families.map(\.name)).count == families.count else {
            throw Fault(description: "a family is not in one piece")
        }
    }

    /// The samples of `name` whose labels include `labels`.
    func values(_ name: String, _ suffix: String = "", _ labels: [String: String] = [:]) -> [Double] {
        families.filter { $0.name == name }.flatMap(\.samples).filter { sample in
            sample.suffix == suffix && labels.allSatisfy { sample.labels[$0.key] == $0.value }
        }.map(\.value)
    }

    private mutating func addSample(_ line: String, _ seen: inout Set<String>) throws {
        var rest = Substring(line)
        let name = String(rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == ":" })
        rest = rest.dropFirst(name.count)
        let family = families[families.count - 1]
        guard name.hasPrefix(family.name) else { throw Fault(description: "sample of another family: \(line)") }
        let suffix = String(name.dropFirst(family.name.count))
        let allowed = family.kind == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
        guard allowed.contains(suffix) else { throw Fault(description: "suffix: \(line)") }
        let labels = try Self.labels(&rest, line)
        guard rest.first == " ", let value = Double(rest.dropFirst()), !rest.dropFirst().contains(" ") else {
            throw Fault(description: "value: \(line)")
        }
        let key = name + labels.sorted { $0.key < $1.key }.map { "\u{1}\($0.key)\u{2}\($0.value)" }.joined()
        guard seen.insert(key).inserted else { throw Fault(description: "twice: \(line)") }
        families[families.count - 1].samples.append((suffix, labels, value))
    }

    private static func labels(_ rest: inout Substring, _ line: String) throws -> [String: String] {
        var labels: [String: String] = [:]
        guard rest.first == "{" else { return labels }
        rest.removeFirst()
        while true {
            let name = String(rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" })
            rest = rest.dropFirst(name.count)
            guard !name.isEmpty, name.first!.isNumber == false, rest.hasPrefix("=\""), labels[name] == nil else {
                throw Fault(description: "label: \(line)")
            }
            rest = rest.dropFirst(2)
            var value = ""
            while let next = rest.popFirst(), next != "\"" {
                guard next == "\\" else {
                    value.append(next)
                    continue
                }
                switch rest.popFirst() {
                case "n": value.append("\n")
                case "\\": value.append("\\")
                case "\"": value.append("\"")
                default: throw Fault(description: "escape: \(line)")
                }
            }
            labels[name] = value
            switch rest.popFirst() {
            case ",": continue
            case "}": return labels
            default: throw Fault(description: "end of labels: \(line)")
            }
        }
    }

    /// The rules of `promtool check metrics`, and those of histograms.
    func check() throws {
        for family in families {
            let (name, kind) = (family.name, family.kind)
            func expect(_ condition: Bool, _ what: String) throws {
                if !condition { throw Fault(description: "\(name): \(what)") }
            }
            try expect(!family.help.isEmpty, "no help")
            try expect((kind == "counter") == name.hasSuffix("_total"), "counters, and only they, end in _total")
            try expect(name == name.lowercased(), "camel case")
            let words = name.split(separator: "_").map(String.init)
            try expect(
                Set(words).isDisjoint(with: [
                    "milliseconds", "ms", "minutes", "kilobytes", "percent", "counter", "gauge", "histogram",
                ]), "unit is not a base unit, or the type is in the name")
            for suffix in ["_count", "_sum", "_bucket"] { try expect(!name.hasSuffix(suffix), "reserved suffix") }
            let sets = Set(family.samples.map { Set($0.labels.keys).subtracting(["le"]) })
            try expect(sets.count <= 1, "series with different labels")
            for sample in family.samples where kind != "histogram" {
                try expect(sample.labels["le"] == nil && sample.labels["quantile"] == nil, "reserved label")
                try expect(kind == "gauge" || sample.value >= 0, "negative counter")
            }
            if kind == "histogram" { try check(histogram: family) }
        }
    }

    private func check(histogram family: Family) throws {
        var series: [[String: String]: [(limit: Double, count: Double)]] = [:]
        for sample in family.samples where sample.suffix == "_bucket" {
            var labels = sample.labels
            guard let text = labels.removeValue(forKey: "le") else { throw Fault(description: "bucket without le") }
            series[labels, default: []].append((text == "+Inf" ? .infinity : Double(text)!, sample.value))
        }
        for (labels, buckets) in series {
            guard zip(buckets, buckets.dropFirst()).allSatisfy({ $0.limit < $1.limit && $0.count <= $1.count }),
                buckets.last!.limit == .infinity, values(family.name, "_count", labels) == [buckets.last!.count],
                values(family.name, "_sum", labels).count == 1
            else { throw Fault(description: "\(family.name): buckets of \(labels)") }
        }
    }
}
