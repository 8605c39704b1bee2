import MeshCore
import MeshHTTP
import Testing

@testable import MeshProxy

@Suite struct KeptResponseTests {
    private let pools = BufferPools()

    private func pipe(_ count: Int) -> BodyPipe {
        let pipe = BodyPipe(pools: pools)
        var left = count
        while left > 0 {
            let some = min(left, pools.medium.capacity)
            pipe.append(Slice.copy(of: Array(repeating: UInt8(ascii: "x"), count: some).span, in: pools.medium))
            left -= some
        }
        return pipe
    }

    private func begun(_ length: BodyLength) -> KeptResponse {
        let kept = KeptResponse(pools: pools)
        let head = response(503)
        head.bodyLength = length
        kept.begin(head)
        return kept
    }

    @Test func whatFitsIsComplete() {
        let kept = begun(.known(KeptResponse.limit))
        #expect(kept.take(pipe(KeptResponse.limit)))
        #expect(!kept.isComplete)
        kept.end(nil)
        #expect(kept.isComplete && kept.body.byteCount == KeptResponse.limit)
    }

    /// The bytes that are too many may be the last ones: the end comes after them.
    @Test func whatWasDroppedIsNeverComplete() {
        let kept = begun(.known(KeptResponse.limit + 1))
        #expect(!kept.take(pipe(KeptResponse.limit + 1)))
        kept.drop()
        kept.end(nil)
        #expect(!kept.isComplete && kept.body.isEmpty)
    }

    @Test func theNextResponseIsKeptAgain() {
        let kept = begun(.known(1))
        kept.drop()
        let head = response(503)
        head.bodyLength = .none
        kept.begin(head)
        #expect(kept.isComplete)
        head.bodyLength = .known(1)
        kept.begin(head)
        #expect(!kept.isComplete)
        #expect(kept.take(pipe(1)))
        kept.end(nil)
        #expect(kept.isComplete && kept.body.byteCount == 1)
    }
}
