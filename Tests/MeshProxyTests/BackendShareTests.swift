import MeshCore
import MeshModel
import MeshNet
import MeshTraffic
import Testing

@testable import MeshProxy

@Suite struct BackendShareTests {
    private let addresses = (1...3).map { SocketAddress.ipv4(0x7F00_0001, port: UInt16($0)) }

    private func backend(
        _ detection: OutlierDetection? = OutlierDetection(consecutive5xx: 2), check: HealthCheck? = nil
    ) -> Backend {
        Backend(name: "ns/s:80", healthCheck: check, outlierDetection: detection)
    }

    private func at(_ seconds: UInt64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

    @Test func loopsShareWhatTheyKnowOfAnEndpoint() {
        let share = BackendShare(backend())
        let one = share.join(addresses[0])
        #expect(share.join(addresses[0]) === one)
        #expect(share.join(addresses[1]) !== one)
        let settings = OutlierDetection(consecutive5xx: 2)
        #expect(!share.note(.serverError, one, settings, now: at(1)))
        #expect(one.isAvailable)
        #expect(share.note(.serverError, one, settings, now: at(1)))
        #expect(!one.isAvailable && one.isOut && one.isWell)
        #expect(share.standing.ejected == 1)
        #expect(share.standing.ejections == [.consecutive5xx: 1])
    }

    @Test func aClaimedProbeDecides() {
        let share = BackendShare(backend())
        let endpoints = addresses.map(share.join)
        let settings = OutlierDetection(consecutive5xx: 2)
        for _ in 0..<2 { _ = share.note(.reset, endpoints[1], settings, now: at(0)) }
        #expect(share.reopen(now: at(0)) == at(30))
        #expect(!share.wantsProbe)
        #expect(share.reopen(now: at(30)) == .never)
        #expect(share.wantsProbe)
        #expect(share.claimProbe() === endpoints[1])
        #expect(!share.wantsProbe)
        #expect(share.claimProbe() == nil)
        #expect(share.probeEnded(endpoints[1], .success, now: at(31)))
        #expect(endpoints[1].isAvailable)
    }

    @Test func anUnhealthyEndpointIsNotProbedByRequests() {
        let check = HealthCheck(.tcp)
        let share = BackendShare(backend(check: check))
        let endpoints = addresses.map(share.join)
        let settings = OutlierDetection(consecutive5xx: 2)
        for _ in 0..<2 { _ = share.note(.reset, endpoints[0], settings, now: at(0)) }
        #expect(share.noteHealth(endpoints[0], success: false, detail: "x", wallTime: 0))
        _ = share.reopen(now: at(30))
        #expect(!share.wantsProbe, "no request has to ask")
        #expect(share.claimProbe() == nil)
        _ = share.noteHealth(endpoints[0], success: true, detail: "x", wallTime: 0)
        #expect(share.noteHealth(endpoints[0], success: true, detail: "x", wallTime: 0))
        #expect(share.wantsProbe)
        #expect(share.claimProbe() === endpoints[0])
        #expect(!share.wantsProbe)
    }

    @Test func whatIsNotConfiguredAnyMoreIsForgotten() {
        let share = BackendShare(backend(check: HealthCheck(.tcp)))
        let one = share.join(addresses[0])
        _ = share.join(addresses[1])
        _ = share.noteHealth(one, success: false, detail: "x", wallTime: 0)
        for _ in 0..<2 { _ = share.note(.reset, one, OutlierDetection(consecutive5xx: 2), now: at(0)) }
        #expect(!one.isWell && one.isOut)
        #expect(share.adopt(backend(nil)))
        #expect(one.isAvailable)
        #expect(share.standing.detects == false && share.standing.checks == false)
        #expect(!share.adopt(backend()))
        #expect(one.isAvailable)
    }

    @Test func anEndpointThatMovesKeepsItsState() {
        let share = BackendShare(backend())
        let one = share.join(addresses[0])
        _ = share.join(addresses[1])
        for _ in 0..<2 { _ = share.note(.reset, one, OutlierDetection(consecutive5xx: 2), now: at(0)) }
        share.leave(one)
        #expect(share.standing.ejected == 0, "nobody uses it")
        #expect(share.join(addresses[0]) === one)
        #expect(one.isOut)
    }

    @Test func endpointsThatAreGoneDoNotPileUp() {
        let share = BackendShare(backend())
        let first = share.join(.ipv4(1, port: 1))
        share.leave(first)
        for port in 2...200 { share.leave(share.join(.ipv4(1, port: UInt16(port)))) }
        #expect(share.join(.ipv4(1, port: 1)) !== first)
        #expect(share.standing.available == 1)
    }

    @Test func theCounterIsExact() {
        let counter = ConnectionCounter()
        #expect((0..<5).map { _ in counter.open(limit: 3) } == [true, true, true, false, false])
        counter.close()
        #expect(counter.current == 2)
        #expect(counter.open(limit: nil) && counter.open(limit: nil))
        #expect(!counter.open(limit: 3))
        #expect(counter.current == 4)
    }
}
