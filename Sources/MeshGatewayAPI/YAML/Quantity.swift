/// Numbers that are more than a whole number.
extension Fields {
    /// Bytes: a whole number, or a quantity of Kubernetes such as `512Mi` or `1G`.
    func bytes(_ name: String, in range: ClosedRange<Int>) -> Located<Int>? {
        guard let node = node(name) else { return nil }
        if case .scalar(let text, true) = node.content, case .integer = PlainScalar(text) {
            return integer(name, in: range)
        }
        guard case .scalar(let text, _) = node.content, let bytes = Self.quantity(text) else {
            report.error(
                "\(name) must be a number of bytes, not \(node.kindName)", at: place(of: name),
                remedy: "for example 536870912 or 512Mi")
            return nil
        }
        guard range.contains(bytes) else {
            report.error(
                "\(name) is \(bytes) bytes", at: place(of: name),
                remedy: "from \(range.lowerBound) to \(range.upperBound) bytes")
            return nil
        }
        return Located(bytes, at: place(of: name))
    }

    /// A decimal number with at most three places, in thousandths; `range` too.
    func thousandths(_ name: String, in range: ClosedRange<Int>) -> Located<Int>? {
        guard let node = node(name) else { return nil }
        let bounds = "a number from \(Self.decimal(range.lowerBound)) to \(Self.decimal(range.upperBound))"
        guard case .scalar(let text, true) = node.content, let value = Self.thousandths(text) else {
            report.error(
                "\(name) must be a number with at most three decimal places, not "
                    + (node.kindName == "a number" ? "this one" : node.kindName), at: place(of: name), remedy: bounds)
            return nil
        }
        guard range.contains(value) else {
            report.error("\(name) is \(Self.decimal(value))", at: place(of: name), remedy: bounds)
            return nil
        }
        return Located(value, at: place(of: name))
    }

    private static func quantity(_ text: String) -> Int? {
        let units = [
            "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "k": 1000, "M": 1_000_000, "G": 1_000_000_000,
            "T": 1_000_000_000_000, "": 1,
        ]
        let digits = text.prefix { ("0"..."9").contains($0) }
        guard let number = Int(digits), let unit = units[String(text.dropFirst(digits.count))] else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: unit)
        return overflow ? nil : bytes
    }

    private static func thousandths(_ text: String) -> Int? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), let whole = Int(parts[0]), (0...1_000_000).contains(whole) else {
            return nil
        }
        guard parts.count == 2 else { return whole * 1000 }
        guard (1...3).contains(parts[1].count), parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let rest = Int(parts[1] + String(repeating: "0", count: 3 - parts[1].count))
        else { return nil }
        return whole * 1000 + rest
    }

    /// Thousandths as they are written, as in `1.9`.
    static func decimal(_ thousandths: Int) -> String {
        var text = "\(thousandths / 1000).\(String(thousandths % 1000 + 1000).dropFirst())"
        while text.hasSuffix("0") { text.removeLast() }
        return text.hasSuffix(".") ? String(text.dropLast()) : text
    }
}
