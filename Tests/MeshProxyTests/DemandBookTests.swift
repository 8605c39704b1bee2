import MeshCore
import Testing

@testable import MeshProxy

struct DemandBookTests {
    private let start = Instant(nanoseconds: 1_000_000_000_000)

    private func host(_ number: Int) -> [UInt8] { Array("host-\(number)".utf8) }

    @Test func theFirstRequestAsksAndOthersWait() {
        var book = DemandBook()
        #expect(book.want(host(1), now: start) == .ask)
        #expect(book.want(host(1), now: start) == .wait)
        #expect(book.want(host(2), now: start) == .ask)
        #expect(book.waiting == 3)
        book.answered(host(1))
        #expect(book.waiting == 1)
        book.leave(host(2))
        #expect(book.waiting == 0)
        // Who leaves late has been counted.
        book.leave(host(2))
        #expect(book.waiting == 0)
    }

    @Test func whoLeavesDoesNotTakeOthersAlong() {
        var book = DemandBook()
        _ = book.want(host(1), now: start)
        _ = book.want(host(1), now: start)
        book.leave(host(1))
        #expect(book.want(host(1), now: start) == .wait)
        book.leave(host(1))
        book.leave(host(1))
        #expect(book.want(host(1), now: start) == .ask)
    }

    @Test func unknownHostsAreRememberedForAWhile() {
        var book = DemandBook()
        _ = book.want(host(1), now: start)
        book.answered(host(1))
        book.remember(host(1), now: start)
        #expect(book.want(host(1), now: start.advanced(byNanoseconds: DemandBook.memory - 1)) == .remembered)
        let later = start.advanced(byNanoseconds: DemandBook.memory)
        #expect(book.want(host(1), now: later) == .ask)
        book.answered(host(1))
        book.remember(host(1), now: later)
        #expect(book.want(host(1), now: later) == .remembered)
        #expect(book.rememberedCount == 1)
    }

    @Test func whatIsRememberedIsBounded() {
        var book = DemandBook()
        for number in 0..<(DemandBook.mostRemembered * 3) { book.remember(host(number), now: start) }
        #expect(book.rememberedCount == DemandBook.mostRemembered)
        #expect(book.want(host(DemandBook.mostRemembered * 3 - 1), now: start) == .remembered)
        #expect(book.want(host(0), now: start) == .ask)
    }

    @Test func requestsThatWaitAreBounded() {
        var book = DemandBook()
        for _ in 0..<DemandBook.mostWaiting { #expect(book.want(host(1), now: start) != .full) }
        #expect(book.want(host(1), now: start) == .full)
        #expect(book.waiting == DemandBook.mostWaiting)
        book.answered(host(1))
        #expect(book.want(host(1), now: start) == .ask)
    }

    @Test func aFloodOfHostsIsAskedForSlowly() {
        var book = DemandBook()
        var asked = 0
        // 10 000 hosts within a second, each answered at once.
        for number in 0..<10_000 {
            let now = start.advanced(byNanoseconds: UInt64(number) * 100_000)
            guard book.want(host(number), now: now) == .ask else { continue }
            asked += 1
            book.answered(host(number))
        }
        #expect(asked >= DemandBook.mostAsked)
        #expect(asked <= DemandBook.mostAsked + Int(DemandBook.askedPerSecond) + 1)
        // Silence gives back what there was, and no more.
        let later = start.advanced(byNanoseconds: 3_600_000_000_000)
        let more = (0..<1000).count { book.want(host(-$0 - 1), now: later) == .ask }
        #expect(more == DemandBook.mostAsked)
    }

    @Test func hostsThatNoServiceHasAreToldApart() {
        let possible = { (host: String) in ServiceHost.isPossible(Array(host.utf8)) }
        #expect(possible("orders"))
        #expect(possible("orders.shop.svc.cluster.local"))
        #expect(possible("v2.1x"))
        #expect(!possible(""))
        #expect(!possible("10.0.0.1"))
        #expect(!possible("[::1]"))
    }

    @Test(
        arguments: [
            ("orders", "shop/orders"), ("orders.shop", "shop/orders"), ("orders.other.svc", "other/orders"),
            ("orders.other.svc.cluster.local", "other/orders"), ("orders.other.example.com", nil), ("", nil),
            ("orders.", nil), ("a b", nil), (".shop", nil), ("orders.shop.svc.", nil),
        ] as [(String, String?)])
    func hostsNameServices(host: String, service: String?) {
        #expect(ServiceHost.service(of: host, home: "shop") == service)
    }

    @Test(arguments: ["", ".", "..", "a b", "a/b", "[::1]", "x.", "\u{0}", String(repeating: "a", count: 64)])
    func hostileHostsAreNoServices(host: String) {
        #expect(ServiceHost.service(of: host, home: "shop") == nil)
    }
}
