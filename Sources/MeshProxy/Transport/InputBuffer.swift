import MeshCore

/// Received bytes that cannot be used before more have come: the incomplete head of a message.
///
/// What waits must not keep a large chunk alive: a slow sender's bytes move to a small one.
struct InputBuffer: ~Copyable {
    private var held: Slice?
    /// Bytes that were searched for the end of a head already.
    var scanned = 0

    init() {}

    var isEmpty: Bool { held == nil }

    /// Takes everything out.
    mutating func take() -> Slice? {
        scanned = 0
        return held.take()
    }

    /// Keeps `slice` until more comes.
    mutating func keep(_ slice: consuming Slice, in pools: BufferPools) {
        if slice.count == 0 { return }
        if slice.pinnedBytes > pools.small.capacity && slice.count <= pools.small.capacity {
            held = Slice.copy(of: slice.span, in: pools.small)
        } else {
            held = consume slice
        }
    }

    /// What is kept and `slice` behind it, as one; nil, and nothing is kept, if that is more than any head may have.
    mutating func join(_ slice: consuming Slice, in pools: BufferPools) -> Slice? {
        guard let held = held.take() else { return slice }
        let count = held.count &+ slice.count
        guard count <= pools.large.capacity else { return nil }
        let joined = WritableChunk(from: count <= pools.medium.capacity ? pools.medium : pools.large)
        // SAFETY: both runs fit, checked above; the chunk is fresh and overlaps neither.
        unsafe joined.buffer().copyMemory(from: held.buffer)
        unsafe joined.buffer(from: held.count).copyMemory(from: slice.buffer)
        return joined.freeze(count: count)
    }
}
