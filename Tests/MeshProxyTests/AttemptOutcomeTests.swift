import MeshCore
import MeshTraffic
import Testing

@testable import MeshProxy

@Suite struct AttemptOutcomeTests {
    @Test func onlyWhatTheEndpointDidIsHeldAgainstIt() {
        let expected: [Reason: AttemptOutcome] = [
            .upstreamConnectFailed: .connectFailure, .upstreamConnectTimeout: .connectFailure,
            .upstreamTlsFailed: .connectFailure, .upstreamIdentityMismatch: .connectFailure, .upstreamClosed: .reset,
            .upstreamReset: .reset,
            .upstreamMalformedResponse: .reset, .upstreamHeadersTooLarge: .reset, .upstreamTimeout: .timeout,
        ]
        for reason in Reason.allCases { #expect(AttemptOutcome(reason) == expected[reason] ?? .none, "\(reason)") }
    }

    @Test func aConnectionThatWasIdleMayBeClosed() {
        #expect(AttemptOutcome(ExchangeState.Failure.staleConnection(.upstreamClosed)) == .none)
        #expect(AttemptOutcome(ExchangeState.Failure.unprocessed(.upstreamConnectFailed)) == .connectFailure)
        #expect(AttemptOutcome(ExchangeState.Failure.unprocessed(.upstreamRefusedStream)) == .none)
        #expect(AttemptOutcome(ExchangeState.Failure.failed(.upstreamClosed)) == .reset)
    }

    @Test func limitsThatCanBeWaitedFor() {
        #expect(Reason.allCases.filter(\.isLimit) == [.upstreamConnectionLimit, .upstreamRequestLimit])
    }
}
