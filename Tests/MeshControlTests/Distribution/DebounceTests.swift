import Testing

@testable import MeshControl

@Suite struct DebounceTests {
    private let start = ContinuousClock.now

    private func at(_ milliseconds: Int) -> ContinuousClock.Instant {
        start.advanced(by: .milliseconds(milliseconds))
    }

    @Test func theFirstChangeGoesOutAtOnce() {
        var debounce = Debounce()
        #expect(debounce.change(at: start) == start)
        #expect(debounce.flush(at: start))
        #expect(debounce.deadline == nil)
        #expect(!debounce.flush(at: at(1)))
    }

    @Test func furtherOnesAreMergedForAGrowingTime() {
        var debounce = Debounce()
        _ = debounce.change(at: start)
        _ = debounce.flush(at: start)
        #expect(debounce.change(at: at(5)) == at(20))
        #expect(debounce.change(at: at(10)) == at(20))
        #expect(!debounce.flush(at: at(19)))
        #expect(debounce.flush(at: at(20)))
        #expect(debounce.change(at: at(25)) == at(60))
    }

    @Test func startsAnewAfterQuiet() {
        var debounce = Debounce()
        for time in [0, 20, 60] {
            _ = debounce.change(at: at(time))
            _ = debounce.flush(at: at(time))
        }
        #expect(debounce.change(at: at(2000)) == at(2000))
    }
}
