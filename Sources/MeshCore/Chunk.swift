import Glibc

/// What stands in front of the bytes of every chunk.
@usableFromInline
@unsafe
struct ChunkHeader {
    @usableFromInline static let size = 64
    @usableFromInline var references: Int32
    @usableFromInline var capacity: Int32
    @usableFromInline var pool: Link<ChunkPool>
    @usableFromInline var next: UnsafeMutablePointer<ChunkHeader>?

    @usableFromInline
    init(capacity: Int, pool: Link<ChunkPool>) {
        unsafe references = 0
        unsafe self.capacity = Int32(capacity)
        unsafe self.pool = pool
        unsafe next = nil
    }
}

@usableFromInline typealias ChunkPointer = UnsafeMutablePointer<ChunkHeader>

extension UnsafeMutablePointer<ChunkHeader> {
    @inlinable
    var bytes: UnsafeMutablePointer<UInt8> {
        unsafe (UnsafeMutableRawPointer(self) + ChunkHeader.size).assumingMemoryBound(to: UInt8.self)
    }

    @inlinable
    func retain() { unsafe pointee.references &+= 1 }

    @inlinable
    func release() {
        unsafe pointee.references &-= 1
        if unsafe pointee.references == 0 { unsafe pointee.pool { unsafe $0.put(self) } }
    }
}

/// Fixed-size receive and output buffers of one loop, last in first out so that the next user gets the cache-hot one.
///
/// Not thread-safe: a pool, its chunks and every slice of them stay on one loop.
@safe
public final class ChunkPool {
    /// Bytes that a chunk of this pool holds.
    public let capacity: Int
    /// Chunks in use now.
    public private(set) var liveCount = 0
    /// Chunks kept for reuse now.
    public private(set) var cachedCount = 0

    @usableFromInline var head: ChunkPointer?
    private let cacheLimit: Int
    private var colour = 0

    /// - Parameters:
    ///   - capacity: bytes of each chunk.
    ///   - cacheLimit: chunks kept for reuse; more than these go back to the system at once.
    public init(capacity: Int, cacheLimit: Int) {
        self.capacity = capacity
        self.cacheLimit = cacheLimit
    }

    deinit {
        while let chunk = unsafe head {
            unsafe head = chunk.pointee.next
            unsafe free(Self.allocation(of: chunk))
        }
    }

    @usableFromInline
    func take() -> ChunkPointer {
        liveCount &+= 1
        if let chunk = unsafe head {
            unsafe head = chunk.pointee.next
            cachedCount &-= 1
            unsafe chunk.pointee.references = 1
            return unsafe chunk
        }
        let chunk = unsafe allocate()
        unsafe chunk.pointee.references = 1
        return unsafe chunk
    }

    @usableFromInline
    func put(_ chunk: ChunkPointer) {
        liveCount &-= 1
        if cachedCount >= cacheLimit {
            unsafe free(Self.allocation(of: chunk))
            return
        }
        cachedCount &+= 1
        unsafe chunk.pointee.next = head
        unsafe head = chunk
    }

    /// Gives every chunk that nobody uses back to the system.
    public func trim() {
        while let chunk = unsafe head {
            unsafe head = chunk.pointee.next
            unsafe free(Self.allocation(of: chunk))
        }
        cachedCount = 0
    }

    /// Chunks start at different offsets within a page ("colours"): 64 KiB strides would put all their first lines
    /// into the same cache sets. The word in front of the header remembers where the allocation began.
    private func allocate() -> ChunkPointer {
        colour = capacity >= 16_384 ? (colour &+ 192) & 4095 : 0
        var memory: UnsafeMutableRawPointer?
        let size = unsafe capacity + ChunkHeader.size + 64 + (capacity >= 16_384 ? 4096 : 0)
        // SAFETY: the allocation is owned by the chunk from here to `free`; a failure to allocate ends the process.
        guard unsafe posix_memalign(&memory, 64, size) == 0, let memory = unsafe memory else {
            fatalError("out of memory: \(size) bytes")
        }
        let header = unsafe memory + 64 + colour
        unsafe (header - 8).storeBytes(of: memory, as: UnsafeMutableRawPointer.self)
        let chunk = unsafe header.bindMemory(to: ChunkHeader.self, capacity: 1)
        unsafe chunk.initialize(to: ChunkHeader(capacity: capacity, pool: Link(self)))
        return unsafe chunk
    }

    private static func allocation(of chunk: ChunkPointer) -> UnsafeMutableRawPointer {
        unsafe (UnsafeRawPointer(chunk) - 8).load(as: UnsafeMutableRawPointer.self)
    }
}

/// The chunk pools of one loop.
public final class BufferPools {
    /// 4 KiB: message heads, small writes, incomplete heads.
    public let small = ChunkPool(capacity: 4096, cacheLimit: 256)
    /// 64 KiB: every read, and output that outgrew a small chunk.
    public let medium = ChunkPool(capacity: 65_536, cacheLimit: 32)
    /// 256 KiB: reads of a connection that filled its last chunk (large bodies: a fifth less CPU than at 64 KiB).
    public let large = ChunkPool(capacity: 262_144, cacheLimit: 4)

    /// Empty pools.
    public init() {}

    /// Gives all unused chunks back to the system.
    public func trim() {
        small.trim()
        medium.trim()
        large.trim()
    }
}
