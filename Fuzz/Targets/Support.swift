import MeshCore
import MeshHTTP

/// Numbers that look random and are the same in every run: SplitMix64, seeded with the input.
struct Dice: RandomNumberGenerator {
    private var state: UInt64

    init(_ input: [UInt8]) {
        state = input.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}

/// Where to cut `input` to look at its beginnings: everywhere if it is short, at some places if it is long.
func cuts(_ input: [UInt8]) -> [Int] {
    if input.count <= 300 { return Array(0..<input.count) }
    var dice = Dice(input)
    return (0..<32).map { _ in Int.random(in: 0..<input.count, using: &dice) }.sorted()
}

/// How far a parser got that is given more and more of the same bytes.
enum Progress: Equatable {
    case incomplete
    case complete(Int)
    case failed
}

/// Checks that it makes no difference how many of the bytes have arrived when they are looked at: every beginning of
/// what is complete is incomplete, and what failed has failed for good.
func requireSteadyProgress(
    _ input: [UInt8], _ whole: Progress, _ parse: (Span<UInt8>) -> Progress
) throws(Finding) {
    var hasFailed = false
    for count in cuts(input) {
        let part = parse(input.span.extracting(first: count))
        switch part {
        case .incomplete: try require(!hasFailed, "\(count) bytes are incomplete, fewer were refused")
        case .failed: hasFailed = true
        case .complete(let length):
            try require(length <= count, "\(length) bytes were taken of \(count)")
            try require(part == whole, "complete after \(length) of \(count) bytes, and \(whole) with all of them")
        }
        if case .complete(let length) = whole {
            try require(part == (count < length ? .incomplete : whole), "\(part) after \(count) bytes, then \(whole)")
        }
    }
    switch whole {
    case .incomplete: try require(!hasFailed, "refused, and incomplete with more bytes")
    case .complete(let length): try require(length <= input.count, "more bytes were taken than given")
    case .failed: break
    }
}

/// The bytes of `span`.
func array(_ span: Span<UInt8>) -> [UInt8] { span.indices.map { span[$0] } }

/// What `write` puts into an output queue.
func written(_ write: (inout OutputQueue) -> Void) -> [UInt8] {
    let pools = BufferPools()
    defer { withExtendedLifetime(pools) {} }
    var queue = OutputQueue(pools: pools)
    write(&queue)
    var bytes: [UInt8] = []
    while !queue.isEmpty {
        let run = queue.takeFirst(upTo: .max)
        bytes += array(run.span)
    }
    return bytes
}
