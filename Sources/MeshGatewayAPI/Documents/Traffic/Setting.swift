import MeshModel

/// Something that a document sets, which more than one document may: what it changes, and where it was written.
struct Setting<Target> {
    /// Its field, as in `retry` or `connectionLimits.maxRequests`. Of two with one name the stronger replaces the other
    /// as a whole.
    var name: String
    /// Where it was written.
    var place: Place
    /// Where its parts were written, by their fields below it, as in `backoff.base`.
    var parts: [String: Place] = [:]
    /// Writes it into what it is for.
    var apply: (inout Target) -> Void
}

extension [Setting<RequestPolicy>] {
    /// Of those with one name only the last, which is the strongest.
    var strongest: [Setting<RequestPolicy>] {
        var last: [String: Int] = [:]
        for (index, setting) in enumerated() { last[setting.name] = index }
        return enumerated().filter { last[$0.element.name] == $0.offset }.map(\.element)
    }
}

extension [String: Place] {
    /// Remembers under `key` where `setting` was written, in place of what another document said.
    mutating func note<Target>(_ setting: Setting<Target>, under key: String) {
        let own = key + setting.name
        if self[own] != nil {
            for known in keys where known.hasPrefix(own + ".") { self[known] = nil }
        }
        self[own] = setting.place
        for (part, place) in setting.parts { self["\(own).\(part)"] = place }
    }
}

/// Reads the parts of a setting into a value that has defaults, and remembers which were written.
struct PartReader {
    let fields: Fields
    let prefix: String
    private(set) var places: [String: Place] = [:]

    init(_ fields: Fields, prefix: String = "") {
        self.fields = fields
        self.prefix = prefix
    }

    /// Remembers that the part `name` was written at `place`.
    mutating func note(_ name: String, _ place: Place) { places[prefix + name] = place }

    mutating func number(_ name: String, in range: ClosedRange<Int>, _ value: inout Int) {
        guard let given = fields.integer(name, in: range) else { return }
        value = given.value
        note(name, given.place)
    }

    mutating func optional(_ name: String, in range: ClosedRange<Int>, _ value: inout Int?) {
        guard let given = fields.integer(name, in: range) else { return }
        value = given.value
        note(name, given.place)
    }

    /// A number that 0 turns off.
    mutating func switchable(_ name: String, upTo most: Int, _ value: inout Int?) {
        guard let given = fields.integer(name, in: 0...most) else { return }
        value = given.value == 0 ? nil : given.value
        note(name, given.place)
    }

    /// Bytes, as a number or as a quantity.
    mutating func bytes(_ name: String, in range: ClosedRange<Int>, _ value: inout Int) {
        guard let given = fields.bytes(name, in: range) else { return }
        value = given.value
        note(name, given.place)
    }

    mutating func boolean(_ name: String, _ value: inout Bool) {
        guard let given = fields.boolean(name) else { return }
        value = given.value
        note(name, given.place)
    }

    mutating func duration(_ name: String, orZero: Bool = false, _ value: inout Duration) {
        var given: Duration?
        duration(name, orZero: orZero, &given)
        if let given { value = given }
    }

    mutating func duration(_ name: String, orZero: Bool = false, _ value: inout Duration?) {
        guard let given = fields.duration(name) else { return }
        guard given.value > 0 || orZero else {
            fields.report.error("\(name) must not be 0", at: given.place, remedy: "for example 10s")
            return
        }
        value = .nanoseconds(given.value)
        note(name, given.place)
    }

    mutating func rate(_ name: String, _ value: inout RateLimit) {
        guard let inner = fields.fields(name) else { return }
        if let burst = inner.integer("burst", in: 1...1_000_000) { value.burst = burst.value }
        if let rate = inner.integer("perSecond", in: 1...1_000_000) { value.perSecond = rate.value }
        inner.done()
        note(name, fields.place(of: name))
    }

    /// The parts of the mapping `name`, if it is there.
    mutating func inside(_ name: String, _ body: (inout PartReader) -> Void) {
        guard let inner = fields.fields(name) else { return }
        note(name, fields.place(of: name))
        var reader = PartReader(inner, prefix: "\(prefix)\(name).")
        body(&reader)
        inner.done()
        places.merge(reader.places) { first, _ in first }
    }
}
