import MeshCore
import MeshNet
import Testing

@testable import MeshProxy

private let second: UInt64 = 1_000_000_000

@Suite struct DialerTests {
    private var random = Random(seed: 1)

    private func address(_ last: Int) throws -> SocketAddress {
        try #require(SocketAddress(ip: "10.0.0.\(last)", port: 15010))
    }

    private func pause(_ step: Dialer.Step) throws -> UInt64 {
        guard case .wait(let nanoseconds) = step else {
            Issue.record("\(step) is no pause")
            return 0
        }
        return nanoseconds
    }

    @Test mutating func triesEachAddressOnceAndThenPauses() throws {
        var dialer = Dialer()
        #expect(dialer.begin() == .resolve)
        let all = try (1...3).map { try address($0) }
        var tried: [Dialer.Step] = [dialer.resolved(all, random: &random)]
        for _ in 0..<2 { tried.append(dialer.failed(random: &random)) }
        #expect(tried.count == 3 && all.allSatisfy { tried.contains(.connect($0)) })
        _ = try pause(dialer.failed(random: &random))
        #expect(dialer.begin() == .resolve)
    }

    @Test mutating func aNameWithoutAddressesIsAFailure() throws {
        var dialer = Dialer()
        _ = dialer.begin()
        _ = try pause(dialer.resolved([], random: &random))
        _ = dialer.begin()
        _ = try pause(dialer.failed(random: &random))
        #expect(dialer.failures == 2)
    }

    @Test mutating func theOrderOfAddressesIsAMatterOfChance() throws {
        let all = try (1...3).map { try address($0) }
        var firsts: [Dialer.Step] = []
        for _ in 0..<60 {
            var dialer = Dialer()
            _ = dialer.begin()
            firsts.append(dialer.resolved(all, random: &random))
        }
        #expect(all.allSatisfy { firsts.contains(.connect($0)) })
    }

    @Test mutating func pausesGrowToTenSecondsAndNoFurther() throws {
        var dialer = Dialer()
        var ceilings: [UInt64] = []
        for round in 0..<20 {
            var longest: UInt64 = 0
            // Of many dialers that have failed as often.
            for _ in 0..<200 {
                var other = dialer
                let pause = try pause(other.failed(random: &random))
                #expect(pause >= Dialer.shortestPause && pause <= Dialer.longestPause, "round \(round)")
                longest = max(longest, pause)
            }
            ceilings.append(longest)
            _ = dialer.failed(random: &random)
        }
        #expect(ceilings[0] <= second && ceilings[1] > second && ceilings[1] <= 2 * second)
        #expect(ceilings[3] > 4 * second && ceilings[3] <= 8 * second)
        #expect(ceilings[4...].allSatisfy { $0 > 8 * second })
    }

    @Test mutating func aStableConnectionStartsThePausesAnewAndAShortOneDoesNot() throws {
        var dialer = Dialer()
        for _ in 0..<6 { _ = dialer.failed(random: &random) }
        let start = Instant(nanoseconds: 1000)
        dialer.opened(now: start)
        _ = try pause(dialer.lost(now: start.advanced(byNanoseconds: 9 * second), random: &random))
        #expect(dialer.failures == 7, "it held for less than 10 s")
        dialer.opened(now: start)
        let pause = try pause(dialer.lost(now: start.advanced(byNanoseconds: 10 * second), random: &random))
        #expect(dialer.failures == 1 && pause <= second)
    }

    @Test mutating func anEstablishedConnectionForgetsTheOtherAddresses() throws {
        var dialer = Dialer()
        _ = dialer.begin()
        _ = dialer.resolved(try (1...3).map { try address($0) }, random: &random)
        dialer.opened(now: Instant(nanoseconds: 1))
        _ = try pause(dialer.lost(now: Instant(nanoseconds: 2), random: &random))
    }
}

@Suite struct KeepaliveTests {
    private func at(_ seconds: UInt64) -> Instant { Instant(nanoseconds: seconds * second) }

    @Test func silenceIsAskedAboutAndThenTheEnd() {
        var keepalive = Keepalive(now: at(0))
        #expect(keepalive.look(now: at(0)) == .wait(at(15)))
        #expect(keepalive.look(now: at(14)) == .wait(at(15)))
        #expect(keepalive.look(now: at(15)) == .ping(at(25)))
        #expect(keepalive.look(now: at(24)) == .wait(at(25)))
        #expect(keepalive.look(now: at(25)) == .dead)
    }

    @Test func anAnswerStartsItAnew() {
        var keepalive = Keepalive(now: at(0))
        _ = keepalive.look(now: at(15))
        keepalive.received(now: at(20))
        #expect(keepalive.look(now: at(25)) == .wait(at(35)))
        #expect(keepalive.look(now: at(35)) == .ping(at(45)))
    }
}

@Suite struct RenewalTests {
    private let made: Int64 = 1_000_000

    private func nanoseconds(_ seconds: Int64) -> UInt64 { UInt64(seconds) * second }

    @Test func isDueAtHalfOfTheLifeMoreOrLess() {
        var random = Random(seed: 2)
        var seen: Set<UInt64> = []
        for _ in 0..<200 {
            // Certificates begin a minute before they are made.
            let schedule = RenewalSchedule(notBefore: made - 60, notAfter: made + 86400, random: &random)
            #expect(
                schedule.due >= nanoseconds(made + 43200 - 4320) && schedule.due <= nanoseconds(made + 43200 + 4320))
            seen.insert(schedule.due / nanoseconds(600))
        }
        #expect(seen.count > 10, "spread by chance")
    }

    @Test func endsWithTheCertificate() {
        var random = Random(seed: 3)
        let schedule = RenewalSchedule(notBefore: made - 60, notAfter: made + 100, random: &random)
        #expect(!schedule.isExpired(now: nanoseconds(made + 100) - 1))
        #expect(schedule.isExpired(now: nanoseconds(made + 100)))
    }

    @Test func failuresPauseLongerAndLongerButNotUntilItIsTooLate() {
        var random = Random(seed: 4)
        var schedule = RenewalSchedule(notBefore: made - 60, notAfter: made + 86400, random: &random)
        var now = schedule.due
        var pauses: [UInt64] = []
        for _ in 0..<10 {
            schedule.failed(now: now, random: &random)
            pauses.append(schedule.due - now)
            now = schedule.due
        }
        #expect(pauses[0] <= second && pauses[3] > 3 * second && pauses[3] <= 8 * second)
        #expect(pauses[7...].allSatisfy { $0 >= 30 * second && $0 <= 60 * second })
        // 8 s before the end.
        now = nanoseconds(made + 86400 - 8)
        schedule.failed(now: now, random: &random)
        #expect(schedule.due - now <= 2 * second)
        // Too late: it is tried all the same.
        now = nanoseconds(made + 86400 + 5)
        schedule.failed(now: now, random: &random)
        #expect(schedule.due > now && schedule.due - now <= 60 * second)
    }

    @Test func hurriesButNeverWaitsLonger() {
        var random = Random(seed: 5)
        var schedule = RenewalSchedule(notBefore: made - 60, notAfter: made + 86400, random: &random)
        let due = schedule.due
        schedule.hurry(now: due + 5)
        #expect(schedule.due == due)
        schedule.hurry(now: due - 5)
        #expect(schedule.due == due - 5)
    }

    /// What a clock or a certificate says may be anything.
    @Test(
        arguments: [
            (0, 0), (10, 5), (-10, -5), (.min, .max), (.max, .min), (.max, .max), (0, 30), (1 << 62, 1 << 62),
        ] as [(Int64, Int64)])
    func survivesOddTimes(notBefore: Int64, notAfter: Int64) {
        var random = Random(seed: 6)
        var schedule = RenewalSchedule(notBefore: notBefore, notAfter: notAfter, random: &random)
        for now in [0, 1, second, .max / 2, .max] as [UInt64] {
            _ = schedule.isExpired(now: now)
            schedule.failed(now: now, random: &random)
            schedule.hurry(now: now)
        }
    }
}

@Suite struct ControlTextTests {
    private static let root = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA"

    @Test(arguments: ["", " ", "\n", "\t \r\n"]) func tokensReadBack(space: String) throws {
        let text = "mt1.abc.c2VjcmV0.\(Self.root)"
        let token = try #require(JoinToken(space + text + space))
        #expect(token.text == text && token.id == "abc" && token.root == Array(1...32))
    }

    @Test(arguments: [
        "", "mt1", "mt2.abc.c2VjcmV0.\(root)", "mt1..c2VjcmV0.\(root)", "mt1.abc..\(root)", "mt1.abc.c2VjcmV0.",
        "mt1.abc.c2VjcmV0.AQID", "mt1.abc.c2VjcmV0.\(root).x", "mt1.abc.c2Vj cmV0.\(root)", "mt1.abc.c2VjcmV0.\(root)!",
    ])
    func otherTextsAreNoTokens(text: String) { #expect(JoinToken(text) == nil) }

    @Test(arguments: [
        ("plain", "plain"), ("a%20b", "a b"), ("%C3%A4", "ä"), ("100%", "100%"), ("%4", "%4"), ("%zz", "%zz"),
        ("%+1", "%+1"), ("", ""), ("%ff", "\u{FFFD}"), ("%25%32%30", "%20"),
    ])
    func messagesOfGRPCAreDecoded(text: String, decoded: String) { #expect(PercentText.decode(text) == decoded) }

    @Test(
        arguments: [
            ("control:15010", "control", 15010), ("10.0.0.1:1", "10.0.0.1", 1), ("[::1]:65535", "::1", 65535),
        ] as [(String, String, UInt16)])
    func serversReadBack(text: String, host: String, port: UInt16) throws {
        let server = try #require(ControlOptions.server(text))
        #expect(server.host == host && server.port == port)
        var options = ControlOptions(host: server.host, port: server.port, role: .workload("shop/web"), state: "s")
        #expect(options.server == text)
        options.port = 7
        #expect(options.server != text)
    }

    @Test(arguments: [
        "", "control", "control:", "control:0", "control:65536", ":15010", "::1:15010", "[]:1", "https://control:1",
    ])
    func otherTextsAreNoServers(text: String) { #expect(ControlOptions.server(text) == nil) }

    @Test func endsOfCallsAreWords() {
        #expect(CallEnd(code: 7, message: "no").description == "PERMISSION_DENIED: no")
        #expect(CallEnd(code: 14, message: "").description == "UNAVAILABLE")
        #expect(CallEnd(code: 99, message: "odd").description == "status 99: odd")
        #expect(CallEnd(code: -1, message: "").description == "status -1")
    }
}
