import MeshNet
import Synchronization

/// What the control loop and a draining sidecar ask of the data plane.
extension Proxy {
    /// Why the application behind `backends` is not ready; nil: it is, or nobody asks it.
    func unreadiness(of backends: [String]) -> String? {
        for backend in backends {
            let (isReady, reason) = readiness(of: backend)
            if !isReady { return reason }
        }
        return nil
    }

    /// Waits until no connection is open that came over a listener which is gone: true, or false after `seconds`.
    public func waitForGoneListeners(within seconds: Int) -> Bool {
        let deadline = Clock.now().advanced(byNanoseconds: UInt64(max(0, seconds)) * 1_000_000_000)
        while retiredConnectionCount() > 0 {
            if Clock.now() > deadline { return false }
            ThisProcess.pause(milliseconds: 20)
        }
        return true
    }
}

/// Adds up what loops say.
final class Census: Sendable {
    private let sum = Mutex(0)
    let answers = Tally()

    func add(_ count: Int) {
        sum.withLock { $0 += count }
        answers.add()
    }

    var total: Int { sum.withLock { $0 } }
}
