import MeshCore
import MeshModel

/// The families that the proxy exposes; docs/metrics.md describes each.
extension MetricsSnapshot {
    /// The content type of ``prometheus(process:)``.
    public static var prometheusContentType: StaticString { PrometheusText.contentType }

    /// Everything in the text exposition format of Prometheus, version 0.0.4. Slots that never counted are left out.
    /// Takes time in proportion to the slots: call it on a thread that serves nobody else.
    public func prometheus(process facts: ProcessFacts) -> [UInt8] {
        var text = PrometheusText()
        appendRoutes(to: &text)
        appendListeners(to: &text)
        appendBackends(to: &text)
        appendHops(to: &text)
        appendPolicies(to: &text)
        appendEvents(to: &text)
        facts.append(to: &text)
        return text.bytes
    }

    // MARK: Exchanges

    private func appendRoutes(to text: inout PrometheusText) {
        let used = zip(routeLabels, routes.joined()).filter { $0.1.durations.count > 0 }.map { (Labels($0.0), $0.1) }
        text.family(
            "martlet_requests_total", .counter,
            "Requests that ended, by the status sent, the reason if the proxy answered itself, and the gRPC status.")
        for (labels, counters) in used {
            for entry in counters.outcomes.entries { text.sample(Self.labels(entry.key, labels), entry.count) }
        }
        text.family(
            "martlet_request_duration_seconds", .histogram,
            "Time from a request's first byte to the last byte of its response.")
        for (labels, counters) in used { text.samples(labels, counters.durations) }
        text.family("martlet_request_body_bytes_total", .counter, "Body bytes received from clients.")
        for (labels, counters) in used { text.sample(labels, counters.requestBytes) }
        text.family("martlet_response_body_bytes_total", .counter, "Body bytes sent to clients.")
        for (labels, counters) in used { text.sample(labels, counters.responseBytes) }
    }

    private static func labels(_ outcome: Outcome, _ route: Labels) -> Labels {
        var labels = route
        var status: [UInt8] = []
        if outcome == .other { status.put("other") } else { status.put(decimal: UInt64(outcome.status)) }
        labels.add("status", status)
        labels.add("reason", outcome.reason.map { Array($0.rawValue.utf8) } ?? [])
        labels.add("grpc_status", outcome.grpcText)
        return labels
    }

    // MARK: Downstream

    private func appendListeners(to text: inout PrometheusText) {
        let all = zip(listenerNames, listeners.joined()).map { (Labels("listener", $0.0), $0.1) }
        text.family("martlet_requests_in_flight", .gauge, "Requests that have begun and not ended.")
        for (labels, counters) in all { text.sample(labels, gauge: counters.inFlight) }
        text.family(
            "martlet_protocol_requests_total", .counter, "Requests that ended, by the protocol that the client speaks.")
        for (labels, counters) in all {
            let protocols: [(StaticString, UInt64)] = [
                ("http1.0", counters.http10), ("http1.1", counters.http11), ("http2", counters.http2),
                ("tcp", counters.tcp),
            ]
            for (name, count) in protocols where count > 0 { text.sample(labels.with("protocol", name), count) }
        }
        text.family("martlet_downstream_connections_total", .counter, "Connections accepted from clients.")
        for (labels, counters) in all { text.sample(labels, counters.connections) }
        text.family("martlet_downstream_connections_active", .gauge, "Connections of clients that are open.")
        for (labels, counters) in all { text.sample(labels, gauge: counters.active) }
        text.family(
            "martlet_tls_handshakes_total", .counter,
            "TLS handshakes with clients: full, resumed, or the reason of the failure.")
        for (labels, counters) in all {
            for entry in counters.handshakes.entries {
                text.sample(labels.with("result", Self.label(entry.key)), entry.count)
            }
        }
    }

    private static func label(_ result: HandshakeResult) -> [UInt8] {
        switch result {
        case .full: Array("full".utf8)
        case .resumed: Array("resumed".utf8)
        case .failed(let reason): Array(reason.rawValue.utf8)
        }
    }

    // MARK: Upstream

    private static let classes: [StaticString] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx", "other"]

    private func appendBackends(to text: inout PrometheusText) {
        let all = zip(backendNames, backends.joined()).map { (Labels("backend", $0.0), $0.1) }
        text.family(
            "martlet_upstream_requests_total", .counter,
            "Attempts to have requests answered, by the class of the status that the endpoint answered.")
        for (labels, counters) in all {
            for (index, name) in Self.classes.enumerated() where counters.responses[index] > 0 {
                text.sample(labels.with("status_class", name), counters.responses[index])
            }
        }
        text.family(
            "martlet_upstream_request_duration_seconds", .histogram,
            "Time from the start of an attempt to its end.")
        for (labels, counters) in all where counters.durations.count > 0 { text.samples(labels, counters.durations) }
        text.family(
            "martlet_upstream_connect_duration_seconds", .histogram,
            "Time that new connections to endpoints took to become usable, TLS included.")
        for (labels, counters) in all where counters.connects.count > 0 { text.samples(labels, counters.connects) }
        text.family("martlet_upstream_connections_total", .counter, "Connections made to endpoints.")
        for (labels, counters) in all { text.sample(labels, counters.opened) }
        text.family("martlet_upstream_connections_active", .gauge, "Connections to endpoints that are open.")
        for (labels, counters) in all { text.sample(labels, gauge: counters.active) }
        text.family(
            "martlet_upstream_connection_reuses_total", .counter, "Attempts that took a connection used before.")
        for (labels, counters) in all { text.sample(labels, counters.reused) }
        text.family("martlet_upstream_requests_pending", .gauge, "Requests that wait for a limit of the backend.")
        for (labels, counters) in all { text.sample(labels, gauge: counters.pending) }
        text.family(
            "martlet_upstream_queue_duration_seconds", .histogram, "Time that requests waited for a limit.")
        for (labels, counters) in all where counters.waits.count > 0 { text.samples(labels, counters.waits) }
        text.family("martlet_upstream_refusals_total", .counter, "Requests refused at a limit of the backend.")
        for (labels, counters) in all {
            for entry in counters.refusals.entries {
                text.sample(labels.with("reason", Array(entry.key.rawValue.utf8)), entry.count)
            }
        }
        text.family("martlet_upstream_connect_failures_total", .counter, "Connections to endpoints that failed.")
        for (labels, counters) in all {
            for entry in counters.failures.entries {
                text.sample(labels.with("reason", Array(entry.key.rawValue.utf8)), entry.count)
            }
        }
        text.family(
            "martlet_upstream_replays_total", .counter,
            "Requests sent again because a reused connection died or the endpoint had not begun on them.")
        for (labels, counters) in all { text.sample(labels, counters.replays) }
        appendRetries(all, to: &text)
    }

    private func appendRetries(_ all: [(Labels, BackendCounters)], to text: inout PrometheusText) {
        text.family("martlet_upstream_retries_total", .counter, "Requests that were tried again, by the cause.")
        for (labels, counters) in all {
            for entry in counters.retries.entries where !entry.key.isRefusal {
                text.sample(labels.with("cause", entry.key.text), entry.count)
            }
        }
        text.family(
            "martlet_upstream_retries_refused_total", .counter,
            "Requests that were not tried again for a limit on retries: the budget of the backend, or maxRetries.")
        for (labels, counters) in all {
            for entry in counters.retries.entries where entry.key.isRefusal {
                text.sample(labels.with("limit", entry.key.text), entry.count)
            }
        }
    }

    // MARK: Events

    private func appendEvents(to text: inout PrometheusText) {
        text.family(
            "martlet_local_answers_total", .counter,
            "Requests that the proxy answered or cut off itself, and connections that it refused or ended, by reason.")
        for entry in answers.entries.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            text.sample(Labels("reason", Array(entry.key.rawValue.utf8)), entry.count)
        }
        let sides: [(StaticString, HTTP2Counters)] = [("downstream", downstream), ("upstream", upstream)]
        text.family("martlet_http2_glitches_total", .counter, "Faulty or pointless HTTP/2 frames that were survived.")
        for (side, counters) in sides { text.sample(Labels("side", side), counters.glitches) }
        text.family("martlet_http2_resets_total", .counter, "HTTP/2 streams that were reset.")
        for (side, counters) in sides {
            text.sample(Labels("side", side).with("direction", "received"), counters.resetsReceived)
            text.sample(Labels("side", side).with("direction", "sent"), counters.resetsSent)
        }
        text.family("martlet_http2_goaways_total", .counter, "HTTP/2 connections that were announced to end.")
        for (side, counters) in sides {
            text.sample(Labels("side", side).with("direction", "received"), counters.goawaysReceived)
            text.sample(Labels("side", side).with("direction", "sent"), counters.goawaysSent)
        }
        text.family(
            "martlet_access_log_dropped_lines_total", .counter, "Lines that the access log lost to a slow reader.")
        text.sample(Labels(), droppedLines)
    }
}

extension ProcessFacts {
    func append(to text: inout PrometheusText) {
        text.family("martlet_ready", .gauge, "1 while new requests are welcome, as /ready says.")
        text.sample(gauge: isReady ? 1 : 0)
        text.family("martlet_draining", .gauge, "1 while the proxy is ending its connections.")
        text.sample(gauge: isDraining ? 1 : 0)
        text.family("martlet_loops", .gauge, "Event loops that serve.")
        text.sample(gauge: loops)
        text.family(
            "martlet_overload_level", .gauge, "Priorities that are refused: 0 none, 1 low, 2 normal too, 3 all.")
        text.sample(gauge: overloadLevel)
        text.family(
            "martlet_loops_not_accepting", .gauge, "Event loops that accept no connection for want of descriptors.")
        text.sample(gauge: loopsNotAccepting)
        appendEndpoints(to: &text)
        appendConfiguration(to: &text)
        control?.append(to: &text)
        text.family(
            "martlet_certificate_expiry_timestamp_seconds", .gauge, "When a certificate that is served ends.")
        for certificate in certificates {
            text.sample(Labels("certificate", Array(certificate.name.utf8)), gauge: certificate.expiry)
        }
        text.family("martlet_build_info", .gauge, "Always 1; the label says which version runs.")
        text.sample(Labels("version", Array(version.utf8)), gauge: 1)
        appendProcess(to: &text)
    }

    private func appendConfiguration(to text: inout PrometheusText) {
        text.family("martlet_configuration_info", .gauge, "Always 1; the label says which configuration is served.")
        text.sample(Labels("revision", Array(revision.utf8)), gauge: 1)
        text.family(
            "martlet_configuration_reloads_total", .counter, "Changed configurations, by what became of them.")
        text.sample(Labels("result", "accepted"), acceptedConfigurations)
        text.sample(Labels("result", "rejected"), rejectedConfigurations)
        text.family(
            "martlet_configuration_last_reload_successful", .gauge, "1 if the latest configuration was accepted.")
        text.sample(gauge: lastConfigurationAccepted ? 1 : 0)
        text.family(
            "martlet_configuration_last_success_timestamp_seconds", .gauge,
            "When the configuration that is served was adopted.")
        text.sample(seconds: adopted)
    }

    private func appendEndpoints(to text: inout PrometheusText) {
        let all = backends.sorted { $0.name < $1.name }.map { (Labels("backend", Array($0.name.utf8)), $0) }
        text.family(
            "martlet_upstream_endpoints", .gauge, "Endpoints, by how they stand; one may be ejected and unhealthy.")
        for (labels, backend) in all {
            text.sample(labels.with("state", "available"), gauge: backend.available)
            if let count = backend.ejected { text.sample(labels.with("state", "ejected"), gauge: count) }
            if let count = backend.unhealthy { text.sample(labels.with("state", "unhealthy"), gauge: count) }
        }
        text.family("martlet_upstream_ejections_total", .counter, "Ejections of endpoints, by cause.")
        for (labels, backend) in all {
            for cause in EjectionCause.allCases {
                guard let count = backend.ejections[cause] else { continue }
                text.sample(labels.with("cause", Array(cause.rawValue.utf8)), count)
            }
        }
        text.family("martlet_upstream_health_probes_total", .counter, "Health probes that ended, by result.")
        for (labels, backend) in all where backend.unhealthy != nil {
            text.sample(labels.with("result", "succeeded"), backend.probes.succeeded)
            text.sample(labels.with("result", "failed"), backend.probes.failed)
        }
        text.family(
            "martlet_upstream_concurrency_limit", .gauge,
            "Requests that may be in flight, as adaptive concurrency found.")
        for (labels, backend) in all {
            if let limit = backend.concurrencyLimit { text.sample(labels, gauge: limit) }
        }
    }

    private func appendProcess(to text: inout PrometheusText) {
        text.family("process_cpu_seconds_total", .counter, "Processor time used, user and system.")
        text.sample(seconds: processorTime)
        text.family("process_resident_memory_bytes", .gauge, "Memory in RAM.")
        text.sample(gauge: residentBytes)
        text.family("process_open_fds", .gauge, "Open file descriptors.")
        text.sample(gauge: openDescriptors)
        if maximumDescriptors > 0 {
            text.family("process_max_fds", .gauge, "The most file descriptors that may be open.")
            text.sample(gauge: maximumDescriptors)
        }
        text.family("process_start_time_seconds", .gauge, "When the process started.")
        text.sample(seconds: startTime)
    }
}
