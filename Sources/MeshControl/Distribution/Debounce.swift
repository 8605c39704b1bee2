/// When changes go out: the first at once, those that follow merged, and the longer they keep coming the longer they
/// are collected. No clock: times are given.
struct Debounce {
    typealias Instant = ContinuousClock.Instant

    /// What is waited for between the first change and those that follow.
    static let shortest = Duration.milliseconds(20)
    /// What is waited at most.
    static let longest = Duration.milliseconds(200)

    private var window = Self.shortest
    private var last: Instant?
    private var due: Instant?

    /// Something changed: when is it to go out? At `now` if nothing went out lately.
    mutating func change(at now: Instant) -> Instant {
        if let due { return due }
        guard let last else {
            due = now
            return now
        }
        // After a quiet time it starts anew.
        if now - last > window * 2 { window = Self.shortest }
        let earliest = last.advanced(by: window)
        due = max(now, earliest)
        return max(now, earliest)
    }

    /// What waits goes out at `now`, if it is time and there is anything; true if so.
    mutating func flush(at now: Instant) -> Bool {
        guard let due, due <= now else { return false }
        if let last, now - last <= window * 2 { window = min(window * 2, Self.longest) }
        last = now
        self.due = nil
        return true
    }

    /// What changed since the last flush went out with it.
    mutating func absorb() { due = nil }

    /// When something is to go out; nil: nothing is.
    var deadline: Instant? { due }
}
