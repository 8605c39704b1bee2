import MeshCore
import Testing

@testable import MeshNet

private final class Node: TimerNode {
    let name: Int
    init(_ name: Int = 0) { self.name = name }
}

private func milliseconds(_ count: UInt64) -> Instant { Instant(nanoseconds: 1_000_000_000 + count * 1_000_000) }

extension TimerWheel {
    fileprivate mutating func due(at now: Instant) -> [Int] {
        var names: [Int] = []
        while let node = takeDue(at: now) { names.append((node as? Node)?.name ?? -1) }
        return names
    }
}

@Suite struct TimerWheelTests {
    @Test func firesNeverEarlyAndAtMostATickLate() {
        var random = Random(seed: 7)
        var wheel = TimerWheel(now: milliseconds(0))
        var nodes: [(node: Node, at: Instant)] = []
        for index in 0..<2000 {
            // From under a tick to about twelve days, evenly over the orders of magnitude.
            let at = milliseconds(0).advanced(
                byNanoseconds: random.next() >> UInt64.random(in: 14..<50, using: &random))
            let node = Node(index)
            nodes.append((node, at))
            wheel.schedule(node, at: at)
        }
        var fired = 0
        var now = milliseconds(0)
        var turns = 0
        while wheel.count > 0 {
            let delay = wheel.delay(from: now) ?? 0
            now = now.advanced(byNanoseconds: max(delay, 1))
            turns += 1
            for name in wheel.due(at: now) {
                #expect(nodes[name].at <= now)
                #expect(now.nanoseconds(since: nodes[name].at) <= TimerWheel.tick)
                fired += 1
            }
        }
        #expect(fired == 2000)
        // Each node wakes the wheel at most once per level.
        #expect(turns < 2000 * 7)
        #expect(wheel.delay(from: now) == nil)
    }

    @Test func aMovedDeadlineFiresOnceAndAtItsLastValue() {
        var wheel = TimerWheel(now: milliseconds(0))
        let node = Node(1)
        for step in 0..<100 { wheel.schedule(node, at: milliseconds(100 + UInt64(step) * 10)) }
        #expect(wheel.due(at: milliseconds(1089)) == [])
        #expect(wheel.due(at: milliseconds(1100)) == [1])
        #expect(wheel.due(at: milliseconds(9999)) == [])
        #expect(node.deadline == .never)
        wheel.schedule(node, at: milliseconds(60_000))
        wheel.schedule(node, at: milliseconds(10_100))
        #expect(wheel.due(at: milliseconds(10_110)) == [1])
    }

    @Test func neverDisarmsWithoutCancelling() {
        var wheel = TimerWheel(now: milliseconds(0))
        let node = Node(1)
        wheel.schedule(node, at: milliseconds(50))
        wheel.schedule(node, at: .never)
        #expect(wheel.due(at: milliseconds(500)) == [])
        #expect(wheel.count == 0)
        wheel.schedule(node, at: .never)
        #expect(wheel.count == 0)
    }

    @Test func nodesMayChangeEachOtherWhileTheyFire() {
        var wheel = TimerWheel(now: milliseconds(0))
        let nodes = (0..<10).map { Node($0) }
        for node in nodes { wheel.schedule(node, at: milliseconds(300)) }
        guard let first = wheel.takeDue(at: milliseconds(310)) else {
            Issue.record("nothing was due")
            return
        }
        for node in nodes where node !== first { wheel.cancel(node) }
        wheel.schedule(first, at: milliseconds(100))  // already past: a tick later, not in a circle
        let again = wheel.due(at: milliseconds(310))
        #expect(again.count <= 1)
        #expect(wheel.due(at: milliseconds(320)).count + again.count == 1)
        #expect(wheel.count == 0)
    }

    @Test func aSlotLeftHalfWayIsFinishedLater() {
        var wheel = TimerWheel(now: milliseconds(0))
        let nodes = (0..<6).map { Node($0) }
        for node in nodes { wheel.schedule(node, at: milliseconds(20_000)) }
        _ = wheel.takeDue(at: milliseconds(20_010))
        let late = Node(99)
        wheel.schedule(late, at: milliseconds(20_050))
        #expect(wheel.due(at: milliseconds(20_060)).count == 6)
        #expect(wheel.count == 0)
    }

    @Test func survivesALongPause() {
        var wheel = TimerWheel(now: milliseconds(0))
        let near = Node(1)
        let far = Node(2)
        wheel.schedule(near, at: milliseconds(5))
        wheel.schedule(far, at: milliseconds(86_400_000))
        #expect(wheel.due(at: milliseconds(86_300_000)) == [1])
        #expect(wheel.due(at: milliseconds(86_400_010)) == [2])
    }

    @Test func aWheelThatGoesLetsItsNodesGo() {
        let node = Node(1)
        do {
            var wheel = TimerWheel(now: milliseconds(0))
            wheel.schedule(node, at: milliseconds(5))
        }
        #expect(node.deadline == .never)
    }
}
