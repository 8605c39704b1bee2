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

    /// A rest that is small enough to be copied, and a large slice behind it.
    @Test func compactionKeepsTheOrder() {
        let pools = BufferPools()
        let pipe = BodyPipe(pools: pools)
        var next = 0
        func append(_ count: Int, of pool: ChunkPool) {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: (next + $0) / 251) }
            next += count
            pipe.append(Slice.copy(of: bytes.span, in: pool))
        }
        append(100_000, of: pools.large)
        var taken = pipe.takeFirst(upTo: 70_000).count
        for count in [200_000, 1000, 2000, 200_000, 30_000, 200_000, 10] { append(count, of: pools.large) }
        var isInOrder = true
        while !pipe.isEmpty {
            let slice = pipe.takeFirst(upTo: 10_000)
            for index in 0..<slice.count where slice.span[index] != UInt8(truncatingIfNeeded: (taken + index) / 251) {
                isInOrder = false
            }
            taken += slice.count
        }
        #expect(isInOrder)
        #expect(taken == next)
    }
}
