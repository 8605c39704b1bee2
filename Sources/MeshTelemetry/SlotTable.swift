/// Counters that a table can forget.
protocol ForgettableCounters {
    /// Nothing counted.
    init()
    /// No gauge is raised: nobody will come to lower it.
    var isIdle: Bool { get }
}

/// Counters by slot, and the labels that each slot stands for.
///
/// A slot's number stays its own for good, since exchanges in flight hold it. What a slot of old configurations counted
/// stays exposed while there are few of them; when there are many, all of them are forgotten, which leaves their labels.
///
/// Counters are in pages because a snapshot shares them: the first exchange after it copies one page, not all.
struct SlotTable<Labels: Hashable & Sendable, Counters: ForgettableCounters & Sendable>: Sendable {
    private var slots: [Labels: Int] = [:]
    private var isAskedFor: [Bool] = []
    private(set) var labels: [Labels] = []
    private(set) var pages: [[Counters]] = []

    private static var pageShift: Int { 5 }
    private static var pageMask: Int { 31 }

    /// The counters of `slot`, which must be one of this table.
    subscript(slot: Int) -> Counters {
        get { pages[slot >> Self.pageShift][slot & Self.pageMask] }
        _modify { yield &pages[slot >> Self.pageShift][slot & Self.pageMask] }
    }

    /// Slots of old configurations that are kept.
    static var keptUnused: Int { 1024 }

    /// The slot of `wanted`, made if it is new.
    mutating func slot(_ wanted: Labels) -> Int {
        if let known = slots[wanted] {
            isAskedFor[known] = true
            return known
        }
        let slot = labels.count
        slots[wanted] = slot
        labels.append(wanted)
        if slot & Self.pageMask == 0 { pages.append([]) }
        pages[pages.count - 1].append(Counters())
        isAskedFor.append(true)
        return slot
    }

    /// Asks for these slots again, without their labels.
    mutating func keep(_ slots: [Int]) { for slot in slots where slot >= 0 { isAskedFor[slot] = true } }

    /// Ends the round in which the slots of a configuration were asked for, and forgets the others if they are many.
    mutating func endRound() {
        let unused = slots.values.filter { !isAskedFor[$0] && self[$0].isIdle }
        if unused.count > Self.keptUnused {
            for slot in unused {
                slots[labels[slot]] = nil
                self[slot] = Counters()
            }
        }
        for slot in isAskedFor.indices { isAskedFor[slot] = false }
    }
}
