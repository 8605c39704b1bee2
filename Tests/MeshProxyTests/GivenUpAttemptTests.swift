import MeshCore
import MeshModel
import MeshTraffic
import Testing

@testable import MeshProxy

/// What the balancer learns of attempts that nobody waited for to the end.
@Suite struct GivenUpAttemptTests {
    private let worker: Worker
    private let pool: BackendPool

    init() throws {
        worker = try Worker(process: ProcessServices(), seed: 1)
        let endpoints = (1...2).map { Endpoint(.ip("127.0.0.1", port: $0)) }
        let backend = Backend(
            name: "ns/s:80", endpoints: endpoints, loadBalancer: LoadBalancer(algorithm: .peakEWMA(PeakEWMASettings())))
        pool = BackendPool(try ServedBackend(backend, ProxySettings(), previous: nil), worker: worker)
        // Slower than what is unknown is taken for, quicker than what failed.
        pool.endpoints[0].observe(latency: 1_000_000_000, failed: false)
    }

    /// Ends an attempt at the second endpoint, which then is the better one only if nothing bad was learned of it.
    private func end(_ body: (Exchange) -> Void) throws -> Int {
        let exchange = worker.leaseExchange()
        exchange.attached(to: pool.endpoints[1])
        exchange.account.attempt(at: worker.loop.now)
        body(exchange)
        return try pool.pick().get().index
    }

    @Test func theSlowerOfTwoAttemptsDidNotFail() throws {
        #expect(try end { $0.finishAttempt(status: 0, isGivenUp: true) } == 1)
    }

    @Test func aCopyThatIsGivenUpDidNotFail() throws {
        let chosen = try end {
            $0.giveUp()
            $0.finishAttempt(status: 0)
        }
        #expect(chosen == 1)
    }

    @Test func anAttemptWithoutAnAnswerFailed() throws {
        #expect(try end { $0.finishAttempt(status: 0) } == 0)
    }

    @Test func copiesAreBounded() {
        let exchange = worker.leaseExchange()
        worker.mirrorsInFlight = Exchange.mirrorLimit
        exchange.mirror([Mirror(backend: 0, numerator: 1, denominator: 1)])
        #expect(exchange.mirrors.isEmpty)
        #expect(worker.mirrorsInFlight == Exchange.mirrorLimit)
    }
}
