import MeshCore
import MeshNet
import Testing

private final class Probe: TimerNode {
    var fired = 0
    override func timerFired() { fired += 1 }
}

@Suite struct TimerOrderTests {
    private func instant(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test func nodesFireAtTheirDeadlineAndNotBefore() {
        var wheel = TimerWheel(now: instant(0))
        let near = Probe()
        let far = Probe()
        wheel.schedule(near, at: instant(20))
        wheel.schedule(far, at: instant(60_000))
        var time: UInt64 = 0
        while time <= 61_000 {
            while let node = wheel.takeDue(at: instant(time)) {
                #expect(node === near ? time >= 20 && time <= 40 : time >= 60_000 && time <= 60_020)
                node.timerFired()
            }
            time += 4
        }
        #expect(near.fired == 1)
        #expect(far.fired == 1)
    }

    @Test func aDeadlineMovedAwayFiresOnceAtTheNewTime() {
        var wheel = TimerWheel(now: instant(0))
        let node = Probe()
        wheel.schedule(node, at: instant(10))
        wheel.schedule(node, at: instant(500))
        #expect(wheel.takeDue(at: instant(400)) == nil)
        #expect(wheel.takeDue(at: instant(520)) === node)
        wheel.schedule(node, at: instant(600))
        wheel.cancel(node)
        #expect(wheel.takeDue(at: instant(10_000)) == nil)
    }
}

@Suite struct AddressTextTests {
    @Test(arguments: ["127.0.0.1:80", "[::1]:8443", "[2001:db8::1]:1", "unix:/tmp/x"])
    func textRoundTrips(text: String) { #expect(SocketAddress(text)?.description == text) }

    @Test(arguments: ["", "1.2.3.4", "1.2.3:80", "1.2.3.4:70000", "unix:", "name:80"])
    func whatIsNoAddressIsNil(text: String) { #expect(SocketAddress(text) == nil) }
}
