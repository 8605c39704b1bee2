import MeshCore
import MeshModel
import MeshTraffic
import Testing

@Suite struct HashBalancerTests {
    static let algorithms: [LoadBalancer.Algorithm] = [.ringHash(size: 1024), .maglev(tableSize: 65_537)]

    private func named(_ numbers: some Sequence<Int>) -> [BalancedEndpoint] {
        numbers.map { BalancedEndpoint(identity: Hashing.mix(UInt64($0))) }
    }

    private func homes(_ balancer: Balancer, _ keys: Int = 20_000) -> [UInt64] {
        (0..<keys).map { key in
            let index = balancer.pick(random: 7, now: start, key: Hashing.mix(UInt64(key) &+ 1_000_000))
            return index.flatMap { balancer.identity(at: $0) } ?? 0
        }
    }

    private func moved(_ before: [UInt64], _ after: [UInt64]) -> Double {
        Double(zip(before, after).count { $0 != $1 }) / Double(before.count)
    }

    @Test(arguments: algorithms)
    func aKeyKeepsItsEndpoint(algorithm: LoadBalancer.Algorithm) {
        let settings = LoadBalancer(algorithm: algorithm)
        let balancer = balancer(settings, named(0..<10))
        let first = homes(balancer, 2000)
        #expect(homes(balancer, 2000) == first)
        // Whatever the order of the list is, in every loop and every proxy.
        let other = Balancer(backend: "ns/Service/a:80")
        other.update(settings, zone: nil, endpoints: named((0..<10).reversed()), random: 99, now: start.after(9))
        #expect(homes(other, 2000) == first)
    }

    /// The tenth that must move moves; nearly nothing else. What a Maglev table moves beyond that the paper bounds.
    @Test(arguments: algorithms)
    func fewKeysMoveWhenAnEndpointLeavesOrJoins(algorithm: LoadBalancer.Algorithm) {
        let settings = LoadBalancer(algorithm: algorithm)
        let ten = homes(balancer(settings, named(0..<10)))
        let gone = Hashing.mix(4)
        let nine = homes(balancer(settings, named((0..<10).filter { $0 != 4 })))
        let lost = Double(ten.count { $0 == gone }) / Double(ten.count)
        let others = Double(zip(ten, nine).count { $0 != $1 && $0 != gone }) / Double(ten.count)
        #expect(abs(lost - 0.1) < 0.03)
        #expect(!nine.contains(gone))
        let eleven = homes(balancer(settings, named(0..<11)))
        let disturbed = Double(zip(ten, eleven).count { $0 != $1 && $1 != Hashing.mix(10) }) / Double(ten.count)
        switch algorithm {
        case .ringHash:
            #expect(others == 0)
            #expect(disturbed == 0)
        default:
            #expect(others < 0.05)
            #expect(disturbed < 0.05)
        }
        #expect(moved(ten, eleven) < 0.16)
    }

    /// However many there are: a ring that was kept at one size would deal all of its points anew now and then.
    @Test func noOtherKeyMovesOnARing() {
        let settings = LoadBalancer(algorithm: .ringHash(size: 1024))
        var before = homes(balancer(settings, named(0..<1)), 1000)
        for count in 2...40 {
            let after = homes(balancer(settings, named(0..<count)), 1000)
            let newest = Hashing.mix(UInt64(count - 1))
            #expect(zip(before, after).allSatisfy { $0 == $1 || $1 == newest }, "\(count)")
            before = after
        }
    }

    /// Only the keys of the endpoint that is unwell move, over all others, and they come back.
    @Test(arguments: algorithms)
    func theKeysOfAnEndpointThatIsUnwellAreLent(algorithm: LoadBalancer.Algorithm) {
        let balancer = balancer(LoadBalancer(algorithm: algorithm), named(0..<10))
        let before = homes(balancer)
        balancer.setAvailable(false, of: 4, .health, now: start)
        let during = homes(balancer)
        let gone = Hashing.mix(4)
        #expect(zip(before, during).allSatisfy { $0 == $1 || $0 == gone })
        let heirs = (0..<10).map { number in
            zip(before, during).count { $0 == gone && $1 == Hashing.mix(UInt64(number)) }
        }
        #expect(heirs[4] == 0)
        #expect(heirs.enumerated().allSatisfy { $0.offset == 4 || $0.element > 40 }, "\(heirs)")
        balancer.setAvailable(true, of: 4, .health, now: start)
        #expect(homes(balancer) == before)
    }

    /// Nine of ten are full: every key finds the one that is not, table or not.
    @Test(arguments: algorithms)
    func theLastWithRoomIsFound(algorithm: LoadBalancer.Algorithm) {
        let balancer = balancer(LoadBalancer(algorithm: algorithm), named(0..<100))
        for index in 0..<99 { balancer.setAvailable(false, of: index, .limit, now: start) }
        #expect(balancer.counts(500)[99] == 500)
    }

    /// Half of all requests have one key: it overflows to others, and no endpoint exceeds its bound.
    @Test(arguments: algorithms)
    func loadIsBounded(algorithm: LoadBalancer.Algorithm) {
        func loads(_ bound: Int?) -> [Int] {
            let balancer = balancer(LoadBalancer(algorithm: algorithm, boundedLoad: bound), named(0..<10))
            var random = Random(seed: 3)
            for number in 0..<1000 {
                let key = number % 2 == 0 ? 42 : random.next()
                if let index = balancer.pick(random: random.next(), now: start, key: key) { balancer.begin(index) }
            }
            return (0..<10).map { balancer.activeCount(at: $0) }
        }
        #expect(loads(nil).max()! > 500)
        #expect(loads(125).max()! <= 126 && loads(125).reduce(0, +) == 1000)
        #expect(loads(100).max()! <= 101 && loads(100).reduce(0, +) == 1000)
    }

    /// Bounds are by weight.
    @Test func aHeavyEndpointMayHaveMore() {
        var endpoints = named(0..<3)
        endpoints[0].weight = 8
        let balancer = balancer(LoadBalancer(algorithm: .maglev(tableSize: 1021), boundedLoad: 100), endpoints)
        for number in 0..<1000 {
            if let index = balancer.pick(random: 1, now: start, key: Hashing.mix(UInt64(number))) {
                balancer.begin(index)
            }
        }
        #expect((0..<3).map { balancer.activeCount(at: $0) }.elementsEqual([800, 100, 100]) { abs($0 - $1) <= 2 })
    }

    @Test(arguments: algorithms)
    func withoutAKeyItGoesAnywhere(algorithm: LoadBalancer.Algorithm) {
        let balancer = balancer(LoadBalancer(algorithm: algorithm), named(0..<4))
        var random = Random(seed: 1)
        var counts = [0, 0, 0, 0]
        for _ in 0..<4000 { counts[balancer.pick(random: random.next(), now: start)!] += 1 }
        #expect(chiSquare(counts, [1, 1, 1, 1]) < 16.3)
    }

    @Test func aTableSizeThatIsNoPrimeIsRoundedUp() {
        let balancer = balancer(.maglev(tableSize: 1000), Array(repeating: 1, count: 3))
        #expect(chiSquare(balancer.counts(3000), [1, 1, 1]) < 13.8)
        #expect(self.balancerOfManyInASmallTable().allSatisfy { $0 > 0 })
    }

    private func balancerOfManyInASmallTable() -> [Int] {
        balancer(.maglev(tableSize: 1), Array(repeating: 1, count: 20)).counts(2000)
    }

    /// A changed algorithm has a table of its own.
    @Test func theAlgorithmCanChange() {
        let made = balancer(.ringHash(size: 64), [1, 1, 1])
        let ring = homes(made)
        made.update(
            LoadBalancer(algorithm: .maglev(tableSize: 65_537)), zone: nil, endpoints: balanced([1, 1, 1]), random: 0,
            now: start)
        #expect(homes(made) != ring)
        #expect(chiSquare(made.counts(30_000), [1, 1, 1]) < 13.8)
    }
}

@Suite struct SipKeyTests {
    /// The vectors of the paper and of its reference code.
    @Test func vectors() {
        let key = SipKey(low: 0x0706_0504_0302_0100, high: 0x0f0e_0d0c_0b0a_0908)
        let input = (0..<15).map { UInt8($0) }
        #expect(key.hash(input.span) == 0xa129_ca61_49be_45e5)
        #expect(key.hash([UInt8]().span) == 0x726f_db47_dd0e_0e31)
        #expect(key.hash(Array(input[..<8]).span) == 0x93f5_f579_9a93_2462)
    }

    @Test func identitiesAreOfTheBackend() {
        let address = Array("10.0.0.1:80".utf8)
        let (one, other) = (Balancer(backend: "a"), Balancer(backend: "b"))
        #expect(one.identity(address.span) == Balancer(backend: "a").identity(address.span))
        #expect(one.identity(address.span) != other.identity(address.span))
    }
}
