import MeshCore
import MeshHTTP
import MeshModel
import Testing

@testable import MeshTelemetry

@Suite struct MetricsTests {
    private func facts() -> ProcessFacts {
        var facts = ProcessFacts(version: "0.1.0", startTime: 1_795_498_917_250_000_000)
        facts.processorTime = 1_500_000_000
        facts.residentBytes = 9_000_000
        facts.openDescriptors = 12
        facts.maximumDescriptors = 1024
        facts.loops = 2
        facts.revision = "r7"
        facts.acceptedConfigurations = 3
        facts.rejectedConfigurations = 1
        facts.certificates = [.init(name: "default/shop-tls", expiry: 1_800_000_000)]
        var backend = ProcessFacts.Backend(name: "default/Backend/shop:80")
        backend.available = 2
        backend.ejected = 1
        backend.unhealthy = 0
        backend.ejections = [.consecutive5xx: 3, .probeFailed: 1]
        backend.probes = (succeeded: 20, failed: 2)
        backend.concurrencyLimit = 24
        facts.backends = [backend]
        return facts
    }

    private func text(_ parts: [LoopMetrics]) -> String {
        String(
            decoding: MetricsSnapshot.merged(parts.map { $0.snapshot() }).prometheus(process: facts()), as: UTF8.self)
    }

    /// A loop on which everything that can be counted was counted.
    private func busy() -> LoopMetrics {
        let metrics = LoopMetrics()
        let listener = metrics.listenerSlot("default/edge/http")
        let slot = metrics.slot(listener: "default/edge/http", route: "default/cart", backend: "default/cart:80")
        let backend = metrics.backendSlot("default/cart:80")
        metrics.downstreamOpened(listener: listener)
        metrics.downstreamOpened(listener: listener)
        metrics.downstreamClosed(listener: listener)
        metrics.handshakeSucceeded(listener: listener, resumed: true)
        metrics.handshakeSucceeded(listener: listener, resumed: false)
        metrics.handshakeFailed(listener: listener, .tlsHandshakeTimeout)
        metrics.connectionRejected(.connectionLimit)
        for _ in 0..<3 { metrics.exchangeStarted(listener: listener) }
        let good = Sample(slot: slot, listener: listener)
        good.record.requestBytes = 10
        good.record.responseBytes = 1000
        metrics.exchangeFinished(good.record)
        let failed = Sample(slot: slot, listener: listener, version: .http2)
        failed.record.status = 503
        failed.record.reason = .upstreamConnectFailed
        failed.record.grpcStatus = 14
        failed.record.hopSlot = metrics.hopSlot(HopLabels(direction: .inbound, destination: "ns/cart"))
        metrics.exchangeFinished(failed.record)
        metrics.upstreamOpened(backend: backend, connectNanoseconds: 300_000)
        metrics.upstreamReused(backend: backend)
        metrics.upstreamConnectFailed(backend: backend, .upstreamConnectTimeout)
        for _ in 0..<3 { metrics.upstreamWaits(backend: backend) }
        metrics.upstreamWaited(backend: backend, nanoseconds: 2_000_000)
        metrics.upstreamRefused(backend: backend, .upstreamRequestLimit)
        metrics.upstreamReplayed(backend: backend)
        metrics.upstreamRetry(backend: backend, .status)
        metrics.upstreamRetry(backend: backend, .refusedByBudget)
        metrics.attemptFinished(backend: backend, status: 200, nanoseconds: 2_000_000)
        metrics.attemptFinished(backend: backend, status: 0, nanoseconds: 2_000_000)
        metrics.http2(.glitch, .downstream)
        metrics.http2(.resetSent, .upstream, count: 4)
        metrics.logLinesDropped(5)
        let policy = metrics.accessSlot("shop/web")
        metrics.accessDenied(policy, isAudit: false)
        metrics.accessDenied(policy, isAudit: true)
        return metrics
    }

    @Test func everythingCountedIsValidAndFollowsTheNamingRules() throws {
        let found = try Exposition(text([busy(), busy()]))
        try found.check()
        #expect(found.families.allSatisfy { !$0.samples.isEmpty })
    }

    @Test func loopsAreAddedUp() throws {
        let found = try Exposition(text([busy(), busy()]))
        let labels = ["listener": "default/edge/http", "route": "default/cart", "backend": "default/cart:80"]
        func labelled(_ more: [String: String]) -> [String: String] { labels.merging(more) { $1 } }
        #expect(
            found.values(
                "martlet_requests_total", "", labelled(["status": "200", "reason": "", "grpc_status": ""])) == [2])
        #expect(
            found.values(
                "martlet_requests_total", "",
                labelled(["status": "503", "reason": "upstream_connect_failed", "grpc_status": "14"])) == [2])
        #expect(found.values("martlet_request_duration_seconds", "_count", labels) == [4])
        #expect(found.values("martlet_request_duration_seconds", "_sum", labels) == [0.05])
        #expect(found.values("martlet_request_duration_seconds", "_bucket", labelled(["le": "0.01"])) == [0])
        #expect(found.values("martlet_request_duration_seconds", "_bucket", labelled(["le": "0.025"])) == [4])
        #expect(found.values("martlet_request_body_bytes_total", "", labels) == [20])
        #expect(found.values("martlet_response_body_bytes_total", "", labels) == [2000])
        let listener = ["listener": "default/edge/http"]
        #expect(found.values("martlet_requests_in_flight", "", listener) == [2])
        #expect(found.values("martlet_downstream_connections_total", "", listener) == [4])
        #expect(found.values("martlet_downstream_connections_active", "", listener) == [2])
        #expect(found.values("martlet_tls_handshakes_total", "", ["result": "resumed"]) == [2])
        #expect(found.values("martlet_tls_handshakes_total", "", ["result": "tls_handshake_timeout"]) == [2])
        #expect(found.values("martlet_protocol_requests_total", "", ["protocol": "http2"]) == [2])
        let backend = ["backend": "default/cart:80"]
        #expect(found.values("martlet_upstream_requests_total", "", ["status_class": "2xx"]) == [2])
        #expect(found.values("martlet_upstream_requests_total", "", ["status_class": "none"]) == [2])
        #expect(found.values("martlet_upstream_requests_pending", "", backend) == [4])
        #expect(found.values("martlet_upstream_queue_duration_seconds", "_count", backend) == [2])
        #expect(found.values("martlet_upstream_refusals_total", "", backend) == [2])
        #expect(found.values("martlet_upstream_endpoints", "", ["state": "ejected"]) == [1])
        #expect(found.values("martlet_upstream_ejections_total", "", ["cause": "consecutive_5xx"]) == [3])
        #expect(found.values("martlet_upstream_health_probes_total", "", ["result": "failed"]) == [2])
        #expect(found.values("martlet_upstream_concurrency_limit", "", [:]) == [24])
        #expect(found.values("martlet_upstream_connections_total", "", backend) == [2])
        #expect(found.values("martlet_upstream_connections_active", "", backend) == [2])
        #expect(found.values("martlet_upstream_connection_reuses_total", "", backend) == [2])
        #expect(found.values("martlet_upstream_replays_total", "", backend) == [2])
        #expect(found.values("martlet_upstream_connect_failures_total", "", backend) == [2])
        #expect(found.values("martlet_local_answers_total", "", ["reason": "connection_limit"]) == [2])
        #expect(found.values("martlet_local_answers_total", "", ["reason": "upstream_connect_failed"]) == [2])
        #expect(found.values("martlet_http2_glitches_total", "", ["side": "downstream"]) == [2])
        #expect(found.values("martlet_http2_resets_total", "", ["side": "upstream", "direction": "sent"]) == [8])
        #expect(found.values("martlet_access_log_dropped_lines_total") == [10])
    }

    @Test func factsOfTheProcessAreTold() throws {
        let found = try Exposition(text([]))
        try found.check()
        #expect(found.values("process_start_time_seconds") == [1_795_498_917.25])
        #expect(found.values("process_cpu_seconds_total") == [1.5])
        #expect(found.values("process_resident_memory_bytes") == [9_000_000])
        #expect(found.values("process_max_fds") == [1024])
        #expect(found.values("martlet_configuration_reloads_total", "", ["result": "rejected"]) == [1])
        #expect(found.values("martlet_configuration_info", "", ["revision": "r7"]) == [1])
        #expect(
            found.values("martlet_certificate_expiry_timestamp_seconds", "", ["certificate": "default/shop-tls"])
                == [1_800_000_000])
        #expect(found.values("martlet_build_info", "", ["version": "0.1.0"]) == [1])
    }

    @Test func theTextOfOneLoopIsThis() {
        let metrics = LoopMetrics()
        let slot = metrics.slot(listener: "l", route: "r\"\\\n", backend: "")
        metrics.exchangeFinished(Sample(slot: slot).record)
        let lines = text([metrics]).split(separator: "\n").prefix(24).joined(separator: "\n")
        #expect(
            lines == #"""
                # HELP martlet_requests_total Requests that ended, by the status sent, the reason if the proxy answered itself, and the gRPC status.
                # TYPE martlet_requests_total counter
                martlet_requests_total{listener="l",route="r\"\\\n",backend="",status="200",reason="",grpc_status=""} 1
                # HELP martlet_request_duration_seconds Time from a request's first byte to the last byte of its response.
                # TYPE martlet_request_duration_seconds histogram
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="0.0005"} 0
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="0.001"} 0
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="0.0025"} 0
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="0.005"} 0
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="0.01"} 0
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="0.025"} 1
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="0.05"} 1
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="0.1"} 1
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="0.25"} 1
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="0.5"} 1
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="1"} 1
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="2.5"} 1
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="5"} 1
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="10"} 1
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="30"} 1
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="60"} 1
                martlet_request_duration_seconds_bucket{listener="l",route="r\"\\\n",backend="",le="+Inf"} 1
                martlet_request_duration_seconds_sum{listener="l",route="r\"\\\n",backend=""} 0.0125
                martlet_request_duration_seconds_count{listener="l",route="r\"\\\n",backend=""} 1
                """#)
    }

    @Test func everyFamilyIsDocumented() throws {
        let page = try documentation("metrics.md")
        let documented = Set(page.matches(of: /\| `((?:martlet|process)_\w+)` \|/).map { String($0.1) })
        let exposed = Set(try Exposition(text([busy()])).families.map(\.name))
        #expect(documented == exposed)
    }

    // MARK: Slots

    @Test func theSameLabelsGetTheSameSlotAgain() {
        let metrics = LoopMetrics()
        let first = metrics.slot(listener: "a", route: "b", backend: "c")
        #expect(metrics.slot(listener: "a", route: "bc", backend: "") != first)
        metrics.configurationAdopted()
        #expect(metrics.slot(listener: "a", route: "b", backend: "c") == first)
        #expect(metrics.listenerSlot("x") == metrics.listenerSlot("x"))
        #expect(metrics.backendSlot("x") != metrics.backendSlot("y"))
    }

    @Test func loopsAreAddedUpByNameWhateverTheirSlots() throws {
        let (left, right) = (LoopMetrics(), LoopMetrics())
        // More than a page of slots, numbered the other way round.
        for index in 0..<100 {
            left.exchangeFinished(Sample(slot: left.slot(listener: "l", route: "r\(index)", backend: "b")).record)
            let slot = right.slot(listener: "l", route: "r\(99 - index)", backend: "b")
            for _ in 0..<(99 - index) { right.exchangeFinished(Sample(slot: slot).record) }
        }
        let found = try Exposition(text([left, right]))
        for index in 0..<100 {
            #expect(found.values("martlet_requests_total", "", ["route": "r\(index)"]) == [Double(index + 1)])
        }
    }

    @Test func aRouteThatIsGoneStaysExposedUntilThereAreTooMany() {
        let metrics = LoopMetrics()
        let old = metrics.slot(listener: "l", route: "old", backend: "")
        metrics.exchangeFinished(Sample(slot: old).record)
        metrics.configurationAdopted()
        let kept = metrics.slot(listener: "l", route: "kept", backend: "")
        metrics.exchangeFinished(Sample(slot: kept).record)
        metrics.configurationAdopted()
        #expect(text([metrics]).contains(#"route="old""#))
        for index in 0..<1100 {
            let slot = metrics.slot(listener: "l", route: "r\(index)", backend: "")
            metrics.exchangeFinished(Sample(slot: slot).record)
        }
        metrics.configurationAdopted()
        _ = metrics.slot(listener: "l", route: "kept", backend: "")
        metrics.configurationAdopted()
        #expect(!text([metrics]).contains(#"route="old""#))
        #expect(!text([metrics]).contains(#"route="r7""#))
        #expect(text([metrics]).contains(#"route="kept""#))
        // Exchanges that began before still count, under the names that they began with.
        metrics.exchangeFinished(Sample(slot: old).record)
        #expect(metrics.slot(listener: "l", route: "old", backend: "") != old)
        #expect(text([metrics]).contains(#"route="old""#))
    }

    @Test func aBackendWithOpenConnectionsIsNotForgotten() throws {
        let metrics = LoopMetrics()
        let open = metrics.backendSlot("open")
        metrics.upstreamOpened(backend: open, connectNanoseconds: 1)
        for index in 0..<1100 { _ = metrics.backendSlot("b\(index)") }
        metrics.configurationAdopted()
        metrics.configurationAdopted()
        metrics.upstreamClosed(backend: open)
        let found = try Exposition(text([metrics]))
        #expect(found.values("martlet_upstream_connections_active", "", ["backend": "open"]) == [0])
    }

    @Test func anEndpointThatMakesStatusesUpCannotGrowTheCounters() throws {
        let metrics = LoopMetrics()
        let slot = metrics.slot(listener: "l", route: "r", backend: "b")
        for status in 100..<1100 {
            let record = Sample(slot: slot)
            record.record.status = status
            record.record.grpcStatus = status * 1000
            metrics.exchangeFinished(record.record)
        }
        let found = try Exposition(text([metrics]))
        try found.check()
        let values = found.values("martlet_requests_total")
        #expect(values.count <= Outcome.limit + 1)
        #expect(values.reduce(0, +) == 1000)
        #expect(found.values("martlet_requests_total", "", ["status": "other"]) == [1000 - 64])
    }

    @Test func aSnapshotDoesNotChange() {
        let metrics = LoopMetrics()
        let slot = metrics.slot(listener: "l", route: "r", backend: "b")
        metrics.exchangeFinished(Sample(slot: slot).record)
        let before = metrics.snapshot()
        metrics.exchangeFinished(Sample(slot: slot).record)
        #expect(before.requestCount == 1)
        #expect(metrics.snapshot().requestCount == 2)
        #expect(MetricsSnapshot.merged([before, metrics.snapshot()]).requestCount == 3)
    }

    @Test func requestsOfNoRouteCountByReasonOnly() throws {
        let metrics = LoopMetrics()
        let rejected = Sample()
        rejected.record.reason = .malformedHeader
        metrics.exchangeFinished(rejected.record)
        let found = try Exposition(text([metrics]))
        #expect(found.values("martlet_local_answers_total", "", ["reason": "malformed_header"]) == [1])
        #expect(found.values("martlet_requests_total").isEmpty)
    }
}
