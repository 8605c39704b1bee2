import MeshHTTP

/// An HTTP/1 head as a careless reader takes it: lines end at a line feed, white space does not count, case neither.
/// Where such a reader and the strict parser differ on what the parser accepted, a request can be smuggled.
struct LenientMessage {
    enum Framing: Equatable {
        case none
        case length(Int)
        case chunked
    }

    private(set) var firstLine: [UInt8]
    private(set) var fields: [(name: String, value: [UInt8])] = []
    private var lines: ArraySlice<[UInt8]>

    /// Takes the head in `bytes`, which ends with an empty line.
    init(_ bytes: [UInt8]) throws(Finding) {
        let all = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map(Array.init)
        try require(all.last == [], "the head does not end with a line feed")
        for line in all.dropLast() {
            try require(line.last == 0x0D && !line.dropLast().contains(0x0D), "a line with a bare CR or LF")
            try require(!line.contains(0), "NUL")
        }
        lines = all.dropLast().map { Array($0.dropLast()) }[...]
        firstLine = lines.removeFirst()
        try readFields()
    }

    /// Skips an empty line in front.
    mutating func takeFirstLineAgain() throws(Finding) {
        firstLine = lines.removeFirst()
        try readFields()
    }

    private mutating func readFields() throws(Finding) {
        fields = []
        if firstLine.isEmpty { return }
        try require(lines.last == [], "no empty line at the end")
        for line in lines.dropLast() {
            try require(!line.isEmpty, "an empty line inside")
            try require(line[0] > 0x20, "a folded line")
            guard let colon = line.firstIndex(of: 0x3A) else { throw Finding(description: "a line without a colon") }
            let name = String(decoding: Self.trimmed(line[..<colon]), as: UTF8.self).lowercased()
            fields.append((name, Self.trimmed(line[(colon + 1)...])))
        }
    }

    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var bytes = bytes
        while let first = bytes.first, first <= 0x20 || first == 0x7F { bytes.removeFirst() }
        while let last = bytes.last, last <= 0x20 || last == 0x7F { bytes.removeLast() }
        return Array(bytes)
    }

    /// The values of all fields called `name`, where `-` and `_` are the same, as in CGI.
    func values(_ name: String) -> [[UInt8]] { fields.filter { $0.name == name }.map(\.value) }

    /// Checks that `head` has the same fields.
    func requireSameFields(_ head: MessageHead) throws(Finding) {
        try require(fields.count == head.fieldCount, "\(fields.count) fields and \(head.fieldCount)")
        for (index, field) in fields.enumerated() {
            let name = String(decoding: array(head.span(head[index].nameRange)), as: UTF8.self).lowercased()
            try require(name == field.name, "another field name")
            try require(array(head.span(head[index].valueRange)) == field.value, "another field value")
        }
    }

    /// What follows the head.
    func framing() throws(Finding) -> Framing {
        let lengths = values("content-length")
        let codings = values("transfer-encoding")
        try require(lengths.count + codings.count <= 1, "several fields say what the body is")
        if let coding = codings.first {
            let name = String(decoding: coding, as: UTF8.self).lowercased()
            try require(name == "chunked", "a transfer coding that is not chunked")
            return .chunked
        }
        guard let length = lengths.first else { return .none }
        guard let number = Int(String(decoding: length, as: UTF8.self)), length.first != 0x2B, length.first != 0x2D
        else { throw Finding(description: "Content-Length is no number") }
        return .length(number)
    }
}
