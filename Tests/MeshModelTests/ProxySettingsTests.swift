import MeshModel
import Testing

@Suite struct ProxySettingsTests {
    @Test(arguments: [(1_000, 1), (3_000, 3), (1_500, 2), (1, 1), (30_001, 31)])
    func drainSecondsAreNoneMoreThanWasAskedFor(milliseconds: Int, seconds: Int) {
        #expect(ProxySettings(drainTimeout: .milliseconds(milliseconds)).drainSeconds == seconds)
    }

    @Test func theLongestDrainTimeoutDoesNotTrap() {
        #expect(ProxySettings(drainTimeout: .seconds(Int64.max)).drainSeconds == Int.max)
    }
}
