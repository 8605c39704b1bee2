import Glibc
import MeshCore
import Testing

@testable import MeshNet

@Suite struct ResolverTests {
    private let loop: EventLoop
    private let server: NameServer

    init() throws {
        loop = try EventLoop()
        server = try NameServer(loop: loop)
    }

    private func resolver(_ change: (inout Resolver.Settings) -> Void = { _ in }) throws -> Resolver {
        var settings = Resolver.Settings(servers: server.list)
        change(&settings)
        return try Resolver(loop: loop, settings: settings)
    }

    /// Turns the loop until `isDone`, for at most 20 seconds.
    private func turn(until isDone: () -> Bool) {
        let start = Clock.now()
        while !isDone() && Clock.now().nanoseconds(since: start) < 20_000_000_000 { loop.turn(atMost: 100) }
    }

    private func ask(_ resolver: Resolver, _ name: String, port: UInt16 = 80) -> ResolverAnswer? {
        var answer: ResolverAnswer?
        resolver.resolve(name, port: port) { answer = $0 }
        #expect(answer == nil, "nothing is said before the call has returned")
        turn { answer != nil }
        return answer
    }

    private func addresses(_ list: String..., timeToLive: UInt32) -> ResolverAnswer {
        .addresses(list.compactMap { SocketAddress($0) }, timeToLive: timeToLive)
    }

    private func isNegative(_ answer: ResolverAnswer?) -> Bool? {
        if case .failed(_, let isNegative) = answer { return isNegative }
        return nil
    }

    @Test func bothFamiliesInTheServersOrderEachOnce() throws {
        server.zone["shop.test"] = .init(
            ipv4: ["10.0.0.9", "10.0.0.1", "10.0.0.9"], ipv6: ["2001:db8::2", "2001:db8::1"], timeToLive: 30)
        let answer = ask(try resolver(), "shop.test", port: 8080)
        #expect(
            answer
                == addresses(
                    "10.0.0.9:8080", "10.0.0.1:8080", "[2001:db8::2]:8080", "[2001:db8::1]:8080", timeToLive: 30))
    }

    @Test func oneFamilyIsEnough() throws {
        server.zone["four.test"] = .init(ipv4: ["10.0.0.1"])
        server.zone["six.test"] = .init(ipv6: ["2001:db8::1"])
        let resolver = try resolver()
        #expect(ask(resolver, "four.test") == addresses("10.0.0.1:80", timeToLive: 60))
        #expect(ask(resolver, "six.test") == addresses("[2001:db8::1]:80", timeToLive: 60))
    }

    @Test func theShortestTimeToLiveCounts() throws {
        server.zone["alias.test"] = .init(ipv4: ["10.0.0.1"], timeToLive: 300, alias: ("real.test", 7))
        #expect(ask(try resolver(), "alias.test") == addresses("10.0.0.1:80", timeToLive: 7))
        server.zone["alias.test"] = .init(ipv4: ["10.0.0.1"], timeToLive: 7, alias: ("real.test", 300))
        #expect(ask(try resolver(), "alias.test") == addresses("10.0.0.1:80", timeToLive: 7))
    }

    @Test func answersChangeWithTheServers() throws {
        let resolver = try resolver()
        server.zone["moving.test"] = .init(ipv4: ["10.0.0.1"])
        #expect(ask(resolver, "moving.test") == addresses("10.0.0.1:80", timeToLive: 60))
        server.zone["moving.test"] = .init(ipv4: ["10.0.0.2", "10.0.0.3"])
        #expect(ask(resolver, "moving.test") == addresses("10.0.0.2:80", "10.0.0.3:80", timeToLive: 60))
        server.zone["moving.test"] = nil
        #expect(isNegative(ask(resolver, "moving.test")) == true)
    }

    @Test func noSuchNameAndNoSuchRecordAreNegative() throws {
        server.zone["empty.test"] = .init()
        let resolver = try resolver()
        let missing = ask(resolver, "missing.test")
        #expect(isNegative(missing) == true)
        #expect(isNegative(ask(resolver, "empty.test")) == true)
        guard case .failed(let text, _) = missing else { return }
        #expect(text.contains("missing.test"))
    }

    @Test func aServerThatFailsIsNotNegative() throws {
        server.zone["failing.test"] = .init(failures: [NameServer.typeA: 2, NameServer.typeAAAA: 2])
        // The failure must not be hidden by the other family's "there is none", whichever comes last.
        server.zone["half.test"] = .init(failures: [NameServer.typeA: 2])
        server.zone["other-half.test"] = .init(failures: [NameServer.typeAAAA: 2])
        let resolver = try resolver()
        for name in ["failing.test", "half.test", "other-half.test"] {
            #expect(isNegative(ask(resolver, name)) == false, "\(name)")
        }
    }

    @Test func oneFamilyThatFailsDoesNotHideTheOther() throws {
        server.zone["half.test"] = .init(ipv4: ["10.0.0.1"], failures: [NameServer.typeAAAA: 2])
        #expect(ask(try resolver(), "half.test") == addresses("10.0.0.1:80", timeToLive: 60))
    }

    @Test func silenceIsAskedTwiceAndThenAFailure() throws {
        server.zone["silent.test"] = .init(silent: [NameServer.typeA, NameServer.typeAAAA])
        let resolver = try resolver { $0.timeout = 50 }
        #expect(isNegative(ask(resolver, "silent.test")) == false)
        #expect(server.questions["silent.test"] == 4)  // two families, two tries
        #expect(resolver.pendingCount == 0)
    }

    @Test func aServerThatIsNotThereIsAFailure() throws {
        let resolver = try resolver { $0.timeout = 50 }
        server.close()
        #expect(isNegative(ask(resolver, "shop.test")) == false)
    }

    @Test func whatDoesNotFitADatagramComesOverTCP() throws {
        let many = (0..<200).map { "10.1.0.\($0)" }
        server.zone["many.test"] = .init(ipv4: many, isTruncated: true)
        let answer = ask(try resolver(), "many.test")
        #expect(answer == .addresses(many.compactMap { SocketAddress(ip: $0, port: 80) }, timeToLive: 60))
        #expect(server.tcpCount > 0)
    }

    @Test func localhostAndTheHostsFileAskNobody() throws {
        let resolver = try resolver()
        guard case .addresses(let list, _) = ask(resolver, "localhost", port: 7) else {
            Issue.record("localhost has no address")
            return
        }
        #expect(list.contains(.ipv4(0x7f00_0001, port: 7)))
        #expect(server.questions.isEmpty)
    }

    @Test func addressesAreTheirOwnAnswer() throws {
        let resolver = try resolver()
        #expect(ask(resolver, "10.2.3.4", port: 5) == addresses("10.2.3.4:5", timeToLive: 0))
        #expect(ask(resolver, "2001:db8::5", port: 5) == addresses("[2001:db8::5]:5", timeToLive: 0))
        #expect(server.questions.isEmpty)
    }

    @Test(arguments: ["", ".", "a..test", "shop.test\0.evil.test", String(repeating: "a", count: 64) + ".test"])
    func whatIsNotANameHasNoAddress(name: String) throws {
        server.zone["shop.test"] = .init(ipv4: ["10.0.0.1"])
        #expect(isNegative(ask(try resolver(), name)) == true)
        #expect(server.questions["shop.test"] == nil)
    }

    @Test func onlySoManyAreAskedAtATime() throws {
        for number in 0..<20 {
            server.zone["n\(number).test"] = .init(ipv4: ["10.0.0.\(number)"])
        }
        let resolver = try resolver {
            $0.parallelLimit = 3
            $0.waitingLimit = 10
        }
        var answered: [String] = []
        var refused = 0
        for number in 0..<20 {
            resolver.resolve("n\(number).test", port: 1) { answer in
                switch answer {
                case .addresses: answered.append("n\(number)")
                case .failed(_, let isNegative): refused += isNegative ? 0 : 1
                }
            }
        }
        // Nobody has turned the loop: three are on their way, ten wait, seven are refused.
        #expect(resolver.pendingCount == 20)
        turn { answered.count + refused == 20 }
        #expect(refused == 7)
        #expect(Set(answered) == Set((0..<13).map { "n\($0)" }))
        #expect(server.questions.count == 13)
        #expect(resolver.pendingCount == 0)
    }

    @Test func anAskerMayAskAgain() throws {
        let resolver = try resolver { $0.parallelLimit = 1 }
        server.zone["again.test"] = .init(ipv4: ["10.0.0.1"])
        var count = 0
        func again(_ answer: ResolverAnswer) {
            count += 1
            if count < 5 { resolver.resolve("again.test", port: 1, again) }
        }
        resolver.resolve("again.test", port: 1, again)
        turn { count == 5 }
        #expect(count == 5)
    }

    @Test func droppingTheResolverDropsWhatIsUnderWay() throws {
        server.zone["silent.test"] = .init(silent: [NameServer.typeA, NameServer.typeAAAA])
        var answers = 0
        var resolver: Resolver? = try resolver()
        for _ in 0..<100 { resolver?.resolve("silent.test", port: 1) { _ in answers += 1 } }
        resolver?.resolve("localhost", port: 1) { _ in answers += 1 }
        turn { server.questions["silent.test"] ?? 0 >= 64 }
        resolver = nil
        for _ in 0..<3 { loop.turn(atMost: 1) }
        #expect(answers == 0)
    }

    @Test func descriptorsDoNotPileUp() throws {
        server.zone["shop.test"] = .init(ipv4: ["10.0.0.1"])
        let resolver = try resolver()
        let before = ThisProcess.openDescriptorCount()
        for _ in 0..<500 { #expect(ask(resolver, "shop.test") != nil) }
        // Each question has its socket. Other tests open some at the same time.
        #expect(ThisProcess.openDescriptorCount() < before + 250)
    }

    @Test func anAskerMayDropTheResolver() throws {
        server.zone["shop.test"] = .init(ipv4: ["10.0.0.1"])
        server.zone["silent.test"] = .init(silent: [NameServer.typeA, NameServer.typeAAAA])
        var resolver: Resolver? = try resolver()
        var answers = 0
        resolver?.resolve("silent.test", port: 1) { _ in answers += 1 }
        for _ in 0..<3 {
            resolver?.resolve("shop.test", port: 1) { _ in
                answers += 1
                resolver = nil
            }
        }
        turn { resolver == nil }
        for _ in 0..<3 { loop.turn(atMost: 1) }
        #expect(answers == 1)
    }

    @Test func theSystemsServersAreFollowedWhenTheyChange() throws {
        let other = try NameServer(loop: loop, address: .ipv4(0x7f00_0002, port: server.port))
        server.zone["shop.test"] = .init(ipv4: ["10.0.0.1"])
        server.zone["silent.test"] = .init(silent: [NameServer.typeA, NameServer.typeAAAA])
        other.zone["shop.test"] = .init(ipv4: ["10.0.0.2"])
        let file = "/tmp/martlet-resolver-\(getpid()).conf"
        try write("nameserver 127.0.0.1\n", to: file)
        defer { _ = unsafe unlink(file) }
        var settings = Resolver.Settings()
        settings.systemFile = file
        settings.systemPort = server.port
        let resolver = try Resolver(loop: loop, settings: settings)
        #expect(ask(resolver, "shop.test") == addresses("10.0.0.1:80", timeToLive: 60))
        var waiting: ResolverAnswer?
        resolver.resolve("silent.test", port: 1) { waiting = $0 }
        try write("# another network\nnameserver 127.0.0.2\n", to: file)
        #expect(ask(resolver, "shop.test") == addresses("10.0.0.2:80", timeToLive: 60))
        #expect(isNegative(waiting) == false)
    }

    @Test func aSystemWithoutServersStillKnowsItsHosts() throws {
        var settings = Resolver.Settings()
        settings.systemFile = "/nowhere/resolv.conf"
        let resolver = try Resolver(loop: loop, settings: settings)
        guard case .addresses = ask(resolver, "localhost") else {
            Issue.record("localhost has no address")
            return
        }
    }

    private func write(_ text: String, to path: String) throws {
        let file = unsafe try #require(unsafe fopen(path, "w"))
        unsafe fputs(text, file)
        unsafe fclose(file)
    }

    @Test func unreadableServersAreRefused() throws {
        #expect(throws: ProxyError.self) { try Resolver(loop: loop, settings: .init(servers: "not an address")) }
    }
}
