import MeshCore
import MeshHTTP
import Testing

@testable import MeshTelemetry

@Suite struct HopTests {
    private func count(
        _ metrics: LoopMetrics, slot: Int, side: Int, status: Int = 200, grpc: Int = -1, reason: Reason? = nil,
        microseconds: UInt64 = 50
    ) {
        var record = ExchangeRecord(
            slot: -1, listener: -1, started: Instant(nanoseconds: 1000),
            ended: Instant(nanoseconds: 1000 + microseconds * 1000), version: .http11)
        record.status = status
        record.grpcStatus = grpc
        record.reason = reason
        record.hopSlot = slot
        record.hopSide = side
        metrics.exchangeFinished(record)
    }

    private let outbound = HopLabels(direction: .outbound, source: "ns/web", destination: "ns/cart", route: "ns/r")

    @Test func sidesOfOneHopAreToldApartAndAddedUpOverLoops() {
        let (first, second) = (LoopMetrics(), LoopMetrics())
        // Numbers differ between loops.
        _ = second.hopSlot(HopLabels(direction: .inbound, destination: "ns/web", version: "v9"))
        _ = second.hopSide("v2", isMTLS: true)
        for metrics in [first, second] {
            let slot = metrics.hopSlot(outbound)
            count(metrics, slot: slot, side: metrics.hopSide("v1", isMTLS: true), microseconds: 100)
            count(metrics, slot: slot, side: metrics.hopSide("v2", isMTLS: true), status: 503, reason: .noEndpoint)
            count(metrics, slot: slot, side: metrics.hopSide("v2", isMTLS: false), grpc: 14, microseconds: 20_000_000)
        }
        let hops = MetricsSnapshot.merged([first.snapshot(), second.snapshot()]).hopReports
        #expect(hops.map(\.destinationVersion) == ["v1", "v2", "v2"])
        #expect(hops.map(\.isMTLS) == [true, false, true])
        #expect(hops.allSatisfy { $0.source == "ns/web" && $0.destination == "ns/cart" && $0.route == "ns/r" })
        #expect(hops[0].counts == [HopReport.Count(status: 200, count: 2)])
        #expect(hops[1].counts == [HopReport.Count(status: 200, grpcStatus: 14, count: 2)])
        #expect(hops[2].counts == [HopReport.Count(status: 503, reason: .noEndpoint, count: 2)])
        #expect(hops[0].durationBuckets == [2] + Array(repeating: 0, count: 16))
        #expect(hops[1].durationBuckets == Array(repeating: 0, count: 16) + [2])
        #expect(hops[1].durationSumMicroseconds == 40_000_000)
    }

    @Test func inboundThePeerIsTheSource() {
        let metrics = LoopMetrics()
        let slot = metrics.hopSlot(HopLabels(direction: .inbound, destination: "ns/cart", version: "v3"))
        count(metrics, slot: slot, side: metrics.hopSide("ns/web", isMTLS: true))
        count(metrics, slot: slot, side: metrics.hopSide("", isMTLS: false))
        let hops = metrics.snapshot().hopReports
        #expect(hops.map(\.source) == ["", "ns/web"])
        #expect(hops.allSatisfy { $0.destinationVersion == "v3" && $0.direction == .inbound })
    }

    @Test func bucketsAreThoseOfTheBounds() {
        for (index, bound) in HopDurations.bounds.enumerated() {
            #expect(HopDurations.bucket(bound) == index)
            #expect(HopDurations.bucket(bound + 1) == index + 1)
        }
        #expect(HopDurations.bucket(.max) == 16)
    }

    @Test func peersAreManyButNotWithoutEnd() {
        let metrics = LoopMetrics()
        let slot = metrics.hopSlot(HopLabels(direction: .inbound, destination: "ns/cart"))
        for number in 0..<5000 { count(metrics, slot: slot, side: metrics.hopSide("ns/s\(number)", isMTLS: true)) }
        let hops = metrics.snapshot().hopReports
        #expect(hops.count <= HopRow.limit + 1)
        #expect(hops.reduce(0) { $0 + $1.counts[0].count } == 5000)
        #expect(hops.first { $0.source == "other" }?.counts[0].count == UInt64(5000 - HopRow.limit))
    }

    @Test func slotsThatAreKeptAreNotForgotten() {
        let metrics = LoopMetrics()
        let slot = metrics.hopSlot(outbound)
        metrics.configurationAdopted()
        for number in 0..<1100 {
            _ = metrics.hopSlot(HopLabels(direction: .outbound, destination: "ns/x\(number)"))
        }
        count(metrics, slot: slot, side: 0)
        metrics.keepHopSlots([slot, -1])
        metrics.configurationAdopted()
        metrics.keepHopSlots([slot])
        metrics.configurationAdopted()
        #expect(metrics.snapshot().hopReports.map(\.destination) == ["ns/cart"])
    }

    @Test func prometheusAddsExactStatusesUp() {
        let metrics = LoopMetrics()
        let slot = metrics.hopSlot(outbound)
        let side = metrics.hopSide("v1", isMTLS: true)
        count(metrics, slot: slot, side: side, status: 200)
        count(metrics, slot: slot, side: side, status: 204, microseconds: 101)
        count(metrics, slot: slot, side: side, status: 0, reason: .downstreamClosed)
        let text = String(
            decoding: metrics.snapshot().prometheus(process: ProcessFacts(version: "1", startTime: 0)), as: UTF8.self)
        let labels =
            "direction=\"outbound\",source=\"ns/web\",destination=\"ns/cart\",destination_version=\"v1\",route=\"ns/r\",mtls=\"true\""
        #expect(
            text.contains(
                "martlet_hop_requests_total{\(labels),status_class=\"2xx\",reason=\"\",grpc_status=\"\"} 2\n"))
        #expect(
            text.contains(
                "martlet_hop_requests_total{\(labels),status_class=\"none\",reason=\"downstream_closed\",grpc_status=\"\"} 1\n"
            ))
        #expect(text.contains("martlet_hop_duration_seconds_bucket{\(labels),le=\"0.0001\"} 2\n"))
        #expect(text.contains("martlet_hop_duration_seconds_bucket{\(labels),le=\"0.00025\"} 3\n"))
        #expect(text.contains("martlet_hop_duration_seconds_count{\(labels)} 3\n"))
    }
}
