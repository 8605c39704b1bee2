import Testing

@testable import MeshControl

@Suite struct DebounceTests {
    private let start = ContinuousClock.now

    private func at(_ milliseconds: Int) -> ContinuousClock.Instant {
        start.advanced(by: .milliseconds(milliseconds))
    }

    @Test func theFirstChangeGoesOutAtOnce() {
        var debounce = Debounce()
        let due = debounce.change(at: start)
        #expect(due == start)
        let isDue = debounce.flush(at: start)
        #expect(isDue)
        #expect(debounce.deadline == nil)
        let early1 = debounce.flush(at: at(1))
        #expect(!early1)
    }

    @Test func furtherOnesAreMergedForAGrowingTime() {
        var debounce = Debounce()
        _ = debounce.change(at: start)
        _ = debounce.flush(at: start)
        let next5 = debounce.change(at: at(5))
        #expect(next5 == at(20))
        let next10 = debounce.change(at: at(10))
        #expect(next10 == at(20))
        let early19 = debounce.flush(at: at(19))
        #expect(!early19)
        let due20 = debounce.flush(at: at(20))
        #expect(due20)
        let next25 = debounce.change(at: at(25))
        #expect(next25 == at(60))
    }

    @Test func whatIsAbsorbedIsNotDueAgain() {
        var debounce = Debounce()
        _ = debounce.change(at: start)
        _ = debounce.flush(at: start)
        _ = debounce.change(at: start)
        debounce.absorb()
        #expect(debounce.deadline == nil)
        let next100 = debounce.change(at: at(100))
        #expect(next100 == at(100))
    }

    @Test func startsAnewAfterQuiet() {
        var debounce = Debounce()
        for time in [0, 20, 60] {
            _ = debounce.change(at: at(time))
            _ = debounce.flush(at: at(time))
        }
        let next2000 = debounce.change(at: at(2000))
        #expect(next2000 == at(2000))
    }
}
