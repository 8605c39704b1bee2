import MeshCore
import Testing

@Suite struct OutputQueueTests {
    @Test func smallRunsAreCopiedSideBySide() {
        let pools = BufferPools()
        var queue = OutputQueue(pools: pools)
        for _ in 0..<10 { queue.append(copying: [1, 2, 3].span) }
        #expect(queue.byteCount == 30)
        #expect(queue.runCount == 1)
        queue.drop(29)
        #expect(queue.byteCount == 1)
        queue.drop(1)
        #expect(pools.small.liveCount == 0)
    }

    @Test func largeSlicesAreReferenced() {
        let pools = BufferPools()
        var queue = OutputQueue(pools: pools)
        queue.append(WritableChunk(from: pools.medium).freeze(count: 60_000))
        queue.append(copying: [7].span)
        #expect(queue.runCount == 2)
        queue.removeAll()
        #expect(pools.medium.liveCount == 0)
        #expect(pools.small.liveCount == 0)
    }
}

@Suite struct BodyPipeTests {
    @Test func manySmallSlicesOfLargeChunksPinABoundedAmount() {
        let pools = BufferPools()
        let pipe = BodyPipe(pools: pools)
        for _ in 0..<1000 { pipe.append(WritableChunk(from: pools.medium).freeze(count: 10)) }
        #expect(pipe.byteCount == 10_000)
        #expect(pools.medium.liveCount * pools.medium.capacity <= BodyPipe.pinLimit + 65_536)
        var total = 0
        while !pipe.isEmpty { total += pipe.takeFirst(upTo: 4096).count }
        #expect(total == 10_000)
        #expect(pools.medium.liveCount == 0)
    }
}
