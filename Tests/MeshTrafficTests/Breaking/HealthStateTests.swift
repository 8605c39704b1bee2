import MeshCore
import MeshModel
import MeshTraffic
import Testing

@Suite struct HealthStateTests {
    private let check = HealthCheck(.tcp, healthyThreshold: 2, unhealthyThreshold: 3)

    private func states(_ results: [Bool]) -> [Bool] {
        var state = HealthState()
        return results.map { result in
            let before = state.isHealthy
            let changed = state.note(success: result, check)
            #expect(changed == (before != state.isHealthy))
            return state.isHealthy
        }
    }

    @Test func countsAsWellUntilTheFirstResult() {
        var state = HealthState()
        #expect(state.isHealthy && !state.wasProbed)
        expect(state.note(success: false, check))
        #expect(!state.isHealthy && state.wasProbed)
        #expect(states([true]) == [true])
    }

    @Test func thresholds() {
        #expect(states([true, false, false, false]) == [true, true, true, false])
        #expect(states([false, true, true]) == [false, false, true])
        // Only results in a row count.
        #expect(states([true, false, false, true, false, false]) == [true, true, true, true, true, true])
        #expect(states([false, true, false, true, false]) == [false, false, false, false, false])
        // After it has come back the full threshold holds again.
        #expect(states([false, true, true, false, false, false]) == [false, false, true, true, true, false])
    }

    @Test func thresholdsBelowOneCountAsOne() {
        var state = HealthState()
        let strict = HealthCheck(.tcp, healthyThreshold: 0, unhealthyThreshold: -1)
        expect(!state.note(success: true, strict))
        expect(state.note(success: false, strict))
        expect(state.note(success: true, strict))
    }

    @Test func jitterIsATenthEitherWay() {
        var random = Random(seed: 3)
        let delays = (0..<10_000).map { _ in HealthState.delay(check, random: random.next()) }
        #expect(delays.allSatisfy { (2_700_000_000...3_300_000_000).contains($0) })
        #expect(delays.min()! < 2_710_000_000 && delays.max()! > 3_290_000_000)
        let mean = delays.reduce(0, +) / UInt64(delays.count)
        #expect((2_990_000_000...3_010_000_000).contains(mean))
        #expect(HealthState.delay(HealthCheck(.tcp, interval: .zero), random: .max) > 0)
    }
}
