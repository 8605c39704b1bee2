import MeshModel
import MeshTraffic
import Testing

@Suite struct OverloadStateTests {
    private let memory = OverloadProtection(maxMemoryBytes: 1000, maxDescriptorPercent: nil)

    private func levels(_ values: [Int]) -> [Int] {
        var state = OverloadState()
        return values.map {
            _ = state.take(.init(memoryBytes: $0), memory)
            return state.level
        }
    }

    @Test func theLowestPriorityIsRefusedFirst() {
        #expect(levels([999, 1000, 1099, 1100, 1199, 1200, 9999]) == [0, 1, 1, 2, 2, 3, 3])
        var state = OverloadState()
        #expect(!RequestPriority.allCases.contains { state.refuses($0) })
        let refused = [1000, 1100, 1200].map { bytes in
            _ = state.take(.init(memoryBytes: bytes), memory)
            return RequestPriority.allCases.filter { state.refuses($0) }
        }
        #expect(refused == [[.low], [.low, .normal], [.low, .normal, .high]])
    }

    @Test func fallsAStepAtATimeAndOnlyWhenCalm() {
        let calm = Array(repeating: 100, count: OverloadState.calmSamples)
        #expect(levels([1200] + calm).suffix(2) == [3, 2])
        #expect(levels([1200] + calm + calm + calm).last == 0)
        #expect(levels([1000] + calm.dropLast() + [950] + calm.dropLast()).last == 1, "950 is not below 90 %")
        #expect(levels([1000] + calm.dropLast() + [950] + calm).last == 0)
        // Around the limit it does not flap.
        #expect(Set(levels([1000] + Array(repeating: [905, 1001], count: 50).joined())) == [1])
    }

    @Test func lagCountsTwiceAndFourTimes() {
        let limits = OverloadProtection(maxDescriptorPercent: nil, maxLoopLag: .milliseconds(100))
        let levels = [99, 100, 199, 200, 399, 400].map { (milliseconds: UInt64) in
            var state = OverloadState()
            _ = state.take(.init(lag: milliseconds * 1_000_000), limits)
            return state.level
        }
        #expect(levels == [0, 1, 1, 2, 2, 3])
    }

    @Test func descriptorsPauseAcceptingAndNeverRefuseAll() {
        let limits = OverloadProtection(maxDescriptorPercent: 80)
        var state = OverloadState()
        let found = [79, 80, 89, 90, 95, 100, 89, 88].map { percent in
            _ = state.take(.init(descriptorPercent: percent), limits)
            return "\(state.level)\(state.pausesAccepting ? "p" : "")"
        }
        #expect(found == ["0", "1", "1", "1p", "2p", "2p", "2p", "2"])
    }

    @Test func theWorstCounts() {
        var state = OverloadState()
        let limits = OverloadProtection(maxMemoryBytes: 1000, maxDescriptorPercent: 90, maxLoopLag: .seconds(1))
        expect(state.take(.init(memoryBytes: 1, descriptorPercent: 98, lag: 2_000_000_000), limits))
        #expect(state.level == 2)
        expect(!state.take(.init(memoryBytes: 1100, descriptorPercent: 98, lag: 0), limits))
        #expect(state.level == 2)
    }

    @Test func nothingIsLookedAtUnlessAsked() {
        var state = OverloadState()
        let off = OverloadProtection(maxDescriptorPercent: nil)
        expect(!state.take(.init(memoryBytes: .max, descriptorPercent: 100, lag: .max), off))
        #expect(state == OverloadState())
    }
}
